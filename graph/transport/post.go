package transport

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"marquee/internal/apperr"
)

// Defaults of [POST].
const (
	DefaultMaxBytes    = 100 << 10
	DefaultReadTimeout = 10 * time.Second
)

// POST carries queries and mutations in a JSON body, one per request.
//
// Only application/json is accepted, since a page of another site can send every other type without asking the
// browser for permission first. Lists of operations, subscriptions and @defer are refused.
type POST struct {
	// MaxBytes is the largest body in bytes. Default 100 KiB.
	MaxBytes int64
	// ReadTimeout is how long the body may take to arrive. Default 10 s.
	ReadTimeout time.Duration
}

var _ graphql.Transport = POST{}

// Supports reports whether r is a POST, of whatever content.
func (POST) Supports(r *http.Request) bool { return r.Method == http.MethodPost }

// Do answers the request.
func (t POST) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	serve(w, r, exec, exchange{
		read:   func() (*graphql.RawParams, *rejection) { return t.read(w, r) },
		permit: refuseSubscription,
	})
}

func (t POST) read(w http.ResponseWriter, r *http.Request) (*graphql.RawParams, *rejection) {
	if refused := refuseContent(r.Header); refused != nil {
		return nil, refused
	}
	body, refused := t.body(w, r)
	if refused != nil {
		return nil, refused
	}
	if len(body) == 0 {
		return nil, reject(http.StatusBadRequest, apperr.New(apperr.BadUserInput, "The request has no body."))
	}
	value, err := decodeJSON(body)
	if err != nil {
		return nil, reject(http.StatusBadRequest, apperr.New(apperr.BadUserInput, "The request body %s.", err))
	}
	switch value := value.(type) {
	case map[string]any:
		raw, err := params(value)
		if err != nil {
			return nil, reject(http.StatusBadRequest, err)
		}
		return raw, nil
	case []any:
		return nil, reject(http.StatusBadRequest, apperr.New(apperr.BadUserInput,
			"Lists of operations are not supported: send one operation per request."))
	}
	return nil, reject(http.StatusBadRequest, apperr.New(apperr.BadUserInput, "The request body must be an object."))
}

// body reads the whole body within the limits of size and time.
func (t POST) body(w http.ResponseWriter, r *http.Request) ([]byte, *rejection) {
	limit, timeout := t.MaxBytes, t.ReadTimeout
	if limit <= 0 {
		limit = DefaultMaxBytes
	}
	if timeout <= 0 {
		timeout = DefaultReadTimeout
	}
	if r.ContentLength > limit {
		return nil, tooLarge(limit).with("Connection", "close")
	}
	// A writer that cannot set deadlines is not on a network.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(timeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	switch {
	case err == nil:
		_ = control.SetReadDeadline(time.Time{})
		return body, nil
	case errors.As(err, new(*http.MaxBytesError)):
		return nil, tooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, reject(http.StatusRequestTimeout, apperr.New(apperr.BadUserInput,
			"The request body took longer than %s to arrive.", timeout)).with("Connection", "close")
	}
	return nil, reject(http.StatusBadRequest, apperr.New(apperr.BadUserInput, "The request body ended too early."))
}

func tooLarge(limit int64) *rejection {
	return reject(http.StatusRequestEntityTooLarge, apperr.New(apperr.BadUserInput,
		"The request body is larger than %d bytes.", limit))
}

// refuseContent refuses a body that is not plain JSON in UTF-8.
func refuseContent(header http.Header) *rejection {
	if coding := header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return reject(http.StatusUnsupportedMediaType, apperr.New(apperr.BadUserInput,
			"Compressed request bodies are not supported.")).with("Accept-Encoding", "identity")
	}
	media, parameters, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || media != string(mediaJSON) || !isUTF8(parameters["charset"]) {
		return reject(http.StatusUnsupportedMediaType, apperr.New(apperr.BadUserInput,
			"The request body must be of the content type %s, in UTF-8.", mediaJSON)).with("Accept", string(mediaJSON))
	}
	return nil
}
