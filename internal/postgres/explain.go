package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// connectError is a failure to connect as one sentence for the operator, with the driver's error as its cause.
type connectError struct {
	sentence string
	cause    error
}

func (e *connectError) Error() string { return e.sentence }
func (e *connectError) Unwrap() error { return e.cause }

// explain says what went wrong when connecting, and what to correct.
func (c *connector) explain(cause error) error {
	return &connectError{sentence: c.sentence(cause), cause: cause}
}

func (c *connector) sentence(cause error) string {
	where := serverName(c.config)
	if e := pq.As(cause); e != nil {
		switch e.Code {
		case pqerror.InvalidPassword:
			return fmt.Sprintf("the server at %s refuses the password of user %q", where, c.config.User)
		case pqerror.InvalidCatalogName:
			return fmt.Sprintf("the server at %s has no database %q", where, c.config.Database)
		case pqerror.TooManyConnections:
			return fmt.Sprintf("the server at %s has no connection to spare: lower the pool's size or raise max_connections", where)
		case pqerror.CannotConnectNow:
			return fmt.Sprintf("the server at %s is starting, stopping or recovering: try again in a moment", where)
		}
		return fmt.Sprintf("the server at %s refuses user %q on database %q: %s (%s)",
			where, c.config.User, c.config.Database, e.Message, e.Code)
	}
	if e, ok := errors.AsType[*net.DNSError](cause); ok {
		return fmt.Sprintf("the host name %q of the database cannot be resolved", e.Name)
	}
	switch {
	case errors.Is(cause, syscall.ECONNREFUSED), errors.Is(cause, fs.ErrNotExist):
		return fmt.Sprintf("no server listens at %s: start it, or correct the host and port of the database URL", where)
	case errors.Is(cause, os.ErrDeadlineExceeded), isTimeout(cause):
		return fmt.Sprintf("the server at %s did not answer within %s", where, c.config.ConnectTimeout)
	case errors.Is(cause, pq.ErrSSLNotSupported):
		return fmt.Sprintf("the server at %s does not offer TLS: add sslmode=disable to the database URL to do without", where)
	case isUntrusted(cause):
		return fmt.Sprintf("the server at %s has a certificate that is not trusted: %v", where, cause)
	case errors.Is(cause, io.EOF), errors.Is(cause, io.ErrUnexpectedEOF), errors.Is(cause, syscall.ECONNRESET):
		return fmt.Sprintf("whatever listens at %s hung up during the greeting: is it a PostgreSQL server?", where)
	}
	return fmt.Sprintf("the server at %s cannot be used: %v", where, cause)
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

func isUntrusted(err error) bool {
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, hostname := errors.AsType[x509.HostnameError](err)
	return verification || authority || hostname
}

// serverName names the server, or each of several, as in the URL.
func serverName(config pq.Config) string {
	name := func(host string, addr fmt.Stringer, valid bool, port uint16) string {
		if host == "" && valid {
			host = addr.String()
		}
		if filepath.IsAbs(host) || strings.HasPrefix(host, "@") {
			return filepath.Join(host, ".s.PGSQL."+strconv.Itoa(int(port)))
		}
		return net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	names := []string{name(config.Host, config.Hostaddr, config.Hostaddr.IsValid(), config.Port)}
	for _, m := range config.Multi {
		names = append(names, name(m.Host, m.Hostaddr, m.Hostaddr.IsValid(), m.Port))
	}
	return strings.Join(names, " or ")
}
