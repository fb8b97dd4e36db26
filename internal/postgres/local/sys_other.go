//go:build !unix || aix || solaris

package local

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
)

const supported = false

const (
	signalReload    = syscall.SIGHUP
	signalFast      = syscall.SIGINT
	signalImmediate = syscall.SIGQUIT
)

func tryLock(*os.File, bool) (bool, error)    { return false, errors.ErrUnsupported }
func unlock(*os.File) error                   { return errors.ErrUnsupported }
func isolate(*exec.Cmd, account)              {}
func ownerOf(fs.FileInfo) (uid, gid int)      { return -1, -1 }
func pidInUse(int) bool                       { return false }
func signalProcess(int, syscall.Signal) error { return errors.ErrUnsupported }
