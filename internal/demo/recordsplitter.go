package demo

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// ErrNotArray is returned when a film list does not begin as a JSON array.
var ErrNotArray = errors.New("demo: the film list is not a JSON array")

const (
	maxRecordBytes = 64 << 10 // a real record has about 450
	maxRecordDepth = 1000     // a real record has 1
)

// recordSplitter cuts a JSON array into the raw text of its elements, one at a time and in bounded memory.
//
// It does not parse them, so a damaged element cannot take its neighbours with it, as it would with json.Decoder.
// Damage that breaks the bracket structure ends the element, and the next one begins at the next opening brace that
// follows a comma or a line break.
type recordSplitter struct {
	in     *bufio.Reader
	ended  bool
	closed bool // the array's closing bracket was seen
}

func newRecordSplitter(r io.Reader) (*recordSplitter, error) {
	s := &recordSplitter{in: bufio.NewReader(r)}
	if mark, err := s.in.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = s.in.Discard(len(mark))
	}
	for {
		b, err := s.in.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			return nil, ErrNotArray
		case err != nil:
			return nil, fmt.Errorf("demo: read the film list: %w", err)
		case b == '[':
			return s, nil
		case !isSpace(b):
			return nil, ErrNotArray
		}
	}
}

// next returns the text of the next element, or why it was cut out instead: SkipDamaged or SkipTooLong. The error is
// io.EOF after the last element, else a failure of the reader.
//
//nolint:gocognit // a scanner reads best as one loop over one byte at a time
func (s *recordSplitter) next() (raw []byte, damage string, err error) {
	if s.ended {
		return nil, "", io.EOF
	}
	var open []byte
	var last byte
	inString, escaped := false, false
	for {
		b, err := s.in.ReadByte()
		if errors.Is(err, io.EOF) {
			s.ended = true
			return s.finish(raw, damage)
		}
		if err != nil {
			return nil, "", fmt.Errorf("demo: read the film list: %w", err)
		}
		if inString {
			switch {
			case b == '\n':
				return raw, SkipDamaged, s.resync(b)
			case escaped:
				escaped = false
			case b == '\\':
				escaped = true
			case b == '"':
				inString = false
			}
		} else {
			inObject := len(open) > 0 && open[len(open)-1] == '{'
			switch b {
			case '"':
				inString = true
			case '{', '[':
				if b == '{' && inObject && last != ':' {
					return raw, SkipDamaged, s.in.UnreadByte()
				}
				if open = append(open, b); len(open) > maxRecordDepth {
					return raw, SkipDamaged, s.resync(b)
				}
			case '}', ']':
				if len(open) == 0 && b == ']' {
					s.ended, s.closed = true, true
					return s.finish(raw, damage)
				}
				if len(open) == 0 || inObject != (b == '}') {
					return raw, SkipDamaged, s.resync(b)
				}
				open = open[:len(open)-1]
			case ',':
				if len(open) == 0 {
					return raw, damage, nil
				}
			}
			if !isSpace(b) {
				last = b
			}
		}
		if len(raw) < maxRecordBytes {
			raw = append(raw, b)
		} else {
			damage = SkipTooLong
		}
	}
}

// finish ends the list; nothing but white space before the end is no element.
func (s *recordSplitter) finish(raw []byte, damage string) ([]byte, string, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, "", io.EOF
	}
	return raw, damage, nil
}

// resync skips to where the next record seems to begin. last is the byte the damage was noticed at.
func (s *recordSplitter) resync(last byte) error {
	for {
		b, err := s.in.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			s.ended = true
			return nil
		case err != nil:
			return fmt.Errorf("demo: read the film list: %w", err)
		case b == '{' && (last == ',' || last == '\n'):
			return s.in.UnreadByte()
		case b == '\n' || !isSpace(b):
			last = b
		}
		if !isSpace(b) {
			s.closed = b == ']'
		}
	}
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }
