package main

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	const ok, tooMany = http.StatusOK, http.StatusTooManyRequests
	for name, test := range map[string]struct {
		status int
		body   string
		want   outcome
	}{
		"a session":               {ok, `{"data":{"signIn":{"__typename":"SessionPayload"}},"extensions":{}}`, admitted},
		"wrong credentials":       {ok, `{"data":{"signIn":{"__typename":"InvalidCredentials"}}}`, refused},
		"the limits of guesses":   {ok, `{"errors":[{"extensions":{"code":"THROTTLED"}}],"data":null}`, throttled},
		"the limits of calls":     {tooMany, `{"errors":[{"extensions":{"code":"THROTTLED"}}]}`, throttled},
		"a second factor":         {ok, `{"data":{"signIn":{"__typename":"SecondFactorRequired"}}}`, failed},
		"a deadline":              {ok, `{"errors":[{"extensions":{"code":"UNAVAILABLE"}}],"data":null}`, failed},
		"a session and a failure": {http.StatusInternalServerError, `{"data":{"signIn":{"__typename":"SessionPayload"}}}`, failed},
	} {
		if got := judge(test.status, []byte(test.body)); got != test.want {
			t.Errorf("%s: %d, not %d", name, got, test.want)
		}
	}
}

func TestParseGauges(t *testing.T) {
	t.Parallel()
	const page = `# HELP marquee_passwords Passwords that are hashed at this moment or wait for it.
marquee_passwords{state="hashing"} 1
marquee_passwords{state="queued"} 64
marquee_password_places 65
process_resident_memory_bytes 2.5e+08
`
	if got, err := parseGauges(page); err != nil || got != (gauges{hashing: 1, queued: 64, places: 65, memory: 250_000_000}) {
		t.Errorf("%+v, %v", got, err)
	}
	for name, broken := range map[string]string{
		"a missing metric": strings.Replace(page, "marquee_password_places 65\n", "", 1),
		"no number":        strings.Replace(page, "65", "many", 1),
	} {
		if got, err := parseGauges(broken); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100 - i)
	}
	for percent, want := range map[int]time.Duration{50: 50, 99: 99, 100: 100, 0: 1} {
		if got := percentile(hundred, percent); got != want {
			t.Errorf("%d of 100: %d, not %d", percent, got, want)
		}
	}
	if got := percentile(nil, 99); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
}

// good is a report of a run in which everything holds.
func good() *report {
	r := &report{
		settings: settings{p99: 250 * time.Millisecond}, took: 10 * time.Second,
		before: []time.Duration{time.Millisecond}, during: []time.Duration{20 * time.Millisecond}, after: []time.Duration{time.Millisecond},
		atRest: gauges{memory: 200 << 20}, peak: gauges{hashing: 1, queued: 199, places: 513, memory: 300 << 20},
	}
	for k := range kinds {
		r.tallies[k].counts[refused], r.tallies[k].counts[throttled] = 5, 100
	}
	r.tallies[right].counts[admitted], r.tallies[right].counts[refused] = 40, 0
	return r
}

func TestReport_print(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := good().print(&out, 30*time.Second); err != nil {
		t.Error(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "RESULT movies_p50_ms=20.0 movies_p99_ms=20.0 ") || !strings.HasSuffix(last, " verdict=ok") {
		t.Errorf("the last line is %s", last)
	}

	for name, breakIt := range map[string]func(*report){
		"a slow answer to the visitor":   func(r *report) { r.during = append(r.during, 251*time.Millisecond) },
		"no answer to the visitor":       func(r *report) { r.during = nil },
		"an answer that cannot be":       func(r *report) { r.tallies[wrong].counts[failed]++ },
		"nobody gets in":                 func(r *report) { r.tallies[right].counts[admitted] = 0 },
		"a right password is wrong":      func(r *report) { r.tallies[right].counts[refused]++ },
		"a wrong password is right":      func(r *report) { r.tallies[wrong].counts[admitted]++ },
		"nobody has an account":          func(r *report) { r.tallies[unknown].counts[admitted]++ },
		"a wrong password goes unlooked": func(r *report) { r.tallies[wrong].counts[refused] = 0 },
		"a guesser guesses on":           func(r *report) { r.tallies[guesser].counts[refused] = 13 },
		"too many hashes at once":        func(r *report) { r.peak.queued = 513 },
		"nothing was hashed":             func(r *report) { r.peak.hashing = 0 },
		"too much memory":                func(r *report) { r.peak.memory = 600 << 20 },
		"no flood": func(r *report) {
			for k := range r.tallies {
				r.tallies[k].counts[throttled] = 0
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := good()
			breakIt(r)
			var out bytes.Buffer
			if err := r.print(&out, time.Second); err == nil || !strings.HasSuffix(out.String(), " verdict=failed\n") {
				t.Errorf("%v: %s", err, out.String())
			}
		})
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	if s, err := parse([]string{"-duration", "5s", "-p99", "1s"}); err != nil || s != (settings{"bin/marquee", 5 * time.Second, time.Second}) {
		t.Errorf("%+v, %v", s, err)
	}
	for _, args := range [][]string{{"-duration", "10ms"}, {"-duration", "2m"}, {"-unknown"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}
