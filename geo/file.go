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

// FileConfig sets how far a File goes along with its file. Now is required with MaxAge.
type FileConfig struct {
	// MaxAge refuses a database that was built longer ago; 0 takes any.
	MaxAge time.Duration
	// Rollback takes a new file in that was built before the one in use. By default it is refused: it is more often a mirror that
	// lags or a backup put back by mistake than a choice.
	Rollback bool
	// Now is the clock.
	Now func() time.Time
}

// ErrDatabaseAge means a database that was built too long ago, or before the one that it would replace.
var ErrDatabaseAge = errors.New("the database is too old")

// File is a Database that follows a file. Look-ups never wait for a reload, and one that has begun ends on the database that it
// began with. Safe for concurrent use.
type File struct {
	path    string
	config  FileConfig
	current atomic.Pointer[Database]

	mu   sync.Mutex // guards seen, and lets one reload run at a time
	seen os.FileInfo
}

// OpenFile reads the database at path. Every error names the file.
func OpenFile(path string, config FileConfig) (*File, error) {
	f := &File{path: path, config: config}
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
func (f *File) Lookup(addr netip.Addr) (Place, error) { return f.current.Load().Lookup(addr) }

// Reload reads the file again if it is another one than was read last, by identity, size or time of change, and reports whether
// it did. If the new file cannot be used, tells less than the old one did, or is older, the old database stays in use, and the
// next call tries again.
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
	if err == nil {
		err = f.check(database.Info())
	}
	if err != nil {
		return false, fmt.Errorf("reading geo database %s: %w", f.path, err)
	}
	f.current.Store(database) // the old one is the garbage collector's, once its last look-up is done
	f.seen = info
	return true, nil
}

// check refuses what cannot take the place of the database in use.
func (f *File) check(info Info) error {
	if f.config.MaxAge > 0 && f.config.Now().Sub(info.BuildTime) > f.config.MaxAge {
		return fmt.Errorf("%w: it was built on %s, and may be %s old", ErrDatabaseAge, info.BuildTime.Format(time.DateOnly), f.config.MaxAge)
	}
	old := f.current.Load()
	if old == nil {
		return nil
	}
	if lost := old.info.Provides &^ info.Provides; lost != 0 {
		return fmt.Errorf("%w: a %q where there was a %q no longer tells %s", ErrDatabaseType, info.Type, old.info.Type, lost)
	}
	if info.BuildTime.Before(old.info.BuildTime) && !f.config.Rollback {
		return fmt.Errorf("%w: it was built on %s, before the one in use, of %s",
			ErrDatabaseAge, info.BuildTime.Format(time.DateOnly), old.info.BuildTime.Format(time.DateOnly))
	}
	return nil
}

// Watch calls Reload every interval until ctx is done, and tells report, which may be nil, of each reload and each failure. It
// blocks; the caller runs it in a goroutine of its own. The interval is at least a second.
func (f *File) Watch(ctx context.Context, interval time.Duration, report func(reloaded bool, err error)) {
	ticker := time.NewTicker(max(interval, time.Second))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if reloaded, err := f.Reload(); report != nil && (reloaded || err != nil) {
				report(reloaded, err)
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
