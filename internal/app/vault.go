package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"marquee/internal/config"
	"marquee/internal/vault"
)

// openVault returns the vault over the configured keyset. In development without one, it is made once and kept in the
// data folder.
func openVault(cfg config.Config) (*vault.Vault, error) {
	if cfg.Keyset != "" {
		ks, err := vault.ParseKeyset(string(cfg.Keyset))
		if err != nil {
			return nil, fmt.Errorf("MARQUEE_KEYSET: %w", err)
		}
		return vault.New(ks)
	}
	path := keysetPath(cfg)
	if cfg.KeysetFile == "" {
		if cfg.Env == config.Production {
			return nil, errors.New("a keyset is needed in production: MARQUEE_KEYSET_FILE or MARQUEE_KEYSET")
		}
		if err := ensureKeyset(path); err != nil {
			return nil, err
		}
	}
	return vault.Follow(func() (vault.Keyset, error) { return readKeyset(path) })
}

// keysetPath returns where the keyset is kept unless it is in the environment.
func keysetPath(cfg config.Config) string {
	if cfg.KeysetFile != "" {
		return cfg.KeysetFile
	}
	return filepath.Join(cfg.DataDir, "keyset")
}

func readKeyset(path string) (vault.Keyset, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return vault.Keyset{}, fmt.Errorf("cannot read the keyset: %w", err)
	}
	ks, err := vault.ParseKeyset(string(text))
	if err != nil {
		return vault.Keyset{}, fmt.Errorf("%s: %w", path, err)
	}
	return ks, nil
}

// ensureKeyset makes the keyset of a development installation unless it is there.
func ensureKeyset(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil // whoever reads it says what is wrong
	}
	ks, err := vault.NewKeyset()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("cannot make the data folder: %w", err)
	}
	// Of two processes that start at once, the first one's keyset counts for both.
	err = keepKeyset(path, ks, os.Link)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// keepKeyset writes a keyset beside its place and then puts it there, so that nobody reads half of it.
func keepKeyset(path string, ks vault.Keyset, put func(from, to string) error) (err error) {
	text, err := ks.Text()
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".keyset-*") // readable by its owner alone
	if err != nil {
		return fmt.Errorf("cannot keep a keyset: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }() // gone already when it was moved
	_, err = file.WriteString(text + "\n")
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = put(file.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("cannot keep a keyset: %w", err)
	}
	return nil
}
