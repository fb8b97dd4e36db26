package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"marquee/ent"
	"marquee/ent/session"
	"marquee/ent/user"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/clock"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// ErrEmailTaken is returned when an account with the address exists.
var ErrEmailTaken = errors.New("identity: an account with this address exists")

// ErrInvalidCredentials is returned when address and password do not belong together.
var ErrInvalidCredentials = errors.New("identity: wrong address or password")

const (
	sessionAge  = 30 * 24 * time.Hour
	tokenBytes  = 32
	tokenPrefix = "mqs_" // makes a leaked token recognisable to scanners
	hashQueue   = 64
)

// Service keeps accounts and sessions. It is safe for concurrent use.
type Service struct {
	db     *postgres.DB
	ent    *ent.Client
	clock  clock.Clock
	hasher *hasher
	decoy  string // hash that an unknown address is compared with, so that it takes as long as a known one
}

// NewService returns a Service over db.
func NewService(db *postgres.DB, client *ent.Client, c clock.Clock) *Service {
	return &Service{db: db, ent: client, clock: c, hasher: newHasher(runtime.GOMAXPROCS(0), hashQueue), decoy: hashPassword(rand.Text())}
}

// SignUp makes a customer's account and signs it in: ErrEmailTaken, BAD_USER_INPUT, THROTTLED.
func (s *Service) SignUp(ctx context.Context, in SignUpInput) (Session, error) {
	u, err := s.CreateUser(ctx, in, auth.RoleCustomer)
	if err != nil {
		return Session{}, err
	}
	return s.open(ctx, u)
}

// CreateUser makes an account with a role: ErrEmailTaken, BAD_USER_INPUT, THROTTLED.
func (s *Service) CreateUser(ctx context.Context, in SignUpInput, role auth.Role) (User, error) {
	if err := in.Validate(); err != nil {
		return User{}, err
	}
	in = in.normalised()
	if !role.Valid() {
		return User{}, fmt.Errorf("identity: unknown role %q", role)
	}
	var hash string
	if err := s.hasher.do(ctx, func() { hash = hashPassword(in.Password) }); err != nil {
		return User{}, err
	}
	row, err := s.ent.User.Create().
		SetID(typeid.New()).SetEmail(in.Email).SetName(in.Name).SetPasswordHash(hash).SetRole(string(role)).SetCreatedAt(s.now()).
		Save(ctx)
	if postgres.IsUniqueViolation(err, "users_email_key") {
		return User{}, ErrEmailTaken
	}
	if err != nil {
		return User{}, fmt.Errorf("making an account: %w", err)
	}
	return fromEnt(row), nil
}

// SignIn starts a session: ErrInvalidCredentials, THROTTLED.
func (s *Service) SignIn(ctx context.Context, email, password string) (Session, error) {
	password = norm.NFKC.String(password)
	if len(password) > 4*maxPassword || len(email) > 254 || strings.ContainsRune(email, 0) {
		return Session{}, ErrInvalidCredentials
	}
	row, err := s.ent.User.Query().Where(user.Email(normaliseEmail(email))).Only(ctx)
	if err != nil && !ent.IsNotFound(err) {
		return Session{}, fmt.Errorf("looking for an account: %w", err)
	}
	hash := s.decoy
	if row != nil {
		hash = row.PasswordHash
	}
	var right bool
	var failed error
	if err := s.hasher.do(ctx, func() { right, failed = verifyPassword(password, hash) }); err != nil {
		return Session{}, err
	}
	if failed != nil {
		return Session{}, failed
	}
	if row == nil || !right {
		return Session{}, ErrInvalidCredentials
	}
	return s.open(ctx, fromEnt(row))
}

func (s *Service) open(ctx context.Context, u User) (Session, error) {
	random := make([]byte, tokenBytes)
	_, _ = rand.Read(random) // never fails: crypto/rand ends the program instead
	token := tokenPrefix + base64.RawURLEncoding.EncodeToString(random)
	now := s.now()
	expires := now.Add(sessionAge)
	err := s.ent.Session.Create().
		SetID(typeid.New()).SetUserID(u.ID).SetTokenHash(tokenHash(token)).SetCreatedAt(now).SetExpiresAt(expires).
		Exec(ctx)
	if err != nil {
		return Session{}, fmt.Errorf("starting a session: %w", err)
	}
	return Session{Token: token, ExpiresAt: expires, User: u}, nil
}

// now returns the present as the database keeps it, so that a moment reads back as it was shown.
func (s *Service) now() time.Time { return s.clock.Now().Truncate(time.Microsecond) }

func tokenHash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// Authenticate returns the viewer behind a session's token: UNAUTHENTICATED when the session is unknown, ended or
// expired. One statement.
func (s *Service) Authenticate(ctx context.Context, token string) (auth.Viewer, error) {
	refused := apperr.New(apperr.Unauthenticated, "Your session has ended. Sign in again.")
	if !strings.HasPrefix(token, tokenPrefix) {
		return auth.Viewer{}, refused
	}
	var v auth.Viewer
	err := s.db.SQL().QueryRowContext(ctx, `SELECT s.id, u.id, u.role FROM sessions s JOIN users u ON u.id = s.user_id
		WHERE s.token_hash = $1 AND s.expires_at > $2`, tokenHash(token), s.clock.Now()).Scan(&v.SessionID, &v.UserID, &v.Role)
	if errors.Is(err, sql.ErrNoRows) {
		return auth.Viewer{}, refused
	}
	if err != nil {
		return auth.Viewer{}, fmt.Errorf("looking for a session: %w", err)
	}
	return v, nil
}

// Recheck returns nil while the viewer's session stands with the same role: UNAUTHENTICATED when it does not. One
// statement.
func (s *Service) Recheck(ctx context.Context, v auth.Viewer) error {
	var stands bool
	err := s.db.SQL().QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM sessions s JOIN users u ON u.id = s.user_id
		WHERE s.id = $1 AND u.id = $2 AND u.role = $3 AND s.expires_at > $4)`, v.SessionID, v.UserID, v.Role, s.clock.Now()).Scan(&stands)
	if err != nil {
		return fmt.Errorf("looking for a session: %w", err)
	}
	if !stands {
		return apperr.New(apperr.Unauthenticated, "Your session has ended. Sign in again.")
	}
	return nil
}

// SignOut ends the viewer's session; a session that has ended already is fine.
func (s *Service) SignOut(ctx context.Context, v auth.Viewer) error {
	if _, err := s.ent.Session.Delete().Where(session.ID(v.SessionID), session.UserID(v.UserID)).Exec(ctx); err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}

// User returns an account: NOT_FOUND when there is none.
func (s *Service) User(ctx context.Context, id uuid.UUID) (User, error) {
	row, err := s.ent.User.Get(ctx, id)
	if ent.IsNotFound(err) {
		return User{}, apperr.Missing("user")
	}
	if err != nil {
		return User{}, fmt.Errorf("reading an account: %w", err)
	}
	return fromEnt(row), nil
}

// ForgetSessions deletes sessions that have expired and returns how many.
func (s *Service) ForgetSessions(ctx context.Context) (int, error) {
	n, err := s.ent.Session.Delete().Where(session.ExpiresAtLTE(s.clock.Now())).Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("forgetting sessions: %w", err)
	}
	return n, nil
}

func fromEnt(row *ent.User) User {
	return User{ID: row.ID, Email: row.Email, Name: row.Name, Role: auth.Role(row.Role), CreatedAt: row.CreatedAt.UTC()}
}
