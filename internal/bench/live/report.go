//go:build linux

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

// pair is what both sides came to with a number of subscribers, run by run.
type pair struct {
	subscribers    int
	floor, product []*outcome
}

// ratio is the median of the runs' ratios of messages a second as fast as delivered. Each compares two runs that followed
// each other, so that what the machine does meanwhile slows both.
func (p *pair) ratio() float64 {
	ratios := make([]float64, len(p.product))
	for i, o := range p.product {
		ratios[i] = o.fast.messagesPerSecond() / p.floor[i].fast.messagesPerSecond()
	}
	return median(ratios)
}

// report judges all pairs.
type report struct {
	settings settings
	pairs    []*pair
}

// print writes the table and the result line, and returns an error unless the bars hold. That nothing was lost has been
// seen by the client.
func (r report) print(out io.Writer, took time.Duration) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "sockets\tside\tphase\tevents/s\tmessages/s\tp50 ms\tp99 ms\tserver µs/message\tcores\tclient cores\tKiB/socket idle\tafter\t")
	line := []string{"RESULT"}
	var errs []error
	for _, p := range r.pairs {
		printSide(table, p.subscribers, "broadcast", r.settings.rate, p.floor)
		printSide(table, p.subscribers, "marquee", r.settings.rate, p.product)
		ratio := p.ratio()
		p99 := milliseconds(over(p.product, p99Of))
		line = append(line, fmt.Sprintf("ratio_%[1]d=%.2[2]f p99_ms_%[1]d=%.1[3]f p99_floor_ms_%[1]d=%.1[6]f us_per_message_%[1]d=%.2[4]f kib_per_socket_%[1]d=%.1[5]f", p.subscribers, ratio, p99,
			over(p.product, func(o *outcome) float64 { return o.rated.processorPerMessage() }),
			over(p.product, func(o *outcome) float64 { return o.afterKiB }), milliseconds(over(p.floor, p99Of))))
		if ratio < r.settings.bar {
			errs = append(errs, fmt.Errorf("%d subscribers get %.2f of the messages of the broadcast, less than %.2f", p.subscribers, ratio, r.settings.bar))
		}
		if most := milliseconds(float64(r.settings.p99)); p99 > most {
			errs = append(errs, fmt.Errorf("99 of 100 messages to %d subscribers arrive within %.1f ms, more than %.1f", p.subscribers, p99, most))
		}
	}
	errs = append(errs, table.Flush())
	err := errors.Join(errs...)
	verdict := "ok"
	if err != nil {
		verdict = "failed"
	}
	line = append(line, fmt.Sprintf("lost=0 errors=0 bar=%.2f seconds=%.0f verdict=%s", r.settings.bar, took.Seconds(), verdict))
	fmt.Fprintln(out, strings.Join(line, " "))
	return err
}

// printSide writes the medians of a side's runs, a line for each phase.
func printSide(out io.Writer, subscribers int, name string, rate float64, runs []*outcome) {
	for _, phase := range []struct {
		name string
		of   func(*outcome) *result
	}{
		{fmt.Sprintf("%g/s", rate), func(o *outcome) *result { return &o.rated }},
		{"as delivered", func(o *outcome) *result { return &o.fast }},
	} {
		value := func(f func(*result) float64) float64 {
			return over(runs, func(o *outcome) float64 { return f(phase.of(o)) })
		}
		fmt.Fprintf(out, "%d\t%s\t%s\t%.0f\t%.0f\t%.1f\t%.1f\t%.2f\t%.2f\t%.2f\t%.1f\t%.1f\t\n", subscribers, name, phase.name,
			value(func(r *result) float64 { return float64(r.events) / r.elapsed.Seconds() }),
			value((*result).messagesPerSecond),
			milliseconds(value(func(r *result) float64 { return float64(r.latency.percentile(50)) })),
			milliseconds(value(func(r *result) float64 { return float64(r.latency.percentile(99)) })),
			value((*result).processorPerMessage),
			value(func(r *result) float64 { return r.processor.Seconds() / r.elapsed.Seconds() }),
			value(func(r *result) float64 { return r.client.Seconds() / r.elapsed.Seconds() }),
			over(runs, func(o *outcome) float64 { return o.idleKiB }), over(runs, func(o *outcome) float64 { return o.afterKiB }))
	}
}

// p99Of is the 99th percentile of the phase with a rate.
func p99Of(o *outcome) float64 { return float64(o.rated.latency.percentile(99)) }

func milliseconds(d float64) float64 { return d / float64(time.Millisecond) }

// over is the median of a value over the runs.
func over(runs []*outcome, value func(*outcome) float64) float64 {
	values := make([]float64, len(runs))
	for i, o := range runs {
		values[i] = value(o)
	}
	return median(values)
}

// median returns the middle of the values, or the mean of the two in the middle; 0 where there are none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	ascending := slices.Sorted(slices.Values(values))
	middle := len(ascending) / 2
	if len(ascending)%2 == 1 {
		return ascending[middle]
	}
	return (ascending[middle-1] + ascending[middle]) / 2
}
