package postgres

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// ErrOutcomeUnknown marks the failure of a statement outside a transaction, or of a COMMIT, whose answer never came
// because the connection broke: it may have taken effect. Look before repeating it. IsConnectionFailure holds for it.
var ErrOutcomeUnknown = errors.New("the connection to the database broke before the answer came")

// errConnectionLost marks a connection that broke inside a transaction, which the server therefore rolls back.
var errConnectionLost = errors.New("the connection to the database broke inside a transaction")

// SQLState returns the five-character SQLSTATE of the server's error in err's chain, "" when there is none.
func SQLState(err error) string {
	if e := pq.As(err); e != nil {
		return string(e.Code)
	}
	return ""
}

// IsUniqueViolation tells whether err is a breach of a unique or primary key; of one of the named, when any is named.
func IsUniqueViolation(err error, constraint ...string) bool {
	return violates(err, pqerror.UniqueViolation, constraint)
}

// IsForeignKeyViolation tells whether err is a breach of a foreign key; of one of the named, when any is named.
func IsForeignKeyViolation(err error, constraint ...string) bool {
	return violates(err, pqerror.ForeignKeyViolation, constraint)
}

// IsExclusionViolation tells whether err is a breach of an exclusion constraint; of one of the named, when any is named.
func IsExclusionViolation(err error, constraint ...string) bool {
	return violates(err, pqerror.ExclusionViolation, constraint)
}

// IsCheckViolation tells whether err is a breach of a check constraint; of one of the named, when any is named.
func IsCheckViolation(err error, constraint ...string) bool {
	return violates(err, pqerror.CheckViolation, constraint)
}

func violates(err error, code pqerror.Code, constraints []string) bool {
	e := pq.As(err, code)
	return e != nil && (len(constraints) == 0 || slices.Contains(constraints, e.Constraint))
}

// IsConnectionFailure tells whether err means that the database is away: not reachable, shutting down, out of
// connections, turned read-only, or lost in the middle of an answer. The caller's own cancellation is none of these.
func IsConnectionFailure(err error) bool {
	if errors.Is(err, ErrOutcomeUnknown) || errors.Is(err, errConnectionLost) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return true
	}
	switch state := SQLState(err); {
	case strings.HasPrefix(state, string(pqerror.ClassConnectionException)):
		return true
	case state != "":
		return slices.Contains([]pqerror.Code{
			pqerror.AdminShutdown, pqerror.CrashShutdown, pqerror.CannotConnectNow, pqerror.IdleSessionTimeout,
			pqerror.TooManyConnections, pqerror.ReadOnlySQLTransaction,
		}, pqerror.Code(state))
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	_, ok := errors.AsType[*connectError](err)
	return ok && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF))
}

// staleStatementError is a statement refused inside a transaction because its prepared form no longer fits the
// schema. The transaction is aborted, and will go through when it is begun again.
type staleStatementError struct{ cause error }

func (e *staleStatementError) Error() string {
	return "the database schema changed during the transaction: " + e.cause.Error()
}

func (e *staleStatementError) Unwrap() error { return e.cause }

// isStale tells whether the server refused a prepared statement as such, before executing anything: because its
// result type changed, or because it does not know it any more.
func isStale(err error) bool {
	e := pq.As(err, pqerror.FeatureNotSupported, pqerror.InvalidSQLStatementName)
	return e != nil && (e.Code == pqerror.InvalidSQLStatementName || e.Routine == "RevalidateCachedQuery")
}
