package notify_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"marquee/internal/notify"
	"marquee/internal/typeid"
)

// postOffice is a mail server on loopback.
type postOffice struct {
	address *net.TCPAddr
	trusts  *tls.Config // of a client that trusts it
	got     chan received
}

type received struct {
	from, to, user string
	private        bool
	data           []byte
}

// refusal is what the server says to who is named in an address.
func refusal(to string) error {
	switch {
	case strings.HasPrefix(to, "full@"):
		return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 2, 2}, Message: to + " has no room"}
	case strings.HasPrefix(to, "nobody@"):
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: to + " does not live here"}
	default:
		return nil
	}
}

// NewSession is the server's side of a connection.
func (p *postOffice) NewSession(c *smtp.Conn) (smtp.Session, error) {
	_, private := c.TLSConnectionState()
	return &visit{office: p, received: received{private: private}}, nil
}

type visit struct {
	received

	office *postOffice
}

func (v *visit) AuthMechanisms() []string { return []string{sasl.Plain} }

func (v *visit) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "marquee" || password != "let us in" {
			return smtp.ErrAuthFailed
		}
		v.user = user
		return nil
	}), nil
}

func (v *visit) Mail(from string, _ *smtp.MailOptions) error { v.from = from; return nil }

func (v *visit) Rcpt(to string, _ *smtp.RcptOptions) error { v.to = to; return refusal(to) }

func (v *visit) Data(r io.Reader) (err error) {
	if v.data, err = io.ReadAll(r); err == nil {
		v.office.got <- v.received
	}
	return err
}

func (*visit) Reset() {}

func (*visit) Logout() error { return nil }

func newPostOffice(t *testing.T, implicit bool) *postOffice {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sheet := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, sheet, sheet, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	p := &postOffice{got: make(chan received, 16), trusts: &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12}}
	server := smtp.NewServer(p)
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	server.Domain, server.EnableSMTPUTF8 = "localhost", true
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal("not a TCP listener")
	}
	p.address = address
	if implicit {
		listener = tls.NewListener(listener, server.TLSConfig)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; err != nil && !errors.Is(err, smtp.ErrServerClosed) {
			t.Error(err)
		}
	})
	return p
}

func (p *postOffice) smtp() *notify.SMTP {
	return &notify.SMTP{
		Host: "127.0.0.1", Port: p.address.Port, User: "marquee", Password: "let us in", Privacy: notify.StartTLS, TLS: p.trusts,
		From: mail.Address{Name: "Märquee, “the” box office", Address: "tickets@marquee.example"},
	}
}

func write(t *testing.T, m notify.Mail) notify.Letter {
	t.Helper()
	words, err := notify.NewWords(base)
	if err != nil {
		t.Fatal(err)
	}
	letter, err := words.Write(typeid.New(), m)
	if err != nil {
		t.Fatal(err)
	}
	return letter
}

// parts returns the headers and the bodies of a message, by media type.
func parts(t *testing.T, data []byte) (mail.Header, map[string]string) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string]string{}
	for reader := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return m.Header, bodies
		}
		if err != nil {
			t.Fatal(err)
		}
		var body io.Reader = part
		if strings.EqualFold(part.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
			body = quotedprintable.NewReader(part)
		}
		text, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		bodies[kind] = strings.ReplaceAll(string(text), "\r\n", "\n")
	}
}

// Names with accents, from right to left and with line breaks arrive as what they are, and never as anything else.
func TestSMTP_Send(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		implicit   bool
		name, says string
	}{
		"starttls and accents":       {name: "Nóra Kovács-Nuñez ✓", says: "Hello Nóra Kovács-Nuñez ✓,"},
		"implicit and right to left": {implicit: true, name: "נועה לוי", says: "Hello \u2068נועה לוי\u2069,"},
		"line breaks":                {name: "A\r\nBcc: victim@example.com\r\n\r\n<b>B</b>\n\nC", says: "Hello A Bcc: victim@example.com <b>B</b> C,"},
		"direction marks and NUL":    {name: "\u202eadmin\x00\u2066", says: "Hello admin,"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPostOffice(t, c.implicit)
			courier := p.smtp()
			if c.implicit {
				courier.Privacy = notify.Implicit
			}
			letter := write(t, notify.Mail{To: "nora@example.com", Kind: notify.ResetPassword, Data: notify.Data{"name": c.name, "link": path}})
			if err := courier.Send(t.Context(), letter); err != nil {
				t.Fatal(err)
			}
			got := <-p.got
			if got.from != "tickets@marquee.example" || got.to != "nora@example.com" || got.user != "marquee" || !got.private {
				t.Errorf("envelope: %+v", got)
			}
			header, bodies := parts(t, got.data)
			if header.Get("Bcc") != "" || header.Get("To") != "<nora@example.com>" || header.Get("Subject") != "Choose another password" ||
				header.Get("Auto-Submitted") != "auto-generated" || header.Get("Message-Id") != "<"+letter.ID.String()+"@marquee.example>" {
				t.Errorf("header: %v", header)
			}
			if from, err := header.AddressList("From"); err != nil || len(from) != 1 || from[0].Name != courier.From.Name {
				t.Errorf("from: %v, %v", from, err)
			}
			text, html := bodies["text/plain"], bodies["text/html"]
			if !strings.Contains(text, c.says+"\n\n") || !strings.Contains(text, "\n"+secret+"\n") {
				t.Errorf("text: %q", text)
			}
			if strings.Contains(html, "<b>") || !strings.Contains(html, `href="`+secret+`"`) {
				t.Errorf("HTML: %s", html)
			}
		})
	}
}

func TestSMTP_Send_refused(t *testing.T) {
	t.Parallel()
	p := newPostOffice(t, false)
	for name, c := range map[string]struct {
		to      string
		change  func(*notify.SMTP)
		forever bool
	}{
		"a full mailbox":      {to: "full@example.com"},
		"nobody there":        {to: "nobody@example.com", forever: true},
		"an untrusted server": {to: "nora@example.com", change: func(s *notify.SMTP) { s.TLS = nil }},
		"a wrong password":    {to: "nora@example.com", change: func(s *notify.SMTP) { s.Password = "open sesame" }},
		"no server":           {to: "nora@example.com", change: func(s *notify.SMTP) { s.Port = 1 }},
		"in the clear to TLS": {to: "nora@example.com", change: func(s *notify.SMTP) { s.Privacy = notify.Implicit }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			courier := p.smtp()
			if c.change != nil {
				c.change(courier)
			}
			err := courier.Send(t.Context(), write(t, notify.Mail{To: c.to, Kind: notify.PasswordChanged, Data: notify.Data{"name": "Nora"}}))
			fault, ok := errors.AsType[*notify.SendError](err)
			if !ok || fault.Forever != c.forever || strings.Contains(fault.Reason, "@") || strings.Contains(fault.Reason, "sesame") {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("a server that says nothing", func(t *testing.T) {
		t.Parallel()
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = silent.Close() })
		courier := p.smtp()
		if address, ok := silent.Addr().(*net.TCPAddr); ok {
			courier.Port = address.Port
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, ok := errors.AsType[*notify.SendError](courier.Send(ctx, write(t, notify.Mail{To: "nora@example.com", Kind: notify.PasswordChanged, Data: notify.Data{"name": "Nora"}}))); !ok {
			t.Error("it was sent")
		}
	})
}
