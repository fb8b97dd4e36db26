package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"marquee/internal/payment/sandbox"
	"marquee/internal/payment/sandbox/server"
)

// data is the data folder of the server.
func (b *bench) data() string { return filepath.Join(b.dir, "data") }

// copyCharges writes what the server's sandbox gateway has entered in its journal since the last time beside the tables, so that
// both sides are examined by the same questions.
func (b *bench) copyCharges(ctx context.Context) error {
	entries, err := server.ReadJournal(filepath.Join(b.data(), server.JournalName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	latest := map[string]sandbox.Charge{}
	for _, entry := range entries[b.told:] {
		latest[entry.Charge.Key] = entry.Charge
	}
	b.told = int64(len(entries))
	charges := make([]sandbox.Charge, 0, len(latest))
	for _, charge := range latest {
		charges = append(charges, charge)
	}
	text, err := json.Marshal(charges)
	if err != nil {
		return fmt.Errorf("copy the sandbox's charges: %w", err)
	}
	_, err = b.db.SQL().ExecContext(ctx, `INSERT INTO bench_gateway.charges (key, reference, amount_minor, currency, status, captured_minor)
		SELECT key, reference, "amountMinor", currency, status, "capturedMinor"
		FROM jsonb_to_recordset($1) AS c (key text, reference text, "amountMinor" bigint, currency text, status text, "capturedMinor" bigint)`, string(text))
	if err != nil {
		return fmt.Errorf("copy the sandbox's charges: %w", err)
	}
	return nil
}
