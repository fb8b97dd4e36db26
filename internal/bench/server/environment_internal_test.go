package server

import (
	"slices"
	"testing"
	"time"
)

func TestEnvironment(t *testing.T) {
	t.Parallel()
	got := environment([]string{
		"PATH=/bin", "MARQUEE_DATABASE_URL=postgres://production", "MARQUEE_DATA_DIR=/var/lib/marquee", "MARQUEE_PG_BIN=/opt/pg/bin", "MARQUEE_PG_BINARY=x",
	})
	if want := []string{"PATH=/bin", "MARQUEE_PG_BIN=/opt/pg/bin"}; !slices.Equal(got, want) {
		t.Errorf("a process inherits %v, not %v", got, want)
	}
}

func TestCPUOf(t *testing.T) {
	t.Parallel()
	got, err := cpuOf("4711 (a) name (with brackets) S 1 4711 4711 0 -1 4194560 5 0 0 0 123 45 9 9 20 0 1 0 77\n")
	if want := 1680 * time.Millisecond; err != nil || got != want {
		t.Errorf("got %s, %v, not %s", got, err, want)
	}
	for _, line := range []string{"", "4711 (marquee) S 1 2 3", "1 (m) S 1 1 1 0 -1 1 5 0 0 0 x 45", "1 (m) S 1 1 1 0 -1 1 5 0 0 0 45 x"} {
		if got, err := cpuOf(line); err == nil {
			t.Errorf("%q gives %s", line, got)
		}
	}
}
