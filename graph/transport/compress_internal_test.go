package transport

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestWeight(t *testing.T) {
	t.Parallel()
	for parameters, want := range map[string]float64{
		"": 1, "q=0": 0, " Q = 0.25 ": 0.25, "q=1.000": 1, "q=": 0, "q=NaN": 0, "q=-1": 0, "q=1.1": 0, "level=3": 1,
	} {
		if got := weight(parameters); got != want {
			t.Errorf("%q weighs %v, want %v", parameters, got, want)
		}
	}
}

func BenchmarkCompress(b *testing.B) {
	var body strings.Builder
	for i := range 200 {
		fmt.Fprintf(&body, `{"id":"mov_%026x","title":"Movie %d","releaseDate":"19%02d-0%d-1%d"},`, i*7919, i, i%100, i%9+1, i%10)
	}
	for _, coding := range []coding{codingZstd, codingGzip} {
		b.Run(string(coding), func(b *testing.B) {
			b.SetBytes(int64(body.Len()))
			b.ReportAllocs()
			var packed []byte
			for b.Loop() {
				packed = compress(coding, []byte(body.String()))
			}
			b.ReportMetric(float64(len(packed))/float64(body.Len()), "left")
		})
	}
}

func BenchmarkCodingFor(b *testing.B) {
	header := http.Header{"Accept-Encoding": {"gzip, deflate, br, zstd"}}
	b.ReportAllocs()
	for b.Loop() {
		if codingFor(header, compressFrom) != codingZstd {
			b.Fatal("another coding")
		}
	}
}
