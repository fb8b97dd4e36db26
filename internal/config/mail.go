package config

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// SMTP is the server that takes the mails of the installation.
type SMTP struct {
	Host     string
	Port     int
	User     string // "": nobody signs in
	Password Secret
	// TLS is how the line is made private: "implicit" from the first byte, "starttls" or not at all, or "off".
	TLS string
}

// MailServer returns the server of MARQUEE_SMTP_URL; ok is false when none is configured.
//
//	smtps://user:password@host:465     TLS from the first byte
//	smtp://user:password@host:587      STARTTLS, or no mail
//	smtp://host:25?tls=off             in the clear, without a password: a relay on this machine
func (c Config) MailServer() (server SMTP, ok bool, err error) {
	if c.SMTPURL == "" {
		return SMTP{}, false, nil
	}
	u, err := url.Parse(string(c.SMTPURL))
	if err != nil {
		return SMTP{}, false, errors.New("not a URL") // the error would show the password
	}
	server = SMTP{Host: u.Hostname(), User: u.User.Username()}
	password, _ := u.User.Password()
	server.Password = Secret(password)
	switch tls := u.Query().Get("tls"); {
	case u.Scheme == "smtps" && tls == "":
		server.TLS, server.Port = "implicit", 465
	case u.Scheme == "smtp" && tls == "":
		server.TLS, server.Port = "starttls", 587
	case u.Scheme == "smtp" && tls == "off":
		server.TLS, server.Port = "off", 25
	default:
		return SMTP{}, false, errors.New("neither smtps://, smtp:// nor smtp://…?tls=off")
	}
	if port := u.Port(); port != "" {
		if server.Port, err = strconv.Atoi(port); err != nil || server.Port < 1 || server.Port > 65535 {
			return SMTP{}, false, errors.New("no such port")
		}
	}
	if server.Host == "" || u.Path != "" && u.Path != "/" {
		return SMTP{}, false, errors.New("not a server's address")
	}
	if server.TLS == "off" && server.User != "" {
		return SMTP{}, false, errors.New("a password in the clear")
	}
	if ip, err := netip.ParseAddr(server.Host); server.TLS == "off" && server.Host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return SMTP{}, false, errors.New("letters in the clear to another machine")
	}
	return server, true, nil
}

// Sender returns whom mails come from.
func (c Config) Sender() (mail.Address, error) {
	if c.MailFrom == "" {
		return mail.Address{Name: "Marquee", Address: "marquee@localhost.localdomain"}, nil
	}
	sender, err := mail.ParseAddress(c.MailFrom)
	if err != nil {
		return mail.Address{}, fmt.Errorf("not a mail address: %w", err)
	}
	return *sender, nil
}

// PublicBase returns the address of the pages that people use, without a slash at its end: what links in mails begin
// with. It never comes from a request, whose Host header anybody may choose.
func (c Config) PublicBase() (*url.URL, error) {
	if c.PublicURL == "" {
		_, port, err := net.SplitHostPort(c.Listen)
		if err != nil || port == "0" {
			port = "8080"
		}
		return &url.URL{Scheme: "http", Host: "localhost:" + port}, nil
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("not an address like https://tickets.example")
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	return u, nil
}

// validateMail names what keeps mails, and the links in them, from arriving.
func (c Config) validateMail() error {
	var problems []error
	if _, _, err := c.MailServer(); err != nil {
		problems = append(problems, fmt.Errorf("MARQUEE_SMTP_URL must be like smtp://user:password@host:587: %w", err))
	}
	if _, err := c.Sender(); err != nil {
		problems = append(problems, fmt.Errorf("MARQUEE_MAIL_FROM must be like Marquee <tickets@marquee.example>, not %q", c.MailFrom))
	}
	base, err := c.PublicBase()
	if err != nil {
		problems = append(problems, fmt.Errorf("MARQUEE_PUBLIC_URL must be like https://tickets.example, not %q", c.PublicURL))
	} else if c.Env == Production && base.Scheme != "https" && !isLoopback(base.Hostname()) {
		problems = append(problems, fmt.Errorf("MARQUEE_PUBLIC_URL must begin with https:// in production: its links carry what opens accounts"))
	}
	return errors.Join(problems...)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
