package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"marquee/internal/audit"
	"marquee/internal/postgres"
)

// VerifyAudit compares the audit log with itself and with the heads in the given files, or in the configured one, and
// shows what it found, for people or as JSON. Its error says that there was something.
func (c Command) VerifyAudit(ctx context.Context, heads []string, asJSON bool) error {
	return c.withDatabase(ctx, func(db *postgres.DB) (err error) {
		key, err := secretKey(c.Config)
		if err != nil {
			return err
		}
		if path := c.Config.AuditHeadsFile(); len(heads) == 0 && path != "" {
			heads = []string{path}
		}
		texts := make([]io.Reader, 0, len(heads))
		var opened closers
		defer func() { err = errors.Join(err, opened.close()) }()
		for _, path := range heads {
			file, err := os.Open(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue // no head was signed yet, which the report says if there should be some
			}
			if err != nil {
				return fmt.Errorf("cannot read the audit heads: %w", err)
			}
			opened.add(file.Close)
			texts = append(texts, file)
		}
		report, err := audit.Verify(ctx, db, key, texts...)
		if err != nil {
			return err
		}
		if asJSON {
			err = json.NewEncoder(c.Out).Encode(report)
		} else {
			err = describe(c.Out, report)
		}
		if n := len(report.Findings); err == nil && n > 0 {
			err = fmt.Errorf("the audit log is not what it was: %d findings, the first at position %d", n, report.Findings[0].From)
		}
		return err
	})
}

// describe writes a report for people.
func describe(out io.Writer, r audit.Report) error {
	_, err := fmt.Fprintf(out, "%d entries sealed, %d not sealed yet, %d signed heads", r.Sealed, r.Waiting, r.Heads)
	if r.LastHead != nil {
		_, err = fmt.Fprintf(out, ", the last at position %d of %s", r.LastHead.Position, r.LastHead.SignedAt.UTC().Format(time.RFC3339))
	}
	_, end := fmt.Fprintln(out, ".")
	err = errors.Join(err, end)
	for _, f := range r.Findings {
		_, line := fmt.Fprintln(out, f.Text)
		err = errors.Join(err, line)
	}
	if r.More > 0 {
		_, line := fmt.Fprintf(out, "And %d more that do not fit.\n", r.More)
		err = errors.Join(err, line)
	}
	if len(r.Findings) == 0 && err == nil {
		_, err = fmt.Fprintln(out, "The audit log is whole.")
	}
	return err
}
