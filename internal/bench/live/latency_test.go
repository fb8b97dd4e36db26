//go:build linux

package main

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	t.Parallel()
	var h histogram
	if p := h.percentile(99); p != 0 {
		t.Errorf("of nothing: %s", p)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	for range 10_000 {
		d := time.Duration(random.ExpFloat64() * float64(20*time.Millisecond))
		all = append(all, d)
		h.add(d)
	}
	h.add(-time.Second) // clocks may disagree
	all = append(all, 0)
	slices.Sort(all)
	for _, percent := range []int64{1, 50, 90, 99, 100} {
		exact := all[max((int64(len(all))*percent+99)/100, 1)-1]
		got := h.percentile(percent)
		if got < exact.Truncate(time.Microsecond) || got > exact+exact/16+2*time.Microsecond {
			t.Errorf("percentile %d is %s, exactly %s", percent, got, exact)
		}
	}
}

func TestHistogram_buckets(t *testing.T) {
	t.Parallel()
	for _, us := range []int64{0, 1, 31, 32, 33, 63, 64, 65, 1000, 123_456, 1 << 40} {
		d := time.Duration(us) * time.Microsecond
		bucket := bucketOf(d)
		if top := upperBound(bucket); d > top || bucketOf(top) != bucket || bucketOf(top+time.Microsecond) == bucket {
			t.Errorf("%s is in the bucket %d up to %s", d, bucket, top)
		}
	}
}
