package transport

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/internal/apperr"
)

// MaxErrors is the largest number of errors in one answer. A document of a few kilobytes can provoke thousands; how
// many were left out is told in extensions.errorsOmitted.
const MaxErrors = 10

// requestIDHeader is the header of the answer in which the server in front has put the id of the request.
const requestIDHeader = "X-Request-Id"

// answer writes the one response of an HTTP exchange.
type answer struct {
	w     http.ResponseWriter
	r     *http.Request
	media mediaType
}

// respond writes the result of an executed operation, or the refusal of one that an extension answered itself. A
// result without errors may be given to anybody for maxAge; the extensions, which tell of this one request, are then
// left out.
func (a answer) respond(response *graphql.Response, maxAge time.Duration) {
	switch {
	case len(response.Data) == 0:
		a.reject(&rejection{response: response})
	case maxAge < time.Second || len(response.Errors) > 0:
		if seconds, ok := retryAfter(response.Errors); ok && string(response.Data) == "null" {
			a.w.Header().Set("Retry-After", seconds)
		}
		a.send(http.StatusOK, response)
	default:
		a.share(&graphql.Response{Data: response.Data}, maxAge)
	}
}

// reject writes the answer to a request that was not executed.
func (a answer) reject(r *rejection) {
	a.nameRequest(r.response.Errors)
	header := a.w.Header()
	maps.Copy(header, r.header)
	status := r.status
	if status == 0 {
		status = a.media.status(r.response.Errors)
	}
	switch status {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if seconds, ok := retryAfter(r.response.Errors); ok {
			header.Set("Retry-After", seconds)
		}
	}
	a.send(status, r.response)
}

// status is the HTTP status of a well-formed request that was refused before execution. GraphQL-over-HTTP asks for
// 200 under application/json and for an error status under application/graphql-response+json; that the service is
// overloaded, away or broken is said in both, since proxies and monitors act on it.
func (m mediaType) status(errs gqlerror.List) int {
	status := http.StatusBadRequest
	if m == mediaJSON {
		status = http.StatusOK
	}
	for _, err := range errs {
		code, _ := err.Extensions["code"].(string)
		switch apperr.Code(code) {
		case apperr.Throttled:
			return http.StatusTooManyRequests
		case apperr.Unavailable:
			return http.StatusServiceUnavailable
		case apperr.Internal:
			return http.StatusInternalServerError
		case apperr.Unauthenticated:
			if m == mediaGraphQL {
				status = http.StatusUnauthorized
			}
		case apperr.Forbidden:
			if m == mediaGraphQL {
				status = http.StatusForbidden
			}
		default:
			// The client's own mistake.
		}
	}
	return status
}

// retryAfter is the Retry-After header for errors of which one says in extensions.retryAfter, a number of seconds,
// when to come back.
func retryAfter(errs gqlerror.List) (string, bool) {
	for _, err := range errs {
		var seconds float64
		switch value := err.Extensions["retryAfter"].(type) {
		case int:
			seconds = float64(value)
		case int64:
			seconds = float64(value)
		case float64:
			seconds = value
		default:
			continue
		}
		return strconv.FormatFloat(math.Ceil(max(seconds, 0)), 'f', 0, 64), true
	}
	return "", false
}

// nameRequest puts the id of the request into errors that no error presenter has seen.
func (a answer) nameRequest(errs gqlerror.List) {
	id := a.w.Header().Get(requestIDHeader)
	if id == "" {
		return
	}
	for i, err := range errs {
		if _, named := err.Extensions["requestId"]; !named {
			errs[i] = withExtension(err, "requestId", id)
		}
	}
}

// send writes an answer that is for its caller alone.
func (a answer) send(status int, response *graphql.Response) {
	body := encode(response)
	a.w.Header().Set("Cache-Control", "private, no-store")
	a.write(status, body, codingFor(a.r.Header, len(body)))
}

// share writes an answer that anybody may be given for maxAge, or tells the client that the one it has is still good.
// Each combination of media type and content coding is another representation, with an ETag of its own.
func (a answer) share(response *graphql.Response, maxAge time.Duration) {
	body := encode(response)
	coding := codingFor(a.r.Header, len(body))
	sum := sha256.New()
	_, _ = io.WriteString(sum, string(a.media)+"\n"+string(coding)+"\n") // a hash takes everything
	_, _ = sum.Write(body)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum.Sum(nil)[:18]) + `"`

	header := a.w.Header()
	header.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(maxAge/time.Second)))
	header.Set("ETag", tag)
	header.Add("Vary", "Authorization, Cookie")
	if holds(a.r.Header.Values("If-None-Match"), tag) {
		header.Add("Vary", varyAnswers)
		a.w.WriteHeader(http.StatusNotModified)
		return
	}
	a.write(http.StatusOK, body, coding)
}

// varyAnswers names the headers of a request on which the form of every answer depends.
const varyAnswers = "Accept, Accept-Encoding"

// write writes headers and body, which it compresses.
func (a answer) write(status int, body []byte, coding coding) {
	header := a.w.Header()
	header.Set("Content-Type", a.media.contentType())
	header.Add("Vary", varyAnswers)
	if coding != identity {
		header.Set("Content-Encoding", string(coding))
		body = compress(coding, body)
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	a.w.WriteHeader(status)
	_, _ = a.w.Write(body) // the only failure is a client that has gone
}

// holds reports whether a list of entity tags has the tag or is "*" (RFC 9110, section 13.1.2). A weak tag of the same
// text counts: some proxies weaken what they pass on.
func holds(list []string, tag string) bool {
	for entry := range strings.SplitSeq(strings.Join(list, ","), ",") {
		entry = strings.TrimSpace(entry)
		if entry == "*" || strings.TrimPrefix(entry, "W/") == tag {
			return true
		}
	}
	return false
}

// encode returns the JSON of a response. An extension that put there what JSON cannot express is a defect.
func encode(response *graphql.Response) []byte {
	body, err := appendResponse(make([]byte, 0, sizeOf(response)), response)
	if err != nil {
		panic(err)
	}
	return body
}

// appendResponse appends the JSON of a response: errors first, as the GraphQL specification asks, and the data key only
// where there is data. The data is copied as it is, since the executor has just written it and reading it again would
// cost more than all the rest of the answer. Its error names what an extension put there that JSON cannot express.
func appendResponse(dst []byte, response *graphql.Response) ([]byte, error) {
	errs, extensions := response.Errors, response.Extensions
	if omitted := len(errs) - MaxErrors; omitted > 0 {
		errs = errs[:MaxErrors]
		extensions = maps.Clone(extensions)
		if extensions == nil {
			extensions = map[string]any{}
		}
		extensions["errorsOmitted"] = omitted
	}
	start := len(dst) + 1
	dst = append(dst, '{')
	key := func(name string) {
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), name...), '"', ':')
	}
	if len(errs) > 0 {
		encoded, err := json.Marshal(errs)
		if err != nil {
			return nil, fmt.Errorf("encode the errors of a response: %w", err)
		}
		key("errors")
		dst = append(dst, encoded...)
	}
	if len(response.Data) > 0 {
		key("data")
		dst = append(dst, response.Data...)
	}
	if len(extensions) > 0 {
		encoded, err := json.Marshal(extensions)
		if err != nil {
			return nil, fmt.Errorf("encode the extensions of a response: %w", err)
		}
		key("extensions")
		dst = append(dst, encoded...)
	}
	return append(dst, '}'), nil
}

// sizeOf is about the length of an encoded response.
func sizeOf(response *graphql.Response) int {
	return len(`{"data":}`) + len(response.Data) + 256*min(len(response.Errors), MaxErrors) + 64*len(response.Extensions)
}
