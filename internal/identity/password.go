package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/trustelem/zxcvbn"
	"golang.org/x/crypto/argon2"

	"marquee/internal/apperr"
)

// hashParams are the cost of argon2id: the first choice of RFC 9106 scaled down to OWASP's second recommendation, so
// that one core hashes some tens of passwords a second.
type hashParams struct {
	memoryKiB uint32
	passes    uint32
	lanes     uint8
}

var currentParams = hashParams{memoryKiB: 19 * 1024, passes: 2, lanes: 1}

const (
	saltBytes = 16
	hashBytes = 32
)

const (
	// hashQueue is how many callers may wait for their turn. Waiting costs little, and a client that waits does not ask
	// again meanwhile.
	hashQueue = 512
	// turnWait is how long a caller waits for their turn, which leaves half of a request's time to what follows.
	turnWait = 5 * time.Second
)

// hashersFor returns how many passwords are hashed at once on a machine: half of its processors, so that whoever signs in
// never keeps those waiting who do not.
func hashersFor(processors int) int { return max(1, processors/2) }

// hasher bounds how many passwords are hashed at once and how many callers may wait: hashing is the cheapest way to
// choke the service.
type hasher struct {
	running chan struct{}
	waiting chan struct{} // who runs is in it too
}

func newHasher(parallel, queue int) *hasher {
	return &hasher{running: make(chan struct{}, parallel), waiting: make(chan struct{}, parallel+queue)}
}

// turn waits for the caller's turn, which lasts until end is called: THROTTLED when the queue is full, or after turnWait,
// and ctx's error when the caller gives up. What a password is compared with is read within the turn, so that a crowd of sign-ins holds
// no more connections to the database than it may hash passwords.
func (h *hasher) turn(ctx context.Context) (end func(), err error) {
	select {
	case h.waiting <- struct{}{}:
	default:
		return nil, errCrowd()
	}
	patience := time.NewTimer(turnWait)
	defer patience.Stop()
	select {
	case h.running <- struct{}{}:
		return func() { <-h.running; <-h.waiting }, nil
	case <-patience.C:
		err = errCrowd()
	case <-ctx.Done():
		err = ctx.Err()
	}
	<-h.waiting
	return nil, err
}

func errCrowd() error {
	return apperr.Throttle(turnWait, "Too many people are signing in at this moment.")
}

// do runs work in a turn, with turn's errors.
func (h *hasher) do(ctx context.Context, work func()) error {
	end, err := h.turn(ctx)
	if err != nil {
		return err
	}
	defer end()
	work()
	return nil
}

// HashQueue is how busy the hashing of passwords is on this node.
type HashQueue struct {
	Hashing int // at this moment
	Queued  int // wait for their turn
	Places  int // may do either at once; whoever comes beyond is refused
}

// HashQueue returns how busy the hashing of passwords is.
func (s *Service) HashQueue() HashQueue {
	hashing := len(s.hasher.running)
	return HashQueue{Hashing: hashing, Queued: max(0, len(s.hasher.waiting)-hashing), Places: cap(s.hasher.waiting)}
}

const (
	// guessable is how many guesses a password must withstand of somebody who knows what people choose. It is about what
	// all attackers try first, not about strength: the minimal length sees to that.
	guessable = 1e8
	// judgedRunes bounds the work, which grows faster than the length.
	judgedRunes = 48
	// ownCharacters is how much of a password must remain without the name and the address of its owner, and our name.
	ownCharacters = 8
)

// commonPasswords are the 3,000 most frequent passwords of breaches that are long enough for us, in lower case, one a
// line: of SecLists by Daniel Miessler (MIT licence).
//
//go:embed commonpasswords.txt
var commonPasswords string

var isCommon = sync.OnceValue(func() map[string]bool {
	common := map[string]bool{}
	for password := range strings.Lines(commonPasswords) {
		common[strings.TrimSuffix(password, "\n")] = true
	}
	return common
})

// isGuessable reports whether a password is among the common ones, is little more than words that are known about its
// owner, or begins with, or is, a repetition, a sequence or a row of common words.
func isGuessable(password, email, name string) bool {
	lowered := strings.ToLower(password)
	known := append(strings.FieldsFunc(strings.ToLower(name+" "+email), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}), "marquee")
	if isCommon()[lowered] || utf8.RuneCountInString(without(lowered, known)) < ownCharacters {
		return true
	}
	if runes := []rune(password); len(runes) > judgedRunes {
		password = string(runes[:judgedRunes])
	}
	return zxcvbn.PasswordStrength(password, known).Guesses < guessable
}

// without drops words from a text, the longest first.
func without(text string, words []string) string {
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) })
	for _, word := range words {
		if utf8.RuneCountInString(word) >= 3 {
			text = strings.ReplaceAll(text, word, "")
		}
	}
	return text
}

// hashPassword returns the PHC string of a password.
func hashPassword(password string) string {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails: crypto/rand ends the program instead
	p := currentParams
	sum := argon2.IDKey([]byte(password), salt, p.passes, p.memoryKiB, p.lanes, hashBytes)
	b64 := base64.RawStdEncoding
	return p.prefix() + b64.EncodeToString(salt) + "$" + b64.EncodeToString(sum)
}

// prefix is the front of the PHC strings that are made with the parameters.
func (p hashParams) prefix() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, p.memoryKiB, p.passes, p.lanes)
}

// isOutdated reports whether a PHC string was made with other parameters than the present ones.
func isOutdated(phc string) bool { return !strings.HasPrefix(phc, currentParams.prefix()) }

// verifyPassword compares a password with a PHC string, in the same time whatever the outcome.
func verifyPassword(password, phc string) (bool, error) {
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, errors.New("identity: not an argon2id hash")
	}
	var version int
	var p hashParams
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false, errors.New("identity: unknown argon2 version")
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memoryKiB, &p.passes, &p.lanes); err != nil {
		return false, fmt.Errorf("identity: malformed hash parameters: %w", err)
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false, fmt.Errorf("identity: malformed salt: %w", err)
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil {
		return false, fmt.Errorf("identity: malformed hash: %w", err)
	}
	got := argon2.IDKey([]byte(password), salt, p.passes, p.memoryKiB, p.lanes, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}
