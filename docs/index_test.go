package docs_test

import (
	"path/filepath"
	"slices"
	"testing"
)

// TestIndexHasAllPages: who reads the pages in order misses none.
func TestIndexHasAllPages(t *testing.T) {
	index := string(read(t, "docs/README.md"))
	var listed []string
	for _, match := range link.FindAllStringSubmatch(index, -1) {
		listed = append(listed, match[1])
	}
	found, err := filepath.Glob("docs/*.md")
	if err != nil || len(found) < 2 {
		t.Fatal(found, err)
	}
	for _, page := range found {
		if name := filepath.Base(page); name != "README.md" && !slices.Contains(listed, name) {
			t.Errorf("docs/README.md does not name %s", name)
		}
	}
}
