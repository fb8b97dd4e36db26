package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// mostMemory bounds the whole server: hashing takes 19 MiB for each password that is hashed at once, and what is freed is
// not given back at once.
const mostMemory = 512 << 20

// mostGuesses bounds what one source learns about one account: five free guesses, and what the growing delay lets through
// in a minute.
const mostGuesses = 12

// report is what was seen.
type report struct {
	settings              settings
	before, during, after []time.Duration // of the visitor
	took                  time.Duration   // of the flood, to its last answer
	tallies               [kinds]tally
	strange               string
	atRest, peak          gauges
}

// percentile returns the smallest of the durations that is not below the given percentage of them (the nearest-rank
// method), 0 where there are none.
func percentile(times []time.Duration, percent int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	ascending := slices.Sorted(slices.Values(times))
	rank := (len(ascending)*percent + 99) / 100
	return ascending[max(rank, 1)-1]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// total returns how often an outcome came.
func (r *report) total(o outcome) (n int) {
	for _, t := range r.tallies {
		n += t.counts[o]
	}
	return n
}

// verdict returns what does not hold.
func (r *report) verdict() error {
	var errs []error
	claim := func(holds bool, format string, args ...any) {
		if !holds {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	p99 := percentile(r.during, 99)
	claim(p99 <= r.settings.p99, "99 of 100 answers to the visitor took up to %s, more than %s", p99, r.settings.p99)
	claim(len(r.during) > 0, "the visitor got no answer")
	claim(r.total(failed) == 0, "%d answers are none that signing in can have, the first is %.500s", r.total(failed), r.strange)
	claim(r.tallies[right].counts[admitted] > 0, "nobody got in with the right password")
	claim(r.tallies[right].counts[refused] == 0, "%d right passwords were called wrong", r.tallies[right].counts[refused])
	for _, k := range []kind{wrong, unknown, guesser} {
		claim(r.tallies[k].counts[admitted] == 0, "%d of the kind %s got a session", r.tallies[k].counts[admitted], k)
		claim(r.tallies[k].counts[refused] > 0, "none of the kind %s was refused", k)
	}
	claim(r.total(throttled) > 0, "nobody was told to wait: this was no flood")
	claim(r.tallies[guesser].counts[refused] <= mostGuesses, "one guesser got %d answers", r.tallies[guesser].counts[refused])
	claim(r.peak.hashing > 0 && r.peak.hashing+r.peak.queued <= r.peak.places,
		"%d hashes ran and %d waited where there are %d places", r.peak.hashing, r.peak.queued, r.peak.places)
	claim(r.peak.memory <= mostMemory, "the server took %d MiB", r.peak.memory>>20)
	return errors.Join(errs...)
}

// print writes the tables and the result line, and returns an error unless everything holds.
func (r *report) print(out io.Writer, took time.Duration) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "movies\tanswers\tp50 ms\tp99 ms\tmax ms\t")
	for _, phase := range []struct {
		name  string
		times []time.Duration
	}{{"before", r.before}, {"during", r.during}, {"after", r.after}} {
		fmt.Fprintf(table, "%s\t%d\t%.1f\t%.1f\t%.1f\t\n", phase.name, len(phase.times), milliseconds(percentile(phase.times, 50)),
			milliseconds(percentile(phase.times, 99)), milliseconds(percentile(phase.times, 100)))
	}
	err := table.Flush()
	fmt.Fprintln(out)
	fmt.Fprintln(table, "sign-ins\tadmitted\trefused\tthrottled\tp50 ms\tmax ms\t")
	for k, t := range r.tallies {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%.0f\t%.0f\t\n", kind(k), t.counts[admitted], t.counts[refused], t.counts[throttled],
			milliseconds(percentile(t.times, 50)), milliseconds(percentile(t.times, 100)))
	}
	err = errors.Join(err, table.Flush(), r.verdict())
	verdict := "ok"
	if err != nil {
		verdict = "failed"
	}
	answered := r.total(admitted) + r.total(refused)
	fmt.Fprintf(out, "\nRESULT movies_p50_ms=%.1f movies_p99_ms=%.1f movies_max_ms=%.1f calm_p50_ms=%.1f calm_p99_ms=%.1f clients=%d "+
		"answered=%d answered_per_s=%.1f admitted=%d refused=%d throttled=%d failed=%d hashing=%d queued=%d places=%d "+
		"memory_mib=%d memory_calm_mib=%d bar_ms=%.0f seconds=%.0f verdict=%s\n",
		milliseconds(percentile(r.during, 50)), milliseconds(percentile(r.during, 99)), milliseconds(percentile(r.during, 100)),
		milliseconds(percentile(r.before, 50)), milliseconds(percentile(r.before, 99)), clients,
		answered, float64(answered)/r.took.Seconds(), r.total(admitted), r.total(refused), r.total(throttled), r.total(failed),
		r.peak.hashing, r.peak.queued, r.peak.places, r.peak.memory>>20, r.atRest.memory>>20, milliseconds(r.settings.p99), took.Seconds(), verdict)
	return err
}
