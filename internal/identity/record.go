package identity

import (
	"context"
	"database/sql"

	"github.com/google/uuid"

	"marquee/ent"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/typeid"
)

// grantChange is what the audit log keeps of what somebody was granted.
type grantChange struct {
	Grants []string `json:"grants"`
}

func granted(grants ...auth.Grant) grantChange {
	change := grantChange{Grants: make([]string, len(grants))}
	for i, g := range grants {
		change.Grants[i] = g.String()
	}
	return change
}

// sessionKind is what the audit log keeps of a session: what was proved at its sign-in.
type sessionKind struct {
	Proofs []Proof `json:"proofs"`
}

// actorOf returns who does something to an account: the viewer, else its owner where the request comes from outside,
// else nobody: the command line.
func actorOf(ctx context.Context, owner uuid.UUID) uuid.UUID {
	if v, ok := auth.ViewerFrom(ctx); ok {
		return v.UserID
	}
	if audit.OriginFrom(ctx) == (audit.Origin{}) {
		return uuid.Nil
	}
	return owner
}

// recordRefusal records that a wrong password or second factor was given for an account, nil for one that does not exist. It does the
// same either way and outlives the request: who hangs up is recorded as well. How many can come to be is bounded by the
// limits of guesses.
func (s *Service) recordRefusal(ctx context.Context, row *ent.User) error {
	ctx = context.WithoutCancel(ctx)
	entry := audit.Entry{Action: audit.SignInFailed}
	if v, ok := auth.ViewerFrom(ctx); ok {
		entry.Action, entry.Actor = audit.ProofFailed, v.UserID
	}
	if row != nil {
		entry.Subject = typeid.Encode(typeid.User, row.ID)
	}
	return s.db.InTx(ctx, func(tx *sql.Tx) error { return audit.RecordTx(ctx, tx, entry) })
}
