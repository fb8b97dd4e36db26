package server

import (
	"slices"
	"testing"
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
