package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"marquee/ent"
	"marquee/internal/apperr"
	"marquee/internal/clock"
	"marquee/internal/dbtest"
)

func TestVerifyPassword(t *testing.T) {
	t.Parallel()
	hash := hashPassword("a password of some length")
	if other := hashPassword("a password of some length"); other == hash {
		t.Error("two hashes of one password are equal: there is no salt")
	}
	for password, want := range map[string]bool{"a password of some length": true, "a password of some lengtH": false, "": false} {
		if right, err := verifyPassword(password, hash); err != nil || right != want {
			t.Errorf("%q: %v, %v", password, right, err)
		}
	}
	parts := strings.Split(hash, "$")
	for name, broken := range map[string]string{
		"empty":             "",
		"another_algorithm": strings.Replace(hash, "argon2id", "argon2i", 1),
		"another_version":   strings.Replace(hash, "v=19", "v=16", 1),
		"no_parameters":     strings.Replace(hash, parts[3], "", 1),
		"no_base64_in_salt": strings.Replace(hash, parts[4], "!!!", 1),
		"no_base64_in_hash": strings.Replace(hash, parts[5], "!!!", 1),
		"a_part_too_many":   hash + "$",
	} {
		if right, err := verifyPassword("a password of some length", broken); err == nil || right {
			t.Errorf("%s: %v, %v", name, right, err)
		}
	}
	t.Run("parameters_of_old_hashes_are_theirs", func(t *testing.T) {
		t.Parallel()
		// argon2id of "password" with the salt "somesalt", from the tests of the reference implementation: 2 passes over 64 MiB.
		const known = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
		if right, err := verifyPassword("password", known); err != nil || !right {
			t.Errorf("%v, %v", right, err)
		}
	})
}

// busy occupies every place of a hasher that works on one password and lets nobody wait.
func busy(t *testing.T) (h *hasher, free func()) {
	t.Helper()
	h = newHasher(1, 0)
	begun, done := make(chan struct{}), make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := h.do(context.Background(), func() { close(begun); <-done }); err != nil {
			t.Error(err)
		}
	})
	<-begun
	return h, sync.OnceFunc(func() { close(done); wait.Wait() })
}

func TestHasher_do(t *testing.T) {
	t.Parallel()
	t.Run("the_queue_is_bounded", func(t *testing.T) {
		t.Parallel()
		const parallel, queue = 2, 3
		h := newHasher(parallel, queue)
		hold := make(chan struct{})
		started := make(chan struct{}, parallel+queue)
		var mu sync.Mutex
		running, most := 0, 0
		var wait sync.WaitGroup
		for range parallel + queue {
			wait.Go(func() {
				started <- struct{}{}
				err := h.do(context.Background(), func() {
					mu.Lock()
					running++
					most = max(most, running)
					mu.Unlock()
					<-hold
					mu.Lock()
					running--
					mu.Unlock()
				})
				if err != nil {
					t.Errorf("%v", err)
				}
			})
		}
		// Everybody has a place as soon as the queue is full.
		for len(h.waiting) < parallel+queue {
			select {
			case <-started:
			default:
			}
		}
		for range 3 {
			if err := h.do(context.Background(), func() { t.Error("worked past the queue") }); apperr.CodeOf(err) != apperr.Throttled {
				t.Errorf("with a full queue: %v", err)
			}
		}
		close(hold)
		wait.Wait()
		if most > parallel {
			t.Errorf("%d at once", most)
		}
		if err := h.do(context.Background(), func() {}); err != nil {
			t.Errorf("with an empty queue: %v", err)
		}
	})
	t.Run("who_gives_up_leaves_the_queue", func(t *testing.T) {
		t.Parallel()
		h := newHasher(1, 1)
		begun, done := make(chan struct{}), make(chan struct{})
		var wait sync.WaitGroup
		wait.Go(func() { _ = h.do(context.Background(), func() { close(begun); <-done }) })
		<-begun
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for range 3 {
			if err := h.do(ctx, func() { t.Error("worked for somebody who had gone") }); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
		}
		close(done)
		wait.Wait()
	})
	t.Run("nobody_waits_for_ever", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			h := newHasher(1, 2)
			end, err := h.turn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			var wait sync.WaitGroup
			for range 2 {
				wait.Go(func() {
					err := h.do(t.Context(), func() { t.Error("worked though nobody left") })
					refusal, ok := errors.AsType[*apperr.Error](err)
					if !ok || refusal.Code != apperr.Throttled || refusal.RetryAfter <= 0 || time.Since(began) != turnWait {
						t.Errorf("after %s: %v", time.Since(began), err)
					}
				})
			}
			wait.Wait()
			end()
			if len(h.waiting) != 0 || len(h.running) != 0 {
				t.Errorf("%d places and %d turns are lost", len(h.waiting), len(h.running))
			}
		})
	})
	t.Run("a_panic_gives_its_place_back", func(t *testing.T) {
		t.Parallel()
		h := newHasher(1, 0)
		for range 3 {
			func() {
				defer func() { _ = recover() }()
				_ = h.do(context.Background(), func() { panic("broken") })
			}()
		}
		if err := h.do(context.Background(), func() {}); err != nil {
			t.Errorf("%v", err)
		}
	})
}

// TestHashersFor leaves half of a machine to those who do not sign in.
func TestHashersFor(t *testing.T) {
	t.Parallel()
	for processors, want := range map[int]int{1: 1, 2: 1, 3: 1, 4: 2, 16: 8} {
		if got := hashersFor(processors); got != want {
			t.Errorf("%d on %d processors, not %d", got, processors, want)
		}
	}
}

// TestAU11_a_crowd_touches_nothing: who finds no place, and who waits for a turn, neither looks up an account nor counts as
// a guess, so that a crowd of sign-ins holds no connection to the database.
func TestAU11_a_crowd_touches_nothing(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	s, err := NewService(db, ent.Over(db.SQL()), clock.System{}, make([]byte, 32), dbtest.Vault())
	if err != nil {
		t.Fatal(err)
	}
	s.hasher = newHasher(1, 20)
	end, err := s.hasher.turn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, giveUp := context.WithCancel(t.Context())
	before := db.SQL().Stats()
	var wait sync.WaitGroup
	answers := make(chan error, 200)
	for i := range cap(answers) {
		wait.Go(func() {
			_, err := s.SignIn(ctx, fmt.Sprintf("nobody%d@example.com", i), "correct horse battery staple", Device{Address: fmt.Sprint(i)})
			answers <- err
		})
	}
	throttled := 0
	for range cap(answers) - 20 {
		if err := <-answers; apperr.CodeOf(err) == apperr.Throttled {
			throttled++
		} else {
			t.Errorf("without a place: %v", err)
		}
	}
	if q := s.HashQueue(); q != (HashQueue{Hashing: 1, Queued: 20, Places: 21}) {
		t.Errorf("%+v", q)
	}
	giveUp()
	wait.Wait()
	for range 20 {
		if err := <-answers; !errors.Is(err, context.Canceled) && apperr.CodeOf(err) != apperr.Throttled {
			t.Errorf("in the queue: %v", err)
		}
	}
	end()
	after := db.SQL().Stats()
	if after.OpenConnections > max(1, before.OpenConnections) || after.WaitCount != before.WaitCount {
		t.Errorf("connections: %+v before, %+v after", before, after)
	}
	var counted int
	if err := db.SQL().QueryRowContext(t.Context(), `SELECT count(*) FROM guesses`).Scan(&counted); err != nil || counted != 0 {
		t.Errorf("%d guesses are counted, %v", counted, err)
	}
	if throttled != 180 {
		t.Errorf("%d were refused", throttled)
	}
	if _, err := s.SignIn(t.Context(), "nobody@example.com", "correct horse battery staple", Device{}); !errors.Is(err, ErrInvalidCredentials) {
		t.Errorf("afterwards: %v", err)
	}
}

// TestService_SignIn_work makes sure that a known and an unknown address cost the same hash: where no password can be
// hashed, neither gets an answer.
func TestService_SignIn_work(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	s, err := NewService(db, ent.Over(db.SQL()), clock.System{}, make([]byte, 32), dbtest.Vault())
	if err != nil {
		t.Fatal(err)
	}
	const password = "correct horse battery staple"
	if _, err := s.CreateUser(t.Context(), SignUpInput{Email: "known@example.com", Password: password, Name: "Known"}); err != nil {
		t.Fatal(err)
	}
	h, free := busy(t)
	defer free()
	s.hasher = h
	for name, try := range map[string]func() error{
		"known address, right password": func() error { _, err := s.SignIn(t.Context(), "known@example.com", password, Device{}); return err },
		"known address, wrong password": func() error {
			_, err := s.SignIn(t.Context(), "known@example.com", "wrong horse battery staple", Device{})
			return err
		},
		"unknown address": func() error { _, err := s.SignIn(t.Context(), "unknown@example.com", password, Device{}); return err },
	} {
		if err := try(); apperr.CodeOf(err) != apperr.Throttled {
			t.Errorf("%s: %v", name, err)
		}
	}
	free()
	// What nobody looked at is no guess.
	var counted int
	if err := db.SQL().QueryRowContext(t.Context(), `SELECT coalesce(sum(failures), 0) FROM guesses`).Scan(&counted); err != nil || counted != 0 {
		t.Errorf("%d guesses are counted, %v", counted, err)
	}
	// The hash for nobody takes as long as anybody's.
	var known string
	if err := db.SQL().QueryRowContext(t.Context(), `SELECT password_hash FROM users`).Scan(&known); err != nil {
		t.Fatal(err)
	}
	if cost := func(phc string) string { return strings.Join(strings.Split(phc, "$")[:4], "$") }; cost(known) != cost(s.decoy) {
		t.Errorf("a known password costs %s, an unknown one %s", cost(known), cost(s.decoy))
	}
	if _, err := s.SignIn(t.Context(), "unknown@example.com", password, Device{}); !errors.Is(err, ErrInvalidCredentials) {
		t.Errorf("%v", err)
	}
}

// TestAU9_a_megabyte is refused before anybody hashes it: where no password can be hashed, the answer is another one.
func TestAU9_a_megabyte(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	s, err := NewService(db, ent.Over(db.SQL()), clock.System{}, make([]byte, 32), dbtest.Vault())
	if err != nil {
		t.Fatal(err)
	}
	h, free := busy(t)
	defer free()
	s.hasher = h
	endless := strings.Repeat("long pass phrase", 1<<16)
	if _, err := s.CreateUser(t.Context(), SignUpInput{Email: "a@example.com", Password: endless, Name: "A"}); apperr.CodeOf(err) != apperr.BadUserInput {
		t.Errorf("signing up: %v", err)
	}
	if _, err := s.SignIn(t.Context(), "a@example.com", endless, Device{}); !errors.Is(err, ErrInvalidCredentials) {
		t.Errorf("signing in: %v", err)
	}
}
