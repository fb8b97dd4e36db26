package apitest_test

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"marquee/internal/apitest"
	"marquee/internal/apperr"
	"marquee/internal/config"
	"marquee/internal/gqlclient"
)

func TestMain(m *testing.M) { os.Exit(apitest.Main(m)) }

func TestNew(t *testing.T) {
	t.Parallel()
	t.Run("clients_see_the_world", func(t *testing.T) {
		t.Parallel()
		a := apitest.New(t)
		var out struct {
			Theaters struct{ Nodes []struct{ Name string } }
			Me       struct{ Email, Role string }
		}
		for role, c := range map[string]apitest.Client{"CUSTOMER": a.Customer(), "THEATER_MANAGER": a.Manager(), "ADMIN": a.Admin()} {
			c.Get(`{ theaters(first: 10) { nodes { name } } me { email role } }`, nil, &out)
			if len(out.Theaters.Nodes) != len(a.World.Theaters) || out.Me.Email != c.User.Email || out.Me.Role != role {
				t.Errorf("as its clients see it: %+v", out)
			}
		}
		if m := a.Anonymous().WatchSeats(a.World.Showtimes[0].ID()); m.Letters() != strings.Repeat("A", apitest.SeatsPerScreen) {
			t.Errorf("the map is %s", m.Letters())
		}
	})
	t.Run("bare_has_no_world", func(t *testing.T) {
		t.Parallel()
		a := apitest.New(t, apitest.Bare())
		if n := apitest.Value[int](a, `SELECT count(*) FROM theaters`); n != 0 {
			t.Errorf("%d theaters", n)
		}
	})
	t.Run("the_configuration_can_be_changed", func(t *testing.T) {
		t.Parallel()
		a := apitest.New(t, apitest.Bare(), apitest.With(func(c *config.Config) { c.Env = config.Production }))
		if answer := a.Visit("/"); answer.Status != http.StatusNotFound {
			t.Errorf("the console in production: %v", answer)
		}
	})
	t.Run("a_node_beside_another_shares_its_world", func(t *testing.T) {
		t.Parallel()
		first := apitest.New(t)
		c := first.Customer()
		c.URL = apitest.New(t, apitest.Beside(first)).URL + "/graphql"
		c.Get(`{ me { name } }`, nil, nil)
	})
}

func TestApp_Statements(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	if texts := a.Statements(func() { a.Anonymous().Get(`{ genres { name } }`, nil, nil) }); len(texts) != 1 || !strings.Contains(texts[0], `"genres"`) {
		t.Errorf("%q", texts)
	}
	if n := a.Count(func() {}); n != 0 {
		t.Errorf("nothing costs %d statements", n)
	}
}

func TestApp_Dump(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	before := a.Dump()
	if again := a.Dump(); again != before {
		t.Error("two dumps of the same rows differ")
	}
	a.Exec(`UPDATE seats SET number = number + 100 WHERE id = $1`, a.World.Theaters[0].Screens[0].Seats[3].Key)
	after := a.Dump()
	changed := slices.DeleteFunc(strings.Split(after, "\n"), func(line string) bool { return strings.Contains(before, line) })
	if len(changed) != 1 || !strings.HasPrefix(changed[0], "public.seats ") {
		t.Errorf("one seat changed, and the dump by %q", changed)
	}
}

func TestApp_CutDatabase(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still(), apitest.Cuttable())
	const query = `{ genres { name } }`
	a.CutDatabase()
	if code := gqlclient.CodeOf(a.Anonymous().Try(query, nil, nil)); code != apperr.Unavailable {
		t.Errorf("cut off: %s", code)
	}
	a.MendDatabase()
	a.Anonymous().Get(query, nil, nil)
}
