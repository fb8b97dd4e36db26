package transport

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// coding is a content coding of an answer (RFC 9110, section 8.4.1).
type coding string

const (
	identity   coding = ""
	codingZstd coding = "zstd"
	codingGzip coding = "gzip"
)

const (
	// compressFrom is the length in bytes from which an answer is compressed: what is shorter fits into one packet.
	compressFrom = 1 << 10
	// zstdWindow is less than the 8 MiB that browsers take, and bounds the memory of an encoder.
	zstdWindow = 256 << 10
	// maxCodings bounds the parsing of an Accept-Encoding header.
	maxCodings = 16
)

// The pools hold scratch memory and nothing of a request.
var (
	zstdEncoders = sync.Pool{New: func() any {
		encoder, err := zstd.NewWriter(nil,
			zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow))
		if err != nil {
			panic("transport: options of zstd: " + err.Error())
		}
		return encoder
	}}
	gzipWriters = sync.Pool{New: func() any {
		writer, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		if err != nil {
			panic("transport: level of gzip: " + err.Error())
		}
		return writer
	}}
)

// codingFor picks the coding of an answer of so many bytes from the Accept-Encoding header (RFC 9110, section 12.5.3):
// the highest quality wins, and zstd before gzip between equals. An answer is left as it is when the client wants that
// more, or names neither.
//
// What compression tells of a secret beside chosen text, its length, helps nobody here: no answer is sent to a page of
// another site with its user's credentials.
func codingFor(header http.Header, length int) coding {
	accept := header.Values("Accept-Encoding")
	if length < compressFrom || len(accept) == 0 {
		return identity
	}
	named := map[string]float64{}
	for i, entry := range strings.SplitN(strings.Join(accept, ","), ",", maxCodings+1) {
		name, parameters, _ := strings.Cut(entry, ";")
		if i < maxCodings {
			named[strings.ToLower(strings.TrimSpace(name))] = weight(parameters)
		}
	}
	quality := func(name string) float64 {
		if q, ok := named[name]; ok {
			return q
		}
		return named["*"]
	}
	best, most := identity, named["identity"]
	for _, coding := range [...]coding{codingGzip, codingZstd} {
		if q := quality(string(coding)); q > 0 && q >= most {
			best, most = coding, q
		}
	}
	return best
}

// weight reads the quality among a coding's parameters: 1 when none is given, and 0 for what is none.
func weight(parameters string) float64 {
	name, value, _ := strings.Cut(parameters, "=")
	if !strings.EqualFold(strings.TrimSpace(name), "q") {
		return 1
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || !(q >= 0 && q <= 1) {
		return 0
	}
	return q
}

// compress returns the body in a coding other than identity.
func compress(coding coding, body []byte) []byte {
	if coding == codingZstd {
		encoder := zstdEncoders.Get().(*zstd.Encoder)
		defer zstdEncoders.Put(encoder)
		return encoder.EncodeAll(body, make([]byte, 0, len(body)/4))
	}
	writer := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(writer)
	out := bytes.NewBuffer(make([]byte, 0, len(body)/4))
	writer.Reset(out)
	// Memory takes everything, so that neither call fails.
	_, _ = writer.Write(body)
	_ = writer.Close()
	writer.Reset(io.Discard) // the pool keeps no answer
	return out.Bytes()
}
