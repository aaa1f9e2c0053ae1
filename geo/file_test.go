package geo

import (
	"bytes"
	"context"
	"encoding/binary"
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
	if p, err := f.Lookup(testAddr); err != nil || p.Country.String() != want {
		t.Errorf("got %s, %v; want %s", p, err, want)
	}
}

func TestFileReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "country.mmdb")
	replaceFile(t, path, databasePlacing(t, "DE"))
	f, err := OpenFile(path, FileConfig{})
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
		"wrong type": testDatabase(t, "GeoLite2-ASN", 6, map[string]mmdbtype.DataType{"192.0.2.0/24": asnOf(64496)}),
		"no network": testDatabase(t, "GeoLite2-Country", 6, nil),
		"text":       []byte("quota exceeded"),
	} {
		for _, inPlace := range []bool{false, true} {
			path := filepath.Join(t.TempDir(), "country.mmdb")
			replaceFile(t, path, databasePlacing(t, "DE"))
			f, err := OpenFile(path, FileConfig{})
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
	if f, err := OpenFile(missing, FileConfig{}); f != nil || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("missing: %v", err)
	}
	if f, err := OpenFile(dir, FileConfig{}); f != nil || err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory: %v", err)
	}
	empty := filepath.Join(dir, "empty.mmdb")
	replaceFile(t, empty, nil)
	if f, err := OpenFile(empty, FileConfig{}); f != nil || !errors.Is(err, ErrDatabaseCorrupt) || !strings.Contains(err.Error(), empty) {
		t.Errorf("empty: %v", err)
	}
}

func TestFileGoneMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "country.mmdb")
	replaceFile(t, path, databasePlacing(t, "DE"))
	f, err := OpenFile(path, FileConfig{})
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
	f, err := OpenFile(path, FileConfig{})
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
				if p, err := f.Lookup(testAddr); err != nil || p.Country.String() != "DE" && p.Country.String() != "AT" {
					t.Errorf("got %s, %v", p, err)
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
		f, err := OpenFile(path, FileConfig{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var failures []error
		reloads := 0
		go f.Watch(ctx, time.Minute, func(reloaded bool, err error) {
			if reloaded {
				reloads++
			} else {
				failures = append(failures, err)
			}
		})

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
		if reloads != 1 {
			t.Errorf("%d reloads were reported, want one", reloads)
		}
		cancel()
		synctest.Wait()
	})
}

func builtAt(t testing.TB, databaseType string, build time.Time, record mmdbtype.DataType) []byte {
	t.Helper()
	b := testDatabase(t, databaseType, 6, map[string]mmdbtype.DataType{"192.0.2.0/24": record})
	return withBuildTime(t, b, build)
}

// withBuildTime writes another time into the metadata. The writer's own is a 64-bit number that it writes in four bytes.
func withBuildTime(t testing.TB, b []byte, build time.Time) []byte {
	t.Helper()
	at := bytes.LastIndex(b, []byte("build_epoch")) + len("build_epoch")
	if at < len("build_epoch") || b[at] != 0x04 || b[at+1] != 0x02 { // extended type 9, of 4 bytes
		t.Fatalf("the build time is not where it was: %x", b[at:at+6])
	}
	b = bytes.Clone(b)
	binary.BigEndian.PutUint32(b[at+2:], uint32(build.Unix()))
	return b
}

func TestFileRefusesOlderAndLesser(t *testing.T) {
	first := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	now := first.AddDate(0, 0, 20)
	for _, test := range []struct {
		rule   string
		config FileConfig
		next   []byte
		want   error
	}{
		{"newer", FileConfig{}, builtAt(t, "GeoLite2-City", first.AddDate(0, 0, 7), cityRecord("EU", "AT", "9")), nil},
		{"of the same day", FileConfig{}, builtAt(t, "GeoLite2-City", first, cityRecord("EU", "AT", "9")), nil},
		{"another type that tells as much", FileConfig{}, builtAt(t, "GeoIP2-Enterprise", first, cityRecord("EU", "AT", "9")), nil},
		{"older", FileConfig{}, builtAt(t, "GeoLite2-City", first.AddDate(0, 0, -1), cityRecord("EU", "AT", "9")), ErrDatabaseAge},
		{"older, by leave", FileConfig{Rollback: true}, builtAt(t, "GeoLite2-City", first.AddDate(0, 0, -1), cityRecord("EU", "AT", "9")), nil},
		{"older than what is taken", FileConfig{Rollback: true, MaxAge: 30 * 24 * time.Hour}, builtAt(t, "GeoLite2-City", first.AddDate(0, 0, -11), cityRecord("EU", "AT", "9")), ErrDatabaseAge},
		{"without subdivisions", FileConfig{}, builtAt(t, "GeoLite2-City", first, cityRecord("EU", "AT")), ErrDatabaseType},
		{"of another kind", FileConfig{}, builtAt(t, "GeoLite2-ASN", first, asnOf(64496)), ErrDatabaseType},
	} {
		t.Run(test.rule, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "city.mmdb")
			replaceFile(t, path, builtAt(t, "GeoLite2-City", first, cityRecord("EU", "DE", "BE")))
			test.config.Now = func() time.Time { return now }
			f, err := OpenFile(path, test.config)
			if err != nil {
				t.Fatal(err)
			}
			replaceFile(t, path, test.next)
			reloaded, err := f.Reload()
			if !errors.Is(err, test.want) || reloaded != (test.want == nil) {
				t.Errorf("reloaded %t, error %v; want %v", reloaded, err, test.want)
			}
			if test.want == nil {
				mustLookup(t, f, "AT")
			} else {
				mustLookup(t, f, "DE")
			}
		})
	}
	path := filepath.Join(t.TempDir(), "city.mmdb")
	replaceFile(t, path, builtAt(t, "GeoLite2-City", first, cityRecord("EU", "DE", "BE")))
	config := FileConfig{MaxAge: 10 * 24 * time.Hour, Now: func() time.Time { return now }}
	if f, err := OpenFile(path, config); f != nil || !errors.Is(err, ErrDatabaseAge) {
		t.Errorf("an old file at the start: %v", err)
	}
}
