package local

import (
	"errors"
	"fmt"
)

// Kinds of failure. Start, EnsureDatabase and Close return an *Error that matches one of them with errors.Is
// whenever a person has to do something about it.
var (
	ErrUnsupported  = errors.New("no private PostgreSQL cluster on this system")
	ErrMissing      = errors.New("PostgreSQL not found")
	ErrTooOld       = errors.New("PostgreSQL too old")
	ErrOtherVersion = errors.New("data of another PostgreSQL version")
	ErrUnwritable   = errors.New("folder not writable")
	ErrUnreachable  = errors.New("folder not reachable by the server's user")
	ErrNoUser       = errors.New("no unprivileged user for the server")
	ErrWrongOwner   = errors.New("data owned by another user")
	ErrForeignData  = errors.New("data folder holds something else")
	ErrPasswordLost = errors.New("password of the cluster lost")
	ErrInit         = errors.New("data folder could not be made")
	ErrNotUp        = errors.New("server does not come up")
	ErrLeftover     = errors.New("processes of an earlier server remain")
	ErrNotStopped   = errors.New("server does not stop")
)

// Error is one sentence for a person. Kind is one of the sentinels of this package; Cause, when there is one, is
// what the operating system or PostgreSQL said. errors.Is and errors.As reach both.
type Error struct {
	Kind    error
	Message string
	Cause   error
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the kind and, when known, the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

func problem(kind, cause error, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Cause: cause}
}

const installHint = "install it (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; " +
	"macOS: brew install postgresql@17), or name its bin folder in MARQUEE_PG_BIN, or a running server in MARQUEE_DATABASE_URL"
