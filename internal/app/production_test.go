package app_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"marquee/internal/app"
	"marquee/internal/config"
	"marquee/internal/dbtest"
)

// Production does not start with what development has made for itself, whichever way it is handed over.
func TestNew_production_refuses_the_secrets_of_development(t *testing.T) {
	t.Parallel()
	cfg := configuration(t, dbtest.NewURL(t))
	a, err := app.New(timeLimit(t), cfg, quiet, app.Seams{Still: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(cfg.DataDir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	key, keyset := base64.StdEncoding.EncodeToString([]byte(read("secret.key"))), strings.TrimSpace(read("keyset"))
	own := production(t, string(cfg.DatabaseURL))
	own.DataDir = cfg.DataDir
	for name, c := range map[string]struct {
		change func(*config.Config)
		says   string
	}{
		"the_key":                 {func(c *config.Config) { c.SecretKey = config.Secret(key) }, "MARQUEE_SECRET_KEY"},
		"the_keyset":              {func(c *config.Config) { c.Keyset = config.Secret(keyset) }, "keyset"},
		"the_keyset_in_its_place": {func(c *config.Config) { c.Keyset, c.KeysetFile = "", filepath.Join(cfg.DataDir, "keyset") }, "keyset"},
		"a_copy_of_the_keyset": {func(c *config.Config) {
			c.Keyset, c.KeysetFile = "", filepath.Join(t.TempDir(), "copy")
			if err := os.WriteFile(c.KeysetFile, []byte(keyset), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "keyset"},
	} {
		given := own
		c.change(&given)
		a, err := app.New(timeLimit(t), given, quiet, app.Seams{Still: true})
		if err == nil {
			t.Errorf("%s is taken over", name)
			_ = a.Close()
			continue
		}
		sentence(t, err, c.says, key, keyset)
	}
	if a, err := app.New(timeLimit(t), own, quiet, app.Seams{Still: true}); err != nil {
		t.Errorf("secrets of its own: %v", err)
	} else if err := a.Close(); err != nil {
		t.Error(err)
	}
}
