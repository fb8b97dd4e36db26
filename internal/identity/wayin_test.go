package identity_test

import (
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/auth"
	"marquee/internal/dbtest"
	"marquee/internal/identity"
	"marquee/internal/typeid"
)

// TestWaysIn tries, from every combination of ways to sign in to an account, every removal that its owner can ask for:
// it is refused, and changes nothing, just when it would leave no way; and an app is never one.
func TestWaysIn(t *testing.T) {
	t.Parallel()
	f := federate(t)
	site, err := url.Parse("https://tickets.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.ServePasskeys(site, nil); err != nil {
		t.Fatal(err)
	}
	for combination := range 2 * 3 * 2 * 3 * 2 {
		rest := combination
		take := func(n int) int { defer func() { rest /= n }(); return rest % n }
		password, links, foreign, passkeys, apps := take(2), take(3), take(2), take(3), take(2)
		for _, removed := range []string{"link", "foreign link", "passkey", "app"} {
			there := map[string]int{"link": links, "foreign link": foreign, "passkey": passkeys, "app": apps}[removed]
			if there == 0 {
				continue
			}
			name := fmt.Sprintf("%d passwords, %d links, %d links to nowhere, %d passkeys, %d apps, without a %s",
				password, links, foreign, passkeys, apps, removed)
			v, things := f.account(t, combination, password, map[string]int{"link": links, "foreign link": foreign, "passkey": passkeys, "app": apps})
			left := password + links + passkeys
			if removed == "link" || removed == "passkey" {
				left--
			}
			before := f.waysIn(t, v)
			if removed == "link" || removed == "foreign link" {
				err = f.UnlinkProvider(t.Context(), v, things[removed])
			} else {
				_, err = f.RemoveFactor(t.Context(), v, things[removed])
			}
			refused := errors.Is(err, identity.ErrLastWayIn)
			if err != nil && !refused {
				t.Fatalf("%s: %v", name, err)
			}
			// Apps are not judged: whoever has one proves more, and nobody signs in by it alone.
			if want := left == 0 && removed != "app"; refused != want {
				t.Errorf("%s: refused %v, want %v", name, refused, want)
			}
			if after := f.waysIn(t, v); refused && after != before {
				t.Errorf("%s: refused, and changed from %s to %s", name, before, after)
			}
		}
	}
}

// account makes one with as many of each thing, and returns the id of one of each.
func (f federation) account(t *testing.T, combination, password int, count map[string]int) (auth.Viewer, map[string]uuid.UUID) {
	t.Helper()
	key := typeid.New()
	u, err := f.CreateUser(t.Context(), identity.SignUpInput{Email: key.String() + "@example.com", Password: passphrase, Name: fmt.Sprint("No. ", combination)})
	if err != nil {
		t.Fatal(err)
	}
	v := auth.Viewer{UserID: u.ID, SessionID: typeid.New(), ProvedAt: f.clock.Now(), Strong: true}
	f.exec(t, `INSERT INTO sessions (id, user_id, salt, renewed_at, created_at, proved_at, strong, expires_at)
		VALUES ($1, $2, '\x00', $3, $3, $3, true, $4)`, v.SessionID, u.ID, f.clock.Now(), f.clock.Now().Add(time.Hour))
	if password == 0 {
		f.exec(t, `UPDATE users SET password_hash = NULL WHERE id = $1`, u.ID)
	}
	things := map[string]uuid.UUID{}
	for thing, n := range count {
		for i := range n {
			id := typeid.New()
			things[thing] = id
			switch thing {
			case "link", "foreign link":
				issuer := []string{f.acme.URL, f.other.URL}[i]
				if thing == "foreign link" {
					issuer = "https://gone.example"
				}
				f.exec(t, `INSERT INTO federated_identities (id, user_id, issuer, subject_sealed, subject_index, used_at) VALUES ($1, $2, $3, '\x00', $4, now())`,
					id, u.ID, issuer, dbtest.Vault().Index("subject", id.String()))
			case "passkey":
				f.exec(t, `INSERT INTO factors (id, user_id, kind, name_sealed, credential_hash, credential_sealed, confirmed_at)
					VALUES ($1, $2, 'PASSKEY', $3, sha256($4), '\x00', now())`, id, u.ID, dbtest.Sealed("factors", "name_sealed", id, "Mine"), id[:])
			case "app":
				f.exec(t, `INSERT INTO factors (id, user_id, kind, name_sealed, secret_sealed, confirmed_at) VALUES ($1, $2, 'TOTP', $3, '\x00', now())`,
					id, u.ID, dbtest.Sealed("factors", "name_sealed", id, "Mine"))
			}
		}
	}
	return v, things
}

// waysIn is all that is there to sign in with.
func (f federation) waysIn(t *testing.T, v auth.Viewer) string {
	t.Helper()
	return f.value(t, `SELECT concat((SELECT count(password_hash) FROM users WHERE id = $1), (SELECT count(*) FROM federated_identities WHERE user_id = $1),
		(SELECT count(*) FROM factors WHERE user_id = $1))`, v.UserID)
}
