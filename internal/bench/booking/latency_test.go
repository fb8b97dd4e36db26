package main

import (
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	t.Parallel()
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for name, row := range map[string]struct {
		values  []time.Duration
		percent int
		want    time.Duration
	}{
		"of nothing":                {nil, 50, 0},
		"of one value":              {[]time.Duration{7}, 99, 7},
		"the lowest of one":         {[]time.Duration{7}, 0, 7},
		"the middle of three":       {[]time.Duration{1, 2, 3}, 50, 2},
		"the lower middle of four":  {[]time.Duration{1, 2, 3, 4}, 50, 2},
		"the median of a hundred":   {hundred, 50, 50},
		"the 99th of a hundred":     {hundred, 99, 99},
		"the 100th of a hundred":    {hundred, 100, 100},
		"the 99th of few is a peak": {[]time.Duration{1, 2, 3, 50}, 99, 50},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := percentile(row.values, row.percent); got != row.want {
				t.Errorf("got %d, not %d", got, row.want)
			}
		})
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	values := []float64{9, 1, 4}
	if got := median(values); got != 4 || values[0] != 9 {
		t.Errorf("got %v and left %v", got, values)
	}
	if got := median([]float64{8, 2, 4, 100}); got != 6 {
		t.Errorf("got %v", got)
	}
	if got := median(nil); got != 0 {
		t.Errorf("got %v", got)
	}
}
