package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"marquee/internal/bench/server"
)

// gauges are what the server says of itself.
type gauges struct {
	hashing, queued, places int // passwords that are hashed, that wait for it, and that may do either at once
	memory                  int // bytes of the process
}

// readGauges reads the operators' metrics.
func readGauges(ctx context.Context, marquee *server.Server) (gauges, error) {
	status, page, err := server.Get(ctx, marquee.Ops()+"/metrics")
	if err != nil {
		return gauges{}, err
	}
	if status != http.StatusOK {
		return gauges{}, fmt.Errorf("the metrics answered %d", status)
	}
	return parseGauges(page)
}

func parseGauges(page string) (g gauges, err error) {
	wanted := map[string]*int{
		`marquee_passwords{state="hashing"}`: &g.hashing, `marquee_passwords{state="queued"}`: &g.queued,
		"marquee_password_places": &g.places, "process_resident_memory_bytes": &g.memory,
	}
	for line := range strings.Lines(page) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		to, found := wanted[name]
		if !found {
			continue
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return g, fmt.Errorf("read the metric %s: %w", name, err)
		}
		*to = int(value)
		delete(wanted, name)
	}
	for name := range wanted {
		return g, fmt.Errorf("there is no metric %s", name)
	}
	return g, nil
}

// watch returns the highest values of the gauges until the end of ctx.
func watch(ctx context.Context, marquee *server.Server) (peak gauges, err error) {
	ticker := time.NewTicker(watching)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return peak, nil
		}
		g, err := readGauges(ctx, marquee)
		if ctx.Err() != nil {
			return peak, nil
		}
		if err != nil {
			return peak, err
		}
		peak.hashing, peak.queued = max(peak.hashing, g.hashing), max(peak.queued, g.queued)
		peak.places, peak.memory = max(peak.places, g.places), max(peak.memory, g.memory)
	}
}
