package caddymodule

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// A file that was built long ago is in use, and reported by its name.
func TestOldGeoDatabaseIsReported(t *testing.T) {
	g := newGateway(t)
	log := filepath.Join(g.dir, "log")
	g.load(t, strings.Replace(globalBlock, "output discard", "output file "+log, 1)+geoRule("country {\n allow AT\n}"))
	if res := g.get(t, "/demo/manifest.mpd"); res.status != 200 {
		t.Fatalf("%d %s", res.status, res.reason())
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var entry struct {
			Level, Msg, Database string
			Days                 int
		}
		if json.Unmarshal([]byte(line), &entry) == nil && strings.HasPrefix(entry.Msg, "geo database is old") {
			if entry.Level != "warn" || entry.Database != "country" || entry.Days < 30 {
				t.Errorf("reported as %s", line)
			}
			return
		}
	}
	t.Errorf("not reported in\n%s", b)
}

// In JSON a database is a path, or an object; what has only a path is written as one.
func TestGeoDatabaseInJSON(t *testing.T) {
	for text, want := range map[string]GeoDatabase{
		`"/a.mmdb"`: {File: "/a.mmdb"}, `{"file":"/a.mmdb","max_age":"2h","rollback":"allow"}`: {File: "/a.mmdb", MaxAge: caddy.Duration(2 * 3600e9), Rollback: "allow"},
	} {
		var got GeoDatabase
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s is %+v, %v", text, got, err)
		}
		b, err := json.Marshal(got)
		var again GeoDatabase
		if err != nil || json.Unmarshal(b, &again) != nil || again != got || (b[0] == '"') != (text[0] == '"') {
			t.Errorf("%s is written as %s, %v", text, b, err)
		}
	}
	for _, text := range []string{`{"file":"/a","path":"/b"}`, `7`, `["/a"]`, `{"max_age":"old"}`} {
		var got GeoDatabase
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%s was read as %+v", text, got)
		}
	}
}
