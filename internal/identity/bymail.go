package identity

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/notify"
)

// mailRule bounds how many mails may be asked for: so many at once, and one more with each pause.
type mailRule struct {
	burst int
	pause time.Duration
}

var (
	mailsTo   = mailRule{burst: 5, pause: 15 * time.Minute} // one address, of one kind
	mailsFrom = mailRule{burst: 60, pause: time.Minute}     // one source
	changesOf = mailRule{burst: 5, pause: 15 * time.Minute} // one account: of its address
)

// askByMail queues a mail that somebody asks for, who need not be whom it goes to: THROTTLED when the source has asked for
// too many. When the address has got too many of its kind nothing is sent and nothing is said, so that nobody can tell what
// others asked for; what it got is as good as another mail would be. write is called inside the transaction.
func (s *Service) askByMail(ctx context.Context, kind notify.Kind, to string, device Device, write func(tx *sql.Tx) (notify.Mail, error)) error {
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		full, err := s.countMailTx(ctx, tx, kind, to, device)
		if err != nil || full {
			return err
		}
		m, err := write(tx)
		if err != nil {
			return err
		}
		return s.mails.EnqueueTx(ctx, tx, m)
	})
	if err != nil {
		return fmt.Errorf("asking by mail: %w", err)
	}
	return nil
}

// countMailTx counts a mail to an address that a device asks for: THROTTLED when the source has asked for too many. full
// says that the address has got too many of the kind, so that it is to get none, which nobody may be told. Each kind counts
// for itself: who asks for one keeps nobody from another.
func (s *Service) countMailTx(ctx context.Context, tx *sql.Tx, kind notify.Kind, email string, device Device) (full bool, err error) {
	// Whoever counts both counts the source first, so that none waits for another who waits for it.
	wait, err := s.countTx(ctx, tx, s.subject("mails from", device.Address), mailsFrom)
	if err != nil {
		return false, err
	}
	if wait > 0 {
		return false, apperr.Throttle(wait, "Too many mails were asked for.")
	}
	wait, err = s.countTx(ctx, tx, s.subject("mails to", string(kind)+" "+email), mailsTo)
	return wait > 0, err
}

// requestMail queues a request by somebody who may not learn whether the address has an account: BAD_USER_INPUT, THROTTLED.
func (s *Service) requestMail(ctx context.Context, kind notify.Kind, email string, device Device) error {
	email = normaliseEmail(email)
	if !validEmail(email) {
		return apperr.Invalid("input.email", "This is not an e-mail address.")
	}
	return s.askByMail(ctx, kind, email, device, func(*sql.Tx) (notify.Mail, error) {
		return notify.Mail{To: email, Kind: kind}, nil
	})
}

// level is how many mails count, and since when none has been forgotten.
type level struct {
	count int
	since time.Time
}

// at returns the level after the mails were forgotten that no longer count: one with each pause.
func (l level) at(now time.Time, rule mailRule) level {
	forgotten := int(now.Sub(l.since) / rule.pause)
	if forgotten >= l.count {
		return level{since: now}
	}
	return level{count: l.count - forgotten, since: l.since.Add(time.Duration(forgotten) * rule.pause)}
}

// wait is how long until one more mail may be asked for.
func (l level) wait(now time.Time, rule mailRule) time.Duration {
	if l.count < rule.burst {
		return 0
	}
	return l.since.Add(rule.pause).Sub(now)
}

// countTx counts one more for a subject, or says how long it has to wait for that. The levels are kept beside the counts of
// guesses; the row is locked until the transaction ends.
func (s *Service) countTx(ctx context.Context, tx *sql.Tx, subject uuid.UUID, rule mailRule) (wait time.Duration, err error) {
	now := s.now()
	var l level
	err = tx.QueryRowContext(ctx, `INSERT INTO guesses (id, failed_at) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET id = excluded.id
		RETURNING failures, failed_at`, subject, now).Scan(&l.count, &l.since)
	if err != nil {
		return 0, err
	}
	l = l.at(now, rule)
	if wait := l.wait(now, rule); wait > 0 {
		return wait, nil
	}
	_, err = tx.ExecContext(ctx, `UPDATE guesses SET failures = $2, failed_at = $3 WHERE id = $1`, subject, l.count+1, l.since)
	return 0, err
}

// ResolveMail decides what becomes of a mail that was asked for with an address. It is where it is looked up whether the
// address has an account: after the answer, by nobody's request.
func (s *Service) ResolveMail(ctx context.Context, request notify.Mail) (letter notify.Mail, ok bool, err error) {
	row, err := s.userByEmail(ctx, request.To)
	if err != nil {
		return notify.Mail{}, false, err
	}
	var u User
	var locale string
	if row != nil {
		if u, err = s.fromEnt(row); err != nil {
			return notify.Mail{}, false, err
		}
		if locale, err = localeOf(ctx, s.db.SQL(), u.ID); err != nil {
			return notify.Mail{}, false, err
		}
	}
	switch {
	case request.Kind == notify.SignUpRequested && row == nil:
		letter = notify.Mail{To: request.To, Kind: notify.ConfirmSignUp, Data: notify.Data{}}
		return s.withLink(ctx, letter, "/sign-up", purposeSignUp, mailed{email: request.To})
	case request.Kind == notify.TakeRequested && row == nil:
		return s.takeLetter(ctx, request)
	case request.Kind == notify.SignUpRequested:
		return notify.Mail{To: u.Email, Locale: locale, Kind: notify.AccountExists, Data: notify.Data{"name": u.Name, "link": "/sign-in"}}, true, nil
	case request.Kind == notify.TakeRequested:
		return notify.Mail{To: u.Email, Locale: locale, Kind: notify.AddressWanted, Data: notify.Data{"name": u.Name}}, true, nil
	case request.Kind == notify.RecoveryRequested && row != nil:
		letter = notify.Mail{To: u.Email, Locale: locale, Kind: notify.ResetPassword, Data: notify.Data{"name": u.Name}}
		return s.withLink(ctx, letter, "/recover", purposeReset, mailed{user: u.ID, email: u.Email})
	default:
		return notify.Mail{}, false, nil
	}
}

// withLink gives a letter the link to a page with a fresh token.
func (s *Service) withLink(ctx context.Context, letter notify.Mail, page string, p purpose, m mailed) (_ notify.Mail, ok bool, err error) {
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		token, err := s.mintTx(ctx, tx, p, m)
		letter.Data["link"] = linkTo(page, token)
		return err
	})
	return letter, err == nil, err
}

// linkTo is a page with a token in its fragment, which browsers send to no server and name to no other page.
func linkTo(page, token string) string { return page + "#token=" + token }
