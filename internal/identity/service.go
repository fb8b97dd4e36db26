package identity

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/text/unicode/norm"

	"marquee/ent"
	"marquee/ent/user"
	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/clock"
	"marquee/internal/identity/openid"
	"marquee/internal/notify"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
	"marquee/internal/vault"
)

// ErrEmailTaken is returned when an account with the address exists.
var ErrEmailTaken = errors.New("identity: an account with this address exists")

// ErrSessionEnded is returned when a refresh token is not, or no longer, one that renews a session.
var ErrSessionEnded = errors.New("identity: the session has ended")

// ErrInvalidCredentials is returned when address and password do not belong together.
var ErrInvalidCredentials = errors.New("identity: wrong address or password")

// Service keeps accounts and sessions. It is safe for concurrent use.
type Service struct {
	db          *postgres.DB
	ent         *ent.Client
	clock       clock.Clock
	vault       *vault.Vault
	hasher      *hasher
	decoy       string // hash that an unknown address is compared with, so that it takes as long as a known one
	tokens      *accessTokens
	refreshKey  []byte
	guessKey    []byte
	ceremonyKey []byte
	mailedKey   []byte
	recoveryKey []byte
	mails       *notify.Outbox
	passkeys    *webauthn.WebAuthn // nil: not served
	flowKey     []byte
	providers   []*openid.Provider
	revoked     revocations
	// verified spares a device that sends request after request the check of the same signature, which takes longer than
	// many a request. It says nothing about whether the token still counts.
	verified *lru.Cache[[sha256.Size]byte, auth.Viewer]
}

// verifiedTokens bounds the memory of verified: some 5 MB.
const verifiedTokens = 20_000

// NewService returns a Service over db. All nodes of an installation have the same secret, of which all keys are
// derived: 32 bytes or more, and the same keyset in the vault, which seals what is personal. People may sign
// in by the providers.
func NewService(db *postgres.DB, client *ent.Client, c clock.Clock, secret []byte, v *vault.Vault, providers ...*openid.Provider) (*Service, error) {
	verified, err := lru.New[[sha256.Size]byte, auth.Viewer](verifiedTokens)
	if err != nil {
		panic("identity: the cache size is positive: " + err.Error())
	}
	s := &Service{
		db: db, ent: client, clock: c, vault: v, verified: verified, hasher: newHasher(hashersFor(runtime.GOMAXPROCS(0)), hashQueue), decoy: hashPassword(rand.Text()),
		providers: providers,
		revoked:   revocations{first: map[uuid.UUID]revoked{}},
	}
	s.mails = notify.NewOutbox(db, v, c)
	s.tokens = &accessTokens{clock: c}
	for purpose, key := range map[string]*[]byte{
		"access tokens": &s.tokens.secret, "refresh tokens": &s.refreshKey, "guesses": &s.guessKey,
		"ceremonies": &s.ceremonyKey, "mailed tokens": &s.mailedKey, "recovery codes": &s.recoveryKey, "provider flows": &s.flowKey,
	} {
		if *key, err = derived(secret, purpose); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// derived returns the key for a purpose. Nobody who knows one of them learns another, or the secret.
func derived(secret []byte, purpose string) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "marquee "+purpose, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("identity: derive a key: %w", err)
	}
	return key, nil
}

// CreateUser makes an account with grants, whose address nobody has proved: ErrEmailTaken, ErrUsernameTaken, BAD_USER_INPUT,
// THROTTLED. It tells who has an account, so no stranger may be asking.
func (s *Service) CreateUser(ctx context.Context, in SignUpInput, grants ...auth.Grant) (User, error) {
	account, err := s.prepare(ctx, in)
	if err != nil {
		return User{}, err
	}
	if err := s.db.InTx(ctx, func(tx *sql.Tx) error { return s.createTx(ctx, tx, account, grants...) }); err != nil {
		return User{}, err
	}
	return account.User, nil
}

// newAccount is one that can be made.
type newAccount struct {
	User

	passwordHash string
	input        SignUpInput // normalised
}

// prepare checks what an account is to be made of, and hashes its password: BAD_USER_INPUT, THROTTLED.
func (s *Service) prepare(ctx context.Context, in SignUpInput) (newAccount, error) {
	if err := in.Validate(); err != nil {
		return newAccount{}, err
	}
	in = in.normalised()
	a := newAccount{User: User{ID: typeid.New(), Email: in.Email, Name: in.Name, CreatedAt: s.now().UTC()}, input: in}
	err := s.hasher.do(ctx, func() { a.passwordHash = hashPassword(in.Password) })
	return a, err
}

// createTx makes a prepared account with grants: ErrEmailTaken, ErrUsernameTaken.
func (s *Service) createTx(ctx context.Context, tx *sql.Tx, a newAccount, grants ...auth.Grant) error {
	if err := s.addUserTx(ctx, tx, a.User, a.passwordHash, grants...); err != nil {
		return err
	}
	return s.newProfileTx(ctx, tx, a.ID, a.input)
}

// addUserTx keeps an account that nobody has, with grants: ErrEmailTaken. An empty hash is no password.
func (s *Service) addUserTx(ctx context.Context, tx *sql.Tx, u User, hash string, grants ...auth.Grant) error {
	email, err := s.vault.Seal(emailCell(u.ID), u.Email)
	if err != nil {
		return err
	}
	name, err := s.vault.Seal(nameCell(u.ID), u.Name)
	if err != nil {
		return err
	}
	if err := s.claimEmailTx(ctx, tx, u.Email); err != nil {
		return err
	}
	create := ent.OverTx(tx).User.Create().
		SetID(u.ID).SetEmailSealed(email).SetEmailIndex(s.vault.Index(emailIndex, u.Email)).SetNameSealed(name).
		SetCreatedAt(u.CreatedAt)
	if hash != "" {
		create.SetPasswordHash(hash)
	}
	if u.EmailVerified {
		create.SetEmailVerifiedAt(u.CreatedAt)
	}
	err = create.Exec(ctx)
	if postgres.IsUniqueViolation(err, "users_email_index_key") {
		return ErrEmailTaken
	}
	if err != nil {
		return fmt.Errorf("making an account: %w", err)
	}
	err = audit.RecordTx(ctx, tx, audit.Entry{
		Action: audit.AccountCreated, Actor: actorOf(ctx, u.ID), Subject: u.NodeID(), After: granted(grants...),
	})
	for _, grant := range grants {
		in := ChangeGrantInput{UserID: u.ID, Grant: grant, Reason: "made with the account"}
		if err == nil {
			_, err = s.insertGrantTx(ctx, tx, uuid.Nil, in)
		}
		if err == nil {
			err = recordGrantTx(ctx, tx, audit.RoleGranted, auth.Viewer{}, in)
		}
	}
	return err
}

// SignIn starts a session of the account with an address or a username: ErrInvalidCredentials, SecondFactorRequired, THROTTLED.
func (s *Service) SignIn(ctx context.Context, login, password string, device Device) (Tokens, error) {
	login = normaliseLogin(login)
	if login == "" {
		return Tokens{}, ErrInvalidCredentials
	}
	row, err := s.proveLogin(ctx, login, password, device)
	if err != nil {
		return Tokens{}, err
	}
	u, err := s.fromEnt(row)
	if err != nil {
		return Tokens{}, err
	}
	return s.admit(ctx, u, device, ProofPassword)
}

// proveLogin returns the account of a login when the password is that of the account: ErrInvalidCredentials, THROTTLED.
func (s *Service) proveLogin(ctx context.Context, login, password string, device Device) (*ent.User, error) {
	password, ok := readPassword(password)
	if !ok {
		return nil, ErrInvalidCredentials
	}
	end, err := s.hasher.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	row, err := s.userByLogin(ctx, login)
	if err != nil {
		return nil, err
	}
	return row, s.proveInTurn(ctx, row, login, password, device)
}

// prove returns nil when the password is that of the account: ErrInvalidCredentials, THROTTLED. It counts as a guess.
func (s *Service) prove(ctx context.Context, row *ent.User, login, password string, device Device) error {
	password, ok := readPassword(password)
	if !ok {
		return ErrInvalidCredentials
	}
	end, err := s.hasher.turn(ctx)
	if err != nil {
		return err
	}
	defer end()
	return s.proveInTurn(ctx, row, login, password, device)
}

// readPassword returns a password as it is hashed, and false for one that nobody can have: that is refused before it costs
// anything.
func readPassword(password string) (string, bool) {
	password = norm.NFKC.String(password)
	return password, len(password) <= 4*maxPassword
}

// proveInTurn is prove in a turn of the hasher. Without an account, nil, and for one that has no password, it takes as long
// and counts as well.
func (s *Service) proveInTurn(ctx context.Context, row *ent.User, login, password string, device Device) error {
	account := login
	if row != nil { // whatever it was signed in to by
		account = row.ID.String()
	}
	try, err := s.admitGuess(ctx, account, device.Address)
	if err != nil {
		return err
	}
	hash := s.decoy
	has := row != nil && row.PasswordHash != ""
	if has {
		hash = row.PasswordHash
	}
	right, err := verifyPassword(password, hash)
	if err != nil {
		return errors.Join(err, s.takeBack(context.WithoutCancel(ctx), try))
	}
	if !has || !right {
		if err := s.recordRefusal(ctx, row); err != nil {
			return err
		}
		return ErrInvalidCredentials
	}
	if isOutdated(hash) {
		// A password that is changed meanwhile stays as it was changed.
		if _, err := s.ent.User.Update().Where(user.ID(row.ID), user.PasswordHash(hash)).SetPasswordHash(hashPassword(password)).Save(ctx); err != nil {
			return fmt.Errorf("keeping a better hash: %w", err)
		}
	}
	return s.succeed(ctx, try)
}

// now returns the present as the database keeps it, so that a moment reads back as it was shown.
func (s *Service) now() time.Time { return s.clock.Now().Truncate(time.Microsecond) }

// User returns an account: NOT_FOUND when there is none.
func (s *Service) User(ctx context.Context, id uuid.UUID) (User, error) {
	row, err := s.ent.User.Get(ctx, id)
	if ent.IsNotFound(err) {
		return User{}, apperr.Missing("user")
	}
	if err != nil {
		return User{}, fmt.Errorf("reading an account: %w", err)
	}
	return s.fromEnt(row)
}
