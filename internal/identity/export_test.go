package identity

import (
	"context"

	"github.com/google/uuid"
)

// HashCheaply returns the hash of a password that costs a few milliseconds, and makes unknown accounts cost as much.
func (s *Service) HashCheaply(password string) string {
	cheap := hashParams{memoryKiB: 2 * 1024, passes: 1, lanes: 1}
	s.decoy = cheap.hash("nobody's")
	return cheap.hash(password)
}

// GiveUpEmailChange ends a change that was found due, as the end of its address does.
func (s *Service) GiveUpEmailChange(ctx context.Context, id, user uuid.UUID) error {
	return s.giveUpEmailChange(ctx, dueChange{id: id, user: user})
}
