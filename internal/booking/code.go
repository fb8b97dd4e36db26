package booking

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/google/uuid"
)

// code is the short name of a reservation, ten letters: the moment at which it was made, as 38 bits of its milliseconds,
// after which they begin anew (8.7 years), and the 12 bits below them that its id has. That is a range of ids, which the
// primary key answers for within any showtime: nothing is stored for it and a claim pays nothing. Two processes may give
// the same code in one moment; who looks for it sees both.
type code uint64

const (
	codeLetters = 10
	stepBits    = 12 // below the millisecond, of a UUID version 7
	steps       = 1 << stepBits
	lap         = 1 << (5*codeLetters - stepBits) // milliseconds until codes begin anew
	codeDigits  = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	version7    = 0x7000
)

// Code returns the reservation's short name, for people: M82KR-9HCF3. It is no secret and gives no right.
func (r Reservation) Code() string {
	head := binary.BigEndian.Uint64(r.ID[:]) // 48 bits of milliseconds, 4 of the version, 12 below
	c := head>>16%lap*steps + head%steps
	var letters [codeLetters]byte
	for i := codeLetters - 1; i >= 0; i-- {
		letters[i], c = codeDigits[c%32], c/32
	}
	return string(letters[:codeLetters/2]) + "-" + string(letters[codeLetters/2:])
}

// parseCode reads a code as people write it: case, dashes and spaces do not matter, and letters that look like digits are.
func parseCode(text string) (c code, ok bool) {
	text = strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(text))
	if len(text) != codeLetters {
		return 0, false
	}
	for i := range len(text) {
		digit := strings.IndexByte(codeDigits, text[i])
		if digit < 0 {
			return 0, false
		}
		c = c*32 + code(digit)
	}
	return c, true
}

// made returns when a reservation with the code was made: of the moments that it can mean the last that is not ahead. The
// clocks of two processes may be a little apart.
func (c code) made(now time.Time) time.Time {
	latest := now.Add(time.Minute).UnixMilli()
	behind := (latest - int64(c/steps)) % lap
	return time.UnixMilli(latest - behind)
}

// ids returns the first and the last id with the code.
func (c code) ids(made time.Time) (first, last uuid.UUID) {
	binary.BigEndian.PutUint64(first[:], uint64(made.UnixMilli())<<16|version7|uint64(c%steps))
	last = first
	for i := 8; i < len(last); i++ {
		last[i] = 0xff
	}
	return first, last
}
