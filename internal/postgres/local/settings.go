package local

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// Names inside the cluster folder.
const (
	dataFolder    = "data"
	halfMade      = "data.new"
	settingsFile  = "marquee.conf"
	passwordFile  = "pgpass"
	initPassword  = "initdb.password"
	logFile       = "postgres.log"
	oldLogFile    = "postgres.log.1"
	socketFolder  = "run"
	startLockFile = "start.lock"
	usersLockFile = "users.lock"
	serverLock    = "server.lock"
)

const (
	superuser = "marquee"

	mib             = 1 << 20
	wantedBuffers   = 256 * mib
	fallbackBuffers = 128 * mib // PostgreSQL's own default, where the memory of the machine is not known
	leastBuffers    = 16 * mib

	// maxLog bounds the log: it is moved aside at a start when larger, so that two files of this size remain.
	maxLog = 4 * mib
)

// settings are the values that change from one start to the next.
type settings struct {
	port           int
	socketDir      string
	maxConnections int
	ephemeral      bool
}

// render writes the include file. Errors of statements are not logged: they reach the application with the answer,
// carry personal data, and a sold-out showtime would fill the disk with refusals.
func (s settings) render() []byte {
	var b bytes.Buffer
	line := func(name, value string) { fmt.Fprintf(&b, "%s = %s\n", name, value) }
	b.WriteString("# Written by Marquee at every start of the server; changes here are lost.\n")
	line("listen_addresses", "'127.0.0.1'")
	line("port", fmt.Sprint(s.port))
	line("unix_socket_directories", quoteSetting(s.socketDir))
	line("unix_socket_permissions", "0700")
	line("max_connections", fmt.Sprint(s.maxConnections))
	line("shared_buffers", fmt.Sprintf("%dMB", sharedBuffers(memoryBytes())/mib))
	line("password_encryption", "'scram-sha-256'")
	line("jit", "off")
	line("timezone", "'UTC'")
	line("log_timezone", "'UTC'")
	line("lc_messages", "'C'")
	line("cluster_name", "'marquee'")
	line("logging_collector", "off")
	line("log_destination", "'stderr'")
	line("log_min_messages", "log")
	line("log_min_error_statement", "panic")
	line("log_checkpoints", "off")
	line("wal_level", "replica")
	line("min_wal_size", "80MB")
	line("max_wal_size", "1GB")
	durable := onOff(!s.ephemeral)
	for _, name := range durability {
		line(name, durable)
	}
	return b.Bytes()
}

// durability names the settings that an ephemeral cluster switches off. All of them take effect on a reload.
var durability = [...]string{"fsync", "full_page_writes", "synchronous_commit"}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// makeDurable switches the durability settings on in a rendered file and reports whether that changed anything.
func makeDurable(conf []byte) ([]byte, bool) {
	durable := conf
	for _, name := range durability {
		durable = bytes.ReplaceAll(durable, []byte("\n"+name+" = off\n"), []byte("\n"+name+" = on\n"))
	}
	return durable, !bytes.Equal(durable, conf)
}

func quoteSetting(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(value) + "'"
}

// sharedBuffers is 256 MiB, but never more than a quarter of the memory.
func sharedBuffers(memory uint64) uint64 {
	if memory == 0 {
		return fallbackBuffers
	}
	return max(leastBuffers, min(wantedBuffers, memory/4))
}

// replaceFile puts content in place of path in one step, owned by the account: a reader or a crash sees the old file
// or the new one.
func replaceFile(path string, content []byte, mode fs.FileMode, owner account) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close(), owner.give(f.Name()))
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// socketDirFor prepares the folder of the unix socket: inside the cluster's when the path fits, else a private one
// under the system's folder for temporary files.
func (c *Cluster) socketDirFor(ctx context.Context) (string, error) {
	short := c.shortName()
	var refusals []error
	for _, dir := range []string{filepath.Join(c.dir, socketFolder), filepath.Join(os.TempDir(), short), filepath.Join("/tmp", short)} {
		err := c.prepareSocketDir(ctx, dir)
		if err == nil {
			return dir, nil
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		refusals = append(refusals, fmt.Errorf("%s: %w", dir, err))
	}
	err := errors.Join(refusals...)
	return "", problem(ErrUnwritable, err, "no folder is fit for the socket of the private PostgreSQL cluster: %s",
		strings.ReplaceAll(err.Error(), "\n", "; "))
}

// shortName tells clusters apart under the system's folder for temporary files.
func (c *Cluster) shortName() string {
	sum := sha256.Sum256([]byte(c.dir))
	return "marquee-" + hex.EncodeToString(sum[:6])
}

func (c *Cluster) prepareSocketDir(ctx context.Context, dir string) error {
	// The list of folders in the settings and the host list of a connection URL split at commas.
	if strings.ContainsAny(dir, ",'\"\\\n\r\t") {
		return errors.New("its name has characters that connection strings do not take")
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	// Under /tmp somebody else may have taken the name to read or replace the socket.
	owner, _ := ownerOf(info)
	switch {
	case !info.IsDir():
		return errors.New("not a folder")
	case owner == os.Geteuid():
		if err := errors.Join(os.Chmod(dir, 0o700), c.account.give(dir)); err != nil {
			return err
		}
	case owner != c.account.uid:
		return fmt.Errorf("belongs to user %s", userName(owner))
	case info.Mode().Perm() != 0o700:
		return errors.New("open to other users")
	}
	if !c.account.enters(ctx, c.bin, dir) {
		return fmt.Errorf("user %s cannot enter", c.account.name)
	}
	// No server of this cluster runs while this process starts one, so whatever lies here is dead. A socket's lock file
	// would stop the next server if some other process got the old server's id.
	stale, err := filepath.Glob(filepath.Join(globEscape(dir), ".s.PGSQL.*"))
	if err != nil {
		return err
	}
	for _, path := range stale {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	// The trial has the longest name that the server may choose: systems differ in the path that fits into a socket
	// address (107 bytes on Linux, 103 on macOS), and shared folders of virtual machines take files but no sockets.
	trial, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.65535"))
	if err != nil {
		return err
	}
	return trial.Close()
}

func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// removeSocketDir takes away a socket folder under the system's temporary files once the server is gone.
func (c *Cluster) removeSocketDir() {
	if filepath.Base(c.socketDir) == c.shortName() {
		if err := os.Remove(c.socketDir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.log.Debug("socket folder of the private PostgreSQL cluster left behind", "folder", c.socketDir, "error", err)
		}
	}
}
