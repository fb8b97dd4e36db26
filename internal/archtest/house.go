package archtest

import "slices"

// everything stands in Room.Uses for a room that may import any other.
const everything = "*"

// Room is a part of the module under one set of permissions: the package in its folder and those
// below it, except where a folder below is a room of its own. Packages of one room import each
// other freely. Another room reaches only the package at the top, unless the room is open.
type Room struct {
	// Path is the folder, relative to the root of the module; "." is the root package alone.
	Path string
	// Open lets other rooms import the packages below the top one too.
	Open bool
	// Uses names the rooms whose packages this one may import, or everything.
	Uses []string
	// TestsUse names rooms that the tests of this one may import as well.
	TestsUse []string
	// Modules, unless nil, names the only third-party modules that code of this room may import.
	// Its tests may import others.
	Modules []string
	// Bans names packages, with all below them, that neither code nor tests may import.
	Bans []string
}

// Guard keeps a package, with all below it, to a few folders of the module.
type Guard struct {
	// Import is the guarded import path.
	Import string
	// In names the folders whose packages may import it.
	In []string
	// TestsIn names the folders whose tests may import it too; "." is the whole module.
	TestsIn []string
}

// House is the table of docs/architecture.md, "Who may import whom", and the paragraph below it.
type House struct {
	// Module is the path of the module.
	Module string
	Rooms  []Room
	// TestSupport names the rooms that every test may import beside what its package may.
	TestSupport []string
	Guards      []Guard
}

// Marquee returns the rules of this module. A package without a row is a violation: whoever adds
// a room decides here what it may know.
func Marquee() House {
	leaves := []string{
		"internal/apperr", "internal/auth", "internal/clock", "internal/money", "internal/page",
		"internal/peer", "internal/seatno", "internal/typeid", "internal/words",
	}
	// domain is a row of the domains, listed below in the order in which they may know each other.
	domain := func(path string, below ...string) Room {
		return Room{
			Path: path,
			Uses: slices.Concat(leaves, []string{"ent", "internal/postgres", "internal/seatfeed", "internal/audit", "internal/vault", "internal/notify"}, below),
		}
	}
	toTheater := []string{"internal/identity", "internal/catalog"}
	toShowtime := append(slices.Clone(toTheater), "internal/theater")
	toSeating := append(slices.Clone(toShowtime), "internal/showtime")
	toBooking := append(slices.Clone(toSeating), "internal/seating", "internal/pricing", "internal/promotion", "internal/payment")
	toReview := append(slices.Clone(toBooking), "internal/booking")
	domains := append(slices.Clone(toReview), "internal/review", "internal/webhook", "internal/reconciliation")

	// Numbers that can be guessed have no place where secrets are made.
	identity := domain("internal/identity")
	identity.Bans = []string{"math/rand"}
	identity.Uses = append(identity.Uses, "internal/identity/openid")

	// outside is what a program may use that drives the built binary as a client would.
	outside := append(slices.Clone(leaves), "internal/gqlclient", "internal/postgres", "internal/postgres/local")

	rooms := []Room{
		{Path: ".", Uses: []string{"internal/config", "internal/app"}},
		{Path: "internal/app", Uses: []string{everything}},
		{Path: "internal/config", Uses: leaves},
		{Path: "internal/httpserver", Uses: append(slices.Clone(leaves), "internal/cookie")},
		{Path: "internal/cookie", Uses: leaves, Bans: []string{"math/rand"}},
		{Path: "web", Modules: []string{}},

		{
			Path: "graph",
			Uses: slices.Concat(domains, []string{
				"internal/privacy", "internal/seatfeed", "internal/auth", "internal/apperr", "internal/money", "internal/page",
				"internal/typeid", "internal/seatno", "internal/peer", "internal/ratelimit", "internal/audit",
				"internal/cookie", "internal/notify", "internal/jobs",
			}),
			// apitest is told the configuration of the app that it starts.
			TestsUse: []string{"internal/config", "internal/clock", "internal/app"},
			Bans:     []string{"database/sql"},
		},

		{Path: "ent", Open: true, Uses: append(slices.Clone(leaves), "ent/schema")},
		{Path: "ent/schema", Uses: leaves, Modules: []string{"entgo.io/ent", "github.com/google/uuid"}},

		// Every domain records what is done in it.
		{Path: "internal/audit", Uses: append(slices.Clone(leaves), "ent", "internal/postgres"), Bans: []string{"math/rand"}},

		// Work that is done later, for whoever is above.
		{Path: "internal/jobs", Uses: append(slices.Clone(leaves), "internal/audit", "internal/postgres")},

		// Domains tell people by mail what happened.
		{Path: "internal/notify", Uses: append(slices.Clone(leaves), "internal/postgres", "internal/vault")},

		identity,
		// What outsiders say is understood here, far from every table.
		{
			Path: "internal/identity/openid", Uses: leaves, Bans: []string{"database/sql", "math/rand"},
			Modules: []string{"github.com/coreos/go-oidc", "golang.org/x/oauth2", "golang.org/x/sync"},
		},
		{Path: "internal/identity/openid/openidtest", Uses: leaves},
		domain("internal/catalog"),
		domain("internal/theater", toTheater...),
		domain("internal/showtime", append(slices.Clone(toShowtime), "internal/pricing")...),
		domain("internal/seating", toSeating...),
		{Path: "internal/pricing", Uses: leaves, Bans: []string{"database/sql", "net"}},
		domain("internal/promotion", "internal/pricing"),
		domain("internal/payment"),
		{Path: "internal/payment/sandbox", Uses: append(slices.Clone(leaves), "internal/payment"), Bans: []string{"database/sql"}},
		{Path: "internal/payment/sandbox/server", Uses: append(slices.Clone(leaves), "internal/payment", "internal/payment/sandbox"), Bans: []string{"database/sql"}},
		{
			Path: "internal/payment/stripe", Uses: append(slices.Clone(leaves), "internal/payment"), Bans: []string{"database/sql"},
			Modules: []string{"github.com/google/uuid", "github.com/stripe/stripe-go/v85"},
		},
		{
			Path: "internal/payment/razorpay", Uses: append(slices.Clone(leaves), "internal/payment"), Bans: []string{"database/sql", "math/rand"},
			Modules: []string{},
		},
		domain("internal/payment/gatewaytest", "internal/payment"),
		domain("internal/booking", toBooking...),
		domain("internal/review", toReview...),
		domain("internal/webhook", "internal/booking", "internal/payment", "internal/jobs"),
		domain("internal/reconciliation", toReview...),
		{
			Path: "internal/privacy",
			Uses: slices.Concat(leaves, domains, []string{"internal/audit", "internal/postgres", "internal/vault"}),
			// The retention of what is classified is the app's work.
			TestsUse: []string{"internal/app"},
		},

		{Path: "internal/seatfeed", Uses: leaves, TestsUse: []string{"internal/bus"}},
		{Path: "internal/bus", Uses: leaves},
		{Path: "internal/ratelimit", Uses: leaves},
		{
			Path: "internal/vault", Uses: leaves, Bans: []string{"database/sql"},
			Modules: []string{"github.com/google/uuid", "github.com/tink-crypto/tink-go/v2", "google.golang.org/protobuf"},
		},
		{Path: "internal/vault/rekey", Uses: append(slices.Clone(leaves), "internal/postgres", "internal/vault")},
		{Path: "internal/postgres", Uses: append(slices.Clone(leaves), "internal/postgres/migrations", "internal/vault")},
		{Path: "internal/postgres/migrations", Uses: []string{"internal/vault"}, Modules: []string{"github.com/google/uuid"}},
		{Path: "internal/postgres/local", Uses: leaves},

		// The demo world is data: it goes in through the domains, or past them in bulk.
		{Path: "internal/demo", Uses: slices.Concat(leaves, domains, []string{"ent", "internal/postgres"})},

		{Path: "internal/apitest", Uses: []string{everything}},
		{Path: "internal/dbtest", Uses: append(slices.Clone(leaves), "ent", "internal/postgres", "internal/postgres/local", "internal/postgres/migrations", "internal/vault")},
		{Path: "internal/dbtest/rulebook", Uses: append(slices.Clone(leaves), "internal/postgres")},
		{Path: "internal/dbtest/fixture", Uses: append(slices.Clone(leaves), "ent", "internal/dbtest", "internal/postgres", "internal/vault")},
		{Path: "internal/drift", Uses: append(slices.Clone(leaves), "ent", "internal/postgres", "internal/postgres/migrations")},
		{Path: "internal/archtest", Modules: []string{}},

		{Path: "internal/gqlclient", Uses: leaves},
		{Path: "internal/smoke", Uses: append(slices.Clone(outside), "internal/bench/server")},
		{Path: "internal/bench", Uses: append(slices.Clone(outside), "internal/bench/server", "internal/bench/wire", "internal/identity",
			"internal/payment/sandbox", "internal/payment/sandbox/server")},
		{Path: "internal/bench/server", Uses: append(slices.Clone(outside), "internal/vault")},
		{Path: "internal/bench/wire", Uses: leaves},
		// The live benchmark hints as another node of the cluster would.
		{Path: "internal/bench/live", Uses: append(slices.Clone(outside), "internal/bench/server", "internal/bench/wire", "internal/bus", "internal/identity", "internal/seatfeed")},
	}
	for _, leaf := range leaves {
		rooms = append(rooms, Room{
			Path:    leaf,
			Uses:    leaves,
			Modules: []string{"github.com/google/uuid", "golang.org/x/text"},
		})
	}

	return House{
		Module: "marquee",
		Rooms:  rooms,
		TestSupport: []string{
			"internal/apitest", "internal/dbtest", "internal/dbtest/fixture", "internal/dbtest/rulebook", "internal/gqlclient",
			"internal/identity/openid/openidtest", "internal/payment/gatewaytest", "internal/payment/sandbox",
			"internal/payment/sandbox/server", "internal/postgres/local",
		},
		Guards: []Guard{
			{Import: "marquee/ent/schema", In: []string{"ent"}},
			{
				Import: "marquee/internal/postgres/local",
				In: []string{
					"internal/postgres/local", "internal/app", "internal/apitest", "internal/dbtest",
					"internal/smoke", "internal/bench",
				},
				TestsIn: []string{"."},
			},
			{Import: "github.com/99designs/gqlgen", In: []string{"graph"}},
			{Import: "github.com/vektah/gqlparser", In: []string{"graph"}},
			{Import: "github.com/pquerna/otp", In: []string{"internal/identity", "internal/apitest"}, TestsIn: []string{"."}},
			{Import: "github.com/go-webauthn", In: []string{"internal/identity"}},
			{Import: "github.com/lib/pq", In: []string{"internal/postgres"}},
			{
				Import:  "github.com/gorilla/websocket",
				In:      []string{"graph/transport", "internal/gqlclient", "internal/smoke", "internal/bench"},
				TestsIn: []string{"."},
			},
			{Import: "github.com/coreos/go-oidc", In: []string{"internal/identity/openid"}},
			{Import: "golang.org/x/oauth2", In: []string{"internal/identity/openid"}},
			{Import: "github.com/nats-io", In: []string{"internal/bus"}},
			{Import: "github.com/jackc/pgx", In: []string{"internal/jobs"}},
			{Import: "github.com/riverqueue/river", In: []string{"internal/jobs"}},
			{Import: "github.com/wneessen/go-mail", In: []string{"internal/notify"}},
			{Import: "github.com/tink-crypto/tink-go", In: []string{"internal/vault"}},
			{Import: "github.com/sony/gobreaker", In: []string{"internal/payment"}},
			{Import: "github.com/stripe/stripe-go", In: []string{"internal/payment/stripe"}},
		},
	}
}
