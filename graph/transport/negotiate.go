package transport

import (
	"mime"
	"strconv"
	"strings"
)

// mediaType is a media type an answer can be written in.
type mediaType string

const (
	mediaJSON    mediaType = "application/json"
	mediaGraphQL mediaType = "application/graphql-response+json"
	mediaEvents  mediaType = "text/event-stream"
)

// maxMediaRanges bounds the parsing of an Accept header. No client sends more than a handful.
const maxMediaRanges = 32

// contentType is the header value under which m is sent.
func (m mediaType) contentType() string { return string(m) + "; charset=utf-8" }

// match tells how precisely a media range of an Accept header names m: 3 for the type itself, 2 for application/*,
// 1 for */* and 0 when it does not. A stream of events is given only to those who name it.
func (m mediaType) match(mediaRange string) int {
	switch {
	case mediaRange == string(m):
		return 3
	case m == mediaEvents:
		return 0
	case mediaRange == "application/*":
		return 2
	case mediaRange == "*/*":
		return 1
	}
	return 0
}

// offer is a media type that an answer may have, and how much the client wants it.
type offer struct {
	media     mediaType
	quality   float64
	precision int
	position  int
}

// before reports whether the client wants o rather than other.
func (o offer) before(other offer) bool {
	switch {
	case o.quality != other.quality:
		return o.quality > other.quality
	case o.precision != other.precision:
		return o.precision > other.precision
	}
	return o.position < other.position
}

// negotiate picks the media type of one answer from the values of the Accept header (RFC 9110, section 12.5.1): the
// quality of a type is that of the most precise range that matches it, and the highest quality wins. Between equals
// the more precisely named one wins, then the one named earlier, then application/json, which is also the answer for
// a client that sends no Accept. It reports false when the client accepts neither.
func negotiate(accept []string) (mediaType, bool) {
	return negotiateAmong(accept, mediaJSON, mediaGraphQL)
}

// wantsEvents reports whether a client wants a stream of events rather than one answer, by the rules of negotiate.
func wantsEvents(accept []string) bool {
	media, ok := negotiateAmong(accept, mediaJSON, mediaGraphQL, mediaEvents)
	return ok && media == mediaEvents
}

func negotiateAmong(accept []string, types ...mediaType) (mediaType, bool) {
	header := strings.Join(accept, ",")
	if strings.TrimSpace(header) == "" {
		return types[0], true
	}
	offers := make([]offer, len(types))
	for i, media := range types {
		offers[i].media = media
	}

	for position, part := range strings.SplitN(header, ",", maxMediaRanges+1) {
		if position == maxMediaRanges {
			break
		}
		mediaRange, parameters, err := mime.ParseMediaType(part)
		if err != nil || !isUTF8(parameters["charset"]) {
			continue
		}
		quality := 1.0
		if q, ok := parameters["q"]; ok {
			if quality, err = strconv.ParseFloat(q, 64); err != nil || !(quality >= 0 && quality <= 1) {
				continue
			}
		}
		for i := range offers {
			if precision := offers[i].media.match(mediaRange); precision > offers[i].precision {
				offers[i].quality, offers[i].precision, offers[i].position = quality, precision, position
			}
		}
	}

	best := offers[0]
	for _, offer := range offers[1:] {
		if offer.before(best) {
			best = offer
		}
	}
	return best.media, best.quality > 0
}

// isUTF8 reports whether a charset parameter names UTF-8 or is absent.
func isUTF8(charset string) bool {
	return charset == "" || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8")
}
