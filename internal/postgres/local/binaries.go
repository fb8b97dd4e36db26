package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// oldestMajor is the oldest server that lib/pq still speaks to.
const oldestMajor = 14

// binaries is one usable installation: initdb, pg_ctl and postgres of one version in one folder.
type binaries struct {
	dir     string
	version string // as printed, 15.18
	major   int
}

func (b binaries) path(name string) string { return filepath.Join(b.dir, name) }

// search says where to look for an installation.
type search struct {
	only  string   // this folder and no other, when not empty
	path  []string // folders of $PATH
	globs []string // patterns of bin folders
}

func systemSearch(only string) search {
	return search{
		only: only,
		path: filepath.SplitList(os.Getenv("PATH")),
		globs: []string{
			"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
			"/usr/pgsql-*/bin",          // PGDG on Fedora, RHEL
			"/usr/libexec/postgresql*",  // Alpine
			"/opt/homebrew/opt/postgresql*/bin",
			"/usr/local/opt/postgresql*/bin",
			"/Applications/Postgres.app/Contents/Versions/*/bin",
		},
	}
}

// find returns the first usable installation, of the wanted major version when major is not 0. data only names the
// folder in messages.
func (s search) find(ctx context.Context, a account, major int, data string) (binaries, error) {
	var others []string
	var tooOld string
	var unusable error
	for _, dir := range s.candidates(ctx, a) {
		b, err := inspect(ctx, a, dir)
		switch {
		case ctx.Err() != nil:
			return binaries{}, context.Cause(ctx)
		case err != nil && s.only != "":
			return binaries{}, problem(ErrMissing, err, "%s is not a usable PostgreSQL bin folder: %v; %s", dir, err, installHint)
		case err != nil && unusable == nil && isFile(filepath.Join(dir, "postgres")):
			unusable = fmt.Errorf("%s is not a usable bin folder: %w", dir, err)
		case err != nil:
		case b.major < oldestMajor:
			tooOld = b.version
		case major != 0 && b.major != major:
			if v := strconv.Itoa(b.major); !slices.Contains(others, v) {
				others = append(others, v)
			}
		default:
			return b, nil
		}
	}
	switch {
	case len(others) > 0:
		return binaries{}, problem(ErrOtherVersion, nil,
			"the data in %s was made by PostgreSQL %d, but only PostgreSQL %s was found: install version %[2]d, or move the folder away to begin anew",
			data, major, strings.Join(others, ", "))
	case tooOld != "":
		return binaries{}, problem(ErrTooOld, nil,
			"PostgreSQL %s is too old, Marquee needs %d or newer: %s", tooOld, oldestMajor, installHint)
	}
	if unusable != nil {
		return binaries{}, problem(ErrMissing, unusable, "PostgreSQL was not found on this machine (%v): %s", unusable, installHint)
	}
	return binaries{}, problem(ErrMissing, nil, "PostgreSQL was not found on this machine: %s", installHint)
}

// candidates lists folders to inspect, best first, each once.
func (s search) candidates(ctx context.Context, a account) []string {
	if s.only != "" {
		return []string{s.only}
	}
	var dirs []string
	add := func(dir string) {
		if filepath.IsAbs(dir) && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range s.path {
		server := filepath.Join(dir, "postgres")
		if !isFile(server) {
			continue
		}
		// A link in a common folder points at the complete one, which also has psql and pg_dump of the same version.
		if target, err := filepath.EvalSymlinks(server); err == nil {
			add(filepath.Dir(target))
		}
		add(dir)
	}
	for _, dir := range s.path {
		tool := filepath.Join(dir, "pg_config")
		if !filepath.IsAbs(dir) || !isFile(tool) {
			continue
		}
		if out, err := printed(ctx, a, tool, "--bindir"); err == nil {
			add(strings.TrimSpace(out))
		}
	}
	for _, pattern := range s.globs {
		matches, _ := filepath.Glob(pattern) // the patterns are constants; a bad one would find nothing
		slices.SortStableFunc(matches, func(x, y string) int { return lastNumber(y) - lastNumber(x) })
		for _, dir := range matches {
			add(dir)
		}
	}
	return dirs
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

var digits = regexp.MustCompile(`\d+`)

// lastNumber is the version in a folder's name: 17 of /opt/homebrew/opt/postgresql@17/bin.
func lastNumber(path string) int {
	all := digits.FindAllString(path, -1)
	if len(all) == 0 {
		return 0
	}
	n, err := strconv.Atoi(all[len(all)-1])
	if err != nil {
		return 0
	}
	return n
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) ((\d+)\S*)`)

// inspect asks the three binaries in dir for their version and demands that they agree: a folder of links may mix
// installations, and initdb of one version cannot use postgres of another.
func inspect(ctx context.Context, a account, dir string) (binaries, error) {
	b := binaries{dir: dir}
	for _, name := range []string{"postgres", "initdb", "pg_ctl"} {
		out, err := printed(ctx, a, b.path(name), "--version")
		if errors.Is(err, fs.ErrNotExist) {
			return binaries{}, fmt.Errorf("%s is missing", name)
		}
		if err != nil {
			return binaries{}, fmt.Errorf("%s does not run as user %s: %w", name, a.name, err)
		}
		m := versionLine.FindStringSubmatch(out)
		switch {
		case m == nil:
			return binaries{}, fmt.Errorf("%s does not tell its version", name)
		case b.version == "":
			b.version = m[1]
		case b.version != m[1]:
			return binaries{}, fmt.Errorf("postgres is version %s but %s is %s", b.version, name, m[1])
		}
		if b.major, err = strconv.Atoi(m[2]); err != nil {
			return binaries{}, fmt.Errorf("%s does not tell its version", name)
		}
	}
	return b, nil
}

// printed runs a binary that only prints something about itself.
func printed(ctx context.Context, a account, binary, arg string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := a.command(ctx, "/", binary, arg).Output()
	return string(out), err
}
