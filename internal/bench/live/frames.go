//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

// What the subscribers ask for, under a name, and what stands before the values in what they get. Fields come in the order in which
// the document names them, so that a message is read without decoding it.
const (
	document = `subscription %s($id: ID!) { seatMapChanged(showtimeId: $id) { __typename ` +
		`... on SeatMapDelta { fromVersion version changes { position state } } ` +
		`... on SeatMapSnapshot { version seatMap { stateLetters } } } }`
	nextKey     = `"type":"next","payload":{"data":{"seatMapChanged":{"__typename":"`
	deltaKey    = nextKey + `SeatMapDelta","fromVersion":`
	snapshotKey = nextKey + `SeatMapSnapshot","version":`
	versionKey  = `,"version":`
	changesKey  = `,"changes":[`
	positionKey = `{"position":`
	stateKey    = `,"state":"`
	lettersKey  = `,"seatMap":{"stateLetters":"`
)

// deltaForm is the payload of a delta, for the side that has no GraphQL.
const deltaForm = `{"data":{"seatMapChanged":{"__typename":"SeatMapDelta","fromVersion":%d,"version":%d,"changes":[{"position":%d,"state":%q}]}}}`

// snapshotForm is the payload of a snapshot.
const snapshotForm = `{"data":{"seatMapChanged":{"__typename":"SeatMapSnapshot","version":%d,"seatMap":{"stateLetters":%q}}}}`

// stateName is a state as the API spells it.
func stateName(letter byte) string {
	switch letter {
	case held:
		return "HELD"
	case blocked:
		return "BLOCKED"
	default:
		return "AVAILABLE"
	}
}

// The opcodes of frames that are expected.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// clientFrame is a frame as a client sends it. Its mask is zero, which is legal and changes nothing.
func clientFrame(opcode byte, payload []byte) []byte {
	const fin, masked, is16 = 0x80, 0x80, 126
	b := []byte{fin | opcode}
	if len(payload) < is16 {
		b = append(b, masked|byte(len(payload)))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, masked|is16), uint16(len(payload)))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// cutFrame splits the first frame off b; ok is false while b holds only a part of one.
func cutFrame(b []byte) (opcode byte, payload, rest []byte, ok bool) {
	const is16, is64, short = 126, 127, 2
	if len(b) < short {
		return 0, nil, b, false
	}
	size, head := uint64(b[1]&127), short
	switch size {
	case is16:
		if head = 4; len(b) >= head {
			size = uint64(binary.BigEndian.Uint16(b[short:]))
		}
	case is64:
		if head = 10; len(b) >= head {
			size = binary.BigEndian.Uint64(b[short:])
		}
	}
	if len(b) < head || uint64(len(b)-head) < size {
		return 0, nil, b, false
	}
	end := head + int(size)
	return b[0] & 15, b[head:end], b[end:], true
}

var (
	errGap     = errors.New("a delta does not follow the version before it")
	errRestart = errors.New("the map was sent again: changes were dropped")
	errUnread  = errors.New("the message is not of the kind that was asked for")
)

// view is what one subscriber knows.
type view struct {
	version int
	states  [seats]byte
	changes int // that it was told since its snapshot
	deltas  int
}

// apply reads a message of the stream and tells each change to seen.
func (v *view) apply(message []byte, seen func(change)) error {
	if _, rest, ok := bytes.Cut(message, []byte(deltaKey)); ok {
		return v.delta(rest, seen)
	}
	_, rest, ok := bytes.Cut(message, []byte(snapshotKey))
	if !ok {
		return fmt.Errorf("%w: %.200s", errUnread, message)
	}
	if v.version > 0 {
		return errRestart
	}
	version, rest := number(rest)
	letters, ok := bytes.CutPrefix(rest, []byte(lettersKey))
	if !ok || len(letters) < seats {
		return fmt.Errorf("%w: %.200s", errUnread, message)
	}
	v.version = version
	copy(v.states[:], letters)
	return nil
}

func (v *view) delta(b []byte, seen func(change)) error {
	from, b := number(b)
	b, ok := bytes.CutPrefix(b, []byte(versionKey))
	version, b := number(b)
	b, more := bytes.CutPrefix(b, []byte(changesKey))
	if !ok || !more {
		return errUnread
	}
	if from != v.version || version <= from {
		return fmt.Errorf("%w: from %d to %d after %d", errGap, from, version, v.version)
	}
	v.version = version
	v.deltas++
	for more {
		var c change
		if b, ok = bytes.CutPrefix(b, []byte(positionKey)); !ok {
			return errUnread
		}
		c.seat, b = number(b)
		if b, ok = bytes.CutPrefix(b, []byte(stateKey)); !ok || len(b) == 0 || c.seat < 1 || c.seat > seats {
			return errUnread
		}
		c.state = b[0]
		v.states[c.seat-1] = c.state
		v.changes++
		seen(c)
		end := bytes.IndexByte(b, '}')
		if end < 0 {
			return errUnread
		}
		b, more = bytes.CutPrefix(b[end+1:], []byte{','})
	}
	return nil
}

// number reads the digits that b begins with.
func number(b []byte) (n int, rest []byte) {
	end := 0
	for end < len(b) && b[end] >= '0' && b[end] <= '9' {
		end++
	}
	n, _ = strconv.Atoi(string(b[:end]))
	return n, b[end:]
}
