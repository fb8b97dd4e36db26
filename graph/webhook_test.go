package graph_test

import (
	"testing"

	"marquee/internal/apitest"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/gqlclient"
	"marquee/internal/jobs"
	"marquee/internal/typeid"
)

// told stores an event of a gateway, of a charge that nobody knows, and returns its id.
func told(a *apitest.App) string {
	id := typeid.New()
	a.Exec(`INSERT INTO webhook_events (id, gateway, event_id, kind, charge_key, charge_reference, state, occurred_at)
		VALUES ($1, 'sandbox', 'evt_' || $1::uuid, 'CHARGE', '', 'cha_1', 'UNKNOWN_PAYMENT', now())`, id)
	return typeid.Encode(typeid.WebhookEvent, id)
}

// queued stores a job that has failed once and returns its id.
func queued(a *apitest.App) string {
	number := apitest.Value[int64](a, `INSERT INTO river.river_job (kind, args, max_attempts, state, attempt, errors)
		VALUES ('webhook', '{}', 10, 'retryable', 1, ARRAY['{"attempt": 1, "at": "2026-01-01T00:00:00Z", "error": "GATEWAY_UNAVAILABLE"}'::jsonb]) RETURNING id`)
	return jobs.Job{Number: number}.NodeID()
}

// TestWebhookEvents: those who look after money see what gateways told and have it acted on once more, nobody else does.
func TestWebhookEvents(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	finance, id := a.As(auth.Grant{Role: auth.RoleFinance}), told(a)
	told(a)
	const list = `query ($first: Int, $after: String, $filter: WebhookEventFilter) { webhookEvents(first: $first, after: $after, filter: $filter) {
		nodes { id gateway kind state gatewayReference processedAt paymentId } edges { cursor } pageInfo { hasNextPage endCursor } } }`
	type page struct {
		WebhookEvents struct {
			Nodes    []struct{ ID, Gateway, Kind, State, GatewayReference string }
			PageInfo struct {
				HasNextPage bool
				EndCursor   string
			}
		}
	}
	var first, second, none page
	finance.Get(list, vars{"first": 1, "filter": vars{"gateway": "sandbox", "state": "UNKNOWN_PAYMENT", "kind": "PAYMENT"}}, &first)
	finance.Get(list, vars{"first": 1, "after": first.WebhookEvents.PageInfo.EndCursor}, &second)
	finance.Get(list, vars{"first": 5, "filter": vars{"kind": "DISPUTE"}}, &none)
	if f, s := first.WebhookEvents, second.WebhookEvents; len(f.Nodes) != 1 || !f.PageInfo.HasNextPage || len(s.Nodes) != 1 || s.PageInfo.HasNextPage ||
		s.Nodes[0].ID != id || s.Nodes[0].GatewayReference != "cha_1" || len(none.WebhookEvents.Nodes) != 0 {
		t.Errorf("%+v, then %+v, and of disputes %+v", f, s, none)
	}
	const replay = `mutation ($id: ID!) { replayWebhook(input: {webhookEventId: $id}) { event { id state } } }`
	for name, who := range map[string]apitest.Client{"support": a.As(auth.Grant{Role: auth.RoleSupport}), "customer": a.Customer()} {
		for _, query := range []string{list, replay} {
			if refusal := who.Refused(query, vars{"id": id, "first": 1}); gqlclient.CodeOf(refusal) != apperr.Forbidden {
				t.Errorf("%s: %v", name, refusal)
			}
		}
	}
	var replayed struct {
		ReplayWebhook struct{ Event struct{ ID, State string } }
	}
	finance.Get(replay, vars{"id": id}, &replayed)
	if e := replayed.ReplayWebhook.Event; e.ID != id || e.State != "RECEIVED" {
		t.Errorf("%+v", e)
	}
	if n := apitest.Value[int64](a, `SELECT (SELECT count(*) FROM river.river_job WHERE kind = 'webhook') + (SELECT count(*) FROM audit_entries
		WHERE action = 'webhook.replayed' AND subject = $1)`, id); n != 2 {
		t.Errorf("%d jobs and entries", n)
	}
}

// TestJobs: administrators see what the program does later and why it failed, try it again and cancel it.
func TestJobs(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	admin, id := a.Admin(), queued(a)
	const fields = `{ id kind state attempts maxAttempts nextRunAt startedAt finishedAt failures { attempt at reason } }`
	type job struct {
		ID, Kind, State string
		NextRunAt       *string
		Failures        []struct{ Reason string }
	}
	var out struct {
		Jobs                struct{ Nodes []job }
		RetryJob, CancelJob struct{ Job job }
	}
	admin.Get(`{ jobs(first: 10, filter: {state: RETRYING, kind: "webhook"}) { nodes `+fields+` } }`, nil, &out)
	if n := out.Jobs.Nodes; len(n) != 1 || n[0].ID != id || n[0].NextRunAt == nil || len(n[0].Failures) != 1 || n[0].Failures[0].Reason != "GATEWAY_UNAVAILABLE" {
		t.Errorf("%+v", n)
	}
	const retry, cancel = `mutation ($id: ID!) { retryJob(input: {jobId: $id}) { job ` + fields + ` } }`, `mutation ($id: ID!) { cancelJob(input: {jobId: $id}) { job ` + fields + ` } }`
	for _, query := range []string{retry, cancel, `{ jobs(first: 1) { nodes { id } } }`} {
		if refusal := a.As(auth.Grant{Role: auth.RoleFinance}).Refused(query, vars{"id": id}); gqlclient.CodeOf(refusal) != apperr.Forbidden {
			t.Errorf("finance: %v", refusal)
		}
	}
	admin.Get(retry, vars{"id": id}, &out)
	if out.RetryJob.Job.State != "WAITING" {
		t.Errorf("%+v", out.RetryJob)
	}
	admin.Get(cancel, vars{"id": id}, &out)
	if out.CancelJob.Job.State != "CANCELLED" {
		t.Errorf("%+v", out.CancelJob)
	}
	if refusal := admin.Refused(cancel, vars{"id": id}); gqlclient.CodeOf(refusal) != apperr.Conflict {
		t.Errorf("cancelled twice: %v", refusal)
	}
}
