package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const summary = `pgbench (15.18 (Debian 15.18-0+deb12u1))
transaction type: spread.pgbench
scaling factor: 1
query mode: prepared
number of clients: 16
number of threads: 2
maximum number of tries: 1
duration: 2 s
number of transactions actually processed: 3000
number of failed transactions: 12 (0.399%)
latency average = 8.1 ms
initial connection time = 41.2 ms
tps = 1500.000000 (without initial connection time)
`

func TestParseSummary(t *testing.T) {
	t.Parallel()
	r, err := parseSummary([]byte(summary))
	if err != nil {
		t.Fatal(err)
	}
	if r.refused != 3000 || r.failed != 12 || r.elapsed != 2*time.Second {
		t.Errorf("got %+v", r)
	}
	connectedOnly := strings.Replace(strings.Replace(summary, "3000", "0", 1), "1500.000000", "-nan", 1)
	if r, err := parseSummary([]byte(connectedOnly)); err != nil || r.attempts() != 12 || r.elapsed != 0 {
		t.Errorf("a run without a transaction is %+v, %v", r, err)
	}
	for name, said := range map[string]string{
		"nothing":            "",
		"no number":          strings.Replace(summary, "3000", "many", 1),
		"no rate":            strings.Replace(summary, "tps", "xyz", 1),
		"a rate that is NaN": strings.Replace(summary, "1500.000000", "nan(?)", 1),
	} {
		t.Run(name+" is an error", func(t *testing.T) {
			t.Parallel()
			if r, err := parseSummary([]byte(said)); err == nil {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestAppendLatencies(t *testing.T) {
	t.Parallel()
	got, err := appendLatencies([]time.Duration{1}, strings.NewReader("0 1 7800 0 1795374000 123456\n3 2 95 0 1795374000 200000\n"))
	if want := []time.Duration{1, 7800 * time.Microsecond, 95 * time.Microsecond}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, log := range []string{"0 1\n", "0 1 skipped 0 1795374000 123456\n"} {
		if got, err := appendLatencies(nil, strings.NewReader(log)); err == nil {
			t.Errorf("read %v from %q", got, log)
		}
	}
}
