package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"marquee/internal/clock"
	"marquee/internal/identity"
	"marquee/internal/postgres"
	"marquee/internal/privacy"
	"marquee/internal/typeid"
)

// ListErasures writes the ids of erased accounts, one a line with the moment: what to keep beside a backup.
func (c Command) ListErasures(ctx context.Context) error {
	return c.withPrivacy(ctx, func(s *privacy.Service) error {
		erasures, err := s.Erasures(ctx)
		if err != nil {
			return err
		}
		for _, e := range erasures {
			fmt.Fprintf(c.Out, "%s %s\n", typeid.Encode(typeid.User, e.UserID), e.ErasedAt.UTC().Format(time.RFC3339))
		}
		return nil
	})
}

// ReplayErasures erases again whom a restored backup has brought back: those of its own list, and those of a list as
// ListErasures writes it.
func (c Command) ReplayErasures(ctx context.Context, list io.Reader) error {
	var ids []uuid.UUID
	lines := bufio.NewScanner(list)
	for number := 1; lines.Scan(); number++ {
		text, _, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if text == "" {
			continue
		}
		id, err := typeid.Decode(typeid.User, text)
		if err != nil {
			return fmt.Errorf("line %d of the list does not begin with the id of a user", number)
		}
		ids = append(ids, id)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the list: %w", err)
	}
	return c.withPrivacy(ctx, func(s *privacy.Service) error {
		again, err := s.Replay(ctx, ids)
		fmt.Fprintf(c.Out, "%d accounts had come back and are erased again.\n", again)
		if errors.Is(err, identity.ErrLastAdmin) {
			return errors.New("the list names the last administrator: make another one first, or take the line out")
		}
		return err
	})
}

func (c Command) withPrivacy(ctx context.Context, do func(*privacy.Service) error) error {
	return c.withDatabase(ctx, func(db *postgres.DB) error {
		v, err := openVault(c.Config)
		if err != nil {
			return err
		}
		accounts, err := c.accounts(db)
		if err != nil {
			return err
		}
		return do(privacy.NewService(db, v, accounts, nil, clock.System{}, c.Log))
	})
}
