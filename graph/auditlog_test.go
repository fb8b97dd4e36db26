package graph_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/apperr"
)

type auditEntry struct {
	ID, Action, Meaning, Subject, Reason, RequestID, Address string
	UserID, TheaterID, Before, After                         *string
	CreatedAt                                                time.Time
	Sealed                                                   bool
}

type auditPage struct {
	Nodes    []auditEntry
	PageInfo struct {
		HasNextPage bool
		EndCursor   *string
	}
}

const auditLog = `query ($first: Int, $after: String, $filter: AuditLogFilter) { auditLog(first: $first, after: $after, filter: $filter) {
	nodes { id createdAt action meaning userId subject theaterId reason before after requestId address sealed }
	pageInfo { hasNextPage endCursor } } }`

func readAudit(c apitest.Client, first int, after *string, filter vars) auditPage {
	var out struct{ AuditLog auditPage }
	c.Get(auditLog, vars{"first": first, "after": after, "filter": filter}, &out)
	return out.AuditLog
}

// TestAuditLog is what an administrator reads of what others did.
func TestAuditLog(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	admin, customer := a.Admin(), a.Customer()
	began := time.Now()
	wrong := vars{"in": vars{"email": customer.User.Email, "password": "not " + apitest.Password}}
	answer := a.Anonymous().Raw(`mutation ($in: SignInInput!) { signIn(input: $in) { __typename } }`, wrong)
	if answer.Status != http.StatusOK {
		t.Fatalf("%d: %s", answer.Status, answer.Body)
	}
	customer.Get(`mutation { signOut { signedOut } }`, nil, nil)

	t.Run("says_who_did_what_from_where", func(t *testing.T) {
		t.Parallel()
		failed := readAudit(admin.With(t), 10, nil, vars{"action": "sign_in.failed", "subject": customer.User.NodeID()}).Nodes
		if len(failed) != 1 {
			t.Fatalf("%+v", failed)
		}
		e := failed[0]
		if e.RequestID != answer.Header.Get("X-Request-Id") || e.Address != "127.0.0.0/24" || e.UserID != nil ||
			!strings.Contains(e.Meaning, "could not") || e.CreatedAt.Before(began.Add(-time.Minute)) || !strings.HasPrefix(e.ID, "aud_") {
			t.Errorf("%+v", e)
		}
		again := func(c apitest.Client) string {
			return string(c.Raw(`query ($id: ID!) { node(id: $id) { id } }`, vars{"id": e.ID}).Body)
		}
		if got := again(admin.With(t)); !strings.Contains(got, e.ID) {
			t.Errorf("by its id: %s", got)
		}
		if got := again(a.Manager().With(t)); !strings.Contains(got, `"node":null`) {
			t.Errorf("to somebody else: %s", got)
		}
	})
	t.Run("restricts_and_turns_pages", func(t *testing.T) {
		t.Parallel()
		admin, filter := admin.With(t), vars{"userId": customer.User.NodeID()}
		all := readAudit(admin, 100, nil, filter).Nodes
		var got []string
		var after *string
		for range all {
			p := readAudit(admin, 1, after, filter)
			if len(p.Nodes) != 1 || p.PageInfo.HasNextPage != (len(got)+1 < len(all)) {
				t.Fatalf("page %d: %+v", len(got), p)
			}
			got, after = append(got, p.Nodes[0].ID), p.PageInfo.EndCursor
		}
		for i, e := range all {
			if e.ID != got[i] || e.UserID == nil || *e.UserID != customer.User.NodeID() || i > 0 && e.CreatedAt.After(all[i-1].CreatedAt) {
				t.Errorf("%d: %+v", i, e)
			}
		}
		if len(all) < 2 || all[0].Action != "session.ended" || all[1].Action != "session.started" {
			t.Errorf("%+v", all)
		}
		for name, nothing := range map[string]vars{
			"before_it_was": {"to": began.Add(-time.Hour)}, "after_it_was": {"from": time.Now().Add(time.Hour)},
			"at_a_theater": {"theaterId": a.World.Theaters[0].ID()},
		} {
			if p := readAudit(admin, 10, nil, nothing); len(p.Nodes) != 0 {
				t.Errorf("%s: %+v", name, p.Nodes)
			}
		}
		if p := readAudit(admin, 10, nil, vars{"from": began.Add(-time.Minute), "to": time.Now().Add(time.Minute)}); len(p.Nodes) < 4 {
			t.Errorf("meanwhile: %+v", p.Nodes)
		}
	})
	t.Run("refuses_what_nothing_can_match", func(t *testing.T) {
		t.Parallel()
		for field, filter := range map[string]vars{
			"filter.action": {"action": "session.borrowed"}, "filter.userId": {"userId": "ses_1"}, "filter.theaterId": {"theaterId": "x"},
			"filter.to": {"from": began, "to": began},
		} {
			refusal := admin.With(t).Refused(auditLog, vars{"first": 1, "filter": filter})
			if refusal.Problems[0].Code != apperr.BadUserInput || !strings.Contains(refusal.Error(), field) {
				t.Errorf("%s: %v", field, refusal)
			}
		}
	})
	t.Run("is_for_administrators", func(t *testing.T) {
		t.Parallel()
		for code, c := range map[apperr.Code]apitest.Client{apperr.Unauthenticated: a.Anonymous(), apperr.Forbidden: a.Manager()} {
			if refusal := c.With(t).Refused(auditLog, vars{"first": 1}); refusal.Problems[0].Code != code {
				t.Errorf("%v, want %s", refusal, code)
			}
		}
	})
}
