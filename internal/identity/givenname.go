package identity

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"marquee/ent"
	"marquee/ent/user"
	"marquee/internal/postgres"
)

// GivenNames returns what may be shown to everybody of those among ids who let it be shown, which the caller has made sure
// of: the first word of their names, never more. Whoever has none that can be shown (an address or the local part of their
// own, a name like one of the house's own) is absent. Usernames are not shown, since they sign in. One statement.
func (s *Service) GivenNames(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]string, error) {
	rows, err := s.ent.User.Query().Where(ent.AnyOf(user.FieldID, "uuid[]", postgres.UUIDs(ids))).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading names: %w", err)
	}
	names := make(map[uuid.UUID]string, len(rows))
	for _, row := range rows {
		u, err := s.fromEnt(row)
		if err != nil {
			return nil, err
		}
		if name := givenName(u.Name, u.Email); name != "" {
			names[u.ID] = name
		}
	}
	return names, nil
}

// givenName returns the first word of a name, "" when that is nothing to show. An account whose provider told no name is
// named after its address.
func givenName(name, email string) string {
	const longest = 30
	first, _, _ := strings.Cut(strings.TrimSpace(name), " ")
	if local, _, _ := strings.Cut(email, "@"); strings.EqualFold(first, local) {
		return ""
	}
	if strings.ContainsAny(first, "@/:") || utf8.RuneCountInString(first) > longest || isReserved(strings.ToLower(first)) {
		return ""
	}
	return first
}

// ShortName returns what is enough to tell who stands at a counter: the first word of the name, and the first letter of the
// last. Of a name that comes from the account's address it is the first letter, so that nothing of the address is told.
func (u User) ShortName() string {
	words := strings.Fields(u.Name)
	if len(words) == 0 {
		return ""
	}
	initial := func(word string) string {
		first, _ := utf8.DecodeRuneInString(word)
		return string(first) + "."
	}
	first, last := words[0], words[len(words)-1]
	if local, _, _ := strings.Cut(u.Email, "@"); strings.Contains(first, "@") || strings.EqualFold(first, local) {
		return initial(first)
	}
	if len(words) == 1 {
		return first
	}
	return first + " " + initial(last)
}
