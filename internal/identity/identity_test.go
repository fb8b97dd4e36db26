package identity_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"marquee/ent"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/clock"
	"marquee/internal/dbtest"
	"marquee/internal/identity"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

const passphrase = "correct horse battery staple"

var phone = identity.Device{Name: "Phone", Address: "192.0.2.1"}

// bundle is a service on a database of its own.
type bundle struct {
	*identity.Service

	db     *postgres.DB
	clock  *clock.Fake
	secret []byte
}

func setup(t *testing.T) bundle {
	t.Helper()
	db := dbtest.New(t)
	fake := clock.NewFake(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC))
	b := bundle{db: db, clock: fake, secret: bytes.Repeat([]byte{7}, 32)}
	b.Service = b.node(t)
	return b
}

// node returns another service on the same database, as another process of the installation has it.
func (b bundle) node(t *testing.T) *identity.Service {
	t.Helper()
	s, err := identity.NewService(b.db, ent.Over(b.db.SQL()), b.clock, b.secret, dbtest.Vault())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b bundle) value(t *testing.T, query string, args ...any) string {
	t.Helper()
	var value string
	if err := b.db.SQL().QueryRowContext(t.Context(), query, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

func (b bundle) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := b.db.SQL().ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// SignUp makes an account, as the command line does, and signs it in.
func (b bundle) SignUp(ctx context.Context, in identity.SignUpInput, device identity.Device) (identity.Tokens, error) {
	if _, err := b.CreateUser(ctx, in); err != nil {
		return identity.Tokens{}, err
	}
	return b.SignIn(ctx, in.Email, in.Password, device)
}

func (b bundle) signUp(t *testing.T, email, password string) identity.Tokens {
	t.Helper()
	s, err := b.SignUp(t.Context(), identity.SignUpInput{Email: email, Password: password, Name: "Someone"}, phone)
	if err != nil {
		t.Fatalf("sign up %s: %v", email, err)
	}
	return s
}

func TestSignUpInput_Validate(t *testing.T) {
	t.Parallel()
	good := identity.SignUpInput{Email: "someone@example.com", Password: passphrase, Name: "Someone"}
	long := strings.Repeat
	for name, test := range map[string]struct {
		change func(in *identity.SignUpInput)
		fields []string // that are named; none: it is good
	}{
		"good":            {func(*identity.SignUpInput) {}, nil},
		"password_of_15":  {func(in *identity.SignUpInput) { in.Password = "horses like hay" }, nil},
		"password_of_14":  {func(in *identity.SignUpInput) { in.Password = "horses eat hay" }, []string{"input.password"}},
		"password_of_256": {func(in *identity.SignUpInput) { in.Password = long("hay is for horses, and so are oats. ", 8)[:256] }, nil},
		"password_of_257": {func(in *identity.SignUpInput) { in.Password = long("hay is for horses, and so are oats. ", 8)[:257] }, []string{"input.password"}},
		"password_of_15_letters_of_4_bytes": {func(in *identity.SignUpInput) {
			in.Password = "🐎🌾🐂🐖🌽🍎🥕🐔🦆🐑🌻🚜🏡🌧🌈"
		}, nil},
		"password_of_15_after_normalisation": {func(in *identity.SignUpInput) { in.Password = "oﬃce hours, no" }, nil},
		"password_of_14_after_normalisation": {func(in *identity.SignUpInput) { in.Password = "che\u0301vre et foin" }, []string{"input.password"}},
		"AU10_a_common_password":             {func(in *identity.SignUpInput) { in.Password = "password12345678" }, []string{"input.password"}},
		"AU10_a_common_password_in_leet":     {func(in *identity.SignUpInput) { in.Password = "P@ssw0rdP@ssw0rd" }, []string{"input.password"}},
		"AU10_one_letter_again_and_again":    {func(in *identity.SignUpInput) { in.Password = long("p", 40) }, []string{"input.password"}},
		"AU10_a_row_of_keys":                 {func(in *identity.SignUpInput) { in.Password = "qwertyuiopasdfghjkl" }, []string{"input.password"}},
		"AU10_the_address":                   {func(in *identity.SignUpInput) { in.Password = in.Email }, []string{"input.password"}},
		"AU10_the_name_twice":                {func(in *identity.SignUpInput) { in.Name = "Bartholomew"; in.Password = "bartholomewBartholomew" }, []string{"input.password"}},
		"AU10_the_name_of_the_house":         {func(in *identity.SignUpInput) { in.Password = "marqueemarquee1" }, []string{"input.password"}},
		"AU10_no_composition_rule":           {func(in *identity.SignUpInput) { in.Password = "only small letters and blanks" }, nil},
		"password_of_blanks":                 {func(in *identity.SignUpInput) { in.Password = long(" ", 20) }, []string{"input.password"}},
		"password_with_nul":                  {func(in *identity.SignUpInput) { in.Password += "\x00" }, []string{"input.password"}},
		"password_that_is_no_text":           {func(in *identity.SignUpInput) { in.Password += "\xff" }, []string{"input.password"}},
		"email_with_blanks_around":           {func(in *identity.SignUpInput) { in.Email = "  someone@example.com\t" }, nil},
		"email_of_another_script":            {func(in *identity.SignUpInput) { in.Email = "günther@bücher.example" }, nil},
		"email_without_at":                   {func(in *identity.SignUpInput) { in.Email = "someone.example.com" }, []string{"input.email"}},
		"email_without_domain":               {func(in *identity.SignUpInput) { in.Email = "someone@" }, []string{"input.email"}},
		"email_of_a_bare_host":               {func(in *identity.SignUpInput) { in.Email = "someone@localhost" }, []string{"input.email"}},
		"email_with_a_dot_at_the_end":        {func(in *identity.SignUpInput) { in.Email = "someone@example." }, []string{"input.email"}},
		"email_with_a_name":                  {func(in *identity.SignUpInput) { in.Email = "S <someone@example.com>" }, []string{"input.email"}},
		"email_of_two":                       {func(in *identity.SignUpInput) { in.Email = "a@example.com, b@example.com" }, []string{"input.email"}},
		"email_with_a_line_break":            {func(in *identity.SignUpInput) { in.Email = "a@example.com\r\nBcc: b@example.com" }, []string{"input.email"}},
		"email_of_254_bytes":                 {func(in *identity.SignUpInput) { in.Email = long("e", 254-len("@example.com")) + "@example.com" }, nil},
		"email_of_255_bytes":                 {func(in *identity.SignUpInput) { in.Email = long("e", 255-len("@example.com")) + "@example.com" }, []string{"input.email"}},
		"email_that_is_no_text":              {func(in *identity.SignUpInput) { in.Email = "some\xffone@example.com" }, []string{"input.email"}},
		"name_empty":                         {func(in *identity.SignUpInput) { in.Name = "" }, []string{"input.name"}},
		"name_blank":                         {func(in *identity.SignUpInput) { in.Name = " \t " }, []string{"input.name"}},
		"name_of_100":                        {func(in *identity.SignUpInput) { in.Name = long("ü", 100) }, nil},
		"name_of_101":                        {func(in *identity.SignUpInput) { in.Name = long("ü", 101) }, []string{"input.name"}},
		"name_with_control_characters":       {func(in *identity.SignUpInput) { in.Name = "a\x1bb" }, []string{"input.name"}},
		"name_that_needs_a_joiner":           {func(in *identity.SignUpInput) { in.Name = "علی\u200cرضا" }, nil},
		"name_of_joined_emoji":               {func(in *identity.SignUpInput) { in.Name = "👩\u200d👧" }, nil},
		"name_with_joiners_in_a_row":         {func(in *identity.SignUpInput) { in.Name = "ع\u200d\u200cل" }, []string{"input.name"}},
		"name_with_a_joiner_between_accents": {func(in *identity.SignUpInput) { in.Name = "é\u200dé" }, []string{"input.name"}},
		"name_with_a_hidden_joiner":          {func(in *identity.SignUpInput) { in.Name = "No\u200dra" }, []string{"input.name"}},
		"name_that_ends_in_a_joiner":         {func(in *identity.SignUpInput) { in.Name = "علی\u200c" }, []string{"input.name"}},
		"name_that_turns_the_direction":      {func(in *identity.SignUpInput) { in.Name = "a\u202eb" }, []string{"input.name"}},
		"name_of_many_scripts":               {func(in *identity.SignUpInput) { in.Name = "Ана 美咲 O'Neil-Müller" }, nil},
		"nothing":                            {func(in *identity.SignUpInput) { *in = identity.SignUpInput{} }, []string{"input.email", "input.name", "input.password"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := good
			test.change(&in)
			err := in.Validate()
			if test.fields == nil {
				if err != nil {
					t.Errorf("%v", err)
				}
				return
			}
			refusal, ok := errors.AsType[*apperr.Error](err)
			if !ok || refusal.Code != apperr.BadUserInput {
				t.Fatalf("%v", err)
			}
			var named []string
			for _, field := range refusal.Fields {
				named = append(named, field.Path)
			}
			if strings.Join(named, " ") != strings.Join(test.fields, " ") {
				t.Errorf("it names %v, want %v", named, test.fields)
			}
		})
	}
}

func TestService_CreateUser_and_SignIn(t *testing.T) {
	t.Parallel()
	t.Run("normalises_and_hides", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		s, err := b.SignUp(t.Context(), identity.SignUpInput{Email: " Some.One@Example.COM ", Password: passphrase, Name: "  Ange\u0301la "}, phone)
		if err != nil {
			t.Fatal(err)
		}
		if u := s.User; u.Email != "some.one@example.com" || u.Name != "Angéla" || u.CreatedAt.IsZero() {
			t.Errorf("%+v", u)
		}
		if access, refresh := b.clock.Now().Add(15*time.Minute), b.clock.Now().Add(30*24*time.Hour); !s.AccessExpiresAt.Equal(access) || !s.RefreshExpiresAt.Equal(refresh) {
			t.Errorf("the tokens end at %s and %s, want %s and %s", s.AccessExpiresAt, s.RefreshExpiresAt, access, refresh)
		}
		if !strings.HasPrefix(s.Refresh, "mqr_") || len(s.Refresh) < 40 {
			t.Errorf("the refresh token is %q", s.Refresh)
		}
		stored := b.value(t, `SELECT (SELECT string_agg(u::text, ' ') FROM users u) || (SELECT string_agg(s::text, ' ') FROM sessions s)`)
		if strings.Contains(stored, passphrase) || strings.Contains(stored, strings.TrimPrefix(s.Refresh, "mqr_")) || strings.Contains(stored, s.Access) {
			t.Errorf("a secret is stored as it is: %s", stored)
		}
		if hash := b.value(t, `SELECT password_hash FROM users`); !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
			t.Errorf("the password is kept as %s", hash)
		}
	})
	t.Run("an_address_has_one_account_in_any_letters", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.signUp(t, "twin@example.com", passphrase)
		for _, twin := range []string{"TWIN@example.com", "twin@EXAMPLE.com", " twin@example.com", "twin@ｅｘａｍｐｌｅ.com"} {
			if _, err := b.SignUp(t.Context(), identity.SignUpInput{Email: twin, Password: passphrase, Name: "Twin"}, phone); !errors.Is(err, identity.ErrEmailTaken) {
				t.Errorf("%s: %v", twin, err)
			}
		}
		if n := b.value(t, `SELECT count(*) FROM users`); n != "1" {
			t.Errorf("%s accounts", n)
		}
	})
	t.Run("of_many_at_once_one_wins", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		const rivals = 12
		errs := make([]error, rivals)
		var wait sync.WaitGroup
		for i := range rivals {
			wait.Go(func() {
				_, errs[i] = b.CreateUser(t.Context(), identity.SignUpInput{Email: "one@example.com", Password: passphrase, Name: "One"})
			})
		}
		wait.Wait()
		won := 0
		for _, err := range errs {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, identity.ErrEmailTaken):
				t.Errorf("%v", err)
			}
		}
		if n := b.value(t, `SELECT count(*) FROM users`); won != 1 || n != "1" {
			t.Errorf("%d won; %s accounts", won, n)
		}
	})
	t.Run("bad_input_is_not_stored", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		if _, err := b.SignUp(t.Context(), identity.SignUpInput{Email: "x", Password: "y"}, phone); apperr.CodeOf(err) != apperr.BadUserInput {
			t.Errorf("%v", err)
		}
		if n := b.value(t, `SELECT count(*) FROM users`); n != "0" {
			t.Errorf("%s accounts", n)
		}
	})
}

func TestService_CreateUser(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u, err := b.CreateUser(t.Context(), identity.SignUpInput{Email: "admin@example.com", Password: passphrase, Name: "Admin"}, auth.Grant{Role: auth.RoleAdmin})
	if err != nil {
		t.Fatalf("%+v, %v", u, err)
	}
	again, err := b.User(t.Context(), u.ID)
	if err != nil || again != u {
		t.Errorf("read again: %+v, %v; want %+v", again, err, u)
	}
	if _, err := b.User(t.Context(), typeid.New()); apperr.CodeOf(err) != apperr.NotFound {
		t.Errorf("an unknown user: %v", err)
	}
	if title, err := b.HighestRole(t.Context(), u.ID); err != nil || title != auth.RoleAdmin {
		t.Errorf("the title is %s, %v", title, err)
	}
	if _, err := b.CreateUser(t.Context(), identity.SignUpInput{Email: "x@example.com", Password: passphrase, Name: "X"}, auth.Grant{Role: "OWNER"}); err == nil {
		t.Error("an unknown role was given")
	}
	if n := b.value(t, `SELECT count(*) FROM users`); n != "1" {
		t.Errorf("%s accounts", n)
	}
}

func TestService_SignIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := strings.Repeat("long passwords count to their end ", 4)
	for email, password := range map[string]string{
		"plain@example.com":  passphrase,
		"long@example.com":   long,
		"accent@example.com": "é à ü ñ ç ø å ß and more",
		"wide@example.com":   "Ｗｉｄｅ letters of ﬁve",
	} {
		b.signUp(t, email, password)
	}
	for name, test := range map[string]struct {
		email, password string
		right           bool
	}{
		"right":                             {"plain@example.com", passphrase, true},
		"address_in_other_letters":          {" PLAIN@Example.com ", passphrase, true},
		"wrong":                             {"plain@example.com", passphrase + "!", false},
		"password_in_other_letters":         {"plain@example.com", strings.ToUpper(passphrase), false},
		"blank_at_the_end":                  {"plain@example.com", passphrase + " ", false},
		"empty":                             {"plain@example.com", "", false},
		"unknown_user":                      {"nobody@example.com", passphrase, false},
		"someone_elses_password":            {"plain@example.com", long, false},
		"whole_long_password":               {"long@example.com", long, true},
		"first_72_bytes_of_it":              {"long@example.com", long[:72], false},
		"all_but_its_last_letter":           {"long@example.com", long[:len(long)-2], false},
		"decomposed_letters":                {"accent@example.com", norm.NFD.String("é à ü ñ ç ø å ß and more"), true},
		"letters_without_accents":           {"accent@example.com", "e a u n c ø a ß and more", false},
		"narrow_letters_for_wide":           {"wide@example.com", "Wide letters of five", true},
		"password_with_nul":                 {"plain@example.com", passphrase + "\x00", false},
		"address_with_nul":                  {"plain@example.com\x00", passphrase, false},
		"address_that_is_no_text":           {"plain@example.com\xff", passphrase, false},
		"password_that_is_no_text":          {"plain@example.com", "\xff\xfe", false},
		"endless_password":                  {"plain@example.com", strings.Repeat("p", 1<<20), false},
		"endless_address":                   {strings.Repeat("e", 1<<20), passphrase, false},
		"address_that_grows_when_read_well": {strings.Repeat("ﷺ", 80), passphrase, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := b.SignIn(t.Context(), test.email, test.password, identity.Device{Address: name})
			if test.right {
				if err != nil {
					t.Fatal(err)
				}
				if v, err := b.Authenticate(t.Context(), s.Access); err != nil || v.UserID != s.User.ID {
					t.Errorf("the session is %+v's, %v", v, err)
				}
				return
			}
			if !errors.Is(err, identity.ErrInvalidCredentials) || err.Error() != identity.ErrInvalidCredentials.Error() {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestService_SignIn_upgrades a hash that was made with weaker parameters, as soon as the password is known.
func TestService_SignIn_upgrades(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.signUp(t, "a@example.com", passphrase)
	salt := []byte("sixteen bytes...")
	weak := "$argon2id$v=19$m=1024,t=1,p=1$" + base64.RawStdEncoding.EncodeToString(salt) + "$" +
		base64.RawStdEncoding.EncodeToString(argon2.IDKey([]byte(passphrase), salt, 1, 1024, 1, 32))
	b.exec(t, `UPDATE users SET password_hash = $1`, weak)
	hash := func() string { return b.value(t, `SELECT password_hash FROM users`) }
	if _, err := b.SignIn(t.Context(), "a@example.com", passphrase+"!", phone); !errors.Is(err, identity.ErrInvalidCredentials) || hash() != weak {
		t.Errorf("a wrong password: %v and %s", err, hash())
	}
	b.signIn(t, "a@example.com", phone)
	strong := hash()
	if !strings.HasPrefix(strong, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("after the right one it is %s", strong)
	}
	b.signIn(t, "a@example.com", phone)
	if hash() != strong {
		t.Errorf("a good hash was made again: %s", hash())
	}
}
