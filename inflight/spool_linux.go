package inflight

import (
	"errors"
	"os"
	"syscall"
)

// tmpfile is O_TMPFILE of open(2), which package syscall has for some architectures only. Where its value is another one, or
// the file system does not know it, opening a directory for writing fails.
const tmpfile = 0x400000 | syscall.O_DIRECTORY

// openUnnamed makes a file that never has a name. O_EXCL keeps it from getting one.
func openUnnamed(dir string) (*os.File, error) {
	if f, err := os.OpenFile(dir, os.O_RDWR|os.O_EXCL|tmpfile, 0o600); err == nil {
		return f, nil
	}
	return openNamed(dir)
}

// allocate reserves the blocks of a file, so that a full disk shows before the body is written, which is possible only once.
func allocate(f *os.File, size int64) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		for failed = syscall.EINTR; errors.Is(failed, syscall.EINTR); {
			failed = syscall.Fallocate(int(fd), 0, 0, size)
		}
	})
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(failed, full) {
			return failed
		}
	}
	return err // a file system that cannot reserve says so when it is written to
}
