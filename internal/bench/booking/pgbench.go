package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"marquee/internal/postgres"
)

// floor drives the database alone: pgbench calls claim_seats with what the API would pass.
type floor struct {
	binary string
	dir    string // for scripts and logs
	env    []string
	db     *postgres.DB
}

// newFloor takes the URL of the database, which must name a socket's folder, as that of a private cluster does.
func newFloor(binDir, dir, database string, db *postgres.DB) (*floor, error) {
	u, err := url.Parse(database)
	if err != nil {
		return nil, errors.New("the database's URL cannot be understood")
	}
	binary := filepath.Join(binDir, "pgbench")
	if _, err := os.Stat(binary); err != nil {
		if binary, err = exec.LookPath("pgbench"); err != nil {
			return nil, fmt.Errorf("pgbench comes with PostgreSQL's server programs and was not found: %w", err)
		}
	}
	password, _ := u.User.Password()
	env := slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, "PG") })
	env = append(env, "PGHOST="+u.Query().Get("host"), "PGPORT="+u.Query().Get("port"), "PGSSLMODE=disable",
		"PGUSER="+u.User.Username(), "PGPASSWORD="+password, "PGDATABASE="+strings.TrimPrefix(u.Path, "/"))
	return &floor{binary: binary, dir: dir, env: env, db: db}, nil
}

// threads is how many pgbench works with: as many as the API's load generator has processors on a machine of two.
const threads = 2

const (
	// connecting is what one second of pgbench's time is reckoned to be enough for. It counts connections as part of the
	// time that it is given, and only of the time: not of its rate.
	connecting = 32

	// tries bounds how often a run is repeated that went by with connecting.
	tries = 3
)

// run calls the function for about the given time, in whole seconds.
func (f *floor) run(ctx context.Context, s scenario, clients int, duration time.Duration) (*result, error) {
	script := filepath.Join(f.dir, s.name+".pgbench")
	if err := os.WriteFile(script, []byte(s.script(clients)), 0o600); err != nil {
		return nil, fmt.Errorf("write pgbench's script: %w", err)
	}
	seconds := int(duration.Seconds()) + (clients+connecting-1)/connecting
	for range tries {
		r, err := f.once(ctx, script, clients, seconds)
		if err != nil || r.elapsed >= duration/2 {
			return r, err
		}
		if err := reset(ctx, f.db); err != nil {
			return nil, err
		}
		seconds *= 2
	}
	return nil, fmt.Errorf("pgbench was busy connecting %d clients for %d seconds", clients, seconds/2)
}

// once runs the script on empty tables.
func (f *floor) once(ctx context.Context, script string, clients, seconds int) (_ *result, err error) {
	prefix := filepath.Join(f.dir, "latencies")
	defer func() { err = errors.Join(err, removeAll(prefix+".*")) }()
	cmd := exec.CommandContext(ctx, f.binary,
		"--no-vacuum", "--protocol=prepared", "--client="+strconv.Itoa(clients), "--jobs="+strconv.Itoa(threads),
		"--time="+strconv.Itoa(seconds), "--file="+script, "--define=i=-1",
		"--log", "--log-prefix="+prefix)
	cmd.Env = f.env
	cmd.Dir = f.dir
	said, err := cmd.CombinedOutput()
	if err != nil {
		const telling = 500
		return nil, fmt.Errorf("pgbench: %w: %s", err, said[:min(len(said), telling)])
	}
	r, err := parseSummary(said)
	if err != nil {
		return nil, err
	}
	if r.latencies, err = readLatencies(prefix); err != nil {
		return nil, err
	}
	r.client = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	done := r.refused
	if err := f.db.SQL().QueryRowContext(ctx, `SELECT count(*) FROM reservations`).Scan(&r.reserved); err != nil {
		return nil, fmt.Errorf("count the reservations: %w", err)
	}
	r.refused = done - r.reserved
	return r, nil
}

func removeAll(pattern string) error {
	paths, err := filepath.Glob(pattern)
	for _, path := range paths {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// parseSummary reads what pgbench prints at its end. It cannot tell a reservation from a refusal: all that succeeded
// as statements are counted as refused. Where none did, no time has elapsed.
func parseSummary(said []byte) (*result, error) {
	r := result{refused: -1}
	rate := ""
	for line := range strings.Lines(string(said)) {
		label, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		count, _, _ := strings.Cut(value, " ")
		var err error
		switch label {
		case "number of transactions actually processed":
			r.refused, err = strconv.Atoi(count)
		case "number of failed transactions":
			r.failed, err = strconv.Atoi(count)
		default:
			if rest, ok := strings.CutPrefix(label, "tps = "); ok {
				rate, _, _ = strings.Cut(rest, " ")
			}
		}
		if err != nil {
			return nil, fmt.Errorf("pgbench printed %q: %w", line, err)
		}
	}
	if r.refused == 0 {
		return &r, nil
	}
	perSecond, err := strconv.ParseFloat(rate, 64)
	if err != nil || r.refused < 0 || !(perSecond > 0) {
		return nil, fmt.Errorf("pgbench printed no result: %s", bytes.TrimSpace(said))
	}
	// The rate is that of the time without connecting, which the API's clients do before their run too.
	r.elapsed = time.Duration(float64(r.refused) / perSecond * float64(time.Second))
	return &r, nil
}

// readLatencies reads the logs of all threads: one transaction a line, its microseconds in the third column.
func readLatencies(prefix string) ([]time.Duration, error) {
	logs, err := filepath.Glob(prefix + ".*")
	if err != nil || len(logs) == 0 {
		return nil, fmt.Errorf("pgbench left no log: %w", errors.Join(err, os.ErrNotExist))
	}
	var all []time.Duration
	for _, path := range logs {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read pgbench's log: %w", err)
		}
		all, err = appendLatencies(all, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
	slices.Sort(all)
	return all, nil
}

func appendLatencies(to []time.Duration, log io.Reader) ([]time.Duration, error) {
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		columns := strings.Fields(lines.Text())
		if len(columns) < 3 {
			return nil, fmt.Errorf("pgbench logged %q", lines.Text())
		}
		microseconds, err := strconv.ParseInt(columns[2], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("pgbench logged %q: %w", lines.Text(), err)
		}
		to = append(to, time.Duration(microseconds)*time.Microsecond)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read pgbench's log: %w", err)
	}
	return to, nil
}
