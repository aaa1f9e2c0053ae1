package geo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// maxFileBytes bounds what is read into memory; the largest city databases have a few hundred megabytes.
const maxFileBytes = 1 << 30

// File is a Database that follows a file. Look-ups never wait for a reload, and one that has begun ends on the database that it
// began with. Safe for concurrent use.
type File struct {
	path    string
	current atomic.Pointer[Database]

	mu   sync.Mutex // guards seen, and lets one reload run at a time
	seen os.FileInfo
}

// OpenFile reads the database at path. Every error names the file.
func OpenFile(path string) (*File, error) {
	f := &File{path: path}
	if _, err := f.Reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// Path returns the path that the file was opened with.
func (f *File) Path() string { return f.path }

// Info describes the database in use.
func (f *File) Info() Info { return f.current.Load().Info() }

// Lookup is that of the database in use.
func (f *File) Lookup(addr netip.Addr) (Country, error) { return f.current.Load().Lookup(addr) }

// Reload reads the file again if it is another one than was read last, by identity, size or time of change, and reports whether
// it did. If the new file cannot be used the old database stays in use, and the next call tries again.
func (f *File) Reload() (reloaded bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if err != nil {
		return false, fmt.Errorf("reloading geo database: %w", err)
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return false, fmt.Errorf("reloading geo database %s: not a regular file", f.path)
	}
	if f.seen != nil && isSameVersion(info, f.seen) {
		return false, nil
	}
	b, info, err := readStable(f.path)
	if err != nil {
		return false, fmt.Errorf("reading geo database %s: %w", f.path, err)
	}
	database, err := ParseDatabase(b)
	if err != nil {
		return false, fmt.Errorf("reading geo database %s: %w", f.path, err)
	}
	f.current.Store(database) // the old one is the garbage collector's, once its last look-up is done
	f.seen = info
	return true, nil
}

// Watch calls Reload every interval until ctx is done, and hands what fails to onError, which may be nil. It blocks; the caller
// runs it in a goroutine of its own. The interval is at least a second.
func (f *File) Watch(ctx context.Context, interval time.Duration, onError func(error)) {
	ticker := time.NewTicker(max(interval, time.Second))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if _, err := f.Reload(); err != nil && onError != nil {
				onError(err)
			}
		}
	}
}

func isSameVersion(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// readStable returns the bytes of a regular file and what identified it, and an error if it changed while it was read: an updater
// that writes in place is caught halfway, and the next reload finds the whole.
func readStable(path string) ([]byte, os.FileInfo, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = file.Close() }()
	before, err := file.Stat()
	switch {
	case err != nil:
		return nil, nil, err
	case !before.Mode().IsRegular():
		return nil, nil, errors.New("not a regular file")
	case before.Size() > maxFileBytes:
		return nil, nil, fmt.Errorf("%d bytes: want at most %d", before.Size(), maxFileBytes)
	}
	b := make([]byte, before.Size())
	if _, err := io.ReadFull(file, b); err != nil {
		return nil, nil, err
	}
	after, err := file.Stat()
	switch {
	case err != nil:
		return nil, nil, err
	case !isSameVersion(before, after):
		return nil, nil, errors.New("it changed while it was read")
	}
	return b, after, nil
}
