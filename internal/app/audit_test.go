package app_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"marquee/internal/audit"
	"marquee/internal/clock"
	"marquee/internal/dbtest"
)

func TestCommand_VerifyAudit(t *testing.T) {
	t.Parallel()
	cfg := configuration(t, dbtest.NewURL(t))
	cfg.SecretKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	cfg.AuditHeads = filepath.Join(t.TempDir(), "heads")
	c, out := command(cfg)
	if err := c.VerifyAudit(t.Context(), nil, false); err != nil || !strings.Contains(out.String(), "0 entries sealed") {
		t.Fatalf("an empty log: %v\n%s", err, out)
	}
	db := open(t, string(cfg.DatabaseURL))
	do := func(statement string) {
		t.Helper()
		if _, err := db.SQL().ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		do(`INSERT INTO audit_entries (id, action) VALUES (gen_random_uuid(), 'session.started')`)
	}
	key, err := cfg.Key()
	if err != nil {
		t.Fatal(err)
	}
	s, err := audit.NewSealer(audit.SealerConfig{DB: db, Secret: key, Heads: cfg.AuditHeads, Clock: clock.System{}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c, out = command(cfg)
	if err := c.VerifyAudit(t.Context(), nil, false); err != nil || !strings.HasSuffix(out.String(), "\nThe audit log is whole.\n") ||
		!strings.HasPrefix(out.String(), "3 entries sealed, 0 not sealed yet, 1 signed heads, the last at position 3 of 20") {
		t.Errorf("%v\n%s", err, out)
	}

	do(`ALTER TABLE audit_entries DISABLE TRIGGER USER`)
	do(`DELETE FROM audit_entries WHERE position = 2`)
	c, out = command(cfg)
	sentence(t, c.VerifyAudit(t.Context(), nil, false), "1 findings, the first at position 2")
	if !strings.Contains(out.String(), "The entries at positions 2 to 2 are missing") {
		t.Errorf("%s", out)
	}
	c, out = command(cfg)
	sentence(t, c.VerifyAudit(t.Context(), []string{cfg.AuditHeads}, true), "1 findings")
	var report audit.Report
	if err := json.Unmarshal([]byte(out.String()), &report); err != nil || len(report.Findings) != 1 ||
		report.Findings[0].Kind != audit.FindingMissing || report.Findings[0].From != 2 || report.LastHead.Position != 3 {
		t.Errorf("%+v, %v", report, err)
	}
	if err := os.Remove(cfg.AuditHeads); err != nil {
		t.Fatal(err)
	}
	c, out = command(cfg)
	sentence(t, c.VerifyAudit(t.Context(), nil, false), "2 findings")
	if !strings.Contains(out.String(), "No head says where the log ended") {
		t.Errorf("%s", out)
	}
}
