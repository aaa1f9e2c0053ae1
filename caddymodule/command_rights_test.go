package caddymodule

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// rightsCLI runs `caddy drm rights …` and returns what it prints, and whether it exits with 0.
func rightsCLI(t *testing.T, args ...string) (out, complaint string, ok bool) {
	t.Helper()
	return printed(t, rightsCommand(), args...)
}

func TestRightsCommands(t *testing.T) {
	dir := t.TempDir()
	good, bad, contradicting, odrl := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml"), filepath.Join(dir, "two.yaml"), filepath.Join(dir, "odrl.json")
	writeFile(t, good, shopCatalog)
	writeFile(t, bad, "titles:\n  - {path: /a/, territories: XX, model: free}\n  - {path: b, territories: AT, model: free}\n")
	writeFile(t, contradicting, "titles:\n  - path: /a/\n    id: a\n    territories: AT\n    windows: [{model: free}, {model: purchase}]\n")
	writeFile(t, odrl, `{"@context": "http://www.w3.org/ns/odrl.jsonld", "@type": "Set", "permission": [{"target": "https://media.example.com/a/", "action": "play"}]}`)
	at := []string{"--at", until(0)}
	for _, test := range []struct {
		rule      string
		args      []string
		ok        bool
		out, says string // parts of what is printed, and of the complaint
	}{
		{"a good catalog", append([]string{"check", good}, at...), true, "5 titles, 1 blackout, 0 findings", ""},
		{"as JSON", append([]string{"check", "--json", good}, at...), true, "[]", ""},
		{"one that is over", []string{"check", good, "--at", until(1e15)}, true, `warning: ` + good + `:3: titles[0]: "/subscribed/" is over`, ""},
		{"a bad one: every mistake", []string{"check", bad}, false, "error: " + bad + `:3: titles[1].path: want a clean path`, ""},
		{"the same as JSON", []string{"check", "--json", bad}, false, `"severity": "error"`, ""},
		{"one that contradicts itself", []string{"check", contradicting}, false, "contradicts the window of line 5", ""},
		{"no file", []string{"check", filepath.Join(dir, "none")}, false, "", "none"},
		{"no time", []string{"check", good, "--at", "tomorrow"}, false, "", "--at"},
		{"who may watch", append([]string{"show", good, "/subscribed/x.mpd", "--country", "at", "--plan", "basic"}, at...), true, "outcome  allowed\nuntil    " + until(3600e9), ""},
		{"the window that decided", append([]string{"show", good, "/subscribed/x.mpd", "--country", "at", "--plan", "basic"}, at...), true, "window > subscription (basic, premium) in AT DE", ""},
		{"who may not", append([]string{"show", good, "/subscribed/x.mpd", "--country", "at"}, at...), false, "outcome  none of the plans", ""},
		{"who is too early", append([]string{"show", good, "/soon/x.mpd"}, at...), false, "opens    " + until(60e9), ""},
		{"who has bought", append([]string{"show", good, "/sold/x.mpd", "--purchase", "film-7"}, at...), true, "title    film-7, line", ""},
		{"as JSON", append([]string{"show", good, "/free/x.mpd", "--json"}, at...), true, `"allowed": true`, ""},
		{"nothing", append([]string{"show", good, "/none"}, at...), false, "no title of the catalog", ""},
		{"nothing, where that is allowed", append([]string{"show", good, "/none", "--unlisted-allow"}, at...), true, "outcome  allowed", ""},
		{"a path with a seal", []string{"show", good, "/a/~x/b"}, false, "", "want a clean path"},
		{"no country", []string{"show", good, "/none", "--country", "Austria"}, false, "", "--country"},
		{"of a bad catalog", []string{"show", bad, "/a/"}, false, "", bad + ":2: "},
		{"ODRL", []string{"import", odrl}, true, "titles:\n  - path: \"/a/\"\n    windows:\n      - model: free\n        territories: \"world\"\n", ""},
		{"a catalog is no policy", []string{"import", good}, false, "", "unknown field"},
	} {
		t.Run(test.rule, func(t *testing.T) {
			out, complaint, ok := rightsCLI(t, test.args...)
			if ok != test.ok || !strings.Contains(out, test.out) || !strings.Contains(complaint, test.says) || test.says == "" && complaint != "" {
				t.Errorf("ok %t\n%s\ncomplaint: %s\nwant %t, %q, %q", ok, out, complaint, test.ok, test.out, test.says)
			}
			if strings.Contains(strings.Join(test.args, " "), "--json") && !json.Valid([]byte(out)) {
				t.Errorf("no JSON: %s", out)
			}
		})
	}
}
