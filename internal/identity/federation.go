package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	entsql "entgo.io/ent/dialect/sql"
	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"marquee/ent"
	"marquee/ent/factor"
	"marquee/ent/federatedidentity"
	"marquee/ent/user"
	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/identity/openid"
	"marquee/internal/notify"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
	"marquee/internal/vault"
	"marquee/internal/words"
)

// Who somebody is at a provider is issuer and subject together, never an address: addresses change hands, and not every
// provider knows whose they are. An address opens nothing that exists. It is only what an account is made with, when the
// provider has verified it and nobody here has it.

var (
	// ErrAccountExists is returned when a provider vouches for somebody it has not vouched for before, whose address is
	// that of an account: its owner signs in as before and links the provider.
	ErrAccountExists = errors.New("identity: an account with the provider's address exists")

	// ErrNoVerifiedEmail is returned when a provider vouches for somebody it has not vouched for before, and for no
	// address that an account could be made with.
	ErrNoVerifiedEmail = errors.New("identity: the provider has verified no address")

	// ErrLinkTaken is returned when the person a provider vouches for is linked to another account.
	ErrLinkTaken = errors.New("identity: the provider's person is linked to another account")

	// ErrLastWayIn is returned when nobody could sign in to an account any more.
	ErrLastWayIn = errors.New("identity: it is the last way to sign in")

	// ErrNoPassword is returned when an account whose owner signs in another way has no password that could be changed.
	ErrNoPassword = errors.New("identity: the account has no password")
)

// maxLinks is how many people of providers one account may be.
const maxLinks = 10

// Link says that a person of a provider is the owner of an account.
type Link struct {
	ID        uuid.UUID
	UserID    uuid.UUID
	Issuer    string
	Provider  *Provider // nil when it is not configured any more
	CreatedAt time.Time
	UsedAt    time.Time
}

// label is what people call the link's provider, or, when it is not configured any more, where it was.
func (l Link) label() string {
	if l.Provider != nil {
		return l.Provider.Label
	}
	return l.Issuer
}

// NodeID returns the link's public id.
func (l Link) NodeID() string { return typeid.Encode(typeid.Link, l.ID) }

// BeginProviderSignIn sends a browser to a provider: BAD_USER_INPUT, UNAVAILABLE.
func (s *Service) BeginProviderSignIn(ctx context.Context, in BeginFlowInput) (BegunFlow, error) {
	return s.beginFlow(ctx, in, uuid.Nil)
}

// SignInByProvider starts a session of whom the provider vouches for, who gets an account when there is none:
// ErrProviderRefused, ErrAccountExists, ErrNoVerifiedEmail, *SecondFactorRequired, UNAVAILABLE.
func (s *Service) SignInByProvider(ctx context.Context, in CompleteFlowInput, device Device) (Tokens, error) {
	person, err := s.completeFlow(ctx, in, uuid.Nil)
	if err != nil {
		return Tokens{}, err
	}
	u, err := s.userOf(ctx, person)
	if err != nil {
		return Tokens{}, err
	}
	return s.admit(ctx, u, device, ProofProvider)
}

// userOf returns the account of a provider's person, or makes one.
func (s *Service) userOf(ctx context.Context, person openid.Person) (User, error) {
	const tries = 3 // each one more than the rivals that can have come between
	for try := range tries {
		row, err := s.ent.FederatedIdentity.Query().
			Where(federatedidentity.Issuer(person.Issuer), s.hasSubject(person.Subject)).WithUser().Only(ctx)
		if err == nil {
			if _, err := s.ent.FederatedIdentity.UpdateOneID(row.ID).SetUsedAt(s.now()).Save(ctx); err != nil && !ent.IsNotFound(err) {
				return User{}, fmt.Errorf("noting a sign-in by a provider: %w", err)
			}
			return s.fromEnt(row.Edges.User)
		}
		if !ent.IsNotFound(err) {
			return User{}, fmt.Errorf("looking for a provider's person: %w", err)
		}
		u, err := s.createByProvider(ctx, person)
		// The address may be taken by a rival for the same person, whose link is there now.
		if again := try == 0 && errors.Is(err, ErrAccountExists) || errors.Is(err, ErrLinkTaken); !again {
			return u, err
		}
	}
	return User{}, apperr.New(apperr.Unavailable, "Your account is being changed at this moment. Try again.")
}

// createByProvider makes an account without a password, with the address that the provider has verified.
func (s *Service) createByProvider(ctx context.Context, person openid.Person) (User, error) {
	email := normaliseEmail(person.Email)
	if !validEmail(email) {
		return User{}, ErrNoVerifiedEmail
	}
	u := User{
		ID: typeid.New(), Email: email, EmailVerified: true, Name: displayName(person.Name, email), CreatedAt: s.now().UTC(),
	}
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := s.addUserTx(ctx, tx, u, ""); err != nil {
			return err
		}
		_, err := s.linkTx(ctx, tx, u.ID, person)
		return err
	})
	if errors.Is(err, ErrEmailTaken) {
		return User{}, ErrAccountExists
	}
	if err != nil {
		return User{}, err
	}
	return u, nil
}

// linkTx makes a provider's person the owner of an account: ErrLinkTaken when they are somebody's already.
func (s *Service) linkTx(ctx context.Context, tx *sql.Tx, userID uuid.UUID, person openid.Person) (Link, error) {
	id, now := typeid.New(), s.now()
	sealed, err := s.vault.Seal(vault.Cell{Table: "federated_identities", Column: "subject_sealed", Row: id}, person.Subject)
	if err != nil {
		return Link{}, err
	}
	if err := s.claimSubjectTx(ctx, tx, person); err != nil {
		return Link{}, err
	}
	row, err := ent.OverTx(tx).FederatedIdentity.Create().
		SetID(id).SetUserID(userID).SetIssuer(person.Issuer).SetSubjectSealed(sealed).SetSubjectIndex(s.vault.Index(subjectIndex, person.Subject)).
		SetUsedAt(now).SetCreatedAt(now).
		Save(ctx)
	if postgres.IsUniqueViolation(err, "federated_identities_subject_key") {
		return Link{}, ErrLinkTaken
	}
	if err != nil {
		return Link{}, err
	}
	return s.linkFrom(row), audit.RecordTx(ctx, tx, audit.Entry{
		Action: audit.ProviderLinked, Actor: userID, Subject: typeid.Encode(typeid.User, userID), After: map[string]string{"issuer": person.Issuer},
	})
}

// subjectIndex is what the vault calls indexes of subjects.
const subjectIndex = "subject"

func (s *Service) hasSubject(subject string) func(*entsql.Selector) {
	return ent.AnyOf(federatedidentity.FieldSubjectIndex, "bytea[]", postgres.Blobs(s.vault.Indexes(subjectIndex, subject)))
}

// claimSubjectTx makes sure that a provider's person is not two while subjects are indexed with two keys, where the unique
// index alone does not: ErrLinkTaken. With one key it does nothing.
func (s *Service) claimSubjectTx(ctx context.Context, tx *sql.Tx, person openid.Person) error {
	indexes := s.vault.Indexes(subjectIndex, person.Subject)
	if len(indexes) == 1 {
		return nil
	}
	if err := lockIndexTx(ctx, tx, indexes); err != nil {
		return err
	}
	taken, err := ent.OverTx(tx).FederatedIdentity.Query().
		Where(federatedidentity.Issuer(person.Issuer), s.hasSubject(person.Subject)).Exist(ctx)
	if err == nil && taken {
		return ErrLinkTaken
	}
	return err
}

// displayName makes a name that can be shown of what a provider calls somebody.
func displayName(name, email string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		default:
			return -1
		}
	}, strings.ToValidUTF8(norm.NFC.String(name), ""))
	if runes := []rune(name); len(runes) > maxName {
		name = string(runes[:maxName])
	}
	if name = strings.TrimSpace(name); name != "" && !words.HoldsCardNumber(name) {
		return name
	}
	name, _, _ = strings.Cut(email, "@")
	return name
}

// BeginProviderLink sends the viewer's browser to a provider: STEP_UP_REQUIRED, BAD_USER_INPUT, UNAVAILABLE. The flow is
// the session's that asks.
func (s *Service) BeginProviderLink(ctx context.Context, v auth.Viewer, in BeginFlowInput) (BegunFlow, error) {
	if err := v.Recent(s.now()); err != nil {
		return BegunFlow{}, err
	}
	return s.beginFlow(ctx, in, v.SessionID)
}

// LinkProvider lets the viewer sign in as whom the provider vouches for: STEP_UP_REQUIRED, ErrProviderRefused, ErrLinkTaken,
// UNAVAILABLE, CONFLICT when the account has too many. Linking again whom the account has already is fine.
func (s *Service) LinkProvider(ctx context.Context, v auth.Viewer, in CompleteFlowInput) (Link, error) {
	if err := v.Recent(s.now()); err != nil {
		return Link{}, err
	}
	person, err := s.completeFlow(ctx, in, v.SessionID)
	if err != nil {
		return Link{}, err
	}
	var link Link
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		inTx := ent.OverTx(tx)
		if err := lockUser(ctx, tx, v.UserID); err != nil {
			return err
		}
		row, err := inTx.FederatedIdentity.Query().
			Where(federatedidentity.Issuer(person.Issuer), s.hasSubject(person.Subject)).Only(ctx)
		if err == nil {
			if row.UserID != v.UserID {
				return ErrLinkTaken
			}
			link = s.linkFrom(row)
			return nil
		}
		if !ent.IsNotFound(err) {
			return err
		}
		n, err := inTx.FederatedIdentity.Query().Where(federatedidentity.UserID(v.UserID)).Count(ctx)
		if err != nil {
			return err
		}
		if n >= maxLinks {
			return apperr.New(apperr.Conflict, "An account can be linked %d times. Unlink one first.", maxLinks)
		}
		if link, err = s.linkTx(ctx, tx, v.UserID, person); err != nil {
			return err
		}
		return s.tellOwnerTx(ctx, tx, v.UserID, notify.ProviderLinked, notify.Data{"provider": link.label()})
	})
	if err != nil {
		return Link{}, fmt.Errorf("linking a provider: %w", err)
	}
	return link, nil
}

// UnlinkProvider ends one of the viewer's links: STEP_UP_REQUIRED, NOT_FOUND when it is missing or someone else's,
// ErrLastWayIn. Sessions that were started by it go on.
func (s *Service) UnlinkProvider(ctx context.Context, v auth.Viewer, id uuid.UUID) error {
	if err := v.Recent(s.now()); err != nil {
		return err
	}
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		inTx := ent.OverTx(tx)
		if err := lockUser(ctx, tx, v.UserID); err != nil {
			return err
		}
		row, err := inTx.FederatedIdentity.Query().Where(federatedidentity.ID(id), federatedidentity.UserID(v.UserID)).Only(ctx)
		if ent.IsNotFound(err) {
			return apperr.Missing("link")
		}
		if err != nil {
			return err
		}
		if err := inTx.FederatedIdentity.DeleteOne(row).Exec(ctx); err != nil {
			return err
		}
		if err := s.keepsWayInTx(ctx, tx, v.UserID); err != nil {
			return err
		}
		err = audit.RecordTx(ctx, tx, audit.Entry{
			Action: audit.ProviderUnlinked, Actor: v.UserID, Subject: typeid.Encode(typeid.User, v.UserID), Before: map[string]string{"issuer": row.Issuer},
		})
		if err != nil {
			return err
		}
		return s.tellOwnerTx(ctx, tx, v.UserID, notify.ProviderUnlinked, notify.Data{"provider": s.linkFrom(row).label()})
	})
	if err != nil {
		return fmt.Errorf("unlinking a provider: %w", err)
	}
	return nil
}

// keepsWayInTx returns ErrLastWayIn when nobody can sign in to an account as the transaction leaves it: it has no password,
// no link to a provider that is still there, and no passkey, or passkeys are not served. An app is no way in, nor are
// recovery codes: they only prove more.
func (s *Service) keepsWayInTx(ctx context.Context, tx *sql.Tx, userID uuid.UUID) error {
	issuers := make([]string, len(s.providers))
	for i, p := range s.providers {
		issuers[i] = p.Issuer()
	}
	inTx := ent.OverTx(tx)
	open, err := inTx.User.Query().Where(user.ID(userID), user.PasswordHashNotNil()).Exist(ctx)
	if err == nil && !open {
		open, err = inTx.FederatedIdentity.Query().Where(federatedidentity.UserID(userID), federatedidentity.IssuerIn(issuers...)).Exist(ctx)
	}
	if err == nil && !open && s.passkeys != nil {
		open, err = inTx.Factor.Query().Where(factor.UserID(userID), factor.Kind(string(FactorPasskey)), factor.ConfirmedAtNotNil()).Exist(ctx)
	}
	if err == nil && !open {
		return ErrLastWayIn
	}
	return err
}

// lockUser makes changes of the ways to sign in to an account happen one after the other.
func lockUser(ctx context.Context, tx *sql.Tx, userID uuid.UUID) error {
	_, err := tx.ExecContext(ctx, `SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE`, userID)
	return err
}

// Links returns the people of providers that the viewer's account is, the oldest first. One statement.
func (s *Service) Links(ctx context.Context, v auth.Viewer) ([]Link, error) {
	rows, err := s.ent.FederatedIdentity.Query().
		Where(federatedidentity.UserID(v.UserID)).Order(ent.Asc(federatedidentity.FieldID)).Limit(maxLinks).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading links: %w", err)
	}
	links := make([]Link, len(rows))
	for i, row := range rows {
		links[i] = s.linkFrom(row)
	}
	return links, nil
}

func (s *Service) linkFrom(row *ent.FederatedIdentity) Link {
	link := Link{ID: row.ID, UserID: row.UserID, Issuer: row.Issuer, CreatedAt: row.CreatedAt.UTC(), UsedAt: row.UsedAt.UTC()}
	for _, p := range s.providers {
		if p.Issuer() == row.Issuer {
			provider := providerFrom(p)
			link.Provider = &provider
		}
	}
	return link
}
