package docs_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/rights"
)

// TestCatalogs reads every catalog of the documentation and of the examples, which must be without findings while it is current.
func TestCatalogs(t *testing.T) {
	catalogs := map[string]string{}
	for _, page := range pages(t) {
		for _, b := range fencedBlocks(t, page) {
			if b.language == "yaml" {
				catalogs[b.name(page)] = b.text
			}
		}
	}
	files, err := filepath.Glob("examples/rights*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		catalogs[file] = string(read(t, file))
	}
	if len(catalogs) < 2 || len(files) == 0 {
		t.Errorf("only %d catalogs were found: the test reads them wrongly", len(catalogs))
	}
	for name, text := range catalogs {
		catalog, err := rights.Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, finding := range catalog.Lint(time.Date(2026, 10, 15, 0, 0, 0, 0, time.UTC)) {
			if finding.Severity == rights.SeverityError || filepath.Ext(name) == ".yaml" {
				t.Errorf("%s: %s", name, finding)
			}
		}
	}
}
