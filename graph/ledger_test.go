package graph_test

import (
	"fmt"
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/auth"
)

// A statement tells those who run a theater, and those who look after money, what moved on a day there and what its
// accounts have.
func TestTheaterStatement(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	here, there := newTenant(a, a.World.Theaters[0]), newTenant(a, a.World.Theaters[1])
	here.bought(t)
	there.bought(t)
	// The database's clock writes the ledger: on one of these days where the theater stands.
	today := time.Now().UTC()
	finance := a.As(auth.Grant{Role: auth.RoleFinance})
	for name, who := range map[string]apitest.Client{"manager": here.manager, "finance": finance} {
		t.Run(name, func(t *testing.T) {
			var taken []string
			for day := today.AddDate(0, 0, -1); !day.After(today.AddDate(0, 0, 1)); day = day.AddDate(0, 0, 1) {
				var out struct {
					TheaterStatement struct {
						Theater   struct{ ID string }
						Day       string
						Movements []struct {
							Kind, Gateway string
							Count         int
							Amount        struct{ Formatted string }
						}
						Balances []struct {
							Account string
							Gateway *string
							Amount  struct{ Formatted string }
						}
					}
				}
				who.With(t).Get(`query ($id: ID!, $day: Date!) { theaterStatement(theaterId: $id, day: $day) { theater { id } day
					movements { kind gateway count amount { formatted } } balances { account gateway amount { formatted } } } }`,
					vars{"id": here.theater.ID(), "day": day.Format(time.DateOnly)}, &out)
				s := out.TheaterStatement
				if s.Theater.ID != here.theater.ID() || s.Day != day.Format(time.DateOnly) {
					t.Errorf("%+v", s)
				}
				for _, m := range s.Movements {
					if len(s.Balances) != 2 || s.Balances[0].Account != "GATEWAY" || *s.Balances[0].Gateway != m.Gateway || s.Balances[1].Gateway != nil ||
						s.Balances[1].Account != "SALES" || s.Balances[0].Amount != m.Amount || s.Balances[1].Amount != m.Amount {
						t.Errorf("%+v", s.Balances)
					}
					taken = append(taken, fmt.Sprint(m.Kind, m.Count))
				}
			}
			if len(taken) != 1 || taken[0] != "TAKEN1" {
				t.Errorf("%q", taken)
			}
		})
	}
}
