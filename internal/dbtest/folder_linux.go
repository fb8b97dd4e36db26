package dbtest

import "golang.org/x/sys/unix"

const (
	sharedMemory = "/dev/shm"
	enoughMemory = 2 << 30
)

// memoryFolder returns a folder in memory that has room for the server, "" when there is none. A database consists of
// hundreds of files, and in memory it takes a fraction of the time to make one.
func memoryFolder() string {
	var fs unix.Statfs_t
	if err := unix.Statfs(sharedMemory, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
		return ""
	}
	if uint64(fs.Bsize)*fs.Bavail < enoughMemory || unix.Access(sharedMemory, unix.W_OK) != nil {
		return ""
	}
	return sharedMemory
}
