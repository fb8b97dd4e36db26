package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"

	smtp "github.com/wneessen/go-mail"
)

// Privacy is how the line to a mail server is kept private.
type Privacy string

// The ways. Only a relay on the same machine is spoken to without.
const (
	Implicit Privacy = "implicit" // TLS from the first byte
	StartTLS Privacy = "starttls" // STARTTLS, or nothing is sent
	Open     Privacy = "off"
)

// dialling bounds the way to the server; the attempt as a whole has its own limit.
const dialling = 15 * time.Second

// SMTP takes letters to a mail server.
type SMTP struct {
	Host     string
	Port     int
	User     string // "": nobody signs in
	Password string
	Privacy  Privacy
	TLS      *tls.Config // nil: the machine's authorities
	From     mail.Address
}

// Send hands a letter to the server. The same letter has the same Message-ID each time, so that a reader's mail program
// can tell a second copy.
func (s *SMTP) Send(ctx context.Context, l Letter) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	if err := client.DialAndSendWithContext(ctx, s.message(l)); err != nil {
		return faultOf(err)
	}
	return nil
}

func (s *SMTP) client() (*smtp.Client, error) {
	options := []smtp.Option{smtp.WithPort(s.Port), smtp.WithTimeout(dialling)}
	switch s.Privacy {
	case Implicit:
		options = append(options, smtp.WithSSL())
	case StartTLS:
		options = append(options, smtp.WithTLSPolicy(smtp.TLSMandatory))
	case Open:
		options = append(options, smtp.WithTLSPolicy(smtp.NoTLS))
	}
	if s.TLS != nil {
		options = append(options, smtp.WithTLSConfig(s.TLS))
	}
	if s.User != "" {
		options = append(options, smtp.WithSMTPAuth(smtp.SMTPAuthAutoDiscover), smtp.WithUsername(s.User), smtp.WithPassword(s.Password))
	}
	client, err := smtp.NewClient(s.Host, options...)
	if err != nil {
		return nil, fmt.Errorf("notify: prepare for the mail server: %w", err)
	}
	return client, nil
}

func (s *SMTP) message(l Letter) *smtp.Msg {
	m := smtp.NewMsg()
	m.FromMailAddress(&s.From)
	m.ToMailAddress(&mail.Address{Address: l.To})
	m.Subject(l.Subject)
	_, domain, _ := strings.Cut(s.From.Address, "@")
	m.SetMessageIDWithValue(l.ID.String() + "@" + domain)
	m.SetDate()
	// RFC 3834: nobody answers by machine.
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader(smtp.HeaderContentLang, l.Language)
	m.SetBodyString(smtp.TypeTextPlain, l.Text)
	m.AddAlternativeString(smtp.TypeTextHTML, l.HTML)
	return m
}

// faultOf says why a letter was not sent, without what the server said: it repeats addresses.
func faultOf(err error) *SendError {
	if failed, ok := errors.AsType[*smtp.SendError](err); ok && failed.ErrorCode() != 0 {
		const permanent = 500
		return &SendError{Reason: fmt.Sprintf("the server answered %d", failed.ErrorCode()), Forever: failed.ErrorCode() >= permanent}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &SendError{Reason: "the server did not answer in time"}
	case errors.Is(err, context.Canceled):
		return &SendError{Reason: "this node is going away"}
	default:
		return &SendError{Reason: "the server could not be reached, or not be trusted, or did not let us in"}
	}
}
