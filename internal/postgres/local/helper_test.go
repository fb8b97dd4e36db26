//go:build unix && !aix && !solaris

package local_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/lib/pq"

	"marquee/internal/postgres/local"
)

// helperEnv makes the test binary act as one user of a cluster in a process of its own: it starts with the options in
// the variable, reports, waits for the end of its input, closes, and reports again.
const helperEnv = "MARQUEE_LOCAL_TEST_HELPER"

// report is one line of a helper's output.
type report struct {
	URL      string
	Problem  string
	Sentence bool // the error is a *local.Error
	Kinds    []string
}

var kinds = map[string]error{
	"unwritable":  local.ErrUnwritable,
	"wrong owner": local.ErrWrongOwner,
}

func describe(err error) report {
	if err == nil {
		return report{}
	}
	r := report{Problem: err.Error()}
	_, r.Sentence = errors.AsType[*local.Error](err)
	for name, kind := range kinds {
		if errors.Is(err, kind) {
			r.Kinds = append(r.Kinds, name)
		}
	}
	return r
}

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(helperEnv); ok {
		os.Exit(actAsHelper(text))
	}
	os.Exit(runTests(m))
}

func actAsHelper(text string) int {
	var o local.Options
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	out := json.NewEncoder(os.Stdout)
	c, err := local.Start(context.Background(), o)
	r := describe(err)
	if err == nil {
		r.URL = c.URL("postgres")
	}
	if out.Encode(r) != nil || err != nil {
		return 1
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return 1
	}
	err = c.Close()
	if out.Encode(describe(err)) != nil || err != nil {
		return 1
	}
	return 0
}

// base holds the folders of all tests. It is open to the server's user, unlike testing.T.TempDir.
var base string

func runTests(m *testing.M) int {
	var err error
	if base, err = os.MkdirTemp("", "mq"); err == nil {
		err = os.Chmod(base, 0o711)
	}
	if err == nil {
		base, err = filepath.EvalSymlinks(base)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	for _, p := range processesBelow(base) {
		fmt.Fprintf(os.Stderr, "process %d was left in %s\n", p.pid, p.cwd)
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
		code = 1
	}
	if err := os.RemoveAll(base); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

type process struct {
	pid int
	cwd string
}

// processesBelow lists the processes that work in a folder below dir, as every PostgreSQL process does in its data
// folder. Where the system has no /proc it lists none, and only the server lock tells.
func processesBelow(dir string) []process {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd") // the pattern is well formed
	var found []process
	for _, link := range links {
		cwd, err := os.Readlink(link)
		pid, pidErr := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if err == nil && pidErr == nil && pid != os.Getpid() && strings.HasPrefix(cwd, dir+"/") {
			found = append(found, process{pid, cwd})
		}
	}
	return found
}

// folder returns a cluster folder that does not exist yet, and demands that no server is left in it.
func folder(t *testing.T) string {
	t.Helper()
	parent, err := os.MkdirTemp(base, "")
	must(t, err)
	must(t, os.Chmod(parent, 0o711))
	dir := filepath.Join(parent, "c")
	t.Cleanup(func() { assertNoServer(t, dir) })
	return dir
}

// prototype is a cluster that was stopped cleanly, made once for all tests.
var prototype = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(base, "prototype")
	c, err := local.Start(context.Background(), local.Options{Dir: dir, Ephemeral: true})
	if err != nil {
		return "", err
	}
	return dir, c.Close()
})

// cluster returns a folder with a cluster that nobody uses: a copy of the prototype, which is faster than initdb.
func cluster(t *testing.T) string {
	t.Helper()
	dir := folder(t)
	original, err := prototype()
	must(t, err)
	if out, err := exec.Command("cp", "-a", original, dir).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v %s", err, out)
	}
	return dir
}

func assertNoServer(t *testing.T, dir string) {
	t.Helper()
	for _, p := range processesBelow(dir) {
		t.Errorf("process %d is left in %s", p.pid, p.cwd)
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return
	}
	lives, err := local.ServerLives(dir)
	if err != nil || lives {
		t.Errorf("the server in %s lives: %v (%v)", dir, lives, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start is StartWith on an ephemeral cluster, closed at the end of the test at the latest.
func start(t *testing.T, dir string) *local.Cluster {
	t.Helper()
	return startWith(t, local.Options{Dir: dir, Ephemeral: true}, local.Seams{})
}

func startWith(t *testing.T, o local.Options, s local.Seams) *local.Cluster {
	t.Helper()
	c, err := local.StartWith(t.Context(), o, s)
	must(t, err)
	t.Cleanup(func() { stop(t, c) })
	return c
}

func stop(t *testing.T, c *local.Cluster) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// refused starts what must not start, and checks that the reason is one sentence of the wanted kind.
func refused(t *testing.T, o local.Options, s local.Seams, kind error, words ...string) {
	t.Helper()
	var log bytes.Buffer
	o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
	c, err := local.StartWith(t.Context(), o, s)
	if err == nil {
		stop(t, c)
		t.Fatalf("started, want %v", kind)
	}
	isSentence(t, err, kind, words...)
	if log.Len() > 0 {
		t.Errorf("not left cleanly: %s", log.String())
	}
}

func isSentence(t *testing.T, err, kind error, words ...string) {
	t.Helper()
	sentence, ok := errors.AsType[*local.Error](err)
	if !ok || !errors.Is(err, kind) {
		t.Fatalf("error %T %v, want *Error of kind %v", err, err, kind)
	}
	if strings.ContainsAny(sentence.Message, "\n\r") {
		t.Errorf("more than one line: %q", sentence.Message)
	}
	for _, word := range words {
		if !strings.Contains(sentence.Message, word) {
			t.Errorf("message %q lacks %q", sentence.Message, word)
		}
	}
}

func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", url)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func run(t *testing.T, url string, statements ...string) {
	t.Helper()
	db := open(t, url)
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func ask(t *testing.T, url, query string) string {
	t.Helper()
	db := open(t, url)
	defer db.Close()
	var answer string
	if err := db.QueryRowContext(t.Context(), query).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}

func expect(t *testing.T, url, query, want string) {
	t.Helper()
	if got := ask(t, url, query); got != want {
		t.Errorf("%s = %q, want %q", query, got, want)
	}
}

// eventually waits for a condition on something outside this process.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func pidFile(dir string) string { return filepath.Join(dir, "data", "postmaster.pid") }

func postmaster(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(pidFile(dir))
	must(t, err)
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	must(t, err)
	return pid
}

// descriptors lists this process's open files of one path.
func descriptors(t *testing.T, path string) []int {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	want := info.Sys().(*syscall.Stat_t)
	var found []int
	for fd := range 1024 {
		var st syscall.Stat_t
		if syscall.Fstat(fd, &st) == nil && st.Dev == want.Dev && st.Ino == want.Ino {
			found = append(found, fd)
		}
	}
	if len(found) == 0 {
		t.Fatalf("%s is not open", path)
	}
	return found
}

// setPID changes the process id in a lock file of PostgreSQL.
func setPID(t *testing.T, file string, pid int) {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	_, rest, _ := strings.Cut(string(text), "\n")
	must(t, os.WriteFile(file, fmt.Appendf(nil, "%d\n%s", pid, rest), 0o600))
}

// killServer ends the server as a power cut would and waits until none of its processes lives.
func killServer(t *testing.T, dir string) {
	t.Helper()
	must(t, syscall.Kill(postmaster(t, dir), syscall.SIGKILL))
	eventually(t, "the end of the server's processes", func() bool {
		lives, err := local.ServerLives(dir)
		return err == nil && !lives
	})
}

// neighbour is a helper process: another user of the cluster.
type neighbour struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
}

func join(t *testing.T, o local.Options) *neighbour {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	return joinAs(t, o, exe, nil)
}

func joinAs(t *testing.T, o local.Options, exe string, cred *syscall.Credential, env ...string) *neighbour {
	t.Helper()
	text, err := json.Marshal(struct {
		Dir       string
		Ephemeral bool
	}{o.Dir, o.Ephemeral})
	must(t, err)
	n := &neighbour{t: t, cmd: exec.Command(exe)}
	n.cmd.Dir = "/"
	n.cmd.Env = append(append(os.Environ(), helperEnv+"="+string(text)), env...)
	n.cmd.Stderr = t.Output()
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	n.stdin, err = n.cmd.StdinPipe()
	must(t, err)
	out, err := n.cmd.StdoutPipe()
	must(t, err)
	n.lines = bufio.NewScanner(out)
	must(t, n.cmd.Start())
	t.Cleanup(n.kill)
	return n
}

func (n *neighbour) report() report {
	n.t.Helper()
	var r report
	if !n.lines.Scan() {
		n.t.Fatalf("helper said nothing: %v", n.lines.Err())
	}
	must(n.t, json.Unmarshal(n.lines.Bytes(), &r))
	return r
}

// url waits until the helper has the cluster.
func (n *neighbour) url() string {
	n.t.Helper()
	r := n.report()
	if r.Problem != "" {
		n.t.Fatalf("helper: %s", r.Problem)
	}
	return r.URL
}

// leave closes the helper's claim and waits for its end.
func (n *neighbour) leave() {
	n.t.Helper()
	must(n.t, n.stdin.Close())
	if r := n.report(); r.Problem != "" {
		n.t.Errorf("helper: %s", r.Problem)
	}
	must(n.t, n.cmd.Wait())
}

// kill is kill -9, and nothing once the helper has left.
func (n *neighbour) kill() {
	if n.cmd.ProcessState == nil {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
	}
}

// serverCredential is the user that the server runs as; nil for the own one.
func serverCredential(t *testing.T, dir string) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Join(dir, "data"))
	must(t, err)
	st := info.Sys().(*syscall.Stat_t)
	return &syscall.Credential{Uid: st.Uid, Gid: st.Gid}
}

// nobody is an ordinary user: for root the user of that name, for others they themselves.
func nobody(t *testing.T) (cred *syscall.Credential, uid, gid int) {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil, os.Geteuid(), os.Getegid()
	}
	u, err := user.Lookup("nobody")
	must(t, err)
	uid, err = strconv.Atoi(u.Uid)
	must(t, err)
	gid, err = strconv.Atoi(u.Gid)
	must(t, err)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, uid, gid
}

// script writes an executable through a child: a file that this process has open for writing cannot be run, and a
// fork in another test would keep it open for a moment.
func script(t *testing.T, path, text string) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `cat > "$1" && chmod 755 "$1"`, "sh", path)
	cmd.Stdin = strings.NewReader("#!/bin/sh\n" + text + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v %s", path, err, out)
	}
}

// fakeBin makes a bin folder whose binaries only tell a version.
func fakeBin(t *testing.T, versions map[string]string) string {
	t.Helper()
	dir, err := os.MkdirTemp(base, "bin")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	for name, version := range versions {
		script(t, filepath.Join(dir, name), fmt.Sprintf("echo '%s (PostgreSQL) %s'", name, version))
	}
	return dir
}

func ofVersion(version string) map[string]string {
	return map[string]string{"postgres": version, "initdb": version, "pg_ctl": version}
}

// realBin is the bin folder that Start finds on this machine.
func realBin(t *testing.T) string {
	t.Helper()
	c := start(t, cluster(t))
	defer stop(t, c)
	return c.BinDir()
}
