package graph_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"marquee/internal/apitest"
)

const private = "private, no-store"

func TestCaching(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, withManifest(t, "off"))
	anybody := a.Anonymous()
	id := func(id string) url.Values { return url.Values{"documentId": {id}} }

	for name, test := range map[string]struct {
		client     apitest.Client
		parameters url.Values
		headers    []string
		want       string
	}{
		"public_fields":             {anybody, id("movies"), nil, "public, max-age=60"},
		"the_shortest_time_counts":  {anybody, id("showings"), nil, "public, max-age=30"},
		"of_a_viewer":               {a.Customer(), id("movies"), nil, private},
		"of_an_administrator":       {a.Admin(), id("movies"), nil, private},
		"of_a_token_that_is_none":   {anybody, id("movies"), []string{"Authorization", "Bearer nobody"}, "no-store"},
		"text_in_the_address":       {anybody, url.Values{"query": {listedMovies}}, nil, private},
		"a_field_of_the_viewer":     {anybody, id("me"), nil, private},
		"a_field_without_a_time":    {anybody, id("rates"), nil, private},
		"a_field_that_is_refused":   {anybody, id("mixed"), nil, private},
		"a_thing_that_is_not_there": {anybody, id("missing"), nil, private},
		"an_unknown_document":       {anybody, id("unknown"), nil, private},
		"a_stream_of_events":        {anybody, id("movies"), []string{"Accept", "text/event-stream"}, private},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := get(t, test.client, http.MethodGet, test.parameters, test.headers...)
			if got := answer.Header.Get("Cache-Control"); got != test.want {
				t.Errorf("Cache-Control is %q, want %q: %s", got, test.want, answer)
			}
			if shared := strings.HasPrefix(test.want, "public"); shared != (answer.Header.Get("ETag") != "") {
				t.Errorf("ETag is %q", answer.Header.Get("ETag"))
			}
		})
	}
	t.Run("over_post", func(t *testing.T) {
		t.Parallel()
		if answer := anybody.With(t).Post(`{"documentId":"movies"}`); answer.Header.Get("Cache-Control") != private {
			t.Errorf("Cache-Control is %q", answer.Header.Get("Cache-Control"))
		}
	})
	t.Run("what_a_shared_answer_depends_on", func(t *testing.T) {
		t.Parallel()
		answer := get(t, anybody, http.MethodGet, id("movies"))
		vary := strings.Join(answer.Header.Values("Vary"), ", ")
		for _, header := range []string{"Accept", "Accept-Encoding", "Authorization", "Origin"} {
			if !strings.Contains(vary+",", header+",") {
				t.Errorf("Vary lacks %s: %s", header, vary)
			}
		}
		if strings.Contains(string(answer.Body), "extensions") {
			t.Errorf("a shared answer tells of one request: %s", answer)
		}
	})
	t.Run("revalidation", func(t *testing.T) {
		t.Parallel()
		first := get(t, anybody, http.MethodGet, id("movies"))
		tag := first.Header.Get("ETag")
		if strings.HasPrefix(tag, "W/") || !strings.HasPrefix(tag, `"`) {
			t.Fatalf("the ETag %s is not strong", tag)
		}
		for condition, status := range map[string]int{
			tag: http.StatusNotModified, "W/" + tag: http.StatusNotModified, `"other", ` + tag: http.StatusNotModified, "*": http.StatusNotModified,
			`"other"`: http.StatusOK, strings.Trim(tag, `"`): http.StatusOK,
		} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				answer := get(t, anybody, method, id("movies"), "If-None-Match", condition)
				if answer.Status != status {
					t.Errorf("%s of %s is answered with %d, want %d", method, condition, answer.Status, status)
				}
				for _, header := range []string{"ETag", "Cache-Control"} {
					if answer.Header.Get(header) != first.Header.Get(header) {
						t.Errorf("%s is %q, want %q", header, answer.Header.Get(header), first.Header.Get(header))
					}
				}
				if status == http.StatusNotModified && (len(answer.Body) > 0 || answer.Header.Get("Content-Type") != "") {
					t.Errorf("304 with %q of %q", answer.Body, answer.Header.Get("Content-Type"))
				}
			}
		}
		if answer := get(t, a.Customer(), http.MethodGet, id("movies"), "If-None-Match", tag); answer.Status != http.StatusOK {
			t.Errorf("a viewer is answered with %s", answer)
		}
	})
	t.Run("representations_have_tags_of_their_own", func(t *testing.T) {
		t.Parallel()
		tags := map[string]string{}
		for _, accept := range []string{"application/json", "application/graphql-response+json"} {
			tag := get(t, anybody, http.MethodGet, id("movies"), "Accept", accept).Header.Get("ETag")
			if other, twice := tags[tag]; twice {
				t.Errorf("%s and %s have the tag %s", accept, other, tag)
			}
			tags[tag] = accept
		}
	})
	t.Run("head", func(t *testing.T) {
		t.Parallel()
		got, head := get(t, anybody, http.MethodGet, id("movies")), get(t, anybody, http.MethodHead, id("movies"))
		if head.Status != http.StatusOK || len(head.Body) > 0 {
			t.Errorf("%s", head)
		}
		for _, header := range []string{"Content-Type", "ETag", "Cache-Control", "Content-Length"} {
			if head.Header.Get(header) != got.Header.Get(header) || head.Header.Get(header) == "" {
				t.Errorf("%s is %q, of GET %q", header, head.Header.Get(header), got.Header.Get(header))
			}
		}
	})
}

// TestCompression reads one long answer in every coding through the whole server.
func TestCompression(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, withManifest(t, "off"))
	a.AddMovies(60)
	const long, short = `{ movies(first: 60) { nodes { id title releaseDate } } }`, `{ genres { name } }`
	client := a.Anonymous()
	client.HTTP = &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: apitest.Patience}
	t.Cleanup(client.HTTP.CloseIdleConnections)
	want := get(t, client, http.MethodGet, url.Values{"query": {long}})
	if len(want.Body) < 2048 {
		t.Fatalf("the answer has only %d bytes", len(want.Body))
	}
	for accept, coding := range map[string]string{
		"":                                "",
		"identity":                        "",
		"br":                              "",
		"gzip":                            "gzip",
		"zstd":                            "zstd",
		"gzip, deflate, br, zstd":         "zstd",
		"gzip;q=1.0, zstd;q=0.5":          "gzip",
		"zstd;q=0, gzip;q=0.1":            "gzip",
		"gzip;q=0, zstd;q=0":              "",
		"identity, gzip;q=0.5":            "",
		"GZIP ; Q=0.3":                    "gzip",
		"*":                               "zstd",
		"*;q=0.1, zstd;q=0":               "gzip",
		"gzip;q=many":                     "",
		"gzip;q=2":                        "",
		strings.Repeat("x,", 20) + "gzip": "",
	} {
		t.Run(accept, func(t *testing.T) {
			t.Parallel()
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				answer := get(t, client, method, url.Values{"query": {long}}, "Accept-Encoding", accept)
				if got := answer.Header.Get("Content-Encoding"); got != coding {
					t.Fatalf("%s is answered in %q, want %q", method, got, coding)
				}
				if !strings.Contains(answer.Header.Get("Vary"), "Accept-Encoding") && !strings.Contains(strings.Join(answer.Header.Values("Vary"), ","), "Accept-Encoding") {
					t.Errorf("Vary is %q", answer.Header.Values("Vary"))
				}
				if method == http.MethodHead {
					continue
				}
				if got := answer.Header.Get("Content-Length"); got != strconv.Itoa(len(answer.Body)) {
					t.Errorf("Content-Length is %s, of %d bytes", got, len(answer.Body))
				}
				if coding != "" && len(answer.Body) > len(want.Body)/2 {
					t.Errorf("%d of %d bytes are left", len(answer.Body), len(want.Body))
				}
				if body := unpacked(t, coding, answer.Body); !bytes.Equal(body, want.Body) {
					t.Errorf("the body is another: %.100s", body)
				}
			}
		})
	}
	t.Run("short_answers_are_left", func(t *testing.T) {
		t.Parallel()
		answer := get(t, client, http.MethodGet, url.Values{"query": {short}}, "Accept-Encoding", "gzip, zstd")
		if answer.Header.Get("Content-Encoding") != "" || len(answer.Body) >= 1024 {
			t.Errorf("%d bytes in %q", len(answer.Body), answer.Header.Get("Content-Encoding"))
		}
	})
	t.Run("streams_are_left", func(t *testing.T) {
		t.Parallel()
		answer := get(t, client, http.MethodGet, url.Values{"query": {long}}, "Accept-Encoding", "gzip, zstd", "Accept", "text/event-stream")
		if answer.Header.Get("Content-Encoding") != "" || !strings.HasPrefix(string(answer.Body), "event: next\n") {
			t.Errorf("%q in %q", answer.Body[:20], answer.Header.Get("Content-Encoding"))
		}
	})
}

func unpacked(t *testing.T, coding string, body []byte) []byte {
	t.Helper()
	var reader io.Reader = bytes.NewReader(body)
	var err error
	switch coding {
	case "gzip":
		reader, err = gzip.NewReader(reader)
	case "zstd":
		var decoder *zstd.Decoder
		if decoder, err = zstd.NewReader(reader); err == nil {
			defer decoder.Close()
			reader = decoder
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
