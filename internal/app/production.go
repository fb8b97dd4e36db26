package app

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"marquee/internal/config"
)

// refuseDevelopmentSecrets keeps production from taking over the secrets that development has made for itself in the data
// folder, by whichever way they come: whoever worked there has them.
func refuseDevelopmentSecrets(cfg config.Config) error {
	if cfg.Env != config.Production {
		return nil
	}
	key, err := cfg.Key()
	if err != nil {
		return err
	}
	made, err := readIfThere(filepath.Join(cfg.DataDir, "secret.key"))
	if err != nil || made == nil {
		return err // production keeps no key there: nobody has developed in this folder
	}
	var problems []error
	if bytes.Equal(made, key) {
		problems = append(problems, errors.New("MARQUEE_SECRET_KEY is the key that development made: make one for production"))
	}
	keysets := filepath.Join(cfg.DataDir, "keyset")
	keyset, err := readIfThere(keysets)
	if err != nil {
		return err
	}
	given := []byte(cfg.Keyset)
	if len(given) == 0 && cfg.KeysetFile != "" {
		if given, err = readIfThere(cfg.KeysetFile); err != nil {
			return err
		}
	}
	if keyset != nil && bytes.Equal(bytes.TrimSpace(keyset), bytes.TrimSpace(given)) {
		problems = append(problems, errors.New("the keyset is the one that development made: make one for production with marquee keys new"))
	}
	return errors.Join(problems...)
}

// readIfThere returns what a file holds, nil when there is none that this process may read.
func readIfThere(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the secrets in the data folder: %w", err)
	}
	return text, nil
}
