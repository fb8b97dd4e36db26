// Package cookie keeps the tokens of a browser's session in two cookies that no script can read, and tells devices apart.
//
// It owns their names and attributes, and how a request says that it wants a session kept this way. It knows neither
// what the tokens say nor whether they count, and it opens and ends no session: the edge authenticates with what a
// request brings, and whoever makes tokens hands them over here.
//
// Invariants:
//   - A token that came in a cookie, and what is given to a request with one, never stands in the body of an answer: a
//     script that was smuggled into a page can use the session while it runs, but not carry it away.
//   - A request with credentials of its own, or that asks for tokens in the answer, is one without our cookies.
//   - The refresh token counts beside the access token that was set with it, and alone it does not. Another host of the
//     same site can plant the cookie of the refresh token, but not that of the access token, whose name forbids it; so
//     nobody is signed in to a session that a stranger chose.
package cookie

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"time"

	"marquee/internal/apperr"
)

// Header is the header by which a request chooses where its session's tokens go: [ModeCookie] or [ModeBearer].
const Header = "Marquee-Session"

// The values of [Header]. Without it, tokens go where those of the request came from, else into the answer.
const (
	ModeCookie = "cookie" // tokens that are made go into cookies
	ModeBearer = "bearer" // they stand in the answer, and the request's cookies are not looked at
)

// Policy is how the cookies of a server are kept.
type Policy struct {
	// RefreshPath is the path of the endpoint that renews sessions; the refresh token is sent nowhere else.
	RefreshPath string
	// Secure reports whether the client speaks TLS. By default it never does.
	Secure func(*http.Request) bool
	// Plain gives clients that do not speak TLS cookies that browsers keep without it, under names of their own. It is
	// for development: where it is false, every cookie is for TLS alone.
	Plain bool
}

// Tokens are those of one session. They are sent for as long as the session can be renewed: an access token that is over
// is refused and so tells the page to renew, where a missing one would only look like nobody.
type Tokens struct {
	Access, Refresh string
	Until           time.Time // when the session ends unless it is renewed
}

// Exchange is one request and its answer, as far as the cookies go. A nil Exchange has none and keeps none. It may be
// read by many goroutines; Keep, Clear and Refuse are called by one at a time, before the answer's header is written.
type Exchange struct {
	w      http.ResponseWriter
	path   string
	secure bool
	asked  bool // for cookies, by the header
	stale  bool

	access, refresh string
	bond            string // what the two cookies of a session have in common
	device          string // what the browser is called
}

// Begin reads what a request brings and returns a context that knows it, with the exchange where there is one. The
// request's cookies are not looked at when it is otherwise authenticated. The error is BAD_USER_INPUT.
func (p Policy) Begin(w http.ResponseWriter, r *http.Request, authenticated bool) (context.Context, *Exchange, *apperr.Error) {
	e, err := p.begin(w, r, authenticated)
	if err != nil {
		return nil, nil, err
	}
	device, err := readDevice(r)
	if err != nil {
		return nil, nil, err
	}
	if device == "" && e != nil && !authenticated {
		device = e.device
	}
	ctx := context.WithValue(r.Context(), exchangeKey{}, e)
	if device != "" {
		ctx = context.WithValue(ctx, deviceKey{}, device)
	}
	return ctx, e, nil
}

func (p Policy) begin(w http.ResponseWriter, r *http.Request, authenticated bool) (*Exchange, *apperr.Error) {
	e := &Exchange{w: w, path: p.RefreshPath, secure: !p.Plain || p.Secure != nil && p.Secure(r)}
	switch mode := strings.Join(r.Header.Values(Header), ","); mode {
	case "":
	case ModeCookie:
		e.asked = true
	case ModeBearer:
		return nil, nil
	default:
		return nil, apperr.New(apperr.BadUserInput, "The header %s must be %s or %s.", Header, ModeCookie, ModeBearer)
	}
	if named, err := r.Cookie(e.deviceName()); err == nil && isDevice(named.Value) {
		e.device = named.Value
	}
	if !authenticated {
		e.read(r)
	}
	return e, nil
}

// read takes the tokens from the request's cookies.
func (e *Exchange) read(r *http.Request) {
	given, err := r.Cookie(e.accessName())
	if err != nil {
		return
	}
	var ok bool
	if e.bond, e.access, ok = strings.Cut(given.Value, "."); !ok {
		e.bond, e.access = "", given.Value
		return
	}
	for _, given := range r.CookiesNamed(e.refreshName()) {
		if bond, token, ok := strings.Cut(given.Value, "."); ok && bond == e.bond {
			e.refresh = token
		}
	}
}

// The prefixes make browsers refuse the cookie from whoever may not set it: __Host- from every other host, __Secure-
// from whoever does not speak TLS.
func (e *Exchange) accessName() string {
	if e.secure {
		return "__Host-marquee"
	}
	return "marquee"
}

func (e *Exchange) refreshName() string {
	if e.secure {
		return "__Secure-marquee-refresh"
	}
	return "marquee-refresh"
}

// Access returns the access token that the request brought, "" for none.
func (e *Exchange) Access() string {
	if e == nil {
		return ""
	}
	return e.access
}

// Refresh returns the refresh token that the request brought, "" for none.
func (e *Exchange) Refresh() string {
	if e == nil {
		return ""
	}
	return e.refresh
}

// Refuse notes that the access token which the request brought does not count. When nothing can renew the session, the
// cookie goes.
func (e *Exchange) Refuse() {
	e.stale = true
	if e.refresh == "" {
		e.Clear()
	}
}

// Stale reports whether the request brought an access token that does not count.
func (e *Exchange) Stale() bool { return e != nil && e.stale }

// Wanted reports whether the tokens that the request is given belong into cookies.
func (e *Exchange) Wanted() bool { return e != nil && (e.asked || e.access != "") }

// Keep puts the tokens of a session into cookies, if that is where they belong, and reports whether it is. If so, they
// must stand nowhere else.
func (e *Exchange) Keep(t Tokens) bool {
	if !e.Wanted() {
		return false
	}
	if e.bond == "" {
		e.bond = rand.Text()
	}
	e.set(e.accessName(), "/", e.bond+"."+t.Access, t.Until)
	e.set(e.refreshName(), e.path, e.bond+"."+t.Refresh, t.Until)
	e.keepDevice(t.Until.Add(deviceAge))
	return true
}

// Clear makes the browser forget the session whose cookies the request brought.
func (e *Exchange) Clear() {
	if e == nil || e.access == "" {
		return
	}
	e.set(e.accessName(), "/", "", time.Unix(1, 0))
	e.set(e.refreshName(), e.path, "", time.Unix(1, 0))
}

// set adds a cookie to the answer in place of one of that name. No page is shown by what a cookie says, so that it need
// not come with a visit from elsewhere: the page's own requests carry it, however the user came to the page.
func (e *Exchange) set(name, path, value string, until time.Time) {
	set := &http.Cookie{ //nolint:gosec // Secure is missing for development alone: see Policy.Plain
		Name: name, Value: value, Path: path, Expires: until, Secure: e.secure, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
	header := e.w.Header()
	others := header.Values("Set-Cookie")
	header.Del("Set-Cookie")
	for _, other := range others {
		if !strings.HasPrefix(other, name+"=") {
			header.Add("Set-Cookie", other)
		}
	}
	header.Add("Set-Cookie", set.String())
}

type exchangeKey struct{}

// From returns the exchange of the request of ctx, nil when it has none.
func From(ctx context.Context) *Exchange {
	e, _ := ctx.Value(exchangeKey{}).(*Exchange)
	return e
}
