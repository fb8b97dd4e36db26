// Package notify owns the mails that the program sends: what they say in which language, the queue they wait in, and
// their delivery.
//
// A mail is queued in the transaction that has the reason for it, so it is sent if and only if that commits; workers on
// all nodes share the queue and send what is due, at least once, outside of any transaction. What cannot be sent is tried
// again with growing pauses, and given up after a day's worth of failures would do no good: some ninety minutes.
//
// Some mails depend on what may not be told to whoever asked: whether an address has an account. Those are queued as
// requests, without looking, and a Resolver decides at delivery what becomes of them. So the asking takes as long and
// answers the same whatever is so, and a secret that such a mail carries exists only once somebody can read it.
//
// The kinds are a closed list, with a template each in every language. No subject holds anything that a person chose,
// and no header but the address does.
//
// Invariants:
//   - the address and the contents of a mail stand in the database only sealed, and only until it is settled;
//   - no log line and no recorded fault names either.
package notify

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"net/mail"
	"slices"
	"strings"

	"github.com/google/uuid"

	"marquee/internal/clock"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
	"marquee/internal/vault"
)

// Kind is what a mail is about.
type Kind string

// The requests. What becomes of them is found out when they are due; nobody is sent one.
const (
	SignUpRequested   Kind = "sign-up-requested"
	RecoveryRequested Kind = "recovery-requested"
	TakeRequested     Kind = "take-requested" // change: which, as the Resolver knows it
)

// The letters. Their data is named behind each; a link is a path of the installation's own pages: /recover#token=…. A
// letter to an address that nobody has proved yet carries no words that anybody chose, or it would be a way to send them
// to strangers.
const (
	ConfirmSignUp   Kind = "confirm-sign-up"  // link
	AccountExists   Kind = "account-exists"   // name, link
	VerifyAddress   Kind = "verify-address"   // link
	LeaveAddress    Kind = "leave-address"    // name, link: to the address that an account is about to leave
	TakeAddress     Kind = "take-address"     // link: to the address that it is about to take
	AddressChanged  Kind = "address-changed"  // name
	AddressWanted   Kind = "address-wanted"   // name: another account was to get the address
	ResetPassword   Kind = "reset-password"   // name, link
	PasswordReset   Kind = "password-reset"   // name
	PasswordChanged Kind = "password-changed" // name
	FactorAdded     Kind = "factor-added"     // name, factor
	FactorRemoved   Kind = "factor-removed"   // name, factor
	RecoveryCode    Kind = "recovery-code"    // name: a recovery code was used in the place of a factor
	RecoveryCodes   Kind = "recovery-codes"   // name: the codes of before are worthless, others were shown
	NewDevice       Kind = "new-device"       // name, device: may be empty; when

	SeatsRetaken Kind = "seats-retaken" // name, seats: money came late, and the seats were free
	SeatsOffered Kind = "seats-offered" // name, seats, minutes, link: they were not, and others are held
	LateRefund   Kind = "late-refund"   // name: nothing could be had for it, or was wanted

	ProviderLinked   Kind = "provider-linked"   // name, provider
	ProviderUnlinked Kind = "provider-unlinked" // name, provider
	RoleGranted      Kind = "role-granted"      // name, role, scope: THEATER or PLATFORM
	RoleRevoked      Kind = "role-revoked"      // as RoleGranted
	AccountDisabled  Kind = "account-disabled"  // name
	AccountEnabled   Kind = "account-enabled"   // name
)

// needs says what data each kind must have.
func needs(kind Kind) (data []string, known bool) {
	switch kind {
	case SignUpRequested, RecoveryRequested:
		return nil, true
	case TakeRequested:
		return []string{"change"}, true
	case ConfirmSignUp, VerifyAddress, TakeAddress:
		return []string{"link"}, true
	case AccountExists, LeaveAddress, ResetPassword:
		return []string{"link", "name"}, true
	case AddressChanged, AddressWanted, PasswordReset, PasswordChanged, RecoveryCode, RecoveryCodes, AccountDisabled, AccountEnabled:
		return []string{"name"}, true
	case LateRefund:
		return []string{"name"}, true
	case SeatsRetaken:
		return []string{"name", "seats"}, true
	case SeatsOffered:
		return []string{"link", "minutes", "name", "seats"}, true
	case FactorAdded, FactorRemoved:
		return []string{"factor", "name"}, true
	case NewDevice:
		return []string{"device", "name", "when"}, true
	case ProviderLinked, ProviderUnlinked:
		return []string{"name", "provider"}, true
	case RoleGranted, RoleRevoked:
		return []string{"name", "role", "scope"}, true
	default:
		return nil, false
	}
}

// isRequest reports whether a Resolver decides what becomes of a kind.
func (k Kind) isRequest() bool {
	return k == SignUpRequested || k == RecoveryRequested || k == TakeRequested
}

// Kinds returns the letters.
func Kinds() []Kind {
	return []Kind{
		ConfirmSignUp, AccountExists, VerifyAddress, LeaveAddress, TakeAddress, AddressChanged, AddressWanted, ResetPassword,
		PasswordReset, PasswordChanged, FactorAdded, FactorRemoved, RecoveryCode, RecoveryCodes, NewDevice, ProviderLinked,
		ProviderUnlinked, RoleGranted, RoleRevoked, AccountDisabled, AccountEnabled, SeatsRetaken, SeatsOffered, LateRefund,
	}
}

// Data is what a letter's template is given, by name.
type Data map[string]string

// Mail is what somebody is to be told.
type Mail struct {
	To string // a bare address
	// Locale is what the reader reads: BCP 47, or a list of the kind of Accept-Language. The nearest language that there is
	// counts; "" stands for that of the request, WithLanguages, and else English.
	Locale string
	Kind   Kind
	Data   Data
}

type languagesKey struct{}

// maxLanguages bounds what a request says of its languages, in bytes; no browser says more.
const maxLanguages = 200

// WithLanguages returns a context whose mails are written in the languages that a request asks for, as Accept-Language
// lists them, unless they say themselves what their reader reads.
func WithLanguages(ctx context.Context, acceptLanguage string) context.Context {
	if acceptLanguage == "" || len(acceptLanguage) > maxLanguages {
		return ctx
	}
	return context.WithValue(ctx, languagesKey{}, acceptLanguage)
}

// validate refuses what only a defect can produce.
func (m Mail) validate() error {
	data, known := needs(m.Kind)
	if !known {
		return fmt.Errorf("notify: unknown kind %q", m.Kind)
	}
	if got := slices.Sorted(maps.Keys(m.Data)); !slices.Equal(got, data) {
		return fmt.Errorf("notify: a mail of kind %s needs the data %v, not %v", m.Kind, data, got)
	}
	if link, has := m.Data["link"]; has && !strings.HasPrefix(link, "/") {
		return fmt.Errorf("notify: a mail of kind %s leads to no page", m.Kind)
	}
	if to, err := mail.ParseAddress(m.To); err != nil || to.Address != m.To {
		return fmt.Errorf("notify: a mail of kind %s without a valid address", m.Kind)
	}
	return nil
}

// Outbox is the queue. It is safe for concurrent use.
type Outbox struct {
	db    *postgres.DB
	vault *vault.Vault
	clock clock.Clock
}

// NewOutbox returns the queue in db.
func NewOutbox(db *postgres.DB, v *vault.Vault, c clock.Clock) *Outbox {
	return &Outbox{db: db, vault: v, clock: c}
}

// payload is the sealed part of a row.
type payload struct {
	To     string `json:"to"`
	Locale string `json:"locale,omitempty"`
	Data   Data   `json:"data,omitempty"`
}

// cell is where the payload of a mail lies.
func cell(id uuid.UUID) vault.Cell {
	return vault.Cell{Table: "mails", Column: "payload_sealed", Row: id}
}

// EnqueueTx queues a mail in the caller's transaction. One statement.
func (o *Outbox) EnqueueTx(ctx context.Context, tx *sql.Tx, m Mail) error {
	if err := m.validate(); err != nil {
		return err
	}
	if asked, ok := ctx.Value(languagesKey{}).(string); ok && m.Locale == "" {
		m.Locale = asked
	}
	text, err := json.Marshal(payload{To: m.To, Locale: m.Locale, Data: m.Data})
	if err != nil {
		return fmt.Errorf("notify: encode a mail: %w", err)
	}
	id := typeid.New()
	sealed, err := o.vault.Seal(cell(id), string(text))
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	now := o.clock.Now()
	if _, err := tx.ExecContext(ctx, `INSERT INTO mails (id, kind, payload_sealed, due_at, created_at) VALUES ($1, $2, $3, $4, $4)`,
		id, string(m.Kind), sealed, now); err != nil {
		return fmt.Errorf("queue a mail: %w", err)
	}
	return nil
}
