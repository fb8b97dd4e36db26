package local

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
)

// account is the user that owns the data and runs every server binary. PostgreSQL refuses to run as root, so a
// process of root borrows an unprivileged one.
type account struct {
	name     string
	uid, gid int
	drop     bool // this process is root and must run the binaries as the account
}

// accountFor picks the account for the cluster whose data is, or will be, in data: the own user; for root the owner
// of existing data, else postgres, else nobody.
func accountFor(data string) (account, error) {
	owner, ownerGroup := -1, -1
	switch info, err := os.Stat(data); {
	case err == nil:
		owner, ownerGroup = ownerOf(info)
	case errors.Is(err, fs.ErrNotExist):
	default:
		return account{}, problem(ErrUnwritable, err, "cannot look at the data folder %s of the private PostgreSQL cluster: %v", data, err)
	}

	own := account{uid: os.Geteuid(), gid: os.Getegid()}
	own.name = userName(own.uid)
	if own.uid != 0 {
		if owner >= 0 && owner != own.uid {
			return account{}, problem(ErrWrongOwner, nil,
				"the PostgreSQL data in %s belongs to user %s, not to %s: start Marquee as %[2]s or root, or choose another folder",
				data, userName(owner), own.name)
		}
		return own, nil
	}

	switch {
	case owner == 0:
		return account{}, problem(ErrWrongOwner, nil,
			"the PostgreSQL data in %s belongs to root, as whom PostgreSQL refuses to run: give it to another user (chown -R postgres) or choose another folder", data)
	case owner > 0:
		return account{name: userName(owner), uid: owner, gid: primaryGroup(owner, ownerGroup), drop: true}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if uidErr == nil && gidErr == nil && uid > 0 {
			return account{name: name, uid: uid, gid: gid, drop: true}, nil
		}
	}
	return account{}, problem(ErrNoUser, nil,
		"PostgreSQL refuses to run as root and this system has neither a user postgres nor nobody: create one, or start Marquee as an ordinary user")
}

func userName(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

func primaryGroup(uid, fallback int) int {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return fallback
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return fallback
	}
	return gid
}

// give hands a file or folder of this process to the account.
func (a account) give(path string) error {
	if !a.drop {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

// command prepares a binary to run as the account with a bare environment: nothing of Marquee's settings and secrets,
// and none of the PG… variables that would change what the binary does. dir is the working folder.
func (a account) command(ctx context.Context, dir, binary string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = dir
	cmd.Env = bareEnvironment()
	isolate(cmd, a)
	return cmd
}

// bareEnvironment keeps what a binary needs to be found and loaded. LC_ALL makes messages readable by this package
// and keeps macOS from starting threads for locale lookups in the postmaster.
func bareEnvironment() []string {
	env := []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// enters reports whether the account may make dir its working folder. It tries, because mode bits say nothing about
// access lists and mount options.
func (a account) enters(ctx context.Context, b binaries, dir string) bool {
	return !a.drop || a.command(ctx, dir, b.path("postgres"), "--version").Run() == nil
}

// reach fails when the account cannot enter dir, and names the first folder on the way that shuts it out.
func (a account) reach(ctx context.Context, b binaries, dir string) error {
	if a.enters(ctx, b, dir) {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	blocker := dir
	for _, ancestor := range ancestors(dir) {
		if !a.enters(ctx, b, ancestor) {
			blocker = ancestor
			break
		}
	}
	return problem(ErrUnreachable, fs.ErrPermission,
		"PostgreSQL must run as user %s because Marquee runs as root, and that user cannot enter %s on the way to %s: "+
			"allow it (chmod o+x %[2]s), choose another folder, or start Marquee as an ordinary user", a.name, blocker, dir)
}

// ancestors lists the folders from the root down to dir.
func ancestors(dir string) []string {
	all := []string{dir}
	for parent := filepath.Dir(dir); parent != dir; parent = filepath.Dir(dir) {
		all = append(all, parent)
		dir = parent
	}
	slices.Reverse(all)
	return all
}

// makeFolder creates dir and its missing parents with exactly this mode, whatever the umask.
func makeFolder(dir string, mode fs.FileMode) error {
	switch info, err := os.Stat(dir); {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return &fs.PathError{Op: "mkdir", Path: dir, Err: errors.New("a file is in the way")}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := makeFolder(parent, mode); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Chmod(dir, mode)
}
