package seatno_test

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"marquee/internal/dbtest"
	"marquee/internal/seatno"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

func TestList_Sorted(t *testing.T) {
	t.Parallel()
	list := seatno.List{3, 1, 2, 1}
	if got := list.Sorted(); !slices.Equal(got, seatno.List{1, 1, 2, 3}) {
		t.Errorf("sorted: %v", got)
	}
	if !slices.Equal(list, seatno.List{3, 1, 2, 1}) {
		t.Errorf("the list itself is %v", list)
	}
	if got := seatno.List(nil).Sorted(); len(got) != 0 {
		t.Errorf("nothing sorted is %v", got)
	}
}

func TestList_Value(t *testing.T) {
	t.Parallel()
	for want, list := range map[string]seatno.List{"{}": {}, "{7}": {7}, "{3,-1,32767}": {3, -1, 32767}} {
		if got, err := list.Value(); err != nil || got != want {
			t.Errorf("%v is written %v, %v; want %s", list, got, err, want)
		}
	}
	if got, err := seatno.List(nil).Value(); err != nil || got != "{}" {
		t.Errorf("a nil list is written %v, %v; want an empty array", got, err)
	}
}

func TestList_Scan(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		src  any
		want seatno.List
	}{
		"null": {nil, nil}, "empty": {"{}", seatno.List{}}, "one": {"{7}", seatno.List{7}},
		"bytes": {[]byte("{3,1,32767}"), seatno.List{3, 1, 32767}}, "negative": {"{-32768}", seatno.List{-32768}},
	} {
		got := seatno.List{99}
		if err := got.Scan(test.src); err != nil || !slices.Equal(got, test.want) || (got == nil) != (test.want == nil) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, test.want)
		}
	}
	for _, src := range []any{"", "{", "}", "1,2", "{1,}", "{,}", "{1,,2}", "{a}", "{32768}", "{-32769}", "{NULL}", "{{1},{2}}", "[2:3]={1,2}", "{1 2}", 7, 1.5, true} {
		t.Run(fmt.Sprint(src), func(t *testing.T) {
			t.Parallel()
			var list seatno.List
			if err := list.Scan(src); err == nil {
				t.Errorf("%v is read as %v", src, list)
			}
		})
	}
}

func TestList_there_and_back(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := seatno.List(rapid.SliceOf(rapid.Int16()).Draw(t, "list"))
		text, err := list.Value()
		if err != nil {
			t.Fatal(err)
		}
		var back seatno.List
		if err := back.Scan(text); err != nil || !slices.Equal(back, list) {
			t.Fatalf("%v comes back as %v, %v", list, back, err)
		}
	})
}

func TestList_in_the_database(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, dbtest.Empty())
	for _, list := range []seatno.List{nil, {}, {1}, {3, 1, 32767, -32768}} {
		var back seatno.List
		var count int
		err := db.SQL().QueryRowContext(t.Context(), `SELECT $1::smallint[], cardinality($1::smallint[])`, list).Scan(&back, &count)
		if err != nil || !slices.Equal(back, list) || count != len(list) {
			t.Errorf("%v comes back as %v, %v", list, back, err)
		}
	}
}
