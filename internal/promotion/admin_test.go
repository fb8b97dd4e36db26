package promotion_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/clock"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/promotion"
	"marquee/internal/typeid"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

var began = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func worker(role auth.Role, at uuid.UUID) auth.Viewer {
	return auth.Viewer{UserID: typeid.New(), Strong: true, ProvedAt: began, Grants: auth.NewGrants(auth.Grant{Role: role, Theater: at})}
}

func quarterOff(code string, change func(*promotion.Input)) promotion.Input {
	in := promotion.Input{Code: code, Label: "Quarter off", BasisPoints: -2500, StartsAt: began, EndsAt: began.AddDate(0, 1, 0), Active: true}
	if change != nil {
		change(&in)
	}
	return in
}

// TestAZ3_Service makes and changes a promotion as everybody, with what can be and what cannot.
func TestAZ3_Service(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ours, theirs := fixture.New(t, db, fixture.Plan{}), fixture.New(t, db, fixture.Plan{})
	s := promotion.NewService(db, clock.NewFake(began))
	manager := worker(auth.RoleTheaterManager, ours.TheaterID)
	made, err := s.Create(t.Context(), manager, ours.TheaterID, quarterOff("spring26 ", nil))
	if err != nil || made.Code != "SPRING26" {
		t.Fatalf("%+v, %v", made, err)
	}
	changed, err := s.Update(t.Context(), manager, made.ID, quarterOff("SPRING26", func(in *promotion.Input) { in.BasisPoints = -1000 }))
	if err != nil || changed.Version != 2 || changed.TheaterID != ours.TheaterID {
		t.Fatalf("%+v, %v", changed, err)
	}
	recorded := `SELECT string_agg(action || ' ' || coalesce(before ->> 'basis_points', '-') || ' ' || (after ->> 'basis_points'), ', ' ORDER BY id)
		FROM audit_entries WHERE subject = $1 AND theater_id = $2 AND actor_id = $3`
	if got := fixture.Get[string](t, db, recorded, made.NodeID(), ours.TheaterID, manager.UserID); got != "promotion.created - -2500, promotion.changed -2500 -1000" {
		t.Errorf("recorded is %q", got)
	}
	stale := manager
	stale.ProvedAt = began.Add(-11 * time.Minute)
	for name, c := range map[string]struct {
		viewer         auth.Viewer
		create, change apperr.Code
	}{
		"nobody":                {auth.Viewer{ProvedAt: began}, apperr.Forbidden, apperr.NotFound},
		"staff":                 {worker(auth.RoleTheaterStaff, ours.TheaterID), apperr.Forbidden, apperr.NotFound},
		"manager_elsewhere":     {worker(auth.RoleTheaterManager, theirs.TheaterID), apperr.Forbidden, apperr.NotFound},
		"finance":               {worker(auth.RoleFinance, auth.Platform), apperr.Forbidden, apperr.NotFound},
		"manager_without_proof": {stale, apperr.StepUpRequired, apperr.StepUpRequired},
	} {
		if _, err := s.Create(t.Context(), c.viewer, ours.TheaterID, quarterOff("SUMMER26", nil)); apperr.CodeOf(err) != c.create {
			t.Errorf("%s creates: %v, want %s", name, err, c.create)
		}
		if _, err := s.Update(t.Context(), c.viewer, made.ID, quarterOff("SUMMER26", nil)); apperr.CodeOf(err) != c.change {
			t.Errorf("%s updates: %v, want %s", name, err, c.change)
		}
	}
	if got, err := s.PromotionsByTheater(t.Context(), []uuid.UUID{ours.TheaterID, theirs.TheaterID}); err != nil || len(got) != 1 || len(got[ours.TheaterID]) != 1 || got[ours.TheaterID][0].ID != made.ID {
		t.Errorf("the promotions are %+v, %v", got, err)
	}
	none := int32(0)
	for field, change := range map[string]func(*promotion.Input){
		"input.promotion.promoCode":             func(in *promotion.Input) { in.Code = "SHORT" },
		"input.promotion.label":                 func(in *promotion.Input) { in.Label = "" },
		"input.promotion.percentOffBasisPoints": func(in *promotion.Input) { in.BasisPoints = 2500 },
		"input.promotion.startsAt":              func(in *promotion.Input) { in.StartsAt = in.StartsAt.AddDate(-100, 0, 0) },
		"input.promotion.movieIds.0":            func(in *promotion.Input) { in.Scope.MovieIDs = []uuid.UUID{typeid.New()} },
		"input.promotion.endsAt":                func(in *promotion.Input) { in.EndsAt = in.StartsAt },
		"input.promotion.maxUses":               func(in *promotion.Input) { in.MaxUses = &none },
		"input.promotion.maxUsesPerCustomer":    func(in *promotion.Input) { in.PerUser = &none },
	} {
		_, err := s.Create(t.Context(), manager, ours.TheaterID, quarterOff("SUMMER26", change))
		if e, ok := errors.AsType[*apperr.Error](err); !ok || e.Code != apperr.BadUserInput || len(e.Fields) != 1 || e.Fields[0].Path != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := s.Create(t.Context(), manager, ours.TheaterID, quarterOff("SPRING26", nil)); apperr.CodeOf(err) != apperr.BadUserInput {
		t.Errorf("the same code again: %v", err)
	}
	if n := fixture.Get[int](t, db, `SELECT count(*) FROM promotions`); n != 1 {
		t.Errorf("%d promotions, want 1", n)
	}
}
