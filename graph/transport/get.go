package transport

import (
	"context"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"marquee/internal/apperr"
)

// DefaultMaxQueryBytes is the default of [GET].MaxBytes.
const DefaultMaxQueryBytes = 16 << 10

// preflightHeaders are those that GraphQL clients send so that a browser asks for permission before it lets a page of
// another site make the request. Any one of them, whatever its value, will do.
var preflightHeaders = [...]string{"Apollo-Require-Preflight", "GraphQL-Require-Preflight", "X-Apollo-Operation-Name", "X-Requested-With"}

// GET carries queries in the parameters of the address, so that their answers can be cached. HEAD is answered as GET
// without the body. Mutations are refused with 405.
//
// An answer that MaxAge allows to be shared carries Cache-Control: public with a strong ETag, and a client that has it
// already is answered with 304. Every other answer is private and not to be stored.
//
// A request that only a cookie authenticates is refused, for any site can make a browser send it. It passes when the
// browser says that it comes from the API's own origin or from one that CheckOrigin allows, when it carries a header that
// needed a preflight, or when it is authenticated otherwise.
type GET struct {
	// MaxBytes is the largest length of the encoded parameters. Default 16 KiB.
	MaxBytes int
	// ByCookie reports whether a cookie authenticates the request. By default every cookie is taken for one that does.
	ByCookie func(*http.Request) bool
	// CheckOrigin decides from the Origin header, where there is one, whether the page that sends the request may use its
	// user's cookies. By default none may on that ground.
	CheckOrigin func(*http.Request) bool
	// MaxAge decides for how long anybody may be given the answer to an operation that had no errors, in whole seconds;
	// not at all for 0. It is asked before the operation runs. By default no answer is shared.
	MaxAge func(ctx context.Context, operation *graphql.OperationContext) time.Duration
}

var _ graphql.Transport = GET{}

// Supports reports whether r is a GET or HEAD.
func (GET) Supports(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead
}

// Do answers the request.
func (t GET) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	serve(w, r, exec, exchange{
		read: func() (*graphql.RawParams, *rejection) { return t.read(r) },
		permit: func(kind ast.Operation) *rejection {
			if refused := refuseSubscription(kind); refused != nil {
				return refused
			}
			return t.permit(kind)
		},
		maxAge: t.MaxAge,
	})
}

// permit refuses the kinds of operation that must not be sent with GET.
func (GET) permit(kind ast.Operation) *rejection {
	if kind != ast.Mutation {
		return nil
	}
	return reject(http.StatusMethodNotAllowed, apperr.New(apperr.BadUserInput,
		"A mutation changes data: send it with POST.")).with("Allow", http.MethodPost)
}

func (t GET) read(r *http.Request) (*graphql.RawParams, *rejection) {
	limit := t.MaxBytes
	if limit <= 0 {
		limit = DefaultMaxQueryBytes
	}
	if len(r.URL.RawQuery) > limit {
		return nil, reject(http.StatusRequestURITooLong, apperr.New(apperr.BadUserInput,
			"The parameters are longer than %d bytes: send the query with POST.", limit))
	}
	if t.forgeable(r) {
		return nil, reject(http.StatusForbidden, apperr.New(apperr.Forbidden,
			"A GET authenticated by a cookie alone must carry the header %s.", preflightHeaders[0]))
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, reject(http.StatusBadRequest, apperr.New(apperr.BadUserInput,
			"The parameters of the address are not encoded correctly."))
	}
	object := map[string]any{}
	for _, name := range [...]string{"query", "operationName", "variables", "extensions", DocumentID, relayIDs[0], relayIDs[1]} {
		switch given := values[name]; {
		case len(given) > 1:
			return nil, reject(http.StatusBadRequest, apperr.New(apperr.BadUserInput,
				"The parameter %s is given more than once.", name))
		case len(given) == 0 || given[0] == "":
			continue
		case name != "variables" && name != "extensions":
			object[name] = given[0]
		default:
			value, err := decodeJSON([]byte(given[0]))
			if err != nil {
				return nil, reject(http.StatusBadRequest, apperr.New(apperr.BadUserInput,
					"The parameter %s %s.", name, err))
			}
			object[name] = value
		}
	}
	raw, invalid := params(object)
	if invalid != nil {
		return nil, reject(http.StatusBadRequest, invalid)
	}
	return raw, nil
}

// forgeable reports whether a page of another site could have made the browser send r with its user's cookie.
func (t GET) forgeable(r *http.Request) bool {
	if t.ByCookie == nil && r.Header.Get("Cookie") == "" || t.ByCookie != nil && !t.ByCookie(r) {
		return false
	}
	if r.Header.Get("Authorization") != "" || r.Header.Get("Sec-Fetch-Site") == "same-origin" {
		return false
	}
	if t.CheckOrigin != nil && r.Header.Get("Origin") != "" && t.CheckOrigin(r) {
		return false
	}
	for _, name := range preflightHeaders {
		if len(r.Header.Values(name)) > 0 {
			return false
		}
	}
	// The media types that a form can send need no preflight (Fetch standard, CORS-safelisted request-header).
	switch media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); {
	case err != nil, media == "text/plain", media == "multipart/form-data", media == "application/x-www-form-urlencoded":
		return true
	}
	return false
}
