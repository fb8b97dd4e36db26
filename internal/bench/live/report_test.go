//go:build linux

package main

import (
	"strings"
	"testing"
	"time"
)

// ran is the outcome of a side with so many messages a second and one latency.
func ran(messages int, latency time.Duration) *outcome {
	o := &outcome{
		rated: result{events: 20, messages: 20_000, elapsed: time.Second, processor: 100 * time.Millisecond},
		fast:  result{events: messages / 1000, messages: messages, elapsed: time.Second},
	}
	o.rated.latency.add(latency)
	return o
}

func TestReport(t *testing.T) {
	t.Parallel()
	fine := 10 * time.Millisecond
	for name, test := range map[string]struct {
		product []*outcome
		floor   time.Duration
		want    string
	}{
		"both_bars_hold":               {[]*outcome{ran(250_000, fine), ran(220_000, fine), ran(90_000, fine)}, fine, "ratio_1000=1.10 "},
		"too_few_messages":             {[]*outcome{ran(190_000, fine), ran(190_000, fine), ran(900_000, fine)}, fine, "verdict=failed"},
		"messages_too_late":            {[]*outcome{ran(250_000, fine), ran(250_000, time.Second), ran(250_000, time.Second)}, fine, "verdict=failed"},
		"late_though_before_the_floor": {[]*outcome{ran(250_000, time.Second), ran(250_000, time.Second), ran(250_000, time.Second)}, 2 * time.Second, "verdict=failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := parse(nil)
			if err != nil {
				t.Fatal(err)
			}
			floor := []*outcome{ran(200_000, test.floor), ran(200_000, test.floor), ran(200_000, test.floor)}
			var out strings.Builder
			err = report{settings: s, pairs: []*pair{{subscribers: 1000, floor: floor, product: test.product}}}.print(&out, time.Minute)
			failed := strings.Contains(out.String(), "verdict=failed")
			if !strings.Contains(out.String(), test.want) || failed != (err != nil) || failed == strings.Contains(out.String(), "verdict=ok") {
				t.Errorf("%v:\n%s", err, out.String())
			}
			if !strings.Contains(out.String(), "us_per_message_1000=5.00") {
				t.Errorf("the processor time is missing:\n%s", out.String())
			}
		})
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-subscribers", "0"},
		{"-subscribers", "10000"},
		{"-subscribers", "many"},
		{"-duration", "1500ms"},
		{"-duration", "0s"},
		{"-reps", "0"},
		{"-rate", "0"},
		{"-rate", "61"},
		{"-unknown"},
	} {
		if s, err := parse(args); err == nil {
			t.Errorf("%v is taken as %+v", args, s)
		}
	}
	s, err := parse([]string{"-short", "-bar", "0.9"})
	if err != nil || s.bar != 0.9 || len(s.subscribers) != 1 || s.p99 <= 150*time.Millisecond {
		t.Errorf("%+v, %v", s, err)
	}
}
