package app

import (
	"context"
	"log/slog"

	"marquee/internal/clock"
	"marquee/internal/config"
	"marquee/internal/identity"
	"marquee/internal/notify"
	"marquee/internal/postgres"
	"marquee/internal/vault"
)

// newPost returns what sends the mails of the installation, and the mailbox that keeps them instead where no mail server
// is configured, else nil.
func newPost(
	cfg config.Config, db *postgres.DB, v *vault.Vault, c clock.Clock, accounts *identity.Service, m *metrics, log *slog.Logger,
) (*notify.Worker, *notify.Mailbox, error) {
	base, err := cfg.PublicBase()
	if err != nil {
		return nil, nil, err
	}
	words, err := notify.NewWords(base.String())
	if err != nil {
		return nil, nil, err
	}
	worker := &notify.Worker{
		Outbox: notify.NewOutbox(db, v, c), Words: words, Resolve: accounts.ResolveMail, Observe: m.mail, Log: log,
	}
	server, configured, err := cfg.MailServer()
	if err != nil {
		return nil, nil, err
	}
	if !configured {
		mailbox := &notify.Mailbox{}
		worker.Courier = mailbox
		return worker, mailbox, nil
	}
	sender, err := cfg.Sender()
	if err != nil {
		return nil, nil, err
	}
	worker.Courier = &notify.SMTP{
		Host: server.Host, Port: server.Port, User: server.User, Password: string(server.Password),
		Privacy: notify.Privacy(server.TLS), From: sender,
	}
	return worker, nil, nil
}

// DeliverMail sends the mails that are due until there are no more. It runs by itself, on every node.
func (a *App) DeliverMail(ctx context.Context) error {
	for more := true; more; {
		var err error
		if more, err = a.post.Deliver(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Mailbox returns where this node keeps mails, nil when it sends them.
func (a *App) Mailbox() *notify.Mailbox { return a.mailbox }
