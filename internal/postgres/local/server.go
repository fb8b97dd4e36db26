package local

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// pidFile is the server's postmaster.pid, as far as the server has written it.
type pidFile struct {
	pid       int
	data      string
	port      int
	socketDir string
	status    string
}

func (c *Cluster) pidFilePath() string { return filepath.Join(c.dataDir(), "postmaster.pid") }

// readPIDFile returns a zero value when there is no file. A file half written, or of a server that died while it
// started, has fewer lines.
func (c *Cluster) readPIDFile() (pidFile, error) {
	text, err := os.ReadFile(c.pidFilePath())
	if errors.Is(err, fs.ErrNotExist) {
		return pidFile{}, nil
	}
	if err != nil {
		return pidFile{}, err
	}
	return parsePIDFile(text), nil
}

func parsePIDFile(text []byte) pidFile {
	var p pidFile
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		switch i { // the order is part of PostgreSQL's pidfile.h
		case 0:
			p.pid, _ = strconv.Atoi(line)
		case 1:
			p.data = line
		case 3:
			p.port, _ = strconv.Atoi(line)
		case 4:
			p.socketDir = line
		case 7:
			p.status = line
		}
	}
	return p
}

func (p pidFile) socket() string {
	return filepath.Join(p.socketDir, ".s.PGSQL."+strconv.Itoa(p.port))
}

// dial connects to the server that the file names and makes sure that this is the server of the data folder: its
// socket is open, and where the system tells who listens, that is the process in the file. The id alone proves
// nothing, the system may have given it to another process.
func (c *Cluster) dial(ctx context.Context, p pidFile) (net.Conn, bool) {
	if p.pid <= 0 || p.socketDir == "" || !c.isDataDir(p.data) {
		return nil, false
	}
	d := net.Dialer{Timeout: answerWithin}
	conn, err := d.DialContext(ctx, "unix", p.socket())
	if err != nil {
		return nil, false
	}
	if pid, known := listenerPID(conn.(*net.UnixConn)); known && pid != p.pid {
		_ = conn.Close()
		return nil, false
	}
	return conn, true
}

// isDataDir tells the own data folder from the one a copied postmaster.pid names.
func (c *Cluster) isDataDir(path string) bool {
	named, err := os.Stat(path)
	if err != nil {
		return false
	}
	own, err := os.Stat(c.dataDir())
	return err == nil && os.SameFile(named, own)
}

// serving reports whether a server of this data folder lives, whatever it is busy with.
func (c *Cluster) serving(ctx context.Context, p pidFile) bool {
	conn, ok := c.dial(ctx, p)
	if ok {
		_ = conn.Close() // closing without a word leaves no line in the server's log
	}
	return ok
}

// answers reports whether the server takes connections.
func (c *Cluster) answers(ctx context.Context, p pidFile) bool {
	if p.status != "ready" {
		return false
	}
	conn, ok := c.dial(ctx, p)
	if !ok {
		return false
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return false
	}
	if _, err := conn.Write(startupMessage); err != nil {
		return false
	}
	return takesConnections(conn)
}

// startupMessage opens a session of protocol 3.0; the server's first answer tells whether it is up.
var startupMessage = func() []byte {
	body := "user\x00" + superuser + "\x00database\x00postgres\x00\x00"
	msg := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	msg = binary.BigEndian.AppendUint32(msg, 3<<16)
	return append(msg, body...)
}()

// takesConnections reads the first answer: a request for the password, or an error. Of the errors only 57P03
// (starting up, shutting down) means that the server is not there yet; too many clients, for one, means it is. The
// answer is read to its end: a connection closed with bytes unread is reset, which the server writes to its log.
func takesConnections(r io.Reader) bool {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return false
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size < 4 || size > 1<<16 {
		return false
	}
	body := make([]byte, size-4)
	if _, err := io.ReadFull(r, body); err != nil {
		return false
	}
	switch head[0] {
	case 'R':
		return true
	case 'E':
		for field := range strings.SplitSeq(string(body), "\x00") {
			if code, ok := strings.CutPrefix(field, "C"); ok {
				return code != "57P03"
			}
		}
	}
	return false
}

// bringUp adopts the running server or starts one. The start lock is held.
func (c *Cluster) bringUp(ctx context.Context) error {
	begun := time.Now()
	lastSeen := begun
	for {
		p, err := c.readPIDFile()
		if err != nil {
			return problem(ErrUnwritable, err, "cannot read %s: %v", c.pidFilePath(), err)
		}
		if c.answers(ctx, p) {
			return c.adopt(p)
		}
		serving := c.serving(ctx, p)
		alive, err := c.probe.heldElsewhere()
		if err != nil {
			return err
		}
		if serving {
			lastSeen = time.Now()
		}
		switch {
		case !serving && !alive:
			return c.launch(ctx)
		case serving && time.Since(begun) > c.limits.start:
			return c.notUp(p.port, "")
		case !serving && time.Since(lastSeen) > c.limits.leftover:
			return c.leftover()
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func (c *Cluster) leftover() error {
	return problem(ErrLeftover, nil,
		"processes of an earlier PostgreSQL server still work on %s although their main process does not listen: "+
			"wait for them or end them, then start Marquee again", c.dataDir())
}

// adopt joins the users of a running server.
func (c *Cluster) adopt(p pidFile) error {
	c.port, c.socketDir = p.port, p.socketDir
	if !c.ephemeral {
		conf := filepath.Join(c.dir, settingsFile)
		text, err := os.ReadFile(conf)
		if err != nil {
			return err
		}
		if durable, changed := makeDurable(text); changed {
			if err := replaceFile(conf, durable, 0o644, account{}); err != nil {
				return err
			}
			if err := signalProcess(p.pid, signalReload); err != nil {
				return err
			}
		}
	}
	c.log.Debug("private PostgreSQL cluster adopted", "folder", c.dir, "port", c.port)
	return nil
}

// launch makes the data folder if there is none and starts the server. No process of an earlier one lives.
func (c *Cluster) launch(ctx context.Context) error {
	if !c.initialised() {
		if err := c.initialise(ctx); err != nil {
			return err
		}
	}
	last, err := c.disarmPIDFile(ctx)
	if err != nil {
		return err
	}
	if c.socketDir, err = c.socketDirFor(ctx); err != nil {
		return err
	}
	if err := c.rotateLog(); err != nil {
		return err
	}
	// After a crash other processes still hold the connection URL; the same port makes it work again.
	if c.port = last.port; c.port == 0 || !portFree(c.port) {
		if c.port, err = c.pickPort(); err != nil {
			return err
		}
	}
	for attempt := 1; ; attempt++ {
		begun := time.Now()
		taken, err := c.launchOnce(ctx)
		if err == nil {
			c.log.Info("private PostgreSQL cluster started", "folder", c.dir, "port", c.port, "version", c.bin.version, "took", time.Since(begun).Round(time.Millisecond))
			return nil
		}
		if !taken || attempt == maxPortTries {
			return err
		}
		if c.port, err = c.pickPort(); err != nil {
			return err
		}
	}
}

// launchOnce starts the server and waits until it answers; taken says that another process got the port first.
func (c *Cluster) launchOnce(ctx context.Context) (taken bool, err error) {
	conf := settings{port: c.port, socketDir: c.socketDir, maxConnections: c.maxConnections, ephemeral: c.ephemeral}.render()
	if err := replaceFile(filepath.Join(c.dir, settingsFile), conf, 0o644, account{}); err != nil {
		return false, problem(ErrUnwritable, err, "cannot write the settings of the private PostgreSQL cluster: %v", err)
	}
	said, err := c.spawn(ctx)
	if err != nil {
		return false, err
	}
	for begun := time.Now(); ; {
		p, err := c.readPIDFile()
		if err != nil {
			return false, err
		}
		if p.port == c.port && c.answers(ctx, p) {
			return false, nil
		}
		alive, err := c.probe.heldElsewhere()
		if err != nil {
			return false, err
		}
		if !alive || time.Since(begun) > c.limits.start {
			text := said()
			return !alive && strings.Contains(text, "could not create any TCP/IP sockets"), c.notUp(c.port, text)
		}
		if err := pause(ctx); err != nil {
			return false, err
		}
	}
}

// spawn runs pg_ctl, which leaves the server in a session of its own. The server and all its processes inherit the
// server lock: it is free exactly when none of them lives, whatever becomes of process ids. said returns what this
// server wrote to its log.
func (c *Cluster) spawn(ctx context.Context) (said func() string, err error) {
	hold, err := c.holdServerLock(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, hold.drop()) }()

	path := filepath.Join(c.dir, logFile)
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, problem(ErrUnwritable, err, "cannot write the log of the private PostgreSQL cluster: %v", err)
	}
	defer out.Close()
	info, err := out.Stat()
	if err != nil {
		return nil, err
	}
	// The data's owner may be an ordinary user, who will want to write to the log when root has left.
	if err := c.account.give(path); err != nil {
		return nil, err
	}
	said = func() string { return readFrom(path, info.Size()) }

	// pg_ctl only forks here. It is not bound to ctx: ended halfway it might leave a server that nobody has seen.
	// The folder is given relative to the working folder because pg_ctl hands it to a shell.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	cmd := c.account.command(ctx, c.dir, c.bin.path("pg_ctl"), "start", "-s", "-W", "-D", dataFolder)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = []*os.File{hold.file}
	if err := cmd.Run(); err != nil {
		return nil, c.notUp(c.port, said()+"\n"+err.Error())
	}
	return said, nil
}

// holdServerLock takes the server lock through an open file of its own, to be inherited by a server binary. It may have
// to wait: a child that another goroutine forks shares the file handed to the binary before until it calls exec.
func (c *Cluster) holdServerLock(ctx context.Context) (*lock, error) {
	hold, err := openLock(filepath.Join(c.dir, serverLock))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.limits.leftover, c.leftover())
	defer cancel()
	if err := hold.exclusive(ctx); err != nil {
		return nil, errors.Join(err, hold.drop())
	}
	return hold, nil
}

// nobodysPID is beyond what any supported system gives out (Linux stops at 4194304).
const nobodysPID = 1<<31 - 1

// disarmPIDFile keeps a dead server's file from stopping the next one, because its process id belongs to an unrelated
// process by now, or because the disk lost what was in it. It changes the id and leaves the rest: PostgreSQL itself
// shall check the shared memory named in the file for survivors. The returned file says where the dead server listened.
func (c *Cluster) disarmPIDFile(ctx context.Context) (pidFile, error) {
	text, err := os.ReadFile(c.pidFilePath())
	if errors.Is(err, fs.ErrNotExist) {
		return pidFile{}, nil
	}
	if err != nil {
		return pidFile{}, err
	}
	p := parsePIDFile(text)
	if p.pid > 0 && !pidInUse(p.pid) {
		return p, nil
	}
	if p.socketDir == "" && listening(ctx, p.port) {
		return p, problem(ErrLeftover, nil,
			"a PostgreSQL server that Marquee did not start seems to work on %s as process %d: stop it first", c.dataDir(), p.pid)
	}
	_, rest, _ := strings.Cut(string(text), "\n")
	if err := replaceFile(c.pidFilePath(), fmt.Appendf(nil, "%d\n%s", nobodysPID, rest), 0o600, c.account); err != nil {
		return p, err
	}
	c.log.Debug("process id left by a dead PostgreSQL server replaced", "folder", c.dir, "pid", p.pid)
	return p, nil
}

// notUp makes the error of a server that does not come up out of what it said.
func (c *Cluster) notUp(port int, said string) error {
	why := telling(said)
	if why == "" {
		why = "it said nothing"
	}
	return problem(ErrNotUp, nil, "the private PostgreSQL server in %s (port %d) does not come up: %s (more in %s)",
		c.dir, port, why, filepath.Join(c.dir, logFile))
}

// telling returns the line of a server's log that says why it ended: the last fatal one, else the last one.
func telling(log string) string {
	var last, fatal string
	for line := range strings.Lines(log) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		last = line
		for _, level := range []string{"FATAL:", "PANIC:", "ERROR:", "error:"} {
			if i := strings.Index(line, level); i >= 0 {
				fatal = strings.TrimSpace(line[i:])
			}
		}
	}
	if fatal != "" {
		return fatal
	}
	return last
}

// readFrom returns the file's text from offset on, the last 64 KiB of it; nothing when it cannot be read.
func readFrom(path string, offset int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	const most = 64 << 10
	text, err := io.ReadAll(io.NewSectionReader(f, max(offset, info.Size()-most), most))
	if err != nil {
		return ""
	}
	return string(text)
}

func (c *Cluster) rotateLog() error {
	path := filepath.Join(c.dir, logFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() <= maxLog {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Rename(path, filepath.Join(c.dir, oldLogFile))
}

// stop ends the server and waits until none of its processes lives. The start lock is held and nobody else uses the
// cluster. A fast shutdown that takes too long is followed by an immediate one, which loses nothing: the next start
// recovers from the log. Processes without a main process that listens are waited for, not signalled.
//
//nolint:gocognit // one wait with three ends; taken apart, its variables would have to travel together
func (c *Cluster) stop() error {
	ctx := context.Background()
	var sent syscall.Signal
	var told int    // the process that was signalled
	var locked bool // the server holds the lock, so that its end is seen there
	for begun := time.Now(); ; {
		alive, err := c.probe.heldElsewhere()
		if err != nil {
			return err
		}
		locked = locked || alive
		p, err := c.readPIDFile()
		if err != nil {
			return err
		}
		sig := signalFast
		if time.Since(begun) > c.limits.fastStop {
			sig = signalImmediate
		}
		// Connecting is only needed to find out whom to signal, and whether a server without the lock, started by hand, is
		// gone: its socket goes first, its pid file last.
		if !alive || sent != sig {
			serving := c.serving(ctx, p)
			if !alive && !serving && (locked || sent == 0 || p.pid != told) {
				c.removeSocketDir()
				if sent != 0 {
					c.log.Info("private PostgreSQL cluster stopped", "folder", c.dir)
				}
				return nil
			}
			if serving && sent != sig {
				if err := signalProcess(p.pid, sig); err != nil {
					return problem(ErrNotStopped, err, "the private PostgreSQL server in %s (process %d) cannot be stopped: %v", c.dir, p.pid, err)
				}
				sent, told = sig, p.pid
			}
		}
		if sent == 0 && time.Since(begun) > c.limits.leftover {
			return c.leftover()
		}
		if time.Since(begun) > c.limits.fastStop+c.limits.immediateStop {
			return problem(ErrNotStopped, nil, "the private PostgreSQL server in %s (process %d) does not stop: end it by hand", c.dir, p.pid)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// listening reports whether somebody takes connections on the port of the loopback interface.
func listening(ctx context.Context, port int) bool {
	conn, err := (&net.Dialer{Timeout: answerWithin}).DialContext(ctx, "tcp4", loopback(port))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func portFree(port int) bool {
	l, err := net.Listen("tcp4", loopback(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// freePort asks the system for a port nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", loopback(0))
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}
