package graph_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"

	"marquee/graph"
	"marquee/internal/apitest"
	"marquee/internal/auth"
	"marquee/internal/dbtest"
	"marquee/internal/typeid"
)

// tenant is a theater, those who work there, and a customer of it.
type tenant struct {
	theater                  apitest.Theater
	customer, staff, manager apitest.Client
	shows                    []apitest.Showtime
	made                     int // reservations
}

// held makes a reservation of the customer.
func (n *tenant) held(t *testing.T) string {
	t.Helper()
	show, position := n.shows[n.made%len(n.shows)], 1+n.made/len(n.shows)
	n.made++
	return reserve(t, n.customer, show, int16(position))
}

// bought makes a reservation that is paid, and returns the ids of what hangs from it.
func (n *tenant) bought(t *testing.T) (reservation, payment, ticket string) {
	t.Helper()
	reservation = n.held(t)
	pay(t, n.customer, reservation)
	var out struct {
		Node struct {
			Payment struct{ ID string }
			Tickets []struct{ ID string }
		}
	}
	n.customer.Get(`query ($id: ID!) { node(id: $id) { ... on Reservation { payment { id } tickets { id } } } }`, vars{"id": reservation}, &out)
	return reservation, out.Node.Payment.ID, out.Node.Tickets[0].ID
}

func newTenant(a *apitest.App, theater apitest.Theater) *tenant {
	at := func(role auth.Role) apitest.Client { return a.As(auth.Grant{Role: role, Theater: theater.Key}) }
	n := &tenant{theater: theater, customer: a.Customer(), staff: at(auth.RoleTheaterStaff), manager: at(auth.RoleTheaterManager)}
	for _, s := range a.World.Showtimes {
		if s.Theater.Key == theater.Key {
			n.shows = append(n.shows, s)
		}
	}
	return n
}

// tenantCase asks an operation for a thing of the other side.
type tenantCase struct {
	operation string // of the variable $id
	input     vars   // further fields of the variable $in, in which the id is set under field
	field     string
	// theirs makes a thing of the other side, and returns its id and who may do with it what the operation does; a nil owner
	// says that nobody of either side may.
	theirs func(t *testing.T) (id string, owner *apitest.Client)
	// known says why everybody may know of the thing: then there is nothing to compare.
	known string
}

func (c tenantCase) ask(who apitest.Client, id string) apitest.Answer {
	if c.input == nil {
		return who.Raw(c.operation, vars{"id": id})
	}
	in := maps.Clone(c.input)
	in[c.field] = id
	return who.Raw(c.operation, vars{"in": in})
}

// mutation asks a mutation with an input of its name for a selection.
func mutation(name, selection string) string {
	return fmt.Sprintf(`mutation ($in: %sInput!) { %s(input: $in) %s }`, strings.ToUpper(name[:1])+name[1:], name, selection)
}

// thing is made anew for each case, and its owner may do with it what the case asks for.
func thing(id func(t *testing.T) string, owner *apitest.Client) func(*testing.T) (string, *apitest.Client) {
	return func(t *testing.T) (string, *apitest.Client) { return id(t), owner }
}

// their is a thing that is there already.
func their(id string, owner *apitest.Client) func(*testing.T) (string, *apitest.Client) {
	return thing(func(*testing.T) string { return id }, owner)
}

// TestA8_AZ1_AZ3_two_tenants is the differential test of the isolation of theaters and customers, AZ1 and AZ3: every argument of
// every field that takes an id is given one of a thing of the other side, by everybody of this side, and what comes back
// is what comes back for a thing that does not exist, and nothing is changed. An argument without a case fails the test.
func TestA8_AZ1_AZ3_two_tenants(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	ours, theirs := newTenant(a, a.World.Theaters[0]), newTenant(a, a.World.Theaters[1])
	cases := tenantCases(a, ours, theirs)
	schema := graph.NewSchema(&graph.Resolver{}).Schema()
	known := strings.Fields("Movie Genre Theater Screen Seat SeatLayout Showtime Reservation Payment Ticket User Account AuditEntry Review Mismatch Reconciliation WebhookEvent Job")
	for _, definition := range schema.GetPossibleTypes(schema.Types["Node"]) {
		if !slices.Contains(known, definition.Name) {
			t.Errorf("%s can be read by its id, and neither Query.node nor this list has a case", definition.Name)
		}
	}
	for _, argument := range idArguments(schema) {
		if len(cases[argument]) == 0 {
			t.Errorf("%s takes ids and has no case: what happens with those of another theater, or another customer?", argument)
		}
	}
	ourSide := map[string]apitest.Client{"nobody": a.Anonymous(), "customer": ours.customer, "staff": ours.staff, "manager": ours.manager}
	for _, argument := range slices.Sorted(maps.Keys(cases)) {
		for i, c := range cases[argument] {
			if c.known != "" {
				continue
			}
			t.Run(fmt.Sprintf("%s_%d", strings.Trim(strings.NewReplacer("(", "_", ")", "", ".", "_").Replace(argument), "_"), i), func(t *testing.T) {
				id, owner := c.theirs(t)
				missing := id[:len(id)-len(nothing)] + nothing
				before := a.Dump()
				for name, who := range ourSide {
					foreign, none := said(t, c.ask(who.With(t), id), id), said(t, c.ask(who.With(t), missing), missing)
					if foreign != none {
						t.Errorf("%s is told of a thing of the other side\n%s\nand of one that does not exist\n%s", name, foreign, none)
					}
				}
				if after := a.Dump(); after != before {
					t.Errorf("something was changed:\n%s", difference(before, after))
				}
				if owner == nil {
					return
				}
				if mine, none := said(t, c.ask(owner.With(t), id), id), said(t, c.ask(owner.With(t), missing), missing); mine == none {
					t.Errorf("the case shows nothing: who may is told the same of both: %s", mine)
				}
			})
		}
	}
}

// idArguments returns every argument that takes ids, with its way through inputs, of every field of the contract.
func idArguments(schema *ast.Schema) []string {
	var found []string
	var walk func(at string, of *ast.Type)
	walk = func(at string, of *ast.Type) {
		definition := schema.Types[of.Name()]
		if definition.Name == "ID" {
			found = append(found, at+")")
		}
		for _, field := range definition.Fields { // of an input
			walk(at+"."+field.Name, field.Type)
		}
	}
	for _, definition := range contract(schema) {
		if definition.Kind != ast.Object {
			continue
		}
		for _, field := range fieldsOf(definition) {
			for _, argument := range field.Arguments {
				walk(definition.Name+"."+field.Name+"("+argument.Name, argument.Type)
			}
		}
	}
	return found
}

// said is all that an answer tells of an id, without what differs from request to request.
func said(t *testing.T, answer apitest.Answer, id string) string {
	t.Helper()
	var body struct {
		Data   any              `json:"data"`
		Errors []map[string]any `json:"errors"`
	}
	if err := json.Unmarshal(answer.Body, &body); err != nil {
		t.Fatal(err)
	}
	for _, problem := range body.Errors {
		if extensions, ok := problem["extensions"].(map[string]any); ok {
			delete(extensions, "requestId")
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", answer.Status, strings.ReplaceAll(string(text), id, "ID"))
}

// difference returns the lines that only one of two dumps has.
func difference(before, after string) string {
	var lines []string
	was, is := strings.Split(before, "\n"), strings.Split(after, "\n")
	for _, line := range was {
		if !slices.Contains(is, line) {
			lines = append(lines, "- "+line)
		}
	}
	for _, line := range is {
		if !slices.Contains(was, line) {
			lines = append(lines, "+ "+line)
		}
	}
	return strings.Join(lines, "\n")
}

// quarterOff is a promotion.
func quarterOff(code string) vars {
	return vars{"promoCode": code, "label": "Quarter off", "percentOffBasisPoints": 2500, "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z"}
}

// newestEntry returns the id of an entry of the audit log.
func newestEntry(a *apitest.App, admin apitest.Client) string {
	var out struct {
		AuditLog struct{ Nodes []struct{ ID string } }
	}
	admin.Get(`{ auditLog(first: 1) { nodes { id } } }`, nil, &out)
	return out.AuditLog.Nodes[0].ID
}

// withPasskey returns a customer with a second factor, and the factor's id. Nobody can prove it.
func withPasskey(a *apitest.App) (owner apitest.Client, id string) {
	owner = a.Customer()
	key := typeid.New()
	a.Exec(`INSERT INTO factors (id, user_id, kind, name_sealed, credential_hash, credential_sealed, confirmed_at)
		VALUES ($1, $2, 'PASSKEY', $3, sha256($4), '\x00', now())`, key, owner.User.ID, dbtest.Sealed("factors", "name_sealed", key, "Key"), key[:])
	return owner, typeid.Encode(typeid.Factor, key)
}

// withReview returns a customer and the id of their review of what a showtime shows, hidden from others or not.
func withReview(a *apitest.App, show apitest.Showtime, hidden bool) (owner apitest.Client, id string) {
	owner = a.Customer()
	key := typeid.New()
	a.Exec(`INSERT INTO reviews (id, movie_id, user_id, rating, document) VALUES ($1, $2, $3, 7, '{}')`, key, show.Movie.Key, owner.User.ID)
	if hidden {
		a.Exec(`UPDATE reviews SET status = 'HIDDEN', hidden_for = 'SPAM' WHERE id = $1`, key)
	}
	return owner, typeid.Encode(typeid.Review, key)
}

// withLink returns a customer who may sign in by a provider too, and the link's id.
func withLink(a *apitest.App) (owner apitest.Client, id string) {
	owner = a.Customer()
	key := typeid.New()
	a.Exec(`INSERT INTO federated_identities (id, user_id, issuer, subject_sealed, subject_index, used_at)
		VALUES ($1, $2, 'https://accounts.example', '\x00', $3, now())`, key, owner.User.ID, dbtest.Vault().Index("subject", key.String()))
	return owner, typeid.Encode(typeid.Link, key)
}
