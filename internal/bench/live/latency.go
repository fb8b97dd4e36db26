//go:build linux

package main

import (
	"math/bits"
	"time"
)

// histogram counts durations in microseconds, in buckets a 32nd of a power of two wide: millions of them take no memory
// and no sorting. The zero value is empty.
type histogram struct {
	buckets [(64 - fineBits) << fineBits]int64
	count   int64
}

const fineBits = 5

func (h *histogram) add(d time.Duration) {
	h.buckets[bucketOf(d)]++
	h.count++
}

func bucketOf(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0))
	if us < 1<<fineBits {
		return int(us)
	}
	exponent := bits.Len64(us) - fineBits - 1
	return (exponent+1)<<fineBits + int(us>>exponent)&(1<<fineBits-1)
}

// upperBound is the largest duration that a bucket counts.
func upperBound(bucket int) time.Duration {
	exponent, fine := bucket>>fineBits-1, bucket&(1<<fineBits-1)
	if exponent < 0 {
		return time.Duration(fine) * time.Microsecond
	}
	return time.Duration((1<<fineBits+fine+1)<<exponent-1) * time.Microsecond
}

// percentile returns a duration that the given percentage of those counted do not exceed, within a thirty-second part;
// 0 where nothing was counted.
func (h *histogram) percentile(percent int64) time.Duration {
	rank := max((h.count*percent+99)/100, 1)
	var sum int64
	for bucket, n := range h.buckets {
		if sum += n; sum >= rank {
			return upperBound(bucket)
		}
	}
	return 0
}
