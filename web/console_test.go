package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func TestNewConsole_RefusesWhatIsNoBuild(t *testing.T) {
	t.Parallel()
	page := &fstest.MapFile{Data: []byte("packed")}
	for name, test := range map[string]struct {
		built fstest.MapFS
		want  string
	}{
		"no page":          {fstest.MapFS{"assets/a.js.gz": page}, "index.html.gz"},
		"uncompressed":     {fstest.MapFS{"index.html.gz": page, "assets/a.js": page}, "assets/a.js is not compressed"},
		"unknown contents": {fstest.MapFS{"index.html.gz": page, "assets/a.exe.gz": page}, `".exe"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newConsole(test.built, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %s", err, test.want)
			}
		})
	}
}

func TestConsole_DamagedFileIsAnError(t *testing.T) {
	t.Parallel()
	handler, err := newConsole(fstest.MapFS{"index.html.gz": {Data: []byte("not gzip")}}, nil)
	if err != nil {
		t.Fatalf("newConsole: %v", err)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))

	if recorder.Code != http.StatusInternalServerError {
		t.Errorf("status %d, want 500", recorder.Code)
	}
	if cache := recorder.Header().Get("Cache-Control"); cache != "" {
		t.Errorf("the error may be cached (%s)", cache)
	}
}
