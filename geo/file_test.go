package geo

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maxmind/mmdbwriter/mmdbtype"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testAddr = netip.MustParseAddr("192.0.2.1")

func databasePlacing(t testing.TB, code string) []byte {
	t.Helper()
	return testDatabase(t, "GeoLite2-Country", 6, map[string]mmdbtype.DataType{"192.0.2.0/24": placed(code)})
}

// replaceFile puts b in place the way updaters do: beside, then renamed.
func replaceFile(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func mustLookup(t testing.TB, f *File, want string) {
	t.Helper()
	if c, err := f.Lookup(testAddr); err != nil || c.String() != want {
		t.Errorf("got %s, %v; want %s", c, err, want)
	}
}

func TestFileReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "country.mmdb")
	replaceFile(t, path, databasePlacing(t, "DE"))
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	mustLookup(t, f, "DE")
	if reloaded, err := f.Reload(); reloaded || err != nil {
		t.Errorf("an unchanged file: %t, %v", reloaded, err)
	}
	replaceFile(t, path, databasePlacing(t, "AT"))
	if reloaded, err := f.Reload(); !reloaded || err != nil {
		t.Errorf("a replaced file of the same size: %t, %v", reloaded, err)
	}
	mustLookup(t, f, "AT")
	if err := os.Chtimes(path, time.Time{}, time.Unix(1767225600, 0)); err != nil {
		t.Fatal(err)
	}
	if reloaded, err := f.Reload(); !reloaded || err != nil {
		t.Errorf("a file with another time: %t, %v", reloaded, err)
	}
}

// Row 35: a bad file, replaced or written over in place, leaves the old database in use.
func TestFileKeepsTheOldDatabase(t *testing.T) {
	for rule, b := range map[string][]byte{
		"empty":      {},
		"cut":        databasePlacing(t, "AT")[:200],
		"wrong type": testDatabase(t, "GeoLite2-ASN", 6, nil),
		"text":       []byte("quota exceeded"),
	} {
		for _, inPlace := range []bool{false, true} {
			path := filepath.Join(t.TempDir(), "country.mmdb")
			replaceFile(t, path, databasePlacing(t, "DE"))
			f, err := OpenFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if inPlace {
				err = os.WriteFile(path, b, 0o600)
			} else {
				replaceFile(t, path, b)
			}
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // it says so again, until the file is good
				if reloaded, err := f.Reload(); reloaded || err == nil || !strings.Contains(err.Error(), path) {
					t.Errorf("%s: reloaded %t, error %v; want one that names the file", rule, reloaded, err)
				}
			}
			mustLookup(t, f, "DE")
			replaceFile(t, path, databasePlacing(t, "FR"))
			if reloaded, err := f.Reload(); !reloaded || err != nil {
				t.Errorf("%s: the good file after it: %t, %v", rule, reloaded, err)
			}
			mustLookup(t, f, "FR")
		}
	}
}

func TestOpenFileRefuses(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing.mmdb")
	if f, err := OpenFile(missing); f != nil || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("missing: %v", err)
	}
	if f, err := OpenFile(dir); f != nil || err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory: %v", err)
	}
	empty := filepath.Join(dir, "empty.mmdb")
	replaceFile(t, empty, nil)
	if f, err := OpenFile(empty); f != nil || !errors.Is(err, ErrDatabaseCorrupt) || !strings.Contains(err.Error(), empty) {
		t.Errorf("empty: %v", err)
	}
}

func TestFileGoneMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "country.mmdb")
	replaceFile(t, path, databasePlacing(t, "DE"))
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Reload(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want one that says so", err)
	}
	mustLookup(t, f, "DE")
}

func TestFileLookupsDuringReloads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "country.mmdb")
	versions := [][]byte{databasePlacing(t, "DE"), databasePlacing(t, "AT")}
	replaceFile(t, path, versions[0])
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if c, err := f.Lookup(testAddr); err != nil || c.String() != "DE" && c.String() != "AT" {
					t.Errorf("got %s, %v", c, err)
					return
				}
			}
		})
	}
	for i := range 100 {
		replaceFile(t, path, versions[i%2])
		if _, err := f.Reload(); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
}

func TestFileWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "country.mmdb")
	replaceFile(t, path, databasePlacing(t, "DE"))
	synctest.Test(t, func(t *testing.T) {
		f, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var failures []error
		go f.Watch(ctx, time.Minute, func(err error) { failures = append(failures, err) })

		replaceFile(t, path, databasePlacing(t, "AT"))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		mustLookup(t, f, "DE")
		time.Sleep(time.Minute)
		synctest.Wait()
		mustLookup(t, f, "AT")
		replaceFile(t, path, []byte("x"))
		time.Sleep(time.Minute)
		synctest.Wait()
		mustLookup(t, f, "AT")
		if len(failures) != 1 || !errors.Is(failures[0], ErrDatabaseCorrupt) {
			t.Errorf("failures %v, want one", failures)
		}
		cancel()
		synctest.Wait()
	})
}
