package apitest

import (
	"strings"
	"time"

	"marquee/internal/notify"
)

// Mailed returns the token in the last letter to an address, once that is of a kind.
func (a *App) Mailed(to string, kind notify.Kind) string {
	a.t.Helper()
	ctx, cancel := a.patience()
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond) // the program may be sending it
	defer again.Stop()
	for {
		if err := a.DeliverMail(ctx); err != nil {
			a.t.Fatalf("send mails: %v", err)
		}
		letters := a.Mailbox().Letters(to)
		if len(letters) > 0 && letters[0].Kind == kind {
			_, token, _ := strings.Cut(letters[0].Link, "#token=")
			return token
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			a.t.Fatalf("%s got no letter of kind %s: %+v", to, kind, letters)
		}
	}
}
