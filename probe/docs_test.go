package probe

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestCodesAreDocumented holds the table of docs/probe.md and the code to each other.
func TestCodesAreDocumented(t *testing.T) {
	find := func(file, pattern string) (all []string) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			all = append(all, found[1])
		}
		slices.Sort(all)
		return all
	}
	code, documented := find("report.go", `(?m)^\t\w+ +Code = "([a-z_]+)"`), find(filepath.Join("..", "docs", "probe.md"), "(?m)^\\| `([a-z_]+)` \\|")
	if len(code) < 10 || !slices.Equal(code, documented) {
		t.Errorf("the code has %q, docs/probe.md %q", code, documented)
	}
}
