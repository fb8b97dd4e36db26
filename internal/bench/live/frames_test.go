//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestCutFrame(t *testing.T) {
	t.Parallel()
	var stream []byte
	var want []string
	for _, size := range []int{0, 1, 125, 126, 127, 65535, 65536, 70000} {
		text := strings.Repeat("x", size)
		want = append(want, text)
		stream = append(stream, serverFrame(text)...)
	}
	for i, text := range want {
		opcode, payload, rest, ok := cutFrame(stream)
		if !ok || opcode != opText || string(payload) != text {
			t.Fatalf("frame %d: opcode %d with %d bytes, whole: %t", i, opcode, len(payload), ok)
		}
		for _, part := range []int{0, 1, len(stream) - len(rest) - 1} {
			if _, _, _, ok := cutFrame(stream[:part]); ok {
				t.Errorf("frame %d is whole with %d bytes", i, part)
			}
		}
		stream = rest
	}
	if len(stream) != 0 {
		t.Errorf("%d bytes are left", len(stream))
	}
}

// serverFrame is a text frame as a server sends it.
func serverFrame(text string) []byte {
	switch n := len(text); {
	case n < 126:
		return append([]byte{0x81, byte(n)}, text...)
	case n < 1<<16:
		return append([]byte{0x81, 126, byte(n >> 8), byte(n)}, text...)
	default:
		return append([]byte{0x81, 127, 0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, text...)
	}
}

func TestClientFrame(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 125, 126, 65535} {
		text := strings.Repeat("x", size)
		frame, unmasked := clientFrame(opText, []byte(text)), serverFrame(text)
		head := len(unmasked) - size
		unmasked[1] |= 0x80
		if want := string(unmasked[:head]) + "\x00\x00\x00\x00" + text; string(frame) != want {
			t.Errorf("a frame of %d bytes is %.20x, want %.20x", size, frame, want)
		}
	}
}

func snapshot(version int, states string) []byte {
	return fmt.Appendf(nil, `{"id":"1",%s}`, `"type":"next","payload":`+fmt.Sprintf(snapshotForm, version, states))
}

func delta(from, to, seat int, state byte) []byte {
	return fmt.Appendf(nil, `{"id":"1",%s}`, `"type":"next","payload":`+fmt.Sprintf(deltaForm, from, to, seat, stateName(state)))
}

func TestView_Apply(t *testing.T) {
	t.Parallel()
	free := strings.Repeat("A", seats)
	begin := func() *view {
		v := &view{}
		if err := v.apply(snapshot(3, free), nil); err != nil {
			t.Fatal(err)
		}
		return v
	}
	t.Run("deltas_add_up", func(t *testing.T) {
		t.Parallel()
		v := begin()
		var seen []change
		several := bytes.Replace(delta(4, 6, 250, blocked), []byte(`]`), []byte(`,{"position":7,"state":"HELD"}]`), 1)
		for _, message := range [][]byte{delta(3, 4, 1, held), several} {
			if err := v.apply(message, func(c change) { seen = append(seen, c) }); err != nil {
				t.Fatal(err)
			}
		}
		if v.version != 6 || v.deltas != 2 || v.changes != 3 || fmt.Sprint(seen) != fmt.Sprint([]change{{1, held}, {250, blocked}, {7, held}}) {
			t.Errorf("has %d after %d deltas with the changes %v", v.version, v.deltas, seen)
		}
		want := "H" + free[:5] + "H" + free[:seats-8] + "B"
		if string(v.states[:]) != want {
			t.Errorf("has the map %s", v.states)
		}
	})
	for name, test := range map[string]struct {
		message []byte
		want    error
	}{
		"a_gap":            {delta(4, 5, 1, held), errGap},
		"a_step_back":      {delta(3, 3, 1, held), errGap},
		"another_snapshot": {snapshot(4, free), errRestart},
		"a_seat_too_many":  {delta(3, 4, seats+1, held), errUnread},
		"an_error":         {[]byte(`{"id":"1","type":"error","payload":[]}`), errUnread},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := begin().apply(test.message, func(change) {}); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}
