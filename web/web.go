// Package web owns the pages that Marquee serves to a browser: the GraphiQL console, built from
// web/console into web/dist and embedded in the binary, so that it works with no other host in
// reach.
//
// It knows nothing of GraphQL, sessions or configuration; whether the console is offered at all, to
// whom and with which sign-ins, is for the caller to decide. The page itself holds no secret.
// Nothing is read from disk once the program is built.
package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// dist holds every file of the console as gzip, and only so. The prefix "all:" keeps a file whose
// hashed name happens to begin with an underscore.
//
//go:embed all:dist
var dist embed.FS

// contentSecurityPolicy lets the page run its own code and talk to its own server, and nothing
// else. Monaco, the editor inside, sets style attributes and may start its workers from blobs;
// GraphiQL's stylesheet carries its fonts as data. A websocket to the page's own host is 'self' to
// every browser that can run the build.
const contentSecurityPolicy = "default-src 'none'; " +
	"script-src 'self'; " +
	"worker-src 'self' blob:; " +
	"style-src 'self' 'unsafe-inline'; " +
	"font-src 'self' data:; " +
	"img-src 'self' data:; " +
	"connect-src 'self'; " +
	"base-uri 'none'; " +
	"form-action 'none'; " +
	"frame-ancestors 'none'"

// settingsPath is where the page asks for its Settings.
const settingsPath = "/console.json"

// Settings are what the page asks its server before it shows anything. Whoever can reach the page
// can read them.
type Settings struct {
	// Environment is "development" or "production". In production the page keeps still until an
	// administrator has signed in.
	Environment string `json:"environment"`
	// SignIns are accounts that one click signs in with, in the order of the buttons.
	SignIns []SignIn `json:"signIns"`
}

// SignIn is an account whose password is no secret, nor is that of its authenticator app; "" when it has none.
type SignIn struct {
	Role     string `json:"role"`
	Email    string `json:"email"`
	Password string `json:"password"`
	Secret   string `json:"secret,omitempty"`
}

// Console returns the handler of the GraphiQL console. It answers GET and HEAD of "/", of
// "/assets/…", of "/licenses.md" (the notices of the software inside) and of "/console.json" (what
// settings returns at that moment), 405 to other methods and 404 to other paths, so it may be
// mounted at "/" of a mux. The page expects the API at "/graphql" of its own host, for POST and for
// graphql-transport-ws.
//
// Assets carry a hash of their content in their name and may be cached for ever; the other files
// are revalidated by their ETag, and the settings are never kept. A client that does not accept
// gzip gets the same files unpacked.
//
// The handler is safe for concurrent use, as settings must be, and holds no state between requests.
// Console panics when the embedded files are not a console, which can only be a mistake of the
// build.
func Console(settings func(ctx context.Context) Settings) http.Handler {
	built, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(fmt.Sprintf("web: open the embedded console: %v", err))
	}
	handler, err := newConsole(built, settings)
	if err != nil {
		panic(fmt.Sprintf("web: %v", err))
	}
	return handler
}

// console serves a fixed set of gzip files by URL path, and the settings. It is immutable.
type console struct {
	files    map[string]file
	settings func(ctx context.Context) Settings
}

// file is one file of the console.
type file struct {
	packed       []byte // gzip
	hash         string // of packed, in hexadecimal
	contentType  string
	cacheControl string
}

// newConsole reads all of built, in which every file ends in ".gz" and index.html.gz is the page
// at "/".
func newConsole(built fs.FS, settings func(ctx context.Context) Settings) (*console, error) {
	files := make(map[string]file)
	err := fs.WalkDir(built, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		plain, isPacked := strings.CutSuffix(name, ".gz")
		if !isPacked {
			return fmt.Errorf("%s is not compressed", name)
		}
		contentType, err := contentTypeOf(plain)
		if err != nil {
			return err
		}
		packed, err := fs.ReadFile(built, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(packed)
		files[urlPathOf(plain)] = file{
			packed:       packed,
			hash:         hex.EncodeToString(sum[:16]),
			contentType:  contentType,
			cacheControl: cacheControlOf(plain),
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the built console: %w", err)
	}
	if _, ok := files["/"]; !ok {
		return nil, fmt.Errorf("read the built console: index.html.gz: %w", fs.ErrNotExist)
	}
	return &console{files: files, settings: settings}, nil
}

func urlPathOf(name string) string {
	if name == "index.html" {
		return "/"
	}
	return "/" + name
}

// cacheControlOf trusts only names that the build hashed.
func cacheControlOf(name string) string {
	if strings.HasPrefix(name, "assets/") {
		return "public, max-age=31536000, immutable"
	}
	return "no-cache"
}

// contentTypeOf names what the build produces. Package mime would ask the operating system as
// well, whose answer differs from machine to machine.
func contentTypeOf(name string) (string, error) {
	switch extension := path.Ext(name); extension {
	case ".css":
		return "text/css; charset=utf-8", nil
	case ".html":
		return "text/html; charset=utf-8", nil
	case ".js":
		return "text/javascript; charset=utf-8", nil
	case ".md":
		return "text/markdown; charset=utf-8", nil
	case ".svg":
		return "image/svg+xml", nil
	case ".ttf":
		return "font/ttf", nil
	default:
		return "", fmt.Errorf("%s: no content type is known for %q", name, extension)
	}
}

// ServeHTTP implements http.Handler.
func (c *console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "The console is read with GET or HEAD.", http.StatusMethodNotAllowed)
		return
	}
	if r.URL.Path == settingsPath {
		c.serveSettings(w, r)
		return
	}
	found, ok := c.files[r.URL.Path]
	if !ok {
		http.Error(w, "There is no such page.", http.StatusNotFound)
		return
	}

	// Two encodings of a file are two representations: a strong ETag must tell them apart.
	content, encoding, tag := found.packed, "gzip", found.hash+"-gzip"
	if !acceptsGzip(r.Header) {
		plain, err := unpack(found.packed)
		if err != nil {
			http.Error(w, "The page is damaged.", http.StatusInternalServerError)
			return
		}
		content, encoding, tag = plain, "", found.hash
	}

	header := w.Header()
	header.Set("Content-Security-Policy", contentSecurityPolicy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Content-Type", found.contentType)
	header.Set("Cache-Control", found.cacheControl)
	header.Set("ETag", `"`+tag+`"`)
	header.Add("Vary", "Accept-Encoding")
	if encoding != "" {
		header.Set("Content-Encoding", encoding)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// serveSettings answers what holds at this moment.
func (c *console) serveSettings(w http.ResponseWriter, r *http.Request) {
	settings := c.settings(r.Context())
	if settings.SignIns == nil {
		settings.SignIns = []SignIn{}
	}
	content, err := json.Marshal(settings)
	if err != nil {
		panic("web: strings always marshal: " + err.Error())
	}
	header := w.Header()
	header.Set("Content-Security-Policy", contentSecurityPolicy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Content-Type", "application/json; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

func unpack(packed []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}

// acceptsGzip reports whether the Accept-Encoding of a request allows a gzip reply (RFC 9110,
// section 12.5.3): a coding's own entry outranks "*", a weight of 0 refuses, and so does a weight
// that is no number, since the plain file is never wrong.
func acceptsGzip(header http.Header) bool {
	byWildcard := false
	for entry := range strings.SplitSeq(strings.Join(header.Values("Accept-Encoding"), ","), ",") {
		coding, parameters, _ := strings.Cut(entry, ";")
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip":
			return isWanted(parameters)
		case "*":
			byWildcard = isWanted(parameters)
		}
	}
	return byWildcard
}

// isWanted reads the weight among a coding's parameters, which is 1 when none is given.
func isWanted(parameters string) bool {
	name, value, _ := strings.Cut(parameters, "=")
	if !strings.EqualFold(strings.TrimSpace(name), "q") {
		return true
	}
	weight, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	return err == nil && weight > 0
}
