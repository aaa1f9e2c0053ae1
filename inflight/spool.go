package inflight

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// Spool writes protected segments to files without a name, from which slow clients read while their memory is used for
// others. It is safe for concurrent use and must be made by NewSpool.
//
// The files belong to nobody else: mode 0600, without a name in the directory, gone with the process. They must hold what is
// protected only. The directory should lie on a disk; one in memory (tmpfs) saves nothing.
type Spool struct {
	dir      string
	maxBytes int64
	used     atomic.Int64
	open     func(dir string) (*os.File, error)
}

// NewSpool returns a spool of at most maxBytes bytes in dir, "" for the directory of temporary files. With 0 or less
// everything is refused with ErrSpool.
func NewSpool(dir string, maxBytes int64) *Spool {
	if dir == "" {
		dir = os.TempDir()
	}
	return &Spool{dir: dir, maxBytes: maxBytes, open: openUnnamed}
}

// Used returns the bytes of all files that are not closed.
func (s *Spool) Used() int64 { return s.used.Load() }

// Spooled is a file of a Spool, read from its beginning. io.Copy from it to a TCP connection is sendfile. Its bytes count
// until Close, which must be called on the Spooled, not on the File in it.
type Spooled struct {
	*os.File
	// Size is the length of the file in bytes.
	Size   int64
	spool  *Spool
	closed atomic.Bool
}

// Write writes a body of size bytes to a file, which the caller closes.
//
// ErrSpool is returned if there is no room, below maxBytes or on the disk, or no file can be made. The body was not asked for
// anything then and can be sent from memory. Any other error comes while it is written: it is lost if it can be written only
// once.
func (s *Spool) Write(body io.WriterTo, size int64) (*Spooled, error) {
	f, err := s.make(size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpool, err)
	}
	written := false
	defer func() { // also when body panics
		if !written {
			_ = f.Close() // what it holds is given up
		}
	}()
	w := &exactly{to: f.File, left: size}
	if _, err := body.WriteTo(w); err != nil {
		return nil, fmt.Errorf("spooling a segment: %w", err)
	}
	if w.left != 0 {
		return nil, fmt.Errorf("spooling a segment: %w", errSize)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("spooling a segment: %w", err)
	}
	written = true
	return f, nil
}

// make returns an empty file that has room for size bytes.
func (s *Spool) make(size int64) (*Spooled, error) {
	if size < 0 {
		return nil, errSize
	}
	if s.maxBytes <= 0 {
		return nil, errSpoolFull
	}
	if s.used.Add(size) > s.maxBytes {
		s.used.Add(-size)
		return nil, errSpoolFull
	}
	file, err := s.open(s.dir)
	if err != nil {
		s.used.Add(-size)
		return nil, err
	}
	f := &Spooled{File: file, Size: size, spool: s}
	if err := allocate(file, size); err != nil {
		_ = f.Close() // nothing is in it
		return nil, err
	}
	return f, nil
}

// Close gives the file and its bytes back. Calls after the first do nothing.
func (f *Spooled) Close() error {
	if f.closed.Swap(true) {
		return nil
	}
	err := f.File.Close()
	f.spool.used.Add(-f.Size)
	return err
}

// exactly refuses what goes beyond the size that was announced.
type exactly struct {
	to   io.Writer
	left int64
}

func (w *exactly) Write(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		return 0, errSize
	}
	n, err := w.to.Write(p)
	w.left -= int64(n)
	return n, err
}

// openNamed makes a file and takes its name away at once, for systems that know no other way.
func openNamed(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "caddy-drm-spool-*") // mode 0600
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil { // Windows keeps the names of open files
		_ = f.Close() // to take its name away
		_ = os.Remove(f.Name())
		return nil, err
	}
	return f, nil
}
