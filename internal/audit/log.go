package audit

import (
	"context"
	"fmt"
	"time"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"

	"marquee/ent"
	"marquee/ent/auditentry"
	"marquee/ent/predicate"
	"marquee/internal/apperr"
	"marquee/internal/page"
	"marquee/internal/typeid"
)

// CursorName names the ordering of the log, the latest entry first.
const CursorName = "audit"

// CursorKey is where the entry stands in it.
func (r Record) CursorKey() []string {
	return []string{r.CreatedAt.Format(time.RFC3339Nano), r.ID.String()}
}

// ActionName is the action as text.
func (r Record) ActionName() string { return string(r.Action) }

// Meaning is that of the action.
func (r Record) Meaning() string { return r.Action.Meaning() }

// ActorID is the public id of who did it, nil for nobody who is known.
func (r Record) ActorID() *string { return publicID(typeid.User, r.Actor) }

// TheaterID is the public id of the theater concerned, nil for none.
func (r Record) TheaterID() *string { return publicID(typeid.Theater, r.Theater) }

// Sealed reports whether the entry is part of the chain.
func (r Record) Sealed() bool { return r.position > 0 }

func publicID(kind typeid.Kind, id uuid.NullUUID) *string {
	if !id.Valid {
		return nil
	}
	return new(typeid.Encode(kind, id.UUID))
}

// Filter restricts the log; nil conditions hold for every entry.
type Filter struct {
	Actor, Theater  *uuid.UUID
	Subject, Action *string
	From, To        *time.Time // from the one until before the other
}

// Validate returns BAD_USER_INPUT for a filter that nothing can match.
func (f Filter) Validate() error {
	var bad apperr.Fields
	if f.Action != nil && Action(*f.Action).Meaning() == "" {
		bad.Add("filter.action", "There is no such action.")
	}
	if f.From != nil && f.To != nil && !f.From.Before(*f.To) {
		bad.Add("filter.to", "The end must be after the beginning.")
	}
	return bad.Err()
}

// Log reads the entries. It is safe for concurrent use.
type Log struct{ ent *ent.Client }

// NewLog returns a Log that reads through client.
func NewLog(client *ent.Client) *Log { return &Log{client} }

// Entries returns a page of the entries that match filter, the latest first. One statement.
func (l *Log) Entries(ctx context.Context, filter Filter, request page.Request) (page.Page[Record], error) {
	if err := filter.Validate(); err != nil {
		return page.Page[Record]{}, err
	}
	rows, err := l.ent.AuditEntry.Query().
		Where(filter.predicates()...).
		Where(func(sel *sql.Selector) {
			columns := []string{sel.C(auditentry.FieldCreatedAt), sel.C(auditentry.FieldID)}
			if request.After != nil {
				sel.Where(sql.CompositeLT(columns, request.After[0], request.After[1]))
			}
			if request.Before != nil {
				sel.Where(sql.CompositeGT(columns, request.Before[0], request.Before[1]))
			}
			direction := sql.Desc
			if request.Backward {
				direction = sql.Asc
			}
			sel.OrderBy(direction(columns[0]), direction(columns[1]))
		}).
		Limit(request.Limit + 1).
		All(ctx)
	if err != nil {
		return page.Page[Record]{}, fmt.Errorf("reading the audit log: %w", err)
	}
	records := make([]Record, len(rows))
	for i, row := range rows {
		records[i] = fromEnt(row)
	}
	return page.Cut(request, records), nil
}

// Entry returns one entry: NOT_FOUND when there is none.
func (l *Log) Entry(ctx context.Context, id uuid.UUID) (Record, error) {
	row, err := l.ent.AuditEntry.Get(ctx, id)
	if ent.IsNotFound(err) {
		return Record{}, apperr.Missing("audit entry")
	}
	if err != nil {
		return Record{}, fmt.Errorf("reading the audit log: %w", err)
	}
	return fromEnt(row), nil
}

func (f Filter) predicates() []predicate.AuditEntry {
	var all []predicate.AuditEntry
	if f.Actor != nil {
		all = append(all, auditentry.ActorID(*f.Actor))
	}
	if f.Theater != nil {
		all = append(all, auditentry.TheaterID(*f.Theater))
	}
	if f.Subject != nil {
		all = append(all, auditentry.Subject(*f.Subject))
	}
	if f.Action != nil {
		all = append(all, auditentry.Action(*f.Action))
	}
	if f.From != nil {
		all = append(all, auditentry.CreatedAtGTE(*f.From))
	}
	if f.To != nil {
		all = append(all, auditentry.CreatedAtLT(*f.To))
	}
	return all
}

func fromEnt(row *ent.AuditEntry) Record {
	r := Record{
		ID: row.ID, CreatedAt: row.CreatedAt.UTC(), Action: Action(row.Action), Subject: row.Subject, Reason: row.Reason,
		RequestID: row.RequestID, Address: row.Address, Before: written(row.Before), After: written(row.After),
	}
	if row.ActorID != nil {
		r.Actor = known(*row.ActorID)
	}
	if row.TheaterID != nil {
		r.Theater = known(*row.TheaterID)
	}
	if row.Position != nil {
		r.position = *row.Position
	}
	return r
}

func written(json []byte) *string {
	if json == nil {
		return nil
	}
	return new(string(json))
}
