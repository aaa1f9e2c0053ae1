package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/policy"
)

// pages are all Markdown files of the project.
func pages(t *testing.T) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := entry.Name(); entry.IsDir() && name != "." && (base[0] == '.' || base == "node_modules" || base == "dist") {
			return filepath.SkipDir
		}
		if filepath.Ext(name) == ".md" {
			found = append(found, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// block is a fenced block of a page.
type block struct {
	language, text string
	line           int
}

func (b block) name(page string) string { return fmt.Sprintf("%s:%d", page, b.line) }

var fence = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

func fencedBlocks(t *testing.T, page string) []block {
	t.Helper()
	text := string(read(t, page))
	var blocks []block
	for _, at := range fence.FindAllStringSubmatchIndex(text, -1) {
		blocks = append(blocks, block{
			language: text[at[2]:at[3]], text: text[at[4]:at[5]], line: strings.Count(text[:at[0]], "\n") + 1,
		})
	}
	return blocks
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped = regexp.MustCompile("[^a-z0-9 _-]")
)

func TestLinksLeadSomewhere(t *testing.T) {
	for _, page := range pages(t) {
		text := fence.ReplaceAllString(string(read(t, page)), "")
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			file, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(file, "://") {
				continue
			}
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s: %v", page, match[1], err)
			} else if anchor != "" && !slices.Contains(anchors(t, target), anchor) {
				t.Errorf("%s: %s: no such heading", page, match[1])
			}
		}
	}
}

// anchors are the names of the headings of a page, as GitHub makes them.
func anchors(t *testing.T, page string) []string {
	var names []string
	for _, match := range heading.FindAllStringSubmatch(fence.ReplaceAllString(string(read(t, page)), ""), -1) {
		names = append(names, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-"))
	}
	return names
}

var (
	namedTest = regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)`")
	testFunc  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9]+)\(`)
)

// TestNamedTestsExist: a page that says which test holds what names tests that there are.
func TestNamedTestsExist(t *testing.T) {
	known := make(map[string]bool)
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, "_test.go") {
			for _, match := range testFunc.FindAllSubmatch(read(t, name), -1) {
				known[string(match[1])] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, page := range pages(t) {
		for _, match := range namedTest.FindAllStringSubmatch(string(read(t, page)), -1) {
			if named++; !known[match[1]] {
				t.Errorf("%s names %s, and there is no such test", page, match[1])
			}
		}
	}
	if named == 0 {
		t.Error("no page names a test")
	}
}

// TestReasonsAreDocumented holds the table of docs/operations.md and the code to each other.
func TestReasonsAreDocumented(t *testing.T) {
	var code []string
	for _, reason := range policy.Reasons {
		if reason != policy.ReasonAllowed {
			code = append(code, string(reason))
		}
	}
	for _, file := range sources(t) {
		ast.Inspect(file, func(node ast.Node) bool {
			if pair, ok := node.(*ast.KeyValueExpr); ok {
				if name, ok := pair.Key.(*ast.Ident); ok && name.Name == "reason" {
					if reason, ok := literal(pair.Value); ok {
						code = append(code, reason)
					}
				}
			}
			return true
		})
	}
	var documented []string
	for _, match := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| [0-9]").FindAllStringSubmatch(string(read(t, "docs/operations.md")), -1) {
		documented = append(documented, match[1])
	}
	compareSets(t, "docs/operations.md", code, documented)
}

// TestOptionsAreDocumented checks that docs/configuration.md names every word that a block of ours may hold.
func TestOptionsAreDocumented(t *testing.T) {
	text := string(read(t, "docs/configuration.md"))
	found := 0
	for _, file := range sources(t) {
		ast.Inspect(file, func(node ast.Node) bool {
			composite, ok := node.(*ast.CompositeLit)
			if !ok {
				return true
			}
			if name, ok := composite.Type.(*ast.Ident); !ok || name.Name != "options" {
				return true
			}
			for _, element := range composite.Elts {
				if pair, ok := element.(*ast.KeyValueExpr); ok {
					word, _ := literal(pair.Key)
					if found++; !regexp.MustCompile("(?m)`" + regexp.QuoteMeta(word) + "[` ]").MatchString(text) {
						t.Errorf("docs/configuration.md says nothing of the option %s", word)
					}
				}
			}
			return true
		})
	}
	if found < 30 {
		t.Errorf("only %d options were found: the test reads them wrongly", found)
	}
}

// TestMetricsAreDocumented does the same for metrics and docs/operations.md.
func TestMetricsAreDocumented(t *testing.T) {
	text := string(read(t, "docs/operations.md"))
	found := 0
	for _, file := range sources(t) {
		ast.Inspect(file, func(node ast.Node) bool {
			composite, ok := node.(*ast.CompositeLit)
			if !ok {
				return true
			}
			if selector, ok := composite.Type.(*ast.SelectorExpr); !ok || !strings.HasSuffix(selector.Sel.Name, "Opts") {
				return true
			}
			for _, element := range composite.Elts {
				pair, ok := element.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				if field, ok := pair.Key.(*ast.Ident); ok && field.Name == "Name" {
					name, _ := literal(pair.Value)
					if found++; !strings.Contains(text, "`caddy_drm_"+name) {
						t.Errorf("docs/operations.md says nothing of the metric caddy_drm_%s", name)
					}
				}
			}
			return true
		})
	}
	if found == 0 {
		t.Error("no metric was found: the test reads them wrongly")
	}
}

// sources parses the files of caddymodule that are no tests.
func sources(t *testing.T) []*ast.File {
	t.Helper()
	names, err := filepath.Glob("caddymodule/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

func literal(node ast.Expr) (string, bool) {
	basic, ok := node.(*ast.BasicLit)
	if !ok || basic.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(basic.Value)
	return text, err == nil
}

func compareSets(t *testing.T, page string, code, documented []string) {
	t.Helper()
	if len(code) < 20 {
		t.Errorf("only %d were found in the code: the test reads them wrongly", len(code))
	}
	for _, word := range code {
		if !slices.Contains(documented, word) {
			t.Errorf("%s says nothing of %s", page, word)
		}
	}
	for _, word := range documented {
		if !slices.Contains(code, word) {
			t.Errorf("%s has %s, which the code does not know", page, word)
		}
	}
}
