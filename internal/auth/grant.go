package auth

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/google/uuid"

	"marquee/internal/typeid"
)

// Role is a kind of work at the box office.
type Role string

// The roles. What each includes, and where, is said by Grant.Includes.
const (
	RoleCustomer       Role = "CUSTOMER"        // books for themselves; everybody with an account
	RoleTheaterStaff   Role = "THEATER_STAFF"   // door and box office of a theater
	RoleTheaterManager Role = "THEATER_MANAGER" // schedule, prices, refunds and staff of a theater
	RoleSupport        Role = "SUPPORT"         // helps customers of all theaters
	RoleFinance        Role = "FINANCE"         // money of all theaters
	RoleAdmin          Role = "ADMIN"           // runs the platform
)

// Roles returns all roles; those that come later count for more where one of a user's has to stand for all.
func Roles() []Role {
	return []Role{RoleCustomer, RoleTheaterStaff, RoleTheaterManager, RoleSupport, RoleFinance, RoleAdmin}
}

// Valid reports whether r is one of the roles.
func (r Role) Valid() bool { return slices.Contains(Roles(), r) }

// OfTheater reports whether the role can be held at one theater.
func (r Role) OfTheater() bool { return r == RoleTheaterStaff || r == RoleTheaterManager }

// Platform stands in place of a theater for all of them and what belongs to none.
var Platform = uuid.Nil

// Grant is a role and where it is held: at one theater, or on the platform.
type Grant struct {
	Role    Role
	Theater uuid.UUID
}

// Valid reports whether the grant can be given to somebody. Nobody is granted RoleCustomer, which everybody has.
func (g Grant) Valid() bool {
	return g.Role.Valid() && g.Role != RoleCustomer && (g.Theater == Platform || g.Role.OfTheater())
}

// Includes reports whether who was granted g may do what takes need:
//
//	granted          on         may do what takes               at
//	(everybody)                 CUSTOMER                        everywhere
//	THEATER_STAFF    a theater  THEATER_STAFF                   that theater
//	THEATER_STAFF    platform   THEATER_STAFF                   platform, every theater
//	THEATER_MANAGER  a theater  THEATER_MANAGER, THEATER_STAFF  that theater
//	THEATER_MANAGER  platform   THEATER_MANAGER, THEATER_STAFF  platform, every theater
//	SUPPORT          platform   SUPPORT                         platform, every theater
//	FINANCE          platform   FINANCE                         platform, every theater
//	ADMIN            platform   all roles                       platform, every theater
func (g Grant) Includes(need Grant) bool {
	if !g.Valid() || !need.Role.Valid() || g.Theater != Platform && g.Theater != need.Theater {
		return false
	}
	switch g.Role {
	case need.Role, RoleAdmin:
		return true
	case RoleTheaterManager:
		return need.Role == RoleTheaterStaff
	default:
		return false
	}
}

// NeedsSecondFactor reports whether the grant counts only in sessions in which a second factor was proved: what is held
// on the platform reaches everybody's data and money.
func (g Grant) NeedsSecondFactor() bool { return g.Theater == Platform }

// Compare orders grants by role, then by theater.
func (g Grant) Compare(other Grant) int {
	roles := Roles()
	return cmp.Or(
		cmp.Compare(slices.Index(roles, g.Role), slices.Index(roles, other.Role)),
		slices.Compare(g.Theater[:], other.Theater[:]),
	)
}

// String writes the grant as it stands in a token: the role, and the theater's id behind an @.
func (g Grant) String() string {
	if g.Theater == Platform {
		return string(g.Role)
	}
	return string(g.Role) + "@" + typeid.Encode(typeid.Theater, g.Theater)
}

// ParseGrant reads what Grant.String wrote.
func ParseGrant(text string) (Grant, error) {
	role, theater, somewhere := strings.Cut(text, "@")
	g := Grant{Role: Role(role)}
	if somewhere {
		var err error
		if g.Theater, err = typeid.Decode(typeid.Theater, theater); err != nil {
			return Grant{}, fmt.Errorf("auth: a grant at no theater: %w", err)
		}
	}
	if !g.Valid() {
		return Grant{}, fmt.Errorf("auth: %q is no grant", text)
	}
	return g, nil
}

// MaxGrants is how many grants one user can have. All of them travel in the access token; who works at more theaters has
// the role on the platform.
const MaxGrants = 20

// Grants are all that a user was granted. They are a value: equal when they hold the same, and never changed.
type Grants struct {
	text string // sorted, one space between
}

// NewGrants returns a set of grants, those that are not valid left out.
func NewGrants(list ...Grant) Grants {
	list = slices.DeleteFunc(slices.Clone(list), func(g Grant) bool { return !g.Valid() })
	slices.SortFunc(list, Grant.Compare)
	var text strings.Builder
	for i, g := range slices.Compact(list) {
		if i > 0 {
			text.WriteByte(' ')
		}
		text.WriteString(g.String())
	}
	return Grants{text.String()}
}

// All yields the grants in their order.
func (g Grants) All() iter.Seq[Grant] {
	return func(yield func(Grant) bool) {
		for part := range strings.FieldsSeq(g.text) {
			if grant, err := ParseGrant(part); err == nil && !yield(grant) {
				return
			}
		}
	}
}

// Title returns the role that stands for all of them: the last in the order of Roles.
func (g Grants) Title() Role {
	title := RoleCustomer
	for grant := range g.All() {
		title = grant.Role
	}
	return title
}

// String lists the grants.
func (g Grants) String() string { return g.text }

// MarshalText writes the grants for a token.
func (g Grants) MarshalText() ([]byte, error) { return []byte(g.text), nil }

// UnmarshalText reads what MarshalText wrote, and nothing else.
func (g *Grants) UnmarshalText(text []byte) error {
	var list []Grant
	for part := range strings.FieldsSeq(string(text)) {
		grant, err := ParseGrant(part)
		if err != nil {
			return err
		}
		list = append(list, grant)
	}
	read := NewGrants(list...)
	if read.text != string(text) {
		return fmt.Errorf("auth: %q is not how grants are written", text)
	}
	*g = read
	return nil
}
