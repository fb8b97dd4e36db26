package graph_test

import "strings"

func (w *badWorld) reconciliation() []badInput {
	none, them := "mis_"+nothing, w.admin.User.NodeID()
	of := func(in vars) vars { return vars{"in": in} }
	period := func(gateway, from, to string) vars { return of(vars{"gateway": gateway, "from": from, "to": to}) }
	const day, later = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
	return []badInput{
		{name: "mismatches without size of page", who: w.admin, query: `{ mismatches { nodes { id } } }`},
		{name: "mismatches of a malformed user", who: w.admin, query: `{ mismatches(first: 1, ownerId: "the_1") { nodes { id } } }`},
		{name: "mismatches of no state", who: w.admin, query: `{ mismatches(first: 1, state: LOST) { nodes { id } } }`},
		{name: "mismatches by a cursor of another list", who: w.admin, query: `query ($c: String) { mismatches(first: 1, after: $c) { nodes { id } } }`, vars: vars{"c": w.movieCursor}},
		{name: "mismatches by a customer", who: w.customer, query: `{ mismatches(first: 1) { nodes { id } } }`},
		{name: "reconciliations without size of page", who: w.admin, query: `{ reconciliations { nodes { id } } }`},
		{name: "reconciliations by a cursor of another list", who: w.admin, query: `query ($c: String) { reconciliations(last: 1, before: $c) { nodes { id } } }`, vars: vars{"c": w.movieCursor}},
		{name: "reconciliations by a customer", who: w.customer, query: `{ reconciliations(first: 1) { nodes { id } } }`},
		{name: "assigning no mismatch", who: w.admin, query: assignMismatch, vars: of(vars{"mismatchId": none, "ownerId": them})},
		{name: "assigning a malformed mismatch", who: w.admin, query: assignMismatch, vars: of(vars{"mismatchId": "mis_1", "ownerId": them})},
		{name: "assigning to a malformed user", who: w.admin, query: assignMismatch, vars: of(vars{"mismatchId": none, "ownerId": none})},
		{name: "assigning by a customer", who: w.customer, query: assignMismatch, vars: of(vars{"mismatchId": none})},
		{name: "resolving no mismatch", who: w.admin, query: resolveMismatch, vars: of(vars{"mismatchId": none, "note": "It is right."})},
		{name: "resolving a malformed mismatch", who: w.admin, query: resolveMismatch, vars: of(vars{"mismatchId": them, "note": "It is right."})},
		{name: "resolving without a word", who: w.admin, query: resolveMismatch, vars: of(vars{"mismatchId": none, "note": " "})},
		{name: "resolving with too many words", who: w.admin, query: resolveMismatch, vars: of(vars{"mismatchId": none, "note": strings.Repeat("a", 501)})},
		{name: "resolving by a customer", who: w.customer, query: resolveMismatch, vars: of(vars{"mismatchId": none, "note": "It is right."})},
		{name: "reconciling with no gateway", who: w.admin, query: reconcilePayments, vars: period("nowhere", day, later)},
		{name: "reconciling an empty period", who: w.admin, query: reconcilePayments, vars: period("sandbox", day, day)},
		{name: "reconciling a period backwards", who: w.admin, query: reconcilePayments, vars: period("sandbox", later, day)},
		{name: "reconciling too long a period", who: w.admin, query: reconcilePayments, vars: period("sandbox", "2020-01-01T00:00:00Z", day)},
		{name: "reconciling from no moment", who: w.admin, query: reconcilePayments, vars: period("sandbox", "yesterday", day)},
		{name: "reconciling by a customer", who: w.customer, query: reconcilePayments, vars: period("sandbox", day, later)},
	}
}
