package bus

import (
	"errors"
	"fmt"
)

const (
	maxSubjectLength = 200
	maxSubjectWords  = 16
)

var errEmptySubject = errors.New("bus: a subject must not be empty")

// validSubject admits what cannot mean anything but itself: no wildcards, no
// white space, no empty words, and none of the subjects that NATS ("$SYS",
// "_INBOX") or this package ("_bus") keep for themselves.
func validSubject(subject string) error {
	if subject == "" {
		return errEmptySubject
	}
	if len(subject) > maxSubjectLength {
		return fmt.Errorf("bus: a subject of %d bytes exceeds the limit of %d", len(subject), maxSubjectLength)
	}
	words, length := 1, 0
	for i := range len(subject) {
		switch c := subject[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			length++
		case (c == '-' || c == '_') && i > 0:
			length++
		case c == '.' && length > 0:
			words++
			length = 0
		default:
			return fmt.Errorf("bus: the subject %q has a forbidden %q at byte %d", subject, c, i)
		}
	}
	if length == 0 {
		return fmt.Errorf("bus: the subject %q ends in a dot", subject)
	}
	if words > maxSubjectWords {
		return fmt.Errorf("bus: the subject %q has %d words, more than %d", subject, words, maxSubjectWords)
	}
	return nil
}
