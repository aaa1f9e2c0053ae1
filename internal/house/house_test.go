package house

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/caddy-drm/caddy-drm"

// room says what the files of a package may import, besides the standard library; tests may import more.
type room struct {
	// ours are rooms of the module, with the packages inside them.
	ours []string
	// libraries are modules of others.
	libraries []string
	// std are packages of the standard library that a pure package else may not import.
	std []string
	// free rooms are not pure: any library, the network, the clock.
	free bool
}

// rooms are the packages of the module. What is not here fails the test, so that a new room gets its rule with its door.
var rooms = map[string]room{
	"drm":                   {},
	"address":               {ours: []string{"drm"}},
	"segcrypt":              {ours: []string{"drm", "address"}, libraries: []string{"github.com/Eyevinn/mp4ff", "github.com/zeebo/xxh3"}},
	"segcrypt/mpegts":       {ours: []string{"segcrypt", "drm", "address"}},
	"segcrypt/packedaudio":  {ours: []string{"segcrypt", "drm", "address"}},
	"segcrypt/wholesegment": {ours: []string{"segcrypt", "drm", "address"}},
	"manifest/dash":         {ours: []string{"drm", "address"}},
	"manifest/hls":          {ours: []string{"drm", "address"}},
	"geo": {
		ours:      []string{"drm", "address"},
		libraries: []string{"github.com/oschwald/geoip2-golang/v2", "github.com/oschwald/maxminddb-golang/v2"},
		std:       []string{"os"}, // reads databases
	},
	"token": {
		ours:      []string{"drm", "address"},
		libraries: []string{"github.com/go-jose/go-jose/v4", "github.com/dgraph-io/ristretto/v2"},
	},
	"token/cat":       {ours: []string{"token"}, libraries: []string{"github.com/fxamacker/cbor/v2"}},
	"token/signedurl": {ours: []string{"token", "drm", "address"}},
	"rights": {
		ours:      []string{"geo", "drm", "address"}, // territories are sets of countries
		libraries: []string{"go.yaml.in/yaml/v3"},
	},
	"entitlement": {ours: []string{"token", "drm", "address"}, libraries: []string{"golang.org/x/sync"}, free: true},
	"keysource":   {ours: []string{"drm", "address"}, libraries: []string{"github.com/dgraph-io/ristretto/v2", "golang.org/x/sync"}},
	"licensing":   {ours: []string{"drm", "address"}},
	"licensing/vendor": {
		ours: []string{"licensing", "drm", "address"},
	},
	"inspect":  {ours: []string{"drm"}, libraries: []string{"github.com/Eyevinn/mp4ff"}},
	"probe":    {ours: []string{"inspect", "drm"}},
	"segcache": {libraries: []string{"github.com/dgraph-io/ristretto/v2"}},
	"inflight": {std: []string{"os", "syscall"}}, // spools to files without a name
	"policy":   {ours: []string{"geo", "token", "rights", "drm", "address"}, libraries: []string{"golang.org/x/time"}},
	"state":    {ours: []string{"token", "drm", "address"}, free: true},
	"usage":    {ours: []string{"token", "geo", "drm", "address"}, free: true},
	"web":      {free: true},
	"keysource/cpix": {
		ours:      []string{"keysource", "drm", "address"},
		libraries: []string{"github.com/russellhaering/goxmldsig", "github.com/beevik/etree"}, // XML signatures
	},
	"keysource/speke": {
		ours: []string{"keysource/cpix", "keysource", "drm", "address"},
	},
	"keysource/widevine": {
		ours: []string{"keysource", "drm", "address"},
	},
	"caddymodule": {free: true, ours: []string{
		"policy", "manifest/dash", "manifest/hls", "segcrypt", "keysource", "licensing", "licensing/vendor", "state", "usage", "geo", "token", "token/signedurl", "rights",
		"address", "drm", "web", "segcache", "inflight", "entitlement", "inspect", "probe",
	}},
	".": {ours: []string{"caddymodule"}, free: true},
}

// workshops hold programs and tests around the rooms. They import what they need; no room imports them.
var workshops = []string{"cmd", "e2e", "bench", "internal", "testdata", "docs", "scripts"}

// caddyRooms are the folders whose files may import Caddy.
var caddyRooms = []string{"caddymodule", "cmd/caddy", "docs", "e2e"}

// impureStd is closed to pure packages, with all below it: what is needed from there is handed to them.
var impureStd = map[string]string{
	"net/http": "the network comes through an interface",
	"log":      "what happened is returned",
	"os":       "files and environment are read by the caller",
	"syscall":  "files and environment are read by the caller",
}

// clock are the functions of package time that a pure package may not even name: the time is an argument.
var clock = []string{"Now", "Since", "Until"}

// logValues are the names of log/slog with which a secret says how it looks in a log. No other name of it may be used.
var logValues = []string{"Value", "LogValuer", "StringValue", "GroupValue", "Attr", "String"}

func TestImportsRunOneWay(t *testing.T) {
	root := filepath.Join("..", "..")
	if mod, err := os.ReadFile(filepath.Join(root, "go.mod")); err != nil || !strings.HasPrefix(string(mod), "module "+module+"\n") {
		t.Fatalf("%s is not the module: %v", root, err)
	}
	files := 0
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // gone while we looked
			return nil
		case err != nil:
			return err
		case entry.IsDir():
			if base := entry.Name(); name != root && (base[0] == '.' || base[0] == '_' || base == "node_modules" || base == "dist") {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, ".go") || strings.HasPrefix(entry.Name(), "_") || strings.HasPrefix(entry.Name(), "."):
			return nil
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		source, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		files++
		offenses, err := inspect(filepath.ToSlash(relative), source)
		if err != nil {
			return err
		}
		for _, offense := range offenses {
			t.Error(offense)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 20 {
		t.Errorf("only %d files were found: the test looks in the wrong place", files)
	}
}

// inspect returns what is wrong with one file, each as file:line: reason. The name is relative to the module, with slashes.
func inspect(name string, source []byte) ([]string, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parsing: %w", err)
	}
	var offenses []string
	report := func(node ast.Node, format string, args ...any) {
		position := set.Position(node.Pos())
		offenses = append(offenses, fmt.Sprintf("%s:%d: %s", position.Filename, position.Line, fmt.Sprintf(format, args...)))
	}
	dir, isTest := path.Dir(name), strings.HasSuffix(name, "_test.go")
	rule, isRoom := rooms[dir]
	if !isRoom && !isTest && !within(dir, workshops...) {
		if _, _, nested := nearestRoom(dir); !nested {
			report(file, "the package %s has no rule in rooms", dir)
		}
	}
	if !isRoom {
		_, rule, isRoom = nearestRoom(dir)
	}
	names := map[string]string{} // name in this file → import path
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("parsing import: %w", err)
		}
		local := path.Base(imported)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		names[local] = imported
		if within(imported, "github.com/caddyserver") && !within(dir, caddyRooms...) {
			report(spec, "imports %s: only %s know Caddy", imported, strings.Join(caddyRooms, ", "))
		}
		if !isRoom || isTest {
			continue
		}
		if reason := rule.refuses(dir, imported); reason != "" {
			report(spec, "imports %s: %s", imported, reason)
		}
		if local == "." && !rule.free {
			report(spec, "imports %s without a name", imported)
		}
	}
	if isRoom && !isTest && !rule.free {
		inspectUses(file, names, report)
	}
	return offenses, nil
}

// refuses returns why a file of the room at dir may not import a package, or "".
func (r room) refuses(dir, imported string) string {
	first, _, _ := strings.Cut(imported, "/")
	if ours, isOurs := strings.CutPrefix(imported+"/", module+"/"); isOurs {
		ours = strings.TrimSuffix(ours, "/")
		if ours == "" {
			ours = "."
		}
		if within(ours, dir) && dir != "." || within(ours, r.ours...) {
			return ""
		}
		return fmt.Sprintf("imports run one way, and from %s they lead to %v", dir, r.ours)
	}
	if r.free {
		return ""
	}
	if strings.Contains(first, ".") {
		if within(imported, r.libraries...) {
			return ""
		}
		return fmt.Sprintf("not among the libraries of %s, %v", dir, r.libraries)
	}
	for closed, reason := range impureStd {
		if within(imported, closed) && imported != "log/slog" && !slices.Contains(r.std, imported) {
			return "a pure package does not; " + reason
		}
	}
	return ""
}

// inspectUses reports the names of imported packages that a pure package may not use.
func inspectUses(file *ast.File, names map[string]string, report func(ast.Node, string, ...any)) {
	ast.Inspect(file, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		operand, ok := selector.X.(*ast.Ident)
		if !ok {
			return true
		}
		switch used := selector.Sel.Name; names[operand.Name] {
		case "time":
			if slices.Contains(clock, used) {
				report(selector, "time.%s: a pure package is told what time it is", used)
			}
		case "log/slog":
			if !slices.Contains(logValues, used) {
				report(selector, "slog.%s: a pure package does not log; slog is for LogValue only", used)
			}
		}
		return true
	})
}

// nearestRoom returns the room in whose folder dir lies. The top of the module is the room of its own files only.
func nearestRoom(dir string) (string, room, bool) {
	for ; dir != "."; dir = path.Dir(dir) {
		if rule, ok := rooms[dir]; ok {
			return dir, rule, true
		}
	}
	return "", room{}, false
}

// within reports whether name is one of dirs or lies in one.
func within(name string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") })
}

func TestRulesRunOneWayToo(t *testing.T) {
	for name := range rooms {
		for _, next := range rooms[name].ours {
			if reaches(next, name, nil) {
				t.Errorf("%s may import %s, which may lead back to it", name, next)
			}
			if _, ok := rooms[next]; !ok {
				t.Errorf("%s may import %s, which has no rule", name, next)
			}
		}
	}
}

// reaches reports whether imports that the rules allow lead from one room to another.
func reaches(from, to string, seen []string) bool {
	if from == to {
		return true
	}
	if slices.Contains(seen, from) {
		return false
	}
	seen = append(seen, from)
	return slices.ContainsFunc(rooms[from].ours, func(next string) bool { return reaches(next, to, seen) })
}

func TestInspect(t *testing.T) {
	for name, test := range map[string]struct {
		file, body string
		line       int // of the one offense, 0 for none
	}{
		"drm may import the standard library":         {"drm/a.go", `import "encoding/hex"`, 0},
		"drm may not import address":                  {"drm/a.go", `import "` + module + `/address"`, 2},
		"drm may not import a library":                {"drm/a.go", `import "github.com/zeebo/xxh3"`, 2},
		"drm may use slog for LogValue":               {"drm/a.go", "import \"log/slog\"\nfunc f() slog.Value { return slog.StringValue(``) }", 0},
		"drm may not log":                             {"drm/a.go", "import \"log/slog\"\nfunc f() { slog.Info(``) }", 3},
		"drm may not log under another name":          {"drm/a.go", "import l \"log/slog\"\nvar f = l.Default", 3},
		"address may import drm":                      {"address/a.go", `import "` + module + `/drm"`, 0},
		"address may not import segcrypt":             {"address/a.go", `import "` + module + `/segcrypt"`, 2},
		"rooms do not import sideways":                {"token/a.go", `import "` + module + `/geo"`, 2},
		"manifests do not import each other":          {"manifest/dash/a.go", `import "` + module + `/manifest/hls"`, 2},
		"policy may import geo":                       {"policy/a.go", `import "` + module + `/geo"`, 0},
		"policy may not import keysource":             {"policy/a.go", `import "` + module + `/keysource"`, 2},
		"nobody below imports caddymodule":            {"web/a.go", `import "` + module + `/caddymodule"`, 2},
		"nobody imports the front page":               {"licensing/a.go", `import "` + module + `"`, 2},
		"no room imports test tools":                  {"segcrypt/a.go", `import "` + module + `/internal/testtools"`, 2},
		"tests import test tools":                     {"segcrypt/a_test.go", `import "` + module + `/internal/testtools"`, 0},
		"a package inside a room has its rule":        {"token/inner/a.go", `import "` + module + `/policy"`, 2},
		"a room may import a package inside":          {"token/a.go", `import "` + module + `/token/inner"`, 0},
		"a room opens what is inside it, too":         {"caddymodule/a.go", `import "` + module + `/web/players"`, 0},
		"a folder without a rule is found":            {"helpers/a.go", "", 1},
		"a folder named like a room is another":       {"drmx/a.go", "", 1},
		"programs have no rule":                       {"cmd/tool/a.go", `import "net/http"`, 0},
		"segcrypt may import parts of mp4ff":          {"segcrypt/a.go", `import "github.com/Eyevinn/mp4ff/mp4"`, 0},
		"manifests may not import mp4ff":              {"manifest/hls/a.go", `import "github.com/Eyevinn/mp4ff/mp4"`, 2},
		"a library whose name begins alike":           {"segcrypt/a.go", `import "github.com/zeebo/xxh3x"`, 2},
		"caddymodule may import Caddy":                {"caddymodule/a.go", `import "github.com/caddyserver/caddy/v2"`, 0},
		"cmd/caddy may import Caddy":                  {"cmd/caddy/a.go", `import "github.com/caddyserver/caddy/v2/cmd"`, 0},
		"e2e may import Caddy":                        {"e2e/a_test.go", `import "github.com/caddyserver/caddy/v2/caddytest"`, 0},
		"tests of the documentation may too":          {"docs/a_test.go", `import "github.com/caddyserver/caddy/v2"`, 0},
		"other programs may not import Caddy":         {"cmd/tool/a.go", `import "github.com/caddyserver/caddy/v2"`, 2},
		"the front page may not import Caddy":         {"a.go", `import "github.com/caddyserver/caddy/v2"`, 2},
		"tests of pure packages may not import Caddy": {"policy/a_test.go", `import _ "github.com/caddyserver/caddy/v2"`, 2},
		"a package that is not built may not, either": {"testdata/a.go", `import "github.com/caddyserver/certmagic"`, 2},
		"pure packages know no HTTP":                  {"licensing/a.go", `import "net/http"`, 2},
		"pure packages know nothing below HTTP":       {"token/a.go", `import "net/http/httputil"`, 2},
		"their tests may":                             {"licensing/a_test.go", `import "net/http"`, 0},
		"net/netip and net/url are only words":        {"geo/a.go", "import (\n\"net/netip\"\n\"net/url\"\n)", 0},
		"the line of the offense is told":             {"token/a.go", "import (\n\"net/url\"\n\n\"net/http\"\n)", 5},
		"pure packages do not log":                    {"keysource/a.go", `import "log"`, 2},
		"pure packages have no zap":                   {"policy/a.go", `import "go.uber.org/zap"`, 2},
		"pure packages read no files":                 {"token/a.go", `import "os"`, 2},
		"pure packages start no programs":             {"geo/a.go", `import "os/exec"`, 2},
		"geo reads databases":                         {"geo/a.go", `import "os"`, 0},
		"pure packages do not look at the clock":      {"policy/a.go", "import \"time\"\nfunc f() { _ = time.Now() }", 3},
		"not even by name":                            {"policy/a.go", "import \"time\"\nvar now = time.Now", 3},
		"nor by another name":                         {"geo/a.go", "import t \"time\"\nvar x = t.Since(t.Time{})", 3},
		"nor without a name":                          {"geo/a.go", "import . \"time\"", 2},
		"durations are values":                        {"policy/a.go", "import \"time\"\nconst d = time.Second", 0},
		"a comment is no call":                        {"policy/a.go", "// time.Now() is not called.", 0},
		"another package may be called time":          {"policy/a.go", "var time struct{ Now func() }\nfunc f() { time.Now() }", 0},
		"rooms that are not pure look at the clock":   {"web/a.go", "import \"time\"\nvar now = time.Now", 0},
		"the front page imports caddymodule":          {"a.go", `import _ "` + module + `/caddymodule"`, 0},
		"a module whose name begins like ours":        {"drm/a.go", `import "` + module + `x/address"`, 2},
	} {
		t.Run(name, func(t *testing.T) {
			offenses, err := inspect(test.file, []byte("package p\n"+test.body+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			if test.line == 0 {
				if len(offenses) > 0 {
					t.Errorf("got %q, want nothing", offenses)
				}
				return
			}
			if want := fmt.Sprintf("%s:%d: ", test.file, test.line); len(offenses) != 1 || !strings.HasPrefix(offenses[0], want) {
				t.Errorf("got %q, want one that begins with %q", offenses, want)
			}
		})
	}
}
