package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// pair is what both sides came to in a scenario with a number of clients, run by run.
type pair struct {
	scenario   scenario
	clients    int
	floor, api []*result
	audit      audit
}

// name is that of the pair in the result line.
func (p *pair) name() string { return fmt.Sprintf("%s_%d", p.scenario.name, p.clients) }

// ratio is the median of the runs' ratios of a rate. Each compares two runs that followed each other, so that what the
// machine does meanwhile slows both.
func (p *pair) ratio(rate func(*result) float64) float64 {
	ratios := make([]float64, len(p.api))
	for i, r := range p.api {
		ratios[i] = rate(r) / rate(p.floor[i])
	}
	return median(ratios)
}

// perRequest is what a process spends on a request in milliseconds, on reserving and paying together where both are done.
func perRequest(runs []*result, of func(*result) time.Duration) float64 {
	var spent time.Duration
	attempts := 0
	for _, r := range runs {
		spent += of(r)
		attempts += r.attempts()
	}
	return spent.Seconds() * 1000 / float64(attempts)
}

// slowest is the latency that a hundredth of the requests exceeds, of a side's runs together.
func slowest(runs []*result) time.Duration { return percentile(together(runs), 99) }

func together(runs []*result) []time.Duration {
	var all []time.Duration
	for _, r := range runs {
		all = append(all, r.latencies...)
	}
	slices.Sort(all)
	return all
}

// report judges all pairs.
type report struct {
	bar, late float64
	pairs     []*pair
}

// print writes the table and the result line, and returns an error unless everything holds.
func (r report) print(out io.Writer, took time.Duration) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "scenario\tclients\tside\trequests/s\treserved/s\trefused\tp50 ms\tp99 ms\tclient CPU ms\tof requests\tof reserved\tof p99\tAPI CPU ms\t")
	line := []string{"RESULT"}
	var total audit
	var errs []error
	for _, p := range r.pairs {
		requests, ratio := p.ratio((*result).attemptsPerSecond), p.ratio((*result).reservedPerSecond)
		late := float64(slowest(p.api)) / float64(slowest(p.floor))
		cpu := perRequest(p.api, func(r *result) time.Duration { return r.cpu })
		printSide(table, p, "pgbench", p.floor, "\t\t\t")
		printSide(table, p, "api", p.api, fmt.Sprintf("%.2f\t%.2f\t%.2f\t%.2f", requests, ratio, late, cpu))
		line = append(line, fmt.Sprintf("ratio_%[1]s=%.2[2]f p99_%[1]s=%.2[3]f cpu_ms_%[1]s=%.2[4]f", p.name(), ratio, late, cpu))
		if p.scenario.again {
			// A request that is refused counts here too: the share of refusals differs between the sides.
			line = append(line, fmt.Sprintf("requests_%s=%.2f", p.name(), requests))
		}
		if ratio < r.bar {
			errs = append(errs, fmt.Errorf("%s with %d clients reaches %.2f of the database alone, less than %.2f", p.scenario.name, p.clients, ratio, r.bar))
		}
		if late > r.late && !p.scenario.paid {
			errs = append(errs, fmt.Errorf("%s with %d clients: the slowest hundredth takes %.2f times as long as in the database alone, more than %.2f",
				p.scenario.name, p.clients, late, r.late))
		}
		total.add(p.audit)
	}
	errs = append(errs, table.Flush(), total.err())
	err := errors.Join(errs...)
	verdict := "ok"
	if err != nil {
		verdict = "failed"
	}
	line = append(line, fmt.Sprintf("reservations=%d sold_twice=%d misplaced=%d unpaid=%d errors=0 bar=%.2f late=%.2f seconds=%.0f verdict=%s",
		total.reservations, total.soldTwice, total.misplaced+total.keyless, total.unpaid, r.bar, r.late, took.Seconds(), verdict))
	fmt.Fprintln(out, strings.Join(line, " "))
	return err
}

// printSide writes a line of medians over the runs; the percentiles are those of all requests together.
func printSide(out io.Writer, p *pair, side string, runs []*result, ratios string) {
	attempts, kept := make([]float64, len(runs)), make([]float64, len(runs))
	var refused, asked int
	for i, r := range runs {
		attempts[i], kept[i] = r.attemptsPerSecond(), r.reservedPerSecond()
		refused += r.refused
		asked += r.attempts()
	}
	all := together(runs)
	milliseconds := func(percent int) float64 { return float64(percentile(all, percent)) / float64(time.Millisecond) }
	fmt.Fprintf(out, "%s\t%d\t%s\t%.0f\t%.0f\t%.0f%%\t%.1f\t%.1f\t%.2f\t%s\t\n", p.scenario.name, p.clients, side,
		median(attempts), median(kept), 100*float64(refused)/float64(asked), milliseconds(50), milliseconds(99), perRequest(runs, func(r *result) time.Duration { return r.client }), ratios)
}
