package identity

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"marquee/internal/notify"
	"marquee/internal/peer"
)

// A device is known to an account that was signed in to from it within 90 days. Of a device there is what it calls itself,
// without the numbers in it, so that one that was updated stays itself, and the network it was in, a /24 or /48. That is
// little enough for somebody at home to be let alone, and enough for somebody elsewhere to be noticed. What is kept is a
// keyed hash of it. The device seen last stays for as long as the account, which would otherwise, after 90 days that nobody
// used it, look like one that nobody ever has.

// deviceMemory is how long a device is known after it signed in.
const deviceMemory = 90 * 24 * time.Hour

// noteDeviceTx notes that a session starts on a device, and tells the owner of the account when it is not known. The first
// device of an account is nothing to tell of.
func (s *Service) noteDeviceTx(ctx context.Context, tx *sql.Tx, userID uuid.UUID, device Device) error {
	now := s.now()
	var strange bool
	err := tx.QueryRowContext(ctx, `WITH seen AS (INSERT INTO known_devices (id, user_id, seen_at) VALUES ($1, $2, $3)
			ON CONFLICT (id) DO UPDATE SET seen_at = greatest(known_devices.seen_at, excluded.seen_at))
		SELECT count(*) > 0 AND NOT coalesce(bool_or(id = $1 AND seen_at > $4), false) FROM known_devices WHERE user_id = $2`,
		s.deviceID(userID, device), userID, now, now.Add(-deviceMemory)).Scan(&strange)
	if err != nil {
		return fmt.Errorf("noting a device: %w", err)
	}
	if !strange {
		return nil
	}
	return s.tellOwnerTx(ctx, tx, userID, notify.NewDevice, notify.Data{
		"device": deviceName(device.Name), "when": now.UTC().Format("2006-01-02 15:04 MST"),
	})
}

// deviceID is where the row of a device of an account is.
func (s *Service) deviceID(userID uuid.UUID, device Device) uuid.UUID {
	name := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '.' || r == '_' {
			return -1
		}
		return r
	}, deviceName(device.Name))
	return s.subject("device of account", userID.String(), name, peer.Network(device.Address))
}

// ForgetDevices deletes devices that are not known any more and returns how many. One statement.
func (s *Service) ForgetDevices(ctx context.Context) (int, error) {
	done, err := s.db.SQL().ExecContext(ctx, `DELETE FROM known_devices d WHERE seen_at <= $1
		AND EXISTS (SELECT FROM known_devices later WHERE later.user_id = d.user_id AND (later.seen_at, later.id) > (d.seen_at, d.id))`,
		s.now().Add(-deviceMemory))
	if err != nil {
		return 0, fmt.Errorf("forgetting devices: %w", err)
	}
	n, err := done.RowsAffected()
	return int(n), err
}
