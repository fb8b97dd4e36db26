//go:build unix && !aix && !solaris

package local_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"marquee/internal/postgres/local"
)

func TestStart(t *testing.T) {
	t.Parallel()

	t.Run("a_restart_keeps_the_data", func(t *testing.T) {
		t.Parallel()
		dir := folder(t)
		o := local.Options{Dir: dir, MaxConnections: 37}
		c := startWith(t, o, local.Seams{})
		must(t, c.EnsureDatabase(t.Context(), "box_office"))
		run(t, c.URL("box_office"), `CREATE TABLE seats (label text)`, `INSERT INTO seats VALUES ('A1')`)
		for query, want := range map[string]string{
			"SHOW fsync":               "on",
			"SHOW full_page_writes":    "on",
			"SHOW synchronous_commit":  "on",
			"SHOW data_checksums":      "on",
			"SHOW max_connections":     "37",
			"SHOW listen_addresses":    "127.0.0.1",
			"SHOW password_encryption": "scram-sha-256",
			"SHOW timezone":            "UTC",
			"SHOW jit":                 "off",
			"SHOW server_encoding":     "UTF8",
			"SELECT lower('ÄÉ')":       "äé",
		} {
			expect(t, c.URL("box_office"), query, want)
		}
		expect(t, c.TCPURL("box_office"), "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method <> 'scram-sha-256'", "0")
		stop(t, c)
		assertNoServer(t, dir)

		again := startWith(t, o, local.Seams{})
		expect(t, again.TCPURL("box_office"), "SELECT label FROM seats", "A1")
	})

	t.Run("a_relative_folder_is_the_same_cluster", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		c := start(t, dir)
		cwd, err := os.Getwd()
		must(t, err)
		relative, err := filepath.Rel(cwd, dir)
		must(t, err)
		if again := start(t, relative); again.URL("x") != c.URL("x") {
			t.Errorf("%q has another server", relative)
		}
	})

	t.Run("a_link_is_the_same_cluster", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		c := start(t, dir)
		link := dir + "-link"
		must(t, os.Symlink(dir, link))
		if again := start(t, link); again.URL("x") != c.URL("x") {
			t.Error("the link has another server")
		}
	})

	t.Run("the_server_is_out_of_reach_of_the_terminal", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		start(t, dir)
		group, err := syscall.Getpgid(postmaster(t, dir))
		must(t, err)
		if group == syscall.Getpgrp() {
			t.Error("Ctrl-C would end the server under its users")
		}
	})

	t.Run("a_large_log_is_moved_aside", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		logFile := filepath.Join(dir, "postgres.log")
		must(t, os.WriteFile(logFile, make([]byte, 5<<20), 0o600))
		stop(t, start(t, dir))
		for file, most := range map[string]int64{logFile: 1 << 20, logFile + ".1": 6 << 20} {
			info, err := os.Stat(file)
			must(t, err)
			if info.Size() > most {
				t.Errorf("%s has %d bytes", file, info.Size())
			}
		}
	})

	t.Run("a_system_without_C_UTF8_gets_C", func(t *testing.T) {
		t.Parallel()
		installed := realBin(t)
		bin := fakeBin(t, nil)
		for _, name := range []string{"postgres", "pg_ctl", "psql"} {
			must(t, os.Symlink(filepath.Join(installed, name), filepath.Join(bin, name)))
		}
		script(t, filepath.Join(bin, "initdb"), fmt.Sprintf(
			`case "$*" in *--locale=C.UTF-8*) echo 'initdb: error: invalid locale name "C.UTF-8"' >&2; exit 1;; esac
exec %s "$@"`, filepath.Join(installed, "initdb")))
		c := startWith(t, local.Options{Dir: folder(t), BinDir: bin, Ephemeral: true}, local.Seams{})
		if c.BinDir() != bin {
			t.Errorf("BinDir = %s", c.BinDir())
		}
		expect(t, c.URL("postgres"), "SELECT datcollate FROM pg_database WHERE datname = 'postgres'", "C")
		expect(t, c.URL("postgres"), "SHOW server_encoding", "UTF8")
	})
}

func TestStart_Sharing(t *testing.T) {
	t.Parallel()

	t.Run("the_last_of_two_users_stops_the_server", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		first := start(t, dir)
		run(t, first.URL("postgres"), `CREATE TABLE seats (label text)`)
		second := join(t, local.Options{Dir: dir, Ephemeral: true})
		if got := second.url(); got != first.URL("postgres") {
			t.Fatalf("second user got %s", got)
		}
		stop(t, first)
		run(t, first.URL("postgres"), `INSERT INTO seats VALUES ('A1')`)
		second.leave()
		assertNoServer(t, dir)
	})

	t.Run("a_server_of_a_killed_user_is_adopted", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		victim := join(t, local.Options{Dir: dir, Ephemeral: true})
		was := victim.url()
		run(t, was, `CREATE TABLE seats (label text)`, `INSERT INTO seats VALUES ('A1')`)
		victim.kill()
		c := start(t, dir)
		if c.URL("postgres") != was {
			t.Error("the server was not adopted")
		}
		expect(t, c.URL("postgres"), "SELECT label FROM seats", "A1")
		stop(t, c)
		assertNoServer(t, dir)
	})

	t.Run("a_server_started_by_hand_is_adopted", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		c := start(t, dir)
		stop(t, c)
		cmd := exec.Command(filepath.Join(c.BinDir(), "pg_ctl"), "start", "-w", "-s", "-D", filepath.Join(dir, "data"), "-l", "/dev/null")
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: serverCredential(t, dir)}
		must(t, cmd.Run())
		pid := postmaster(t, dir)
		adopted := start(t, dir)
		if postmaster(t, dir) != pid {
			t.Error("the server was not adopted")
		}
		expect(t, adopted.URL("postgres"), "SELECT 1", "1")
		stop(t, adopted)
		if exists(pidFile(dir)) {
			t.Error("Close did not wait")
		}
		eventually(t, "the end of the server", func() bool { return len(processesBelow(dir)) == 0 })
	})

	t.Run("a_fork_at_the_wrong_moment_keeps_no_claim", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		first, second := start(t, dir), start(t, dir)
		// Between fork and exec a child of this process shares all its open files, as these duplicates do.
		for _, name := range []string{"start.lock", "users.lock"} {
			for _, fd := range descriptors(t, filepath.Join(dir, name)) {
				twin, err := syscall.Dup(fd)
				must(t, err)
				t.Cleanup(func() { _ = syscall.Close(twin) })
			}
		}
		stop(t, first)
		stop(t, second)
		assertNoServer(t, dir)
	})

	t.Run("a_fork_at_the_wrong_moment_only_delays_a_start", func(t *testing.T) {
		t.Parallel()
		dir := folder(t)
		o := local.Options{Dir: dir, Ephemeral: true}
		started := make(chan error, 1)
		var c *local.Cluster
		go func() {
			var err error
			c, err = local.StartWith(t.Context(), o, local.Seams{})
			started <- err
		}()
		eventually(t, "initdb at work", func() bool { return exists(filepath.Join(dir, "data.new", "PG_VERSION")) })
		var twins []int
		for _, fd := range descriptors(t, filepath.Join(dir, "server.lock")) {
			twin, err := syscall.Dup(fd)
			must(t, err)
			twins = append(twins, twin)
		}
		eventually(t, "the end of initdb", func() bool { return exists(filepath.Join(dir, "marquee.conf")) })
		for _, twin := range twins {
			must(t, syscall.Close(twin))
		}
		must(t, <-started)
		expect(t, c.URL("postgres"), "SELECT 1", "1")
		stop(t, c)
	})

	t.Run("many_users_at_once_share_one_server", func(t *testing.T) {
		t.Parallel()
		dir := folder(t)
		o := local.Options{Dir: dir, Ephemeral: true}
		const processes, routines = 4, 8
		var neighbours [processes]*neighbour
		for i := range neighbours {
			neighbours[i] = join(t, o)
		}
		var clusters [routines]*local.Cluster
		var errs [routines]error
		var all sync.WaitGroup
		for i := range clusters {
			all.Go(func() { clusters[i], errs[i] = local.StartWith(t.Context(), o, local.Seams{}) })
		}
		all.Wait()
		must(t, errors.Join(errs[:]...))
		want := clusters[0].URL("postgres")
		for _, c := range clusters {
			if c.URL("postgres") != want {
				t.Error("two servers run")
			}
		}
		for _, n := range neighbours {
			if n.url() != want {
				t.Error("two servers run")
			}
		}
		for i, c := range clusters {
			all.Go(func() { errs[i] = c.Close() })
		}
		for _, n := range neighbours {
			n.leave()
		}
		all.Wait()
		must(t, errors.Join(errs[:]...))
		text, err := os.ReadFile(filepath.Join(dir, "postgres.log"))
		must(t, err)
		if n := strings.Count(string(text), "starting PostgreSQL"); n != 1 {
			t.Errorf("the server was started %d times", n)
		}
	})

	t.Run("users_come_and_go_while_others_stay", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 4 {
					c, err := local.StartWith(t.Context(), local.Options{Dir: dir, Ephemeral: true}, local.Seams{})
					if err != nil {
						t.Error(err)
						return
					}
					db, err := sql.Open("postgres", c.URL("postgres"))
					if err == nil {
						err = errors.Join(db.PingContext(t.Context()), db.Close())
					}
					if err := errors.Join(err, c.Close()); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
	})

	t.Run("a_durable_user_makes_an_ephemeral_server_durable", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		c := start(t, dir)
		for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
			expect(t, c.URL("postgres"), "SHOW "+name, "off")
		}
		startWith(t, local.Options{Dir: dir}, local.Seams{})
		for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
			eventually(t, name+" is on", func() bool { return ask(t, c.URL("postgres"), "SHOW "+name) == "on" })
		}
		expect(t, c.URL("postgres"), "SELECT count(*) FROM pg_file_settings WHERE NOT applied AND sourcefile LIKE '%marquee.conf'", "0")
	})
}

func TestStart_Crash(t *testing.T) {
	t.Parallel()

	// crashed leaves a folder as a power cut would: a row committed, postmaster.pid and the socket's lock file there.
	crashed := func(t *testing.T) (dir, url string) {
		t.Helper()
		dir = cluster(t)
		victim := join(t, local.Options{Dir: dir})
		url = victim.url()
		run(t, url, `CREATE TABLE seats (label text)`, `INSERT INTO seats VALUES ('A1')`)
		victim.kill()
		killServer(t, dir)
		return dir, url
	}

	t.Run("a_dead_process_id_does_not_stop_the_start", func(t *testing.T) {
		t.Parallel()
		dir, was := crashed(t)
		c := startWith(t, local.Options{Dir: dir}, local.Seams{})
		expect(t, c.URL("postgres"), "SELECT label FROM seats", "A1")
		if c.URL("postgres") != was {
			t.Error("the port changed: users of the crashed server cannot reconnect")
		}
	})

	t.Run("a_process_id_of_somebody_else_does_not_stop_the_start", func(t *testing.T) {
		t.Parallel()
		dir, _ := crashed(t)
		stranger := exec.Command("cat")
		stranger.SysProcAttr = &syscall.SysProcAttr{Credential: serverCredential(t, dir)}
		input, err := stranger.StdinPipe()
		must(t, err)
		must(t, stranger.Start())

		stale, err := filepath.Glob(filepath.Join(dir, "run", ".s.PGSQL.*.lock"))
		must(t, err)
		if len(stale) != 1 {
			t.Fatalf("lock files of sockets: %q", stale)
		}
		for _, file := range append(stale, pidFile(dir)) {
			setPID(t, file, stranger.Process.Pid)
		}

		c := startWith(t, local.Options{Dir: dir}, local.Seams{})
		expect(t, c.URL("postgres"), "SELECT label FROM seats", "A1")
		stop(t, c)
		must(t, input.Close())
		if err := stranger.Wait(); err != nil {
			t.Errorf("the stranger was harmed: %v", err)
		}
	})

	t.Run("a_process_id_of_somebody_else_is_never_signalled", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		alone, err := local.StartWith(t.Context(), local.Options{Dir: dir, Ephemeral: true}, local.Seams{Leftover: 100 * time.Millisecond})
		must(t, err)
		killServer(t, dir)
		stranger := exec.Command("cat")
		input, err := stranger.StdinPipe()
		must(t, err)
		must(t, stranger.Start())
		setPID(t, pidFile(dir), stranger.Process.Pid)

		release, err := local.HoldServerLock(dir)
		must(t, err)
		isSentence(t, alone.Close(), local.ErrLeftover, dir)
		must(t, release())
		c := start(t, dir)
		killServer(t, dir)
		setPID(t, pidFile(dir), stranger.Process.Pid)
		stop(t, c)
		must(t, input.Close())
		if err := stranger.Wait(); err != nil {
			t.Errorf("the stranger was harmed: %v", err)
		}
	})

	for name, text := range map[string]string{
		"an_empty_pid_file_does_not_stop_the_start":    "",
		"a_garbled_pid_file_does_not_stop_the_start":   "\x00\x00\x00\x00",
		"an_impossible_port_is_not_taken_over":         "%d\n/nowhere\n0\n99999\n",
		"a_pid_file_cut_short_does_not_stop_the_start": "%d\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, _ := crashed(t)
			if strings.Contains(text, "%d") {
				text = fmt.Sprintf(text, os.Getpid())
			}
			must(t, os.WriteFile(pidFile(dir), []byte(text), 0o600))
			expect(t, startWith(t, local.Options{Dir: dir}, local.Seams{}).URL("postgres"), "SELECT label FROM seats", "A1")
		})
	}

	t.Run("survivors_of_a_killed_postmaster_are_waited_for", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		victim := join(t, local.Options{Dir: dir})
		at := victim.url()
		run(t, at, `CREATE TABLE seats (label text)`, `INSERT INTO seats VALUES ('A1')`)
		busy := open(t, at+"&statement_timeout=3000&application_name=busy")
		var work sync.WaitGroup
		defer work.Wait()
		work.Go(func() {
			_, _ = busy.ExecContext(t.Context(), `DO $$ BEGIN LOOP END LOOP; END $$`) // ends with its server
		})
		eventually(t, "a busy backend", func() bool {
			return ask(t, at, `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'busy' AND state = 'active'`) == "1"
		})
		victim.kill()
		must(t, syscall.Kill(postmaster(t, dir), syscall.SIGKILL))

		refused(t, local.Options{Dir: dir}, local.Seams{Leftover: 100 * time.Millisecond}, local.ErrLeftover, dir)
		c := startWith(t, local.Options{Dir: dir}, local.Seams{})
		expect(t, c.URL("postgres"), "SELECT label FROM seats", "A1")
	})

	t.Run("an_orphaned_initdb_is_waited_for", func(t *testing.T) {
		t.Parallel()
		dir := folder(t)
		victim := join(t, local.Options{Dir: dir, Ephemeral: true})
		eventually(t, "initdb at work", func() bool { return exists(filepath.Join(dir, "data.new", "PG_VERSION")) })
		victim.kill()
		c := start(t, dir)
		expect(t, c.URL("postgres"), "SELECT 1", "1")
		for _, left := range []string{"data.new", "initdb.password"} {
			if exists(filepath.Join(dir, left)) {
				t.Errorf("%s is left", left)
			}
		}
	})

	t.Run("a_starting_server_of_a_killed_user_is_adopted", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		victim := join(t, local.Options{Dir: dir, Ephemeral: true})
		eventually(t, "a server", func() bool { return exists(pidFile(dir)) })
		victim.kill()
		pid := postmaster(t, dir)
		c := start(t, dir)
		expect(t, c.URL("postgres"), "SELECT 1", "1")
		if postmaster(t, dir) != pid {
			t.Error("the server was not adopted")
		}
	})

	t.Run("a_copied_folder_is_another_cluster", func(t *testing.T) {
		t.Parallel()
		dir, twin := folder(t), folder(t)
		c := start(t, dir)
		run(t, c.URL("postgres"), `CREATE TABLE seats (label text)`, `CHECKPOINT`)
		if out, err := exec.Command("cp", "-a", dir, twin).CombinedOutput(); err != nil {
			t.Fatalf("cp: %v %s", err, out)
		}
		// The copy holds the original's postmaster.pid, whose server lives.
		copied := start(t, twin)
		if copied.URL("postgres") == c.URL("postgres") {
			t.Fatal("the copy was mistaken for the original")
		}
		run(t, copied.URL("postgres"), `DROP TABLE seats`)
		stop(t, copied)
		expect(t, c.URL("postgres"), "SELECT count(*) FROM seats", "0")
	})

	t.Run("half_an_initdb_is_cleared_away", func(t *testing.T) {
		t.Parallel()
		dir := folder(t)
		must(t, os.MkdirAll(filepath.Join(dir, "data.new", "base"), 0o755))
		must(t, os.Chmod(dir, 0o711))
		must(t, os.Mkdir(filepath.Join(dir, "data"), 0o755))
		if os.Geteuid() == 0 {
			_, uid, gid := nobody(t)
			must(t, os.Chown(filepath.Join(dir, "data"), uid, gid))
		}
		c := start(t, dir)
		expect(t, c.URL("postgres"), "SELECT 1", "1")
	})
}

func TestStart_Refusal(t *testing.T) {
	t.Parallel()
	nowhere := []string{}

	t.Run("no_binaries", func(t *testing.T) {
		t.Parallel()
		refused(t, local.Options{Dir: folder(t)}, local.Seams{Path: nowhere}, local.ErrMissing,
			"apt-get install postgresql", "dnf install", "brew install postgresql@17", "MARQUEE_PG_BIN")
	})

	t.Run("a_named_folder_without_binaries", func(t *testing.T) {
		t.Parallel()
		bin := fakeBin(t, map[string]string{"postgres": "15.1", "pg_ctl": "15.1"})
		refused(t, local.Options{Dir: folder(t), BinDir: bin}, local.Seams{}, local.ErrMissing, bin, "initdb is missing")
	})

	t.Run("binaries_of_two_versions", func(t *testing.T) {
		t.Parallel()
		bin := fakeBin(t, map[string]string{"postgres": "15.1", "initdb": "16.0", "pg_ctl": "15.1"})
		refused(t, local.Options{Dir: folder(t), BinDir: bin}, local.Seams{}, local.ErrMissing, "15.1", "16.0")
		refused(t, local.Options{Dir: folder(t)}, local.Seams{Path: []string{bin}}, local.ErrMissing, bin, "15.1", "16.0", "apt-get")
	})

	t.Run("too_old_a_version", func(t *testing.T) {
		t.Parallel()
		bin := fakeBin(t, ofVersion("13.14 (Debian 13.14-0+deb11u1)"))
		refused(t, local.Options{Dir: folder(t), BinDir: bin}, local.Seams{}, local.ErrTooOld, "13.14", "14 or newer")
		refused(t, local.Options{Dir: folder(t)}, local.Seams{Path: []string{bin}}, local.ErrTooOld, "13.14")
	})

	t.Run("data_of_another_version", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		refused(t, local.Options{Dir: dir}, local.Seams{Path: []string{fakeBin(t, ofVersion("99.1")), fakeBin(t, ofVersion("98beta1"))}},
			local.ErrOtherVersion, "99, 98", filepath.Join(dir, "data"))
	})

	t.Run("data_picks_its_own_version_among_others", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		c := start(t, dir)
		stop(t, c)
		again := startWith(t, local.Options{Dir: dir, Ephemeral: true},
			local.Seams{Path: []string{fakeBin(t, ofVersion("99.1"))}, Globs: []string{c.BinDir()}})
		if again.BinDir() != c.BinDir() {
			t.Errorf("BinDir = %s, want %s", again.BinDir(), c.BinDir())
		}
	})

	t.Run("the_highest_of_several_folders_is_taken", func(t *testing.T) {
		t.Parallel()
		parent, err := os.MkdirTemp(base, "pg")
		must(t, err)
		must(t, os.Chmod(parent, 0o711))
		for _, version := range []string{"9", "14", "15"} {
			must(t, os.Symlink(realBin(t), filepath.Join(parent, version)))
		}
		c := startWith(t, local.Options{Dir: cluster(t), Ephemeral: true}, local.Seams{Globs: []string{parent + "/*"}})
		if want := filepath.Join(parent, "15"); c.BinDir() != want {
			t.Errorf("BinDir = %s, want %s", c.BinDir(), want)
		}
	})

	t.Run("an_unwritable_folder", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(filepath.Dir(folder(t)), "file")
		must(t, os.WriteFile(file, nil, 0o600))
		refused(t, local.Options{Dir: filepath.Join(file, "c")}, local.Seams{}, local.ErrUnwritable, file)
		refused(t, local.Options{Dir: file}, local.Seams{}, local.ErrUnwritable, file)
	})

	t.Run("a_folder_that_the_servers_user_cannot_enter", func(t *testing.T) {
		t.Parallel()
		closed := filepath.Join(filepath.Dir(folder(t)), "closed")
		must(t, os.Mkdir(closed, 0o700))
		o := local.Options{Dir: filepath.Join(closed, "deep", "c"), Ephemeral: true}
		if os.Geteuid() != 0 {
			// The server runs as the owner, whom the folder lets in.
			startWith(t, o, local.Seams{})
			return
		}
		refused(t, o, local.Seams{}, local.ErrUnreachable, "cannot enter "+closed+" on the way")
		if exists(filepath.Join(o.Dir, "data")) {
			t.Error("data was made all the same")
		}
	})

	t.Run("a_data_folder_of_something_else", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		must(t, os.Remove(filepath.Join(dir, "data", "PG_VERSION")))
		refused(t, local.Options{Dir: dir}, local.Seams{}, local.ErrForeignData, dir)
	})

	t.Run("data_of_root", func(t *testing.T) {
		t.Parallel()
		if os.Geteuid() != 0 {
			return // only root can make such a folder
		}
		dir := cluster(t)
		must(t, os.Chown(filepath.Join(dir, "data"), 0, 0))
		refused(t, local.Options{Dir: dir}, local.Seams{}, local.ErrWrongOwner, "root", dir)
	})

	t.Run("a_lost_password", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		file := filepath.Join(dir, "pgpass")
		must(t, os.WriteFile(file, nil, 0o600))
		refused(t, local.Options{Dir: dir}, local.Seams{}, local.ErrPasswordLost, file)
		must(t, os.Remove(file))
		refused(t, local.Options{Dir: dir}, local.Seams{}, local.ErrPasswordLost, file)
	})

	t.Run("a_server_that_does_not_come_up", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		conf, err := os.OpenFile(filepath.Join(dir, "data", "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
		must(t, err)
		_, err = conf.WriteString("shared_preload_libraries = 'no_such_library'\n")
		must(t, errors.Join(err, conf.Close()))
		refused(t, local.Options{Dir: dir}, local.Seams{}, local.ErrNotUp, "FATAL:", "no_such_library", filepath.Join(dir, "postgres.log"))
	})

	t.Run("an_initdb_that_fails", func(t *testing.T) {
		t.Parallel()
		bin := fakeBin(t, ofVersion("15.1"))
		script(t, filepath.Join(bin, "initdb"), `test "$1" = --version && { echo 'initdb (PostgreSQL) 15.1'; exit; }
echo 'initdb: error: the disk is full' >&2; exit 1`)
		dir := folder(t)
		refused(t, local.Options{Dir: dir, BinDir: bin}, local.Seams{}, local.ErrInit, "error: the disk is full")
		for _, left := range []string{"data", "data.new", "initdb.password"} {
			if exists(filepath.Join(dir, left)) {
				t.Errorf("%s is left", left)
			}
		}
	})
}

func TestStart_Cancelled(t *testing.T) {
	t.Parallel()

	// cancelWhen cancels a Start when the condition holds, and demands that nothing is left of it.
	cancelWhen := func(t *testing.T, dir string, condition func() bool) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() {
			c, err := local.StartWith(ctx, local.Options{Dir: dir, Ephemeral: true}, local.Seams{})
			if err == nil {
				err = c.Close()
			}
			done <- err
		}()
		eventually(t, "the moment to cancel", condition)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
		assertNoServer(t, dir)
	}

	t.Run("without_a_folder", func(t *testing.T) {
		t.Parallel()
		if _, err := local.Start(t.Context(), local.Options{}); err == nil {
			t.Error("started somewhere")
		}
	})

	t.Run("before_it_begins", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := local.Start(ctx, local.Options{Dir: folder(t)}); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
	})

	t.Run("during_initdb", func(t *testing.T) {
		t.Parallel()
		dir := folder(t)
		cancelWhen(t, dir, func() bool { return exists(filepath.Join(dir, "data.new", "PG_VERSION")) })
		if exists(filepath.Join(dir, "data")) {
			t.Error("half-made data is in place")
		}
		expect(t, start(t, dir).URL("postgres"), "SELECT 1", "1")
	})

	t.Run("while_the_server_starts", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		c := start(t, dir)
		run(t, c.URL("postgres"), `CREATE TABLE seats (label text)`, `INSERT INTO seats VALUES ('A1')`)
		stop(t, c)
		cancelWhen(t, dir, func() bool { return exists(pidFile(dir)) })
		expect(t, start(t, dir).URL("postgres"), "SELECT label FROM seats", "A1")
	})

	t.Run("while_another_process_starts_or_stops", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		release, err := local.HoldStartLock(t.Context(), dir)
		must(t, err)
		entered := make(chan struct{})
		close(entered)
		cancelWhen(t, dir, func() bool { <-entered; return true })
		must(t, release())
		expect(t, start(t, dir).URL("postgres"), "SELECT 1", "1")
	})
}

func TestStart_Port(t *testing.T) {
	t.Parallel()
	taken := func(t *testing.T) int {
		t.Helper()
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		must(t, err)
		t.Cleanup(func() { _ = l.Close() })
		return l.Addr().(*net.TCPAddr).Port
	}

	t.Run("a_port_lost_to_another_process_is_replaced", func(t *testing.T) {
		t.Parallel()
		lost := taken(t)
		calls := 0
		c := startWith(t, local.Options{Dir: cluster(t), Ephemeral: true}, local.Seams{PickPort: func() (int, error) {
			if calls++; calls == 1 {
				return lost, nil
			}
			return local.FreePort()
		}})
		expect(t, c.TCPURL("postgres"), "SELECT 1", "1")
		if calls != 2 {
			t.Errorf("a port was picked %d times", calls)
		}
	})

	t.Run("ports_are_not_tried_for_ever", func(t *testing.T) {
		t.Parallel()
		lost := taken(t)
		refused(t, local.Options{Dir: cluster(t), Ephemeral: true},
			local.Seams{PickPort: func() (int, error) { return lost, nil }}, local.ErrNotUp, "could not create any TCP/IP sockets")
	})

	t.Run("a_port_taken_after_a_crash_is_replaced", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		c := start(t, dir)
		killServer(t, dir)
		u, err := url.Parse(c.TCPURL("postgres"))
		must(t, err)
		l, err := net.Listen("tcp4", u.Host)
		must(t, err)
		defer l.Close()
		expect(t, start(t, dir).TCPURL("postgres"), "SELECT 1", "1")
	})
}

func TestStart_Folder(t *testing.T) {
	t.Parallel()

	t.Run("a_long_path_gets_a_socket_elsewhere", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(folder(t), strings.Repeat("long", 20), strings.Repeat("path", 20))
		c := start(t, dir)
		t.Cleanup(func() { assertNoServer(t, dir) })
		expect(t, c.URL("postgres"), "SELECT 1", "1")
		info, err := os.Stat(c.SocketDir())
		must(t, err)
		if strings.HasPrefix(c.SocketDir(), dir) || info.Mode().Perm() != 0o700 {
			t.Errorf("socket in %s with mode %v", c.SocketDir(), info.Mode())
		}
		stop(t, c)
		if exists(c.SocketDir()) {
			t.Errorf("%s is left", c.SocketDir())
		}
	})

	for name, odd := range map[string]string{
		"spaces_and_signs":  "a b+c%d=e&f",
		"shell_characters":  "$(id)`id`\"';*[x]",
		"commas_and_quotes": `a,b'c"d\e`,
		"letters_of_others": "Kinosäle 映画",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(filepath.Dir(folder(t)), odd)
			t.Cleanup(func() { assertNoServer(t, dir) })
			c := start(t, dir)
			must(t, c.EnsureDatabase(t.Context(), "box_office"))
			expect(t, c.URL("box_office"), "SELECT current_database()", "box_office")
			stop(t, c)
			again := start(t, dir)
			out, err := exec.Command(filepath.Join(c.BinDir(), "psql"), "-XAtc", "SELECT current_database()", again.URL("box_office")).CombinedOutput()
			if got := strings.TrimSpace(string(out)); err != nil || got != "box_office" {
				t.Errorf("psql: %v %s", err, got)
			}
		})
	}

	t.Run("a_socket_folder_taken_by_another_user_is_not_used", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(folder(t), strings.Repeat("long", 20), strings.Repeat("path", 20))
		t.Cleanup(func() { assertNoServer(t, dir) })
		c := start(t, dir)
		stop(t, c)
		both := []string{c.SocketDir(), filepath.Join("/tmp", filepath.Base(c.SocketDir()))}
		for _, taken := range slices.Compact(both) {
			if os.Geteuid() == 0 {
				must(t, errors.Join(os.Mkdir(taken, 0o700), os.Chmod(taken, 0o777), os.Chown(taken, 54321, 54321)))
			} else {
				must(t, os.WriteFile(taken, nil, 0o600)) // a folder of another user is beyond this one
			}
			t.Cleanup(func() { _ = os.Remove(taken) })
		}
		refused(t, local.Options{Dir: dir}, local.Seams{}, local.ErrUnwritable, c.SocketDir())
	})
}

func TestStart_Secrecy(t *testing.T) {
	t.Parallel()

	t.Run("nobody_is_trusted", func(t *testing.T) {
		t.Parallel()
		c := start(t, cluster(t))
		for _, right := range []string{c.URL("postgres"), c.TCPURL("postgres")} {
			u, err := url.Parse(right)
			must(t, err)
			for who, userinfo := range map[string]*url.Userinfo{
				"wrong password": url.UserPassword(u.User.Username(), "wrong"),
				"another role":   url.UserPassword("postgres", "wrong"),
			} {
				wrong := *u
				wrong.User = userinfo
				err = open(t, wrong.String()).PingContext(t.Context())
				if pq.As(err, pqerror.InvalidPassword) == nil {
					t.Errorf("%s over %s: %v, want a refused password", who, u.Host, err)
				}
			}
			silent := *u
			silent.User = url.User(u.User.Username())
			if err := open(t, silent.String()).PingContext(t.Context()); err == nil {
				t.Errorf("no password was asked for over %q", u.Host)
			}
		}
	})

	t.Run("the_password_stays_in_its_file", func(t *testing.T) {
		t.Parallel()
		dir := folder(t)
		var log bytes.Buffer
		o := local.Options{Dir: dir, Ephemeral: true, Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		c := startWith(t, o, local.Seams{})
		must(t, c.EnsureDatabase(t.Context(), "box_office"))
		u, err := url.Parse(c.URL("postgres"))
		must(t, err)
		password, _ := u.User.Password()
		if len(password) < 20 {
			t.Fatalf("password of %d characters", len(password))
		}
		o.Log.Info("cluster", "cluster", c)
		seen := log.String() + fmt.Sprintf("%v %+v %#v %s", c, c, c, c)
		must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !entry.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			if filepath.Base(path) == "pgpass" {
				info, statErr := entry.Info()
				if statErr == nil && info.Mode().Perm() != 0o600 {
					t.Errorf("%s has mode %v", path, info.Mode())
				}
				return errors.Join(err, statErr)
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil // the server's own temporary files come and go
			}
			if bytes.Contains(text, []byte(password)) {
				t.Errorf("%s holds the password", path)
			}
			return err
		}))
		for _, p := range processesBelow(dir) {
			for _, file := range []string{"cmdline", "environ"} {
				text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid), file))
				if err == nil {
					seen += string(text)
				}
			}
		}
		if strings.Contains(seen, password) {
			t.Error("the password is printed or visible from outside")
		}
	})

	t.Run("the_server_does_not_inherit_the_environment", func(t *testing.T) {
		t.Parallel()
		dir := folder(t)
		exe, err := os.Executable()
		must(t, err)
		n := joinAs(t, local.Options{Dir: dir, Ephemeral: true}, exe, nil,
			"GATEWAY_SECRET=abcdefgh", "PGPORT=1", "PGDATA=/nowhere", "PGOPTIONS=-c nonsense=1", "PGHOST=nowhere")
		expect(t, n.url(), "SELECT 1", "1")
		for _, p := range processesBelow(dir) {
			text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid), "environ"))
			if err == nil && bytes.Contains(text, []byte("abcdefgh")) {
				t.Errorf("process %d inherited a secret", p.pid)
			}
		}
		n.leave()
	})

	t.Run("other_users_cannot_reach_the_files", func(t *testing.T) {
		t.Parallel()
		dir := folder(t)
		start(t, dir)
		for name, most := range map[string]fs.FileMode{
			"": 0o711, "data": 0o700, "run": 0o700, "pgpass": 0o600, "postgres.log": 0o600,
			"start.lock": 0o600, "users.lock": 0o600, "server.lock": 0o600,
		} {
			info, err := os.Stat(filepath.Join(dir, name))
			must(t, err)
			if extra := info.Mode().Perm() &^ most; extra != 0 {
				t.Errorf("%q has mode %v", name, info.Mode())
			}
		}
	})
}

// TestStart_Unprivileged runs the helper as an ordinary user; for root that is nobody.
func TestStart_Unprivileged(t *testing.T) {
	t.Parallel()
	cred, uid, gid := nobody(t)
	self, err := os.Executable()
	must(t, err)
	exe := filepath.Join(base, "helper")
	if out, err := exec.Command("sh", "-c", `cp "$0" "$1" && chmod 755 "$1"`, self, exe).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v %s", err, out)
	}

	t.Run("an_ordinary_user_runs_a_cluster", func(t *testing.T) {
		t.Parallel()
		dir := folder(t)
		must(t, os.Chown(filepath.Dir(dir), uid, gid))
		must(t, os.Chmod(filepath.Dir(dir), 0o700))
		o := local.Options{Dir: dir, Ephemeral: true}
		first, second := joinAs(t, o, exe, cred), joinAs(t, o, exe, cred)
		at := first.url()
		run(t, at, `CREATE TABLE seats (label text)`, `INSERT INTO seats VALUES ('A1')`)
		if second.url() != at {
			t.Error("two servers run")
		}
		first.leave()
		expect(t, at, "SELECT label FROM seats", "A1")
		second.kill()
		third := joinAs(t, o, exe, cred)
		if third.url() != at {
			t.Error("the server was not adopted")
		}
		third.leave()
		assertNoServer(t, dir)

		// Root runs it as the owner of the data, and leaves nothing that shuts the owner out, a fresh log included.
		must(t, os.Truncate(filepath.Join(dir, "postgres.log"), 5<<20))
		c := start(t, dir)
		expect(t, c.URL("postgres"), "SELECT label FROM seats", "A1")
		stop(t, c)
		last := joinAs(t, o, exe, cred)
		expect(t, last.url(), "SELECT label FROM seats", "A1")
		last.leave()
	})

	t.Run("a_folder_of_somebody_else_is_refused", func(t *testing.T) {
		t.Parallel()
		dir := folder(t)
		must(t, os.Mkdir(dir, 0o755))
		must(t, os.Chmod(dir, 0o555))
		t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
		r := joinAs(t, local.Options{Dir: dir}, exe, cred).report()
		if !r.Sentence || len(r.Kinds) != 1 || r.Kinds[0] != "unwritable" || !strings.Contains(r.Problem, dir) {
			t.Errorf("report %+v", r)
		}
	})
}

func TestCluster_EnsureDatabase(t *testing.T) {
	t.Parallel()
	c := start(t, cluster(t))

	t.Run("odd_names", func(t *testing.T) {
		for _, name := range []string{"box_office", `a b="c';--`, "Kinosäle", "a=b", ":name", strings.Repeat("n", 63)} {
			for range 2 {
				must(t, c.EnsureDatabase(t.Context(), name))
			}
			expect(t, c.URL(name), "SELECT current_database()", name)
			expect(t, c.TCPURL(name), "SELECT current_database()", name)
		}
	})

	t.Run("impossible_names", func(t *testing.T) {
		for _, name := range []string{"", strings.Repeat("n", 64), "a\x00b"} {
			if c.EnsureDatabase(t.Context(), name) == nil {
				t.Errorf("%q was accepted", name)
			}
		}
	})

	t.Run("many_at_once", func(t *testing.T) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if err := c.EnsureDatabase(t.Context(), "shared"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})

	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.EnsureDatabase(ctx, "late"); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
	})

	t.Run("after_a_crash", func(t *testing.T) {
		dir := folder(t)
		crashed := start(t, dir)
		killServer(t, dir)
		err := crashed.EnsureDatabase(t.Context(), "late")
		if err == nil || !strings.Contains(err.Error(), "could not connect") && !strings.Contains(err.Error(), "connection to server") {
			t.Errorf("error %v, want a refused connection", err)
		}
	})
}

func TestCluster_Close(t *testing.T) {
	t.Parallel()

	t.Run("twice_and_at_once", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		c := start(t, dir)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { stop(t, c) })
		}
		all.Wait()
		stop(t, c)
		assertNoServer(t, dir)
	})

	t.Run("connections_do_not_hold_it_up", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		c := start(t, dir)
		db := open(t, c.URL("postgres"))
		tx, err := db.BeginTx(t.Context(), nil)
		must(t, err)
		defer func() { _ = tx.Rollback() }()
		_, err = tx.ExecContext(t.Context(), `CREATE TABLE seats (label text)`)
		must(t, err)
		stop(t, c)
		assertNoServer(t, dir)
	})

	t.Run("a_stuck_session_holds_it_up_only_for_a_while", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		c := startWith(t, local.Options{Dir: dir, Ephemeral: true}, local.Seams{FastStop: 100 * time.Millisecond})
		db := open(t, c.URL("postgres"))
		conn, err := db.Conn(t.Context())
		must(t, err)
		defer conn.Close()
		var pid int
		must(t, conn.QueryRowContext(t.Context(), `SELECT pg_backend_pid()`).Scan(&pid))
		must(t, syscall.Kill(pid, syscall.SIGSTOP))
		stop(t, c)
		assertNoServer(t, dir)
	})

	t.Run("a_crashed_server_is_no_error", func(t *testing.T) {
		t.Parallel()
		dir := cluster(t)
		c := start(t, dir)
		killServer(t, dir)
		stop(t, c)
		assertNoServer(t, dir)
	})
}

func TestSharedBuffers(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for memory, want := range map[uint64]uint64{
		0: 128 * mib, 32 * mib: 16 * mib, 512 * mib: 128 * mib, 1024 * mib: 256 * mib, 64 * 1024 * mib: 256 * mib,
	} {
		if got := local.SharedBuffers(memory); got != want {
			t.Errorf("SharedBuffers(%d MiB) = %d MiB, want %d MiB", memory/mib, got/mib, want/mib)
		}
	}
}
