package promotion_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"marquee/internal/apperr"
	"marquee/internal/clock"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/promotion"
	"marquee/internal/typeid"
)

// TestService_Offers_guesses counts codes that do not exist by who asks, window by window, at all nodes together.
func TestService_Offers_guesses(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	present := clock.NewFake(time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC))
	nodes := []*promotion.Service{promotion.NewService(db, present), promotion.NewService(db, present)}
	w := fixture.New(t, db, fixture.Plan{})
	ask := func(use promotion.Use, codes ...string) error {
		use.ShowtimeID = w.Show()
		_, err := nodes[len(codes)%2].Offers(t.Context(), use, codes)
		return err
	}
	wantWait := func(t *testing.T, err error, want time.Duration) {
		t.Helper()
		if refusal, ok := errors.AsType[*apperr.Error](err); !ok || refusal.Code != apperr.Throttled || refusal.RetryAfter != want {
			t.Errorf("%#v, want to wait %s", err, want)
		}
	}
	t.Run("a_window_is_over_ten_minutes_after_its_first", func(t *testing.T) {
		customer := promotion.Use{ViewerID: typeid.New()}
		for i := range 5 {
			if err := ask(customer, fmt.Sprintf("ONE%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		present.Advance(4 * time.Minute)
		if err := ask(customer, "A", "B", "C", "D"); err != nil {
			t.Fatal(err)
		}
		if err := ask(customer, "TENTH"); err != nil {
			t.Fatal(err)
		}
		wantWait(t, ask(customer, "ELEVENTH"), 6*time.Minute)
		wantWait(t, ask(customer, "ELEVENTH", "ORTWELFTH"), 6*time.Minute)
		present.Advance(6*time.Minute - time.Millisecond)
		wantWait(t, ask(customer, "TOOSOON"), time.Millisecond)
		present.Advance(time.Millisecond)
		for i := range 10 {
			if err := ask(customer, fmt.Sprintf("AGAIN%d", i)); err != nil {
				t.Fatalf("guess %d of the next window: %v", i, err)
			}
		}
		wantWait(t, ask(customer, "ELEVENTH"), 10*time.Minute)
	})
	t.Run("staff_and_not_their_customers", func(t *testing.T) {
		clerk := typeid.New()
		customer := promotion.Use{ViewerID: typeid.New(), StaffID: clerk}
		if err := ask(customer, "A", "B", "C", "D", "E", "F", "G", "H", "I", "J"); err != nil {
			t.Fatal(err)
		}
		wantWait(t, ask(promotion.Use{ViewerID: typeid.New(), StaffID: clerk}, "X"), 10*time.Minute)
		if err := ask(promotion.Use{ViewerID: customer.ViewerID}, "X"); err != nil {
			t.Errorf("the customer: %v", err)
		}
	})
	t.Run("many_at_once_are_all_counted", func(t *testing.T) {
		customer := promotion.Use{ViewerID: typeid.New()}
		var all sync.WaitGroup
		var answered atomic.Int32
		for i := range 40 {
			all.Go(func() {
				if err := ask(customer, fmt.Sprintf("WAVE%d", i)); err == nil {
					answered.Add(1)
				} else if apperr.CodeOf(err) != apperr.Throttled {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if answered.Load() != 10 {
			t.Errorf("%d wrong codes were answered, want 10", answered.Load())
		}
		wantWait(t, ask(customer, "AFTER"), 10*time.Minute)
	})
	t.Run("what_is_over_is_forgotten", func(t *testing.T) {
		present.Advance(10*time.Minute - time.Millisecond)
		if _, err := nodes[0].ForgetGuesses(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := fixture.Get[int](t, db, `SELECT count(*) FROM code_guesses`); left == 0 {
			t.Error("windows are forgotten that are not over")
		}
		present.Advance(time.Millisecond)
		if _, err := nodes[0].ForgetGuesses(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := fixture.Get[int](t, db, `SELECT count(*) FROM code_guesses`); left != 0 {
			t.Errorf("%d rows are left", left)
		}
	})
}
