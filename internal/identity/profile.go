package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"marquee/ent"
	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
	"marquee/internal/vault"
	"marquee/internal/words"
)

// ErrUsernameTaken is returned when another account has the username, or one that looks like it.
var ErrUsernameTaken = errors.New("identity: another account has this username, or one that looks like it")

// AccessibilityNeed is what somebody needs at the movies. It tells about their health: it is sealed, and logged nowhere.
type AccessibilityNeed string

// The needs.
const (
	NeedWheelchair       AccessibilityNeed = "WHEELCHAIR"
	NeedStepFree         AccessibilityNeed = "STEP_FREE"
	NeedCompanion        AccessibilityNeed = "COMPANION"
	NeedHearingLoop      AccessibilityNeed = "HEARING_LOOP"
	NeedCaptions         AccessibilityNeed = "CAPTIONS"
	NeedAudioDescription AccessibilityNeed = "AUDIO_DESCRIPTION"
)

var needs = []AccessibilityNeed{NeedWheelchair, NeedStepFree, NeedCompanion, NeedHearingLoop, NeedCaptions, NeedAudioDescription}

// Profile is what somebody has told beside name and address; nil and empty is what they have not.
type Profile struct {
	Username      *string
	Phone         *string // E.164
	Locale        *string // BCP 47: language, script, region
	PreferredCity *string
	Needs         []AccessibilityNeed
}

// Change is what to do with a text that may be absent: nothing unless it is given, nil clears it.
type Change struct {
	Given bool
	To    *string
}

// Set returns the change to a text.
func Set(text string) Change { return Change{Given: true, To: &text} }

// UpdateProfileInput changes what is given in it, and keeps the rest.
type UpdateProfileInput struct {
	Name, Username, Phone, Locale, PreferredCity Change
	// Needs replaces all needs; nil keeps them.
	Needs []AccessibilityNeed
}

const maxCity = 100

// normalise returns the input as it is kept, and records what cannot be.
func (in UpdateProfileInput) normalise(bad *apperr.Fields) UpdateProfileInput {
	if in.Name.Given && in.Name.To == nil {
		bad.Add("input.name", "A name can be changed, not cleared.")
	}
	in.Name.normalise(func(text string) string {
		name := words.Clean(text)
		checkName(bad, "input.name", name)
		return name
	})
	in.Username.normalise(func(text string) string {
		name := normaliseUsername(text)
		checkUsername(bad, "input.username", name)
		return name
	})
	in.Phone.normalise(func(text string) string {
		number, ok := normalisePhone(text)
		if !ok {
			bad.Add("input.phone", "This is not a telephone number with its country's code, such as +49 30 901820.")
		}
		return number
	})
	in.Locale.normalise(func(text string) string {
		locale, ok := words.Language(text)
		if !ok {
			bad.Add("input.locale", "This is not a language such as en, de-AT or zh-Hant-TW.")
		}
		return locale
	})
	in.PreferredCity.normalise(func(text string) string {
		city := words.Clean(text)
		words.Check(bad, "input.preferredCity", city, maxCity, "The city must have 1 to %d printable characters.")
		return city
	})
	if in.Needs != nil {
		sorted := []AccessibilityNeed{}
		for _, need := range needs {
			if slices.Contains(in.Needs, need) {
				sorted = append(sorted, need)
			}
		}
		in.Needs = sorted
	}
	return in
}

func (c *Change) normalise(with func(string) string) {
	if c.To != nil {
		*c = Set(with(*c.To))
	}
}

// UpdateProfile changes the viewer's own name and profile: ErrUsernameTaken, BAD_USER_INPUT.
func (s *Service) UpdateProfile(ctx context.Context, v auth.Viewer, in UpdateProfileInput) (User, error) {
	var bad apperr.Fields
	if in = in.normalise(&bad); bad.Err() != nil {
		return User{}, bad.Err()
	}
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		if in.Name.Given {
			if err := s.renameTx(ctx, tx, v.UserID, *in.Name.To); err != nil {
				return err
			}
		}
		changed, err := s.keepProfileTx(ctx, tx, v.UserID, in)
		if err != nil || len(changed) == 0 {
			return err
		}
		return audit.RecordTx(ctx, tx, audit.Entry{
			Action: audit.ProfileChanged, Actor: v.UserID, Subject: typeid.Encode(typeid.User, v.UserID),
			After: map[string]any{"changed": changed},
		})
	})
	if err != nil {
		return User{}, fmt.Errorf("changing a profile: %w", err)
	}
	return s.User(ctx, v.UserID)
}

// renameTx gives an account another name.
func (s *Service) renameTx(ctx context.Context, tx *sql.Tx, userID uuid.UUID, name string) error {
	sealed, err := s.vault.Seal(nameCell(userID), name)
	if err != nil {
		return err
	}
	return ent.OverTx(tx).User.UpdateOneID(userID).SetNameSealed(sealed).Exec(ctx)
}

// newProfileTx keeps what a new account tells beside name and address, if anything.
func (s *Service) newProfileTx(ctx context.Context, tx *sql.Tx, userID uuid.UUID, in SignUpInput) error {
	profile := in.profile()
	if !profile.Username.Given && !profile.Phone.Given {
		return nil
	}
	var bad apperr.Fields
	profile = profile.normalise(&bad)
	if err := bad.Err(); err != nil {
		return err
	}
	_, err := s.keepProfileTx(ctx, tx, userID, profile)
	return err
}

// keepProfileTx changes an account's profile and returns the names of the fields that the input gives.
func (s *Service) keepProfileTx(ctx context.Context, tx *sql.Tx, userID uuid.UUID, in UpdateProfileInput) (changed []string, err error) {
	row := typeid.New()
	// The row stays locked, so that changes of one profile come one after the other.
	err = tx.QueryRowContext(ctx, `INSERT INTO profiles (id, user_id) VALUES ($1, $2)
		ON CONFLICT (user_id) DO UPDATE SET user_id = excluded.user_id RETURNING id`, row, userID).Scan(&row)
	if err != nil {
		return nil, err
	}
	if in.Name.Given {
		changed = append(changed, "name")
	}
	set := func(field, assignments string, values ...any) error {
		changed = append(changed, field)
		//nolint:gosec // what is put together stands below
		_, err := tx.ExecContext(ctx, `UPDATE profiles SET `+assignments+` WHERE id = $1`, append([]any{row}, values...)...)
		return err
	}
	if c := in.Username; c.Given {
		changed = append(changed, "username")
		if err := s.keepUsernameTx(ctx, tx, row, c.To); err != nil {
			return nil, err
		}
	}
	if c := in.Phone; c.Given {
		sealed, index, err := s.sealCell(row, "phone_sealed", "phone", c.To)
		if err != nil {
			return nil, err
		}
		if err := set("phone", `phone_sealed = $2, phone_index = $3`, sealed, index); err != nil {
			return nil, err
		}
	}
	if c := in.PreferredCity; c.Given {
		sealed, _, err := s.sealCell(row, "city_sealed", "", c.To)
		if err != nil {
			return nil, err
		}
		if err := set("preferredCity", `city_sealed = $2`, sealed); err != nil {
			return nil, err
		}
	}
	if in.Needs != nil {
		var text *string
		if len(in.Needs) > 0 {
			text = Set(joined(in.Needs)).To
		}
		sealed, _, err := s.sealCell(row, "accessibility_sealed", "", text)
		if err != nil {
			return nil, err
		}
		if err := set("accessibilityNeeds", `accessibility_sealed = $2`, sealed); err != nil {
			return nil, err
		}
	}
	if c := in.Locale; c.Given {
		if err := set("locale", `locale = $2`, c.To); err != nil {
			return nil, err
		}
	}
	return changed, nil
}

// keepUsernameTx gives a profile another username, or none for nil: ErrUsernameTaken.
func (s *Service) keepUsernameTx(ctx context.Context, tx *sql.Tx, row uuid.UUID, username *string) error {
	sealed, _, err := s.sealCell(row, "username_sealed", "", username)
	if err != nil {
		return err
	}
	var look *string
	if username != nil {
		look = Set(skeleton(*username)).To
	}
	sealedLook, index, err := s.sealCell(row, "look_sealed", "username", look)
	if err != nil {
		return err
	}
	if err := s.claimUsernameTx(ctx, tx, row, look); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE profiles SET username_sealed = $2, look_sealed = $3, username_index = $4 WHERE id = $1`,
		row, sealed, sealedLook, index)
	if postgres.IsUniqueViolation(err, "profiles_username_key") {
		return ErrUsernameTaken
	}
	return err
}

// sealCell returns the cell of a text and its blind index, if it has a kind; nil for nil.
func (s *Service) sealCell(row uuid.UUID, column, kind string, text *string) (cell, index []byte, err error) {
	if text == nil {
		return nil, nil, nil
	}
	if kind != "" {
		index = s.vault.Index(kind, *text)
	}
	cell, err = s.vault.Seal(vault.Cell{Table: "profiles", Column: column, Row: row}, *text)
	return cell, index, err
}

// claimUsernameTx makes sure that no other account has a username that looks like it: ErrUsernameTaken. While keys are
// being changed the unique index alone cannot tell.
func (s *Service) claimUsernameTx(ctx context.Context, tx *sql.Tx, row uuid.UUID, look *string) error {
	if look == nil {
		return nil
	}
	indexes := s.vault.Indexes("username", *look)
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended(encode($1, 'hex'), 0))`, indexes[0]); err != nil {
		return err
	}
	var taken bool
	err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM profiles WHERE username_index = ANY ($1::bytea[]) AND id <> $2)`,
		postgres.Blobs(indexes), row).Scan(&taken)
	if err != nil {
		return err
	}
	if taken {
		return ErrUsernameTaken
	}
	return nil
}

// Profile returns the profile of an account, empty when it has none or does not exist. One statement.
func (s *Service) Profile(ctx context.Context, userID uuid.UUID) (Profile, error) {
	var p Profile
	var row uuid.UUID
	var username, phone, city, accessibility []byte
	err := s.db.SQL().QueryRowContext(ctx, `SELECT id, username_sealed, phone_sealed, city_sealed, accessibility_sealed, locale
		FROM profiles WHERE user_id = $1`, userID).Scan(&row, &username, &phone, &city, &accessibility, &p.Locale)
	if errors.Is(err, sql.ErrNoRows) {
		return Profile{}, nil
	}
	if err != nil {
		return Profile{}, fmt.Errorf("reading a profile: %w", err)
	}
	var list *string
	for _, cell := range []struct {
		column string
		sealed []byte
		text   **string
	}{
		{"username_sealed", username, &p.Username},
		{"phone_sealed", phone, &p.Phone},
		{"city_sealed", city, &p.PreferredCity},
		{"accessibility_sealed", accessibility, &list},
	} {
		if cell.sealed == nil {
			continue
		}
		text, err := s.vault.Open(vault.Cell{Table: "profiles", Column: cell.column, Row: row}, cell.sealed)
		if err != nil {
			return Profile{}, err
		}
		*cell.text = &text
	}
	if list != nil {
		for name := range strings.SplitSeq(*list, ",") {
			p.Needs = append(p.Needs, AccessibilityNeed(name))
		}
	}
	return p, nil
}

func joined(list []AccessibilityNeed) string {
	texts := make([]string, len(list))
	for i, need := range list {
		texts[i] = string(need)
	}
	return strings.Join(texts, ",")
}

// userByUsername returns the account with a normalised username, nil when there is none: one that merely looks like it
// does not count. Two statements.
func (s *Service) userByUsername(ctx context.Context, name string) (*ent.User, error) {
	var row, userID uuid.UUID
	var sealed []byte
	err := s.db.SQL().QueryRowContext(ctx, `SELECT id, user_id, username_sealed FROM profiles WHERE username_index = ANY ($1::bytea[])`,
		postgres.Blobs(s.vault.Indexes("username", skeleton(name)))).Scan(&row, &userID, &sealed)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("looking for a username: %w", err)
	}
	// Whoever has no account is looked for as well, in vain, so that it takes as long.
	found, err := s.ent.User.Get(ctx, userID)
	if ent.IsNotFound(err) {
		return nil, nil //nolint:nilnil // nobody is an answer
	}
	if err != nil {
		return nil, fmt.Errorf("looking for a username: %w", err)
	}
	kept, err := s.vault.Open(vault.Cell{Table: "profiles", Column: "username_sealed", Row: row}, sealed)
	if err != nil || kept != name {
		return nil, err
	}
	return found, nil
}

// normaliseLogin returns the normal form of what somebody signs in with, an address or a username, "" for neither.
func normaliseLogin(text string) string {
	if strings.Contains(text, "@") {
		return normaliseEmail(text)
	}
	return normaliseUsername(text)
}

// userByLogin returns the account that somebody signs in to with a normalised address or username, nil when there is none.
func (s *Service) userByLogin(ctx context.Context, login string) (*ent.User, error) {
	if strings.Contains(login, "@") {
		return s.userByEmail(ctx, login)
	}
	return s.userByUsername(ctx, login)
}
