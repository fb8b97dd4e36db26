package audit

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/google/uuid"

	"marquee/internal/typeid"
)

// Record is an entry as it was kept.
type Record struct {
	ID            uuid.UUID
	CreatedAt     time.Time // when the transaction of the act began, by the database's clock
	Action        Action
	Actor         uuid.NullUUID
	Subject       string
	Theater       uuid.NullUUID
	Reason        string
	Before, After *string // JSON, as it was written; nil: nothing to tell
	RequestID     string
	Address       string // the network of who asked

	position int64 // zero: not sealed yet
	seal     hash
}

// NodeID returns the entry's public id.
func (r Record) NodeID() string { return typeid.Encode(typeid.AuditEntry, r.ID) }

// IsNode marks what clients can read again by its id.
func (Record) IsNode() {}

// hash is the seal of an entry.
type hash = [sha256.Size]byte

// recordColumns are all columns of an entry, in the order of scanRecord.
const recordColumns = `id, created_at, action, actor_id, subject, theater_id, reason, before::text, after::text, request_id, address, position, seal`

func scanRecord(rows *sql.Rows) (r Record, err error) {
	var position sql.NullInt64
	var seal []byte
	err = rows.Scan(&r.ID, &r.CreatedAt, &r.Action, &r.Actor, &r.Subject, &r.Theater, &r.Reason, &r.Before, &r.After, &r.RequestID, &r.Address, &position, &seal)
	r.CreatedAt, r.position = r.CreatedAt.UTC(), position.Int64
	copy(r.seal[:], seal)
	return r, err
}

// sealAt returns the seal of the entry at a position after the entry with the seal before. It covers every column, each
// with its length, so that no two entries read the same.
func (r Record) sealAt(position int64, before hash) hash {
	sum := sha256.New()
	_, _ = io.WriteString(sum, "marquee audit entry\n") // a hash never fails to be written to
	_, _ = sum.Write(before[:])
	for _, field := range []string{
		strconv.FormatInt(position, 10), r.ID.String(), r.CreatedAt.Format(time.RFC3339Nano), string(r.Action), text(r.Actor), r.Subject,
		text(r.Theater), r.Reason, orNothing(r.Before), orNothing(r.After), r.RequestID, r.Address,
	} {
		fmt.Fprintf(sum, "%d:%s", len(field), field)
	}
	return hash(sum.Sum(nil))
}

func text(id uuid.NullUUID) string {
	if !id.Valid {
		return ""
	}
	return id.UUID.String()
}

// orNothing returns JSON, which is never empty, or nothing.
func orNothing(json *string) string {
	if json == nil {
		return ""
	}
	return *json
}
