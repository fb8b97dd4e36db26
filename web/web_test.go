package web_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"marquee/web"
)

func TestConsole_Index(t *testing.T) {
	t.Parallel()
	reply := serve(t, http.MethodGet, "/", nil)

	if reply.Code != http.StatusOK {
		t.Fatalf("status %d, want 200", reply.Code)
	}
	wantHeader(t, reply, "Content-Type", "text/html; charset=utf-8")
	wantHeader(t, reply, "Cache-Control", "no-cache")
	wantHeader(t, reply, "X-Content-Type-Options", "nosniff")
	wantHeader(t, reply, "Referrer-Policy", "no-referrer")
	if page := readAll(t, reply.Body); !bytes.Contains(page, []byte("<title>Marquee console</title>")) {
		t.Errorf("the page is not the console:\n%s", page)
	}
}

// The policy must let Monaco and the subscriptions work and let no other host in.
func TestConsole_ContentSecurityPolicy(t *testing.T) {
	t.Parallel()
	policy := serve(t, http.MethodGet, "/", nil).Header().Get("Content-Security-Policy")

	for _, directive := range []string{
		"default-src 'none'",
		"script-src 'self'",
		"worker-src 'self' blob:",
		"style-src 'self' 'unsafe-inline'",
		"connect-src 'self'",
		"frame-ancestors 'none'",
	} {
		if !strings.Contains(policy+"; ", directive+"; ") {
			t.Errorf("the policy lacks %q: %s", directive, policy)
		}
	}
	if strings.Contains(policy, "http") || strings.Contains(policy, "ws") || strings.Contains(policy, "unsafe-eval") {
		t.Errorf("the policy opens more than the console needs: %s", policy)
	}
}

// Whatever the page names must be embedded under that name, or the console is blank offline.
func TestConsole_PageIsSelfContained(t *testing.T) {
	t.Parallel()
	page := readAll(t, serve(t, http.MethodGet, "/", nil).Body)

	links := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllSubmatch(page, -1)
	if len(links) < 3 {
		t.Fatalf("the page names %d files, want its icon, script and stylesheet at least:\n%s", len(links), page)
	}
	for _, link := range links {
		target := string(link[1])
		if !strings.HasPrefix(target, "/assets/") {
			t.Errorf("the page names %q, which is not one of its own assets", target)
			continue
		}
		if reply := serve(t, http.MethodGet, target, nil); reply.Code != http.StatusOK {
			t.Errorf("GET %s: status %d, want 200", target, reply.Code)
		}
	}
}

func TestConsole_EveryFile(t *testing.T) {
	t.Parallel()
	for _, target := range builtFiles(t) {
		t.Run(target, func(t *testing.T) {
			t.Parallel()

			packed := serve(t, http.MethodGet, target, http.Header{"Accept-Encoding": {"br, gzip"}})
			wantHeader(t, packed, "Content-Encoding", "gzip")
			wantHeader(t, packed, "Vary", "Accept-Encoding")
			unpacker, err := gzip.NewReader(packed.Body)
			if err != nil {
				t.Fatalf("open the gzip reply: %v", err)
			}
			fromGzip := readAll(t, unpacker)

			plain := serve(t, http.MethodGet, target, nil)
			wantHeader(t, plain, "Content-Encoding", "")
			wantHeader(t, plain, "Vary", "Accept-Encoding")
			if !bytes.Equal(fromGzip, readAll(t, plain.Body)) {
				t.Error("the two encodings carry different content")
			}
			if len(fromGzip) == 0 {
				t.Error("the file is empty")
			}

			wantCache := "public, max-age=31536000, immutable"
			if !strings.HasPrefix(target, "/assets/") {
				wantCache = "no-cache"
			}
			wantHeader(t, plain, "Cache-Control", wantCache)
			if packed.Header().Get("ETag") == plain.Header().Get("ETag") {
				t.Errorf("both encodings have the ETag %s", plain.Header().Get("ETag"))
			}
		})
	}
}

func TestConsole_Revalidation(t *testing.T) {
	t.Parallel()
	accept := map[string]http.Header{
		"plain": {},
		"gzip":  {"Accept-Encoding": {"gzip"}},
	}
	for name, header := range accept {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tag := serve(t, http.MethodGet, "/", header).Header().Get("ETag")
			if tag == "" {
				t.Fatal("the page has no ETag")
			}

			same := header.Clone()
			same.Set("If-None-Match", tag)
			reply := serve(t, http.MethodGet, "/", same)
			if reply.Code != http.StatusNotModified {
				t.Errorf("status %d for the current ETag, want 304", reply.Code)
			}
			wantHeader(t, reply, "ETag", tag)
			wantHeader(t, reply, "Cache-Control", "no-cache")
			if body := readAll(t, reply.Body); len(body) != 0 {
				t.Errorf("a 304 carries %d bytes", len(body))
			}

			other := header.Clone()
			other.Set("If-None-Match", `"another"`)
			if reply := serve(t, http.MethodGet, "/", other); reply.Code != http.StatusOK {
				t.Errorf("status %d for another ETag, want 200", reply.Code)
			}
		})
	}
}

func TestConsole_Head(t *testing.T) {
	t.Parallel()
	got := serve(t, http.MethodHead, "/", nil)
	want := serve(t, http.MethodGet, "/", nil)

	if got.Code != http.StatusOK {
		t.Errorf("status %d, want 200", got.Code)
	}
	for _, name := range []string{"Content-Type", "Content-Length", "ETag", "Cache-Control"} {
		wantHeader(t, got, name, want.Header().Get(name))
	}
	if body := readAll(t, got.Body); len(body) != 0 {
		t.Errorf("the reply carries %d bytes", len(body))
	}
}

func TestConsole_Settings(t *testing.T) {
	t.Parallel()
	t.Run("without_sign_ins", func(t *testing.T) {
		t.Parallel()
		reply := serve(t, http.MethodGet, "/console.json", http.Header{"Accept-Encoding": {"gzip"}})
		if reply.Code != http.StatusOK {
			t.Fatalf("status %d, want 200", reply.Code)
		}
		wantHeader(t, reply, "Content-Type", "application/json; charset=utf-8")
		wantHeader(t, reply, "Cache-Control", "no-store")
		wantHeader(t, reply, "X-Content-Type-Options", "nosniff")
		if got, want := reply.Body.String(), `{"environment":"production","signIns":[]}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	t.Run("what_holds_at_the_moment", func(t *testing.T) {
		t.Parallel()
		var offered []web.SignIn
		handler := web.Console(func(context.Context) web.Settings {
			return web.Settings{Environment: "development", SignIns: offered}
		})
		offered = []web.SignIn{{Role: "ADMIN", Email: "a@b.example", Password: "no secret"}}
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/console.json", http.NoBody))
		want := `{"environment":"development","signIns":[{"role":"ADMIN","email":"a@b.example","password":"no secret"}]}`
		if got := recorder.Body.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	t.Run("only_read", func(t *testing.T) {
		t.Parallel()
		if reply := serve(t, http.MethodPost, "/console.json", nil); reply.Code != http.StatusMethodNotAllowed {
			t.Errorf("status %d, want 405", reply.Code)
		}
	})
}

// What the binary carries is read by whoever reaches the page, in production too.
func TestConsole_CarriesNoPassword(t *testing.T) {
	t.Parallel()
	for _, target := range builtFiles(t) {
		if content := readAll(t, serve(t, http.MethodGet, target, nil).Body); bytes.Contains(content, []byte(" at the movies")) {
			t.Errorf("%s holds the password of a demo account", target)
		}
	}
}

func TestConsole_UnknownPathsAndMethods(t *testing.T) {
	t.Parallel()
	for _, target := range []string{
		"/index.html", "/assets", "/assets/", "/assets/none.js", "/dist/index.html.gz",
		"/index.html.gz", "/graphql", "/assets/../index.html", "/.env",
	} {
		reply := serve(t, http.MethodGet, target, nil)
		if reply.Code != http.StatusNotFound {
			t.Errorf("GET %s: status %d, want 404", target, reply.Code)
		}
		if cache := reply.Header().Get("Cache-Control"); cache != "" {
			t.Errorf("GET %s: a 404 may be cached (%s)", target, cache)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		reply := serve(t, method, "/", nil)
		if reply.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s /: status %d, want 405", method, reply.Code)
		}
		wantHeader(t, reply, "Allow", "GET, HEAD")
	}
}

func TestConsole_AcceptEncoding(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]string{
		"":                        "",
		"gzip":                    "gzip",
		"GZIP":                    "gzip",
		"deflate, gzip, br, zstd": "gzip",
		"gzip;q=0.1":              "gzip",
		"gzip ; q=1.0":            "gzip",
		"gzip;q=0":                "",
		"gzip;q=0.000, *":         "",
		"gzip;q=many":             "",
		"*":                       "gzip",
		"*;q=0":                   "",
		"br, *;q=0.5":             "gzip",
		"*;q=0, gzip":             "gzip",
		"identity":                "",
		"br":                      "",
		"xgzip, gzipx":            "",
	} {
		header := http.Header{}
		if accept != "" {
			header.Set("Accept-Encoding", accept)
		}
		if got := serve(t, http.MethodGet, "/", header).Header().Get("Content-Encoding"); got != want {
			t.Errorf("Accept-Encoding %q: Content-Encoding %q, want %q", accept, got, want)
		}
	}
}

func serve(t *testing.T, method, target string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, target, http.NoBody)
	maps.Copy(request.Header, header)
	recorder := httptest.NewRecorder()
	web.Console(func(context.Context) web.Settings { return web.Settings{Environment: "production"} }).ServeHTTP(recorder, request)
	return recorder
}

// builtFiles lists the URL path of every file of the build as it lies on disk.
func builtFiles(t *testing.T) []string {
	t.Helper()
	var targets []string
	err := fs.WalkDir(os.DirFS("dist"), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		target := "/" + strings.TrimSuffix(name, ".gz")
		if target == "/index.html" {
			target = "/"
		}
		targets = append(targets, target)
		return nil
	})
	if err != nil {
		t.Fatalf("list the built files: %v", err)
	}
	if len(targets) < 10 {
		t.Fatalf("the build has %d files, which is no console", len(targets))
	}
	return targets
}

func wantHeader(t *testing.T, reply *httptest.ResponseRecorder, name, want string) {
	t.Helper()
	if got := reply.Header().Get(name); got != want {
		t.Errorf("%s is %q, want %q", name, got, want)
	}
}

func readAll(t *testing.T, from io.Reader) []byte {
	t.Helper()
	content, err := io.ReadAll(from)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return content
}
