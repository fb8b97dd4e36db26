package apitest_test

import (
	"os"
	"testing"

	"marquee/internal/apitest"
)

func TestMain(m *testing.M) { os.Exit(apitest.Main(m)) }

func TestNew(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	var out struct {
		Theaters struct{ Nodes []struct{ Name string } }
		Me       struct{ Email string }
	}
	c := a.Customer()
	c.Get(`{ theaters(first: 10) { nodes { name } } me { email } }`, nil, &out)
	if len(out.Theaters.Nodes) != len(a.World.Theaters) || out.Me.Email != c.User.Email {
		t.Errorf("the world as its clients see it: %+v", out)
	}
	m := c.WatchSeats(a.World.Showtimes[0].ID())
	if len(m.States) != apitest.SeatsPerScreen {
		t.Errorf("a map of %d seats", len(m.States))
	}
}
