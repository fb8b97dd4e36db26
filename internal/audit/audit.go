// Package audit keeps the log of what was done: who did what to which thing, why, from where, and what it changed.
//
// An entry is written in the transaction of the act it records, so there is none without the other. It holds ids, roles,
// states and names of fields; no secret, and of people nothing but their ids and the network a request came from: enough to
// tell home from abroad, too little to tell who it was. The whole address is kept nowhere, since nothing could take it out
// of a chain again.
//
// Invariants:
//   - entries are neither changed nor deleted; the database refuses both;
//   - recording takes no lock that another transaction could want.
package audit

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"marquee/internal/peer"
	"marquee/internal/typeid"
)

// Entry is one act to record. Only the action is required.
type Entry struct {
	Action  Action
	Actor   uuid.UUID // the user who did it; nil: the system, the command line, or nobody who is known
	Subject string    // public id of what it was done to
	Theater uuid.UUID // whose staff may care; nil: none
	Reason  string    // what the actor said why, at most 1,000 characters
	// Before and After are what the act changed, as JSON; nil: nothing to tell. They name ids, roles, states, amounts.
	// Of a personal or secret field they say that it changed, never its value.
	Before, After any
}

// Origin is where a request comes from.
type Origin struct {
	RequestID string
	Address   string // as package peer names it; its network is recorded
}

type originKey struct{}

// WithOrigin returns a context whose acts are recorded as coming from o.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// OriginFrom returns where the request of ctx comes from; zero outside a request.
func OriginFrom(ctx context.Context) Origin {
	o, _ := ctx.Value(originKey{}).(Origin)
	return o
}

// RecordTx writes an entry in the caller's transaction. An action that is not listed in this package is an error.
// One statement.
func RecordTx(ctx context.Context, tx *sql.Tx, e Entry) error {
	if e.Action.Meaning() == "" {
		return fmt.Errorf("audit: unknown action %q", e.Action)
	}
	before, err := encoded(e.Before)
	if err != nil {
		return err
	}
	after, err := encoded(e.After)
	if err != nil {
		return err
	}
	origin := OriginFrom(ctx)
	_, err = tx.ExecContext(ctx, `INSERT INTO audit_entries
		(id, action, actor_id, subject, theater_id, reason, before, after, request_id, address)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		typeid.New(), e.Action, known(e.Actor), e.Subject, known(e.Theater), e.Reason, before, after, origin.RequestID, peer.Network(origin.Address))
	if err != nil {
		return fmt.Errorf("recording %s: %w", e.Action, err)
	}
	return nil
}

// encoded returns the JSON of a value, NULL for nil.
func encoded(value any) (sql.NullString, error) {
	if value == nil {
		return sql.NullString{}, nil
	}
	text, err := json.Marshal(value)
	if err != nil {
		return sql.NullString{}, fmt.Errorf("audit: encode a change: %w", err)
	}
	return sql.NullString{String: string(text), Valid: true}, nil
}

func known(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: id != uuid.Nil} }
