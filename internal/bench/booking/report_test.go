package main

import (
	"strings"
	"testing"
	"time"
)

func ran(attempts, kept int) *result {
	return &result{
		reserved: kept, refused: attempts - kept, elapsed: time.Second, latencies: []time.Duration{time.Millisecond},
		cpu: time.Duration(attempts) * time.Millisecond / 2,
	}
}

func TestReport_Print(t *testing.T) {
	t.Parallel()
	spread := func() *pair {
		return &pair{
			scenario: scenarios[0], clients: 16,
			floor: []*result{ran(1000, 1000), ran(100, 100), ran(2000, 2000)},
			api:   []*result{ran(600, 600), ran(10, 10), ran(1000, 1000)},
		}
	}
	hot := func() *pair {
		return &pair{scenario: scenarios[1], clients: 64, floor: []*result{ran(1000, 100)}, api: []*result{ran(400, 70)}}
	}
	slow := func(p *pair) *pair {
		for _, r := range p.api {
			r.latencies = []time.Duration{3 * time.Millisecond}
		}
		return p
	}
	for name, row := range map[string]struct {
		bar   float64
		pairs []*pair
		line  string
		fails bool
	}{
		"everything holds":      {0.5, []*pair{spread(), hot()}, "RESULT ratio_spread_16=0.50 p99_spread_16=1.00 cpu_ms_spread_16=0.50 ratio_hot_64=0.70 p99_hot_64=1.00 cpu_ms_hot_64=0.50 requests_hot_64=0.40 ", false},
		"one ratio is low":      {0.6, []*pair{spread(), hot()}, "RESULT ratio_spread_16=0.50 ", true},
		"reservations are late": {0.5, []*pair{slow(spread())}, "p99_spread_16=3.00", true},
		"payments may be late": {0.5, []*pair{func() *pair {
			p := slow(spread())
			p.scenario = scenarios[2]
			return p
		}()}, "p99_spread_paid_16=3.00", false},
		"a payment left no ticket": {0.1, []*pair{func() *pair {
			p := hot()
			p.audit = audit{reservations: 5, unpaid: 1}
			return p
		}()}, "unpaid=1", true},
		"a seat was sold twice": {0.1, []*pair{spread(), func() *pair {
			p := hot()
			p.audit = audit{reservations: 5, soldTwice: 1}
			return p
		}()}, "sold_twice=1", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			err := report{bar: row.bar, late: 2.5, pairs: row.pairs}.print(&out, time.Minute)
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			last := lines[len(lines)-1]
			if (err != nil) != row.fails || !strings.Contains(last, row.line) || strings.HasSuffix(last, "verdict=ok") == row.fails {
				t.Errorf("got %v and %s", err, last)
			}
		})
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	s, err := parse([]string{"-clients", "1,128", "-duration", "8s", "-reps", "1"})
	if err != nil || len(s.clients) != 2 || s.duration != 8*time.Second {
		t.Errorf("got %+v, %v", s, err)
	}
	for _, args := range []string{
		"-clients 0", "-clients 129", "-clients 16,", "-clients x", "-duration 9s", "-duration 1500ms", "-duration 0s", "-reps 0", "-reps 21", "-what",
	} {
		if s, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%s gives %+v", args, s)
		}
	}
}
