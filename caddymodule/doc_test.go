package caddymodule

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestMap holds the map of this package to its files: each subject has its place there, and none is there that has no file.
func TestMap(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	mapped := make(map[string]bool)
	for _, line := range regexp.MustCompile(`(?m)^//   - ([a-z, ]+):`).FindAllStringSubmatch(string(text), -1) {
		for subject := range strings.SplitSeq(line[1], ", ") {
			if mapped[subject] {
				t.Errorf("%q stands there twice", subject)
			}
			mapped[subject] = true
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	subjects := make(map[string]bool)
	for _, file := range files {
		if subject, _, _ := strings.Cut(strings.TrimSuffix(file, ".go"), "_"); file != "doc.go" && !strings.HasSuffix(file, "_test.go") {
			subjects[subject] = true
		}
	}
	if !maps.Equal(mapped, subjects) {
		t.Errorf("doc.go has %q\nthe files are of %q", slices.Sorted(maps.Keys(mapped)), slices.Sorted(maps.Keys(subjects)))
	}
}
