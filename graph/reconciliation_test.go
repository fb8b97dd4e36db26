package graph_test

import (
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/gqlclient"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
	"marquee/internal/typeid"
)

// mismatched stores that a gateway has money of which nobody knows, and returns the mismatch's id.
func mismatched(a *apitest.App) string {
	id := typeid.New()
	a.Exec(`INSERT INTO mismatches (id, gateway, charge_key, kind, reference, ours_minor, ours_currency, theirs_minor, theirs_currency)
		VALUES ($1, 'sandbox', $2, 'UNKNOWN_CHARGE', 'cha_1', 0, 'NZD', 700, 'NZD')`, id, id.String())
	return typeid.Encode(typeid.Mismatch, id)
}

// compared stores a comparison of books, and returns its id.
func compared(a *apitest.App) string {
	id := typeid.New()
	a.Exec(`INSERT INTO reconciliations (id, gateway, period_from, period_to, outcome, leased_until, ended_at)
		VALUES ($1, 'sandbox', now() - interval '1 day', now(), 'DONE', now(), now())`, id)
	return typeid.Encode(typeid.Reconciliation, id)
}

const (
	assignMismatch    = `mutation ($in: AssignMismatchInput!) { assignMismatch(input: $in) { mismatch { id ownerId state } } }`
	resolveMismatch   = `mutation ($in: ResolveMismatchInput!) { resolveMismatch(input: $in) { mismatch { id state note closedAt } } }`
	reconcilePayments = `mutation ($in: ReconcilePaymentsInput!) { reconcilePayments(input: $in) { reconciliation { id gateway outcome compared found healed endedAt } } }`
)

// bookedWithoutUs takes money at the bank of which nobody here knows, and returns the key it is booked under.
func bookedWithoutUs(t *testing.T, a *apitest.App) (key string) {
	t.Helper()
	gateway := sandbox.New(sandbox.Config{URL: "http://sandbox", Key: apitest.BankKey, Secrets: []string{apitest.BankSecret}, Transport: a.Bank.Transport()})
	key = typeid.New().String()
	amount := money.Money{AmountMinor: 700, Currency: "NZD"}
	if _, err := gateway.Authorize(t.Context(), key, payment.Request{Amount: amount}); err != nil {
		t.Fatal(err)
	}
	if _, err := gateway.Capture(t.Context(), key, amount); err != nil {
		t.Fatal(err)
	}
	return key
}

// TestP10_queue_of_mismatches: those who look after money compare books, give what disagrees to one of them, and settle it.
func TestP10_queue_of_mismatches(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	finance, keys := a.As(auth.Grant{Role: auth.RoleFinance}), [2]string{bookedWithoutUs(t, a), bookedWithoutUs(t, a)}
	period := vars{"gateway": "sandbox", "from": time.Now().Add(-time.Hour).Format(time.RFC3339), "to": time.Now().Add(time.Hour).Format(time.RFC3339)}
	type run struct {
		ID, Outcome             string
		Compared, Found, Healed int
		EndedAt                 *string
	}
	reconcile := func(wantFound int) string {
		t.Helper()
		var out struct{ ReconcilePayments struct{ Reconciliation run } }
		finance.With(t).Get(reconcilePayments, vars{"in": period}, &out)
		if r := out.ReconcilePayments.Reconciliation; r.Outcome != "DONE" || r.Compared != 2 || r.Found != wantFound || r.Healed != 0 || r.EndedAt == nil {
			t.Errorf("%+v, want %d found", r, wantFound)
		}
		return out.ReconcilePayments.Reconciliation.ID
	}
	firstRun := reconcile(2)

	type mismatch struct {
		ID, State, Kind, Gateway, GatewayKey, Note string
		PaymentID, TheaterID, OwnerID, ClosedAt    *string
		Ours, Theirs                               struct{ AmountMinor string }
		AgeSeconds                                 int
	}
	type page struct {
		Nodes    []mismatch
		PageInfo struct {
			HasNextPage, HasPreviousPage bool
			EndCursor                    string
		}
	}
	const list = `query ($first: Int, $after: String, $last: Int, $before: String, $state: MismatchState, $gateway: String, $kind: MismatchKind, $owner: ID) {
		mismatches(first: $first, after: $after, last: $last, before: $before, state: $state, gateway: $gateway, kind: $kind, ownerId: $owner) {
			edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage endCursor }
			nodes { id state kind gateway gatewayKey gatewayReference note paymentId theaterId ownerId foundAt lastSeenAt closedAt ageSeconds ours { amountMinor } theirs { amountMinor } } } }`
	read := func(with vars) page {
		t.Helper()
		var out struct{ Mismatches page }
		finance.With(t).Get(list, with, &out)
		return out.Mismatches
	}
	first := read(vars{"first": 1, "state": "OPEN", "gateway": "sandbox", "kind": "UNKNOWN_PAYMENT"})
	second := read(vars{"first": 1, "after": first.PageInfo.EndCursor})
	if len(first.Nodes) != 1 || !first.PageInfo.HasNextPage || len(second.Nodes) != 1 || second.PageInfo.HasNextPage {
		t.Fatalf("%+v, then %+v", first, second)
	}
	back := read(vars{"last": 1, "before": second.PageInfo.EndCursor})
	m, other := first.Nodes[0], second.Nodes[0]
	if m.State != "OPEN" || m.Gateway != "sandbox" || m.PaymentID != nil || m.TheaterID != nil || m.OwnerID != nil || m.ClosedAt != nil ||
		m.Ours.AmountMinor != "0" || m.Theirs.AmountMinor != "700" || m.AgeSeconds < 0 || keys != [2]string{m.GatewayKey, other.GatewayKey} && keys != [2]string{other.GatewayKey, m.GatewayKey} ||
		len(back.Nodes) != 1 || back.Nodes[0].ID != m.ID {
		t.Errorf("%+v, then %+v, and before that %+v", m, other, back)
	}
	for _, nothing := range []vars{{"kind": "UNSETTLED"}, {"state": "RESOLVED"}, {"gateway": "stripe"}, {"owner": finance.User.NodeID()}} {
		nothing["last"] = 5
		if got := read(nothing); len(got.Nodes) != 0 {
			t.Errorf("%v: %+v", nothing, got)
		}
	}

	var changed struct {
		AssignMismatch, ResolveMismatch struct{ Mismatch mismatch }
	}
	finance.With(t).Get(assignMismatch, vars{"in": vars{"mismatchId": m.ID, "ownerId": finance.User.NodeID()}}, &changed)
	if owner := changed.AssignMismatch.Mismatch.OwnerID; owner == nil || *owner != finance.User.NodeID() {
		t.Errorf("%+v", changed)
	}
	if got := read(vars{"first": 5, "owner": finance.User.NodeID()}); len(got.Nodes) != 1 || got.Nodes[0].ID != m.ID {
		t.Errorf("looked after: %+v", got)
	}
	if refused := finance.With(t).Refused(assignMismatch, vars{"in": vars{"mismatchId": m.ID, "ownerId": a.Customer().User.NodeID()}}); gqlclient.CodeOf(refused) != apperr.BadUserInput {
		t.Errorf("a customer looks after it: %v", refused)
	}
	finance.With(t).Get(resolveMismatch, vars{"in": vars{"mismatchId": m.ID, "note": " Given back at the dashboard. "}}, &changed)
	if got := changed.ResolveMismatch.Mismatch; got.State != "RESOLVED" || got.Note != "Given back at the dashboard." || got.ClosedAt == nil {
		t.Errorf("%+v", got)
	}
	for _, again := range []string{assignMismatch, resolveMismatch} {
		in := vars{"mismatchId": m.ID}
		if again == resolveMismatch {
			in["note"] = "Once more."
		}
		if refused := finance.With(t).Refused(again, vars{"in": in}); gqlclient.CodeOf(refused) != apperr.Conflict {
			t.Errorf("of one that is closed: %v", refused)
		}
	}
	finance.With(t).Get(assignMismatch, vars{"in": vars{"mismatchId": other.ID}}, &changed)
	secondRun := reconcile(0)

	var runs struct {
		Reconciliations struct {
			Nodes    []run
			PageInfo struct{ HasNextPage bool }
		}
	}
	finance.With(t).Get(`{ reconciliations(first: 1, gateway: "sandbox") { nodes { id outcome from to startedAt } edges { cursor } pageInfo { hasNextPage } } }`, nil, &runs)
	if got := runs.Reconciliations; len(got.Nodes) != 1 || got.Nodes[0].ID != secondRun || !got.PageInfo.HasNextPage {
		t.Errorf("the latest is %+v", got)
	}
	finance.With(t).Get(`{ reconciliations(last: 1) { nodes { id } pageInfo { hasNextPage } } }`, nil, &runs)
	if got := runs.Reconciliations; len(got.Nodes) != 1 || got.Nodes[0].ID != firstRun {
		t.Errorf("the first is %+v", got)
	}
	written := apitest.Value[string](a, `SELECT string_agg(action || CASE subject WHEN $2 THEN ' of the first' WHEN $3 THEN ' of the other' ELSE '' END, ', ' ORDER BY created_at, id) FROM audit_entries
		WHERE actor_id = $1 AND (action LIKE 'mismatch.%' OR action = 'payments.reconciled')`, finance.User.ID, m.ID, other.ID)
	if want := "payments.reconciled, mismatch.assigned of the first, mismatch.resolved of the first, mismatch.assigned of the other, payments.reconciled"; written != want {
		t.Errorf("recorded are %s, want %s", written, want)
	}
}

// TestP10_queue_of_mismatches_is_for_those_who_look_after_money: an administrator may what they may, nobody else does.
func TestP10_queue_of_mismatches_is_for_those_who_look_after_money(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	id := mismatched(a)
	operations := []struct {
		query string
		in    vars
	}{
		{`{ mismatches(first: 1) { nodes { id } } }`, nil},
		{`{ reconciliations(first: 1) { nodes { id } } }`, nil},
		{assignMismatch, vars{"mismatchId": id}},
		{resolveMismatch, vars{"mismatchId": id, "note": "It is right."}},
		{reconcilePayments, vars{"gateway": "sandbox", "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}},
	}
	at := auth.Grant{Role: auth.RoleTheaterManager, Theater: a.World.Theaters[0].Key}
	for name, who := range map[string]apitest.Client{
		"nobody": a.Anonymous(), "customer": a.Customer(), "support": a.As(auth.Grant{Role: auth.RoleSupport}), "manager": a.As(at), "manager_of_all": a.Manager(),
	} {
		code := apperr.Forbidden
		if name == "nobody" {
			code = apperr.Unauthenticated
		}
		before := a.Dump()
		for _, o := range operations {
			with := vars{"in": o.in}
			if o.in == nil {
				with = nil
			}
			if refused := who.With(t).Refused(o.query, with); gqlclient.CodeOf(refused) != code {
				t.Errorf("%s, %s: %v", name, o.query, refused)
			}
		}
		if after := a.Dump(); after != before {
			t.Errorf("%s changed something:\n%s", name, difference(before, after))
		}
	}
	admin := a.Admin()
	for _, o := range operations {
		with := vars{"in": o.in}
		if o.in == nil {
			with = nil
		}
		var out any
		admin.With(t).Get(o.query, with, &out)
		if out == nil {
			t.Errorf("%s says nothing", o.query)
		}
	}
}
