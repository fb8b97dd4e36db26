package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Folder makes a temporary folder for a private PostgreSQL cluster: where the caller is root, the unprivileged user of
// the cluster can pass through it.
func Folder(pattern string) (string, error) {
	dir, err := os.MkdirTemp("", pattern)
	if err != nil {
		return "", fmt.Errorf("make a temporary folder: %w", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return "", fmt.Errorf("open a temporary folder: %w", errors.Join(err, os.RemoveAll(dir)))
	}
	return dir, nil
}

// Tail returns the last lines of a log, for a report on what went wrong; what it cannot read it says in their place.
func Tail(path string, lines int) string {
	const longest = 1 << 10 // of a line, on average
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	most := int64(lines * longest)
	text, err := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-most), most))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
