package main

import (
	"slices"
	"time"
)

// percentile returns the smallest of the durations that is not below the given percentage of them (the nearest-rank
// method), 0 where there are none. It wants them in ascending order.
func percentile(ascending []time.Duration, percent int) time.Duration {
	if len(ascending) == 0 {
		return 0
	}
	rank := (len(ascending)*percent + 99) / 100
	return ascending[max(rank, 1)-1]
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
