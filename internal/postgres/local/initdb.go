package local

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

func (c *Cluster) dataDir() string { return filepath.Join(c.dir, dataFolder) }

func (c *Cluster) versionFile() string { return filepath.Join(c.dataDir(), "PG_VERSION") }

func (c *Cluster) initialised() bool { return isFile(c.versionFile()) }

// dataMajor returns the major version that made the data, 0 when there is none.
func (c *Cluster) dataMajor() (int, error) {
	text, err := os.ReadFile(c.versionFile())
	if errors.Is(err, fs.ErrNotExist) {
		entries, err := os.ReadDir(c.dataDir())
		if err == nil && len(entries) > 0 {
			return 0, problem(ErrForeignData, nil, "%s is not empty and holds no PostgreSQL data: move it away or choose another folder", c.dataDir())
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, problem(ErrUnwritable, err, "cannot read %s: %v", c.dataDir(), err)
		}
		return 0, nil
	}
	if err != nil {
		return 0, problem(ErrUnwritable, err, "cannot read %s: %v", c.versionFile(), err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, problem(ErrForeignData, err, "%s does not name a PostgreSQL version that Marquee knows: move %s away or choose another folder",
			c.versionFile(), c.dataDir())
	}
	return major, nil
}

const passwordPrefix = "*:*:*:" + superuser + ":"

// loadPassword reads the password file, which is in PostgreSQL's own format so that PGPASSFILE may name it, and makes
// one for a cluster that has no data yet.
func (c *Cluster) loadPassword() error {
	path := filepath.Join(c.dir, passwordFile)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !c.initialised():
		c.password = rand.Text()
		if err := replaceFile(path, []byte(passwordPrefix+c.password+"\n"), 0o600, account{}); err != nil {
			return problem(ErrUnwritable, err, "cannot write %s: %v", path, err)
		}
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return problem(ErrPasswordLost, err, "the password of the PostgreSQL data in %s is lost with the file %s: bring the file back, or move the data away to begin anew",
			c.dataDir(), path)
	case err != nil:
		return problem(ErrUnwritable, err, "cannot read %s: %v", path, err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	password, ok := strings.CutPrefix(line, passwordPrefix)
	if !ok || password == "" {
		return problem(ErrPasswordLost, nil, "%s does not hold the password of the PostgreSQL data in %s: bring the file back, or move both away to begin anew",
			path, c.dataDir())
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return problem(ErrUnwritable, err, "cannot protect %s: %v", path, err)
	}
	c.password = password
	return nil
}

// initialise makes the data folder under another name and renames it, so that an initdb that was killed leaves
// nothing that looks like data.
func (c *Cluster) initialise(ctx context.Context) error {
	fresh := filepath.Join(c.dir, halfMade)
	secret := filepath.Join(c.dir, initPassword)
	failed := func(err error) error {
		return problem(ErrInit, err, "the data folder of the private PostgreSQL cluster cannot be made in %s: %v", c.dir, err)
	}
	defer os.Remove(secret) // a failure leaves it where the next attempt replaces it
	if err := replaceFile(secret, []byte(c.password+"\n"), 0o600, c.account); err != nil {
		return failed(err)
	}

	// C.UTF-8 knows the letters of all languages and sorts by code point; systems without it get C.
	var said string
	var err error
	for _, locale := range []string{"C.UTF-8", "C"} {
		if err := errors.Join(os.RemoveAll(fresh), os.Mkdir(fresh, 0o700)); err != nil {
			return failed(err)
		}
		if err := c.account.give(fresh); err != nil {
			return failed(err)
		}
		if said, err = c.initdb(ctx, locale); err == nil || !strings.Contains(said, "invalid locale") {
			break
		}
	}
	if err != nil {
		err = errors.Join(err, os.RemoveAll(fresh))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return problem(ErrInit, err, "initdb cannot make the data folder of the private PostgreSQL cluster in %s: %s", c.dir, telling(err.Error()+"\n"+said))
	}

	if err := includeSettings(filepath.Join(fresh, "postgresql.conf")); err != nil {
		return failed(err)
	}
	// An empty folder, made by hand to set its owner, is no data and stands in the way of the rename.
	if info, err := os.Lstat(c.dataDir()); err == nil && info.IsDir() {
		if err := os.Remove(c.dataDir()); err != nil {
			return failed(err)
		}
	}
	if err := os.Rename(fresh, c.dataDir()); err != nil {
		return failed(err)
	}
	if err := syncFolder(c.dir); err != nil {
		return failed(err)
	}
	c.log.Debug("private PostgreSQL cluster made", "folder", c.dir, "version", c.bin.version)
	return nil
}

// initdb inherits the server lock: should this process die, the next one waits for initdb before it clears up.
func (c *Cluster) initdb(ctx context.Context, locale string) (said string, err error) {
	hold, err := c.holdServerLock(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, hold.drop()) }()
	args := []string{
		"-D", halfMade, "--username=" + superuser, "--pwfile=" + initPassword,
		"--auth-local=scram-sha-256", "--auth-host=scram-sha-256", "--data-checksums",
		"--encoding=UTF8", "--locale=" + locale, "--no-instructions",
	}
	if c.ephemeral {
		args = append(args, "--no-sync")
	}
	var out bytes.Buffer
	cmd := c.account.command(ctx, c.dir, c.bin.path("initdb"), args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.ExtraFiles = []*os.File{hold.file}
	err = cmd.Run()
	return out.String(), err
}

// includeSettings makes the server read the settings file beside the data folder after its own.
func includeSettings(conf string) (err error) {
	f, err := os.OpenFile(conf, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("\ninclude = '../" + settingsFile + "'\n")
	return errors.Join(err, f.Sync(), f.Close())
}

// syncFolder makes renames in dir survive a power cut.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
