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

// report judges all pairs.
type report struct {
	bar   float64
	pairs []*pair
}

// print writes the table and the result line, and returns an error unless everything holds.
func (r report) print(out io.Writer, took time.Duration) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "scenario\tclients\tside\trequests/s\treserved/s\trefused\tp50 ms\tp99 ms\tof requests\tof reserved\t")
	line := []string{"RESULT"}
	var total audit
	var errs []error
	for _, p := range r.pairs {
		requests, ratio := p.ratio((*result).attemptsPerSecond), p.ratio((*result).reservedPerSecond)
		printSide(table, p, "pgbench", p.floor, "\t")
		printSide(table, p, "api", p.api, fmt.Sprintf("%.2f\t%.2f", requests, ratio))
		line = append(line, fmt.Sprintf("ratio_%s=%.2f", p.name(), ratio))
		if !p.scenario.spread {
			// A request that is refused counts here too: the share of refusals differs between the sides.
			line = append(line, fmt.Sprintf("requests_%s=%.2f", p.name(), requests))
		}
		if ratio < r.bar {
			errs = append(errs, fmt.Errorf("%s with %d clients reaches %.2f of the database alone, less than %.2f", p.scenario.name, p.clients, ratio, r.bar))
		}
		total.add(p.audit)
	}
	errs = append(errs, table.Flush(), total.err())
	err := errors.Join(errs...)
	verdict := "ok"
	if err != nil {
		verdict = "failed"
	}
	line = append(line, fmt.Sprintf("reservations=%d sold_twice=%d misplaced=%d errors=0 bar=%.2f seconds=%.0f verdict=%s",
		total.reservations, total.soldTwice, total.misplaced+total.keyless, r.bar, took.Seconds(), verdict))
	fmt.Fprintln(out, strings.Join(line, " "))
	return err
}

// printSide writes a line of medians over the runs; the percentiles are those of all requests together.
func printSide(out io.Writer, p *pair, side string, runs []*result, ratios string) {
	attempts, kept := make([]float64, len(runs)), make([]float64, len(runs))
	var all []time.Duration
	var refused, asked int
	for i, r := range runs {
		attempts[i], kept[i] = r.attemptsPerSecond(), r.reservedPerSecond()
		all = append(all, r.latencies...)
		refused += r.refused
		asked += r.attempts()
	}
	slices.Sort(all)
	milliseconds := func(percent int) float64 { return float64(percentile(all, percent)) / float64(time.Millisecond) }
	fmt.Fprintf(out, "%s\t%d\t%s\t%.0f\t%.0f\t%.0f%%\t%.1f\t%.1f\t%s\t\n", p.scenario.name, p.clients, side,
		median(attempts), median(kept), 100*float64(refused)/float64(asked), milliseconds(50), milliseconds(99), ratios)
}
