package players

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
)

type player struct{ ID, Name, Version, License, Notice, File, SHA256 string }

func listed(t *testing.T) []player {
	t.Helper()
	raw, err := FS.ReadFile("players.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []player
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 3 {
		t.Fatalf("%d players, want 3", len(list))
	}
	return list
}

func TestEmbeddedFilesMatchTheirChecksums(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range listed(t) {
		file, err := FS.Open(p.File + ".gz")
		if err != nil {
			t.Fatal(err)
		}
		zr, err := gzip.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.New()
		if _, err := io.Copy(hash, zr); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(hash.Sum(nil)); got != p.SHA256 {
			t.Errorf("%s: SHA-256 %s, players.json says %s", p.File, got, p.SHA256)
		}
		if row := "| " + p.Name + " | " + p.Version + " |"; !strings.Contains(string(readme), row) {
			t.Errorf("README.md has no row %q", row)
		}
		if !strings.Contains(string(readme), p.SHA256) {
			t.Errorf("README.md does not hold the checksum of %s", p.File)
		}
		// gzip -n writes neither a name nor a time, so that the same player gives the same bytes.
		if zr.Name != "" || !zr.ModTime.IsZero() {
			t.Errorf("%s.gz: made without -n", p.File)
		}
	}
}

func TestLicensesAreThere(t *testing.T) {
	for _, p := range listed(t) {
		text, err := FS.ReadFile(p.Notice)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) < 500 {
			t.Errorf("%s: %d bytes, too short for a license", p.Notice, len(text))
		}
	}
}

func TestNothingElseIsEmbedded(t *testing.T) {
	want := map[string]bool{"players.json": true}
	for _, p := range listed(t) {
		want[p.File+".gz"], want[p.Notice] = true, true
	}
	entries, err := fs.ReadDir(FS, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !want[entry.Name()] {
			t.Errorf("%s is embedded, and players.json does not name it", entry.Name())
		}
	}
}
