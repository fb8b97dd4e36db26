package booking

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// TheaterGateways are the gateways at which payments of a theater in a currency are begun.
type TheaterGateways struct {
	Currency  string
	Gateways  []string   // their names, the preferred one first
	UpdatedAt *time.Time // when they were chosen; nil: they are those of the installation
}

// mostGateways bounds a choice; the table has it too.
const mostGateways = 10

// SetTheaterGateways chooses the gateways at which payments of a theater in a currency are begun, the preferred one first; none:
// those of the installation. Payments that were begun stay where they are. It holds at once here, and on every other node within
// choiceAge. The viewer manages the theater: FORBIDDEN for others, STEP_UP_REQUIRED without a recent proof. NOT_FOUND for an unknown
// theater; BAD_USER_INPUT for a gateway that is named twice, not offered, or does not take the currency. It is recorded.
func (s *Service) SetTheaterGateways(ctx context.Context, viewer auth.Viewer, theaterID uuid.UUID, currency string, gateways []string) (TheaterGateways, error) {
	set := TheaterGateways{Currency: currency, Gateways: gateways}
	if !viewer.Has(auth.RoleTheaterManager, theaterID) {
		return set, apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	if err := viewer.Recent(s.clock.Now()); err != nil {
		return set, err
	}
	if err := s.checkGateways(currency, gateways); err != nil {
		return set, err
	}
	list, err := json.Marshal(gateways)
	if err != nil {
		return set, fmt.Errorf("writing a choice of gateways: %w", err)
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		var before []string
		err := tx.QueryRowContext(ctx, `SELECT g.gateways FROM theaters t
			LEFT JOIN theater_gateways g ON g.theater_id = t.id AND g.currency = $2 WHERE t.id = $1 FOR NO KEY UPDATE OF t`, theaterID, currency).Scan((*names)(&before))
		if errors.Is(err, sql.ErrNoRows) {
			return apperr.Missing("theater")
		}
		if err != nil {
			return fmt.Errorf("locking a theater: %w", err)
		}
		if len(gateways) == 0 {
			_, err = tx.ExecContext(ctx, `DELETE FROM theater_gateways WHERE theater_id = $1 AND currency = $2`, theaterID, currency)
		} else {
			err = tx.QueryRowContext(ctx, `INSERT INTO theater_gateways (theater_id, currency, gateways) VALUES ($1, $2, $3)
				ON CONFLICT (theater_id, currency) DO UPDATE SET gateways = excluded.gateways, updated_at = now() RETURNING updated_at`,
				theaterID, currency, string(list)).Scan(&set.UpdatedAt)
		}
		if err != nil {
			return fmt.Errorf("choosing gateways: %w", err)
		}
		type chosen struct {
			Currency string   `json:"currency"`
			Gateways []string `json:"gateways"`
		}
		return audit.RecordTx(ctx, tx, audit.Entry{
			Action: audit.TheaterGatewaysSet, Actor: viewer.UserID, Subject: typeid.Encode(typeid.Theater, theaterID), Theater: theaterID,
			Before: chosen{currency, before}, After: chosen{currency, gateways},
		})
	})
	if err != nil {
		return set, err
	}
	s.choices.forget(choiceKey{theaterID, currency})
	if len(gateways) == 0 {
		set.Gateways, err = s.gatewaysAt(ctx, theaterID, currency)
	}
	return set, err
}

// checkGateways returns BAD_USER_INPUT for a choice that cannot be.
func (s *Service) checkGateways(currency string, gateways []string) error {
	var bad apperr.Fields
	if _, err := money.New(0, currency); err != nil {
		bad.Add("input.currency", "Give a currency of ISO 4217, like NZD.")
		return bad.Err()
	}
	if len(gateways) > mostGateways {
		bad.Add("input.gateways", "Give at most %d.", mostGateways)
		return bad.Err()
	}
	offered := s.gateways.Offered()
	for i, name := range gateways {
		path := fmt.Sprintf("input.gateways.%d", i)
		at := slices.IndexFunc(offered, func(g payment.Gateway) bool { return g.Name() == name })
		switch {
		case slices.Contains(gateways[:i], name):
			bad.Add(path, "Name each once.")
		case at < 0:
			bad.Add(path, "Give one that the installation offers.")
		case !offered[at].Capabilities().Takes(currency):
			bad.Add(path, "It takes no payments in %s.", currency)
		}
	}
	return bad.Err()
}

// chosenGateways reads the choice of a theater; nil: it has made none.
func (s *Service) chosenGateways(ctx context.Context, theaterID uuid.UUID, currency string) (gateways []string, err error) {
	err = s.db.SQL().QueryRowContext(ctx, `SELECT gateways FROM theater_gateways WHERE theater_id = $1 AND currency = $2`, theaterID, currency).Scan((*names)(&gateways))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading a theater's gateways: %w", err)
	}
	return gateways, nil
}

// TheaterGateways returns what a theater has chosen, by currency, and what holds for its own currency where it has chosen nothing. For
// those who manage the theater or look after money; NOT_FOUND for an unknown theater.
func (s *Service) TheaterGateways(ctx context.Context, viewer auth.Viewer, theaterID uuid.UUID) ([]TheaterGateways, error) {
	if !viewer.Has(auth.RoleTheaterManager, theaterID) && !viewer.Has(auth.RoleFinance, auth.Platform) {
		return nil, apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT coalesce(g.currency, t.currency), g.gateways, g.updated_at FROM theaters t
		LEFT JOIN LATERAL (SELECT currency, gateways, updated_at FROM theater_gateways WHERE theater_id = t.id
			UNION ALL SELECT t.currency, NULL, NULL WHERE NOT EXISTS (SELECT FROM theater_gateways o WHERE o.theater_id = t.id AND o.currency = t.currency)) g ON true
		WHERE t.id = $1 ORDER BY 1`, theaterID)
	if err != nil {
		return nil, fmt.Errorf("reading a theater's gateways: %w", err)
	}
	all, err := postgres.Collect(rows, func(rows *sql.Rows) (one TheaterGateways, err error) {
		err = rows.Scan(&one.Currency, (*names)(&one.Gateways), &one.UpdatedAt)
		return one, err
	})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, apperr.Missing("theater")
	}
	for i := range all {
		if all[i].UpdatedAt != nil {
			continue
		}
		if all[i].Gateways, err = s.gatewaysAt(ctx, theaterID, all[i].Currency); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Gateway is a gateway as those see it who look after the installation.
type Gateway struct {
	Name        string
	Offered     bool // payments are begun there
	SetUp       bool // this installation can ask it; else what is unsettled there waits
	Healthy     bool // as far as this node knows
	InFlight    int  // calls of this node that are not answered yet
	Unsettled   int  // attempts and refunds, of all nodes
	Currencies  []string
	Instruments []payment.Instrument
}

// Gateways returns the gateways that are set up, and those that are not where something is unsettled. For those who look after money.
func (s *Service) Gateways(ctx context.Context, viewer auth.Viewer) ([]Gateway, error) {
	if !viewer.Has(auth.RoleFinance, auth.Platform) && !viewer.Has(auth.RoleAdmin, auth.Platform) {
		return nil, apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	unsettled, err := s.payments.Stranded(ctx, nil)
	if err != nil {
		return nil, err
	}
	var all []Gateway
	for _, health := range s.gateways.Health() {
		gateway, err := s.gateways.Named(health.Name)
		if err != nil {
			return nil, err
		}
		can := gateway.Capabilities()
		all = append(all, Gateway{
			Name: health.Name, Offered: health.Offered, SetUp: true, Healthy: health.Healthy, InFlight: health.InFlight, Unsettled: unsettled[health.Name],
			Currencies: can.Currencies, Instruments: can.Instruments,
		})
		delete(unsettled, health.Name)
	}
	for name, count := range unsettled {
		all = append(all, Gateway{Name: name, Unsettled: count})
	}
	slices.SortFunc(all, func(a, b Gateway) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// names reads a list of names; NULL gives nil.
type names []string

// Scan reads JSON.
func (n *names) Scan(from any) error {
	if from == nil {
		*n = nil
		return nil
	}
	text, ok := from.([]byte)
	if !ok {
		return fmt.Errorf("a list of names is a %T", from)
	}
	return json.Unmarshal(text, (*[]string)(n))
}
