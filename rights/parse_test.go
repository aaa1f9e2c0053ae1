package rights

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// one wraps the fields of a title that lacks nothing else.
func one(fields string) string { return "titles:\n  - {path: /x/, " + fields + "}\n" }

func TestMistakesNameLineAndPlace(t *testing.T) {
	for _, test := range []struct{ rule, text, want string }{
		{"nothing", "", "empty"},
		{"only a comment", "# x\n", "empty"},
		{"not UTF-8", "titles: [\xff]", "UTF-8"},
		{"no titles", "defaults: {model: free}", "line 1: want titles"},
		{"a list", "- x", "line 1: want blackouts, defaults, titles"},
		{"an unknown field", "titles: []\ntitel: []", `line 2: unknown field "titel"`},
		{"a field of a title", one("territories: AT, model: free, teritories: DE"), `line 2: titles[0]: unknown field "teritories"`},
		{"a field twice", one("territories: AT, model: free, territories: DE"), "line 2: titles[0].territories: stands twice"},
		{"a field twice in JSON", `{"titles": [],` + "\n" + `"titles": []}`, "line 2: titles: stands twice"},
		{"null", one("territories: AT, model: free, windows: null"), "titles[0].windows: is empty"},
		{"an empty list", one("territories: AT, model: free, windows: []"), "titles[0].windows: want a list of one or more"},
		{"no territories", one("model: free"), "line 2: titles[0]: want territories"},
		{"no model", one("territories: AT"), "line 2: titles[0]: want model"},
		{"no path", "titles: [{territories: AT, model: free}]", "titles[0]: want path"},
		{"an unknown country", one("territories: [AT, XX], model: free"), `country "XX"`},
		{"no country is left", one("territories: AT, excluded: AT, model: free"), "no country is left"},
		{"an unknown model", one("territories: AT, model: gratis"), "want one of free, ads, subscription, rental, purchase"},
		{"the model none", one("territories: AT, model: none"), "want one of free"},
		{"no plans", one("territories: AT, model: subscription"), "wants plans"},
		{"plans without a subscription", one("territories: AT, model: free, plans: [a]"), "plans are for"},
		{"a rental without an ID", one("territories: AT, model: rental"), "wants the title's id"},
		{"a time without a zone", one("territories: AT, model: free, windows: [{start: 2026-11-27T20:15:00}]"), "titles[0].windows[0].start: \"2026-11-27T20:15:00\": want a time with its zone"},
		{"a date", one("territories: AT, model: free, windows: [{end: 2026-11-27}]"), "titles[0].windows[0].end"},
		{"one digit for the hour", one(`territories: AT, model: free, windows: [{end: "2026-11-27T1:00:00Z"}]`), "windows[0].end"},
		{"a zone of two days", one(`territories: AT, model: free, windows: [{end: "2026-11-27T10:00:00+48:00"}]`), "windows[0].end"},
		{"a comma", one(`territories: AT, model: free, windows: [{end: "2026-11-27T10:00:00,5Z"}]`), "windows[0].end"},
		{"a leap second", one(`territories: AT, model: free, windows: [{end: "2026-12-31T23:59:60Z"}]`), "windows[0].end"},
		{"a time as a map", one("territories: AT, model: free, windows: [{end: {}}]"), "windows[0].end"},
		{"the end at the start", one("territories: AT, model: free, windows: [{start: 2026-11-27T00:00:00Z, end: 2026-11-27T01:00:00+01:00}]"), "impossible"},
		{"streams", one("territories: AT, model: free, max_streams: 0"), "want a whole number from 1 to 255"},
		{"streams in words", one("territories: AT, model: free, max_streams: two"), "want a whole number"},
		{"a relative path", "titles: [{path: x, territories: AT, model: free}]", "want a clean path"},
		{"a path with dots", "titles: [{path: /a/../b, territories: AT, model: free}]", "want a clean path"},
		{"a path that is escaped", "titles: [{path: /my%20film/, territories: AT, model: free}]", "want a clean path"},
		{"a path of ours", "titles: [{path: /a/~x/, territories: AT, model: free}]", "want a clean path"},
		{"part of an element", "titles: [{path: /film-*/, territories: AT, model: free}]", "want a clean path"},
		{"a path twice", "titles:\n- {path: /a/, territories: AT, model: free}\n- {path: /a, territories: DE, model: free}", "line 3: titles[1]: the path \"/a\" is that of the title in line 2"},
		{"an ID twice", "titles:\n- {id: i, path: /a/, territories: AT, model: free}\n- {id: i, path: /b, territories: DE, model: free}", "line 3: titles[1]: the id \"i\""},
		{"a license that is no URL", one("territories: AT, model: free, license: {url: CC-BY}"), "titles[0].license.url: want an absolute"},
		{"a license that breaks the header", one(`territories: AT, model: free, license: {url: "https://x/?>;rel=y"}`), "license.url"},
		{"a license with credentials", one(`territories: AT, model: free, license: {url: "https://a:b@x/"}`), "license.url"},
		{"a line break in an attribution", one(`territories: AT, model: free, license: {attribution: "a\nb"}`), "license.attribution"},
		{"an alias", "titles: [{path: &p /a/, territories: AT, model: free}, {path: *p}]", "aliases"},
		{"a merge", "defaults: &d {model: free}\ntitles: [{<<: *d}]", "line 2"},
		{"a tag", "titles: !!binary aGVsbG8=", "tag"},
		{"two documents", "titles: []\n---\ntitles: []", "one document"},
		{"text behind JSON", `{"titles": []} x`, "reading JSON"},
		{"JSON cut short", `{"titles": [`, "unexpected EOF"},
		{"deep", strings.Repeat("[", 100_000), "nested"},
		{"deep YAML", "a: " + strings.Repeat("[", 100) + strings.Repeat("]", 100), "nested"},
		{"a blackout of a plan", "titles: []\nblackouts: [{path: /a, territories: AT, plans: [x]}]", "unknown field \"plans\""},
		{"a blackout without a path", "titles: []\nblackouts: [{territories: AT}]", "blackouts[0]: want path"},
		{"a blackout without a place", "titles: []\nblackouts: [{path: /a}]", "blackouts[0]: want territories"},
		{"an impossible blackout", "titles: []\nblackouts: [{path: /a, territories: AT, from: 2026-11-27T00:00:00Z, to: 2026-11-26T00:00:00Z}]", "impossible"},
	} {
		t.Run(test.rule, func(t *testing.T) {
			c, err := Parse([]byte(test.text))
			var mistakes Mistakes
			if c != nil || !errors.As(err, &mistakes) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v and %v, want %q", c, err, test.want)
			}
		})
	}
}

func TestAllMistakesAreNamed(t *testing.T) {
	_, err := Parse([]byte("titles:\n" + strings.Repeat("  - {path: x, territories: XX, model: y}\n", 200)))
	var mistakes Mistakes
	if !errors.As(err, &mistakes) || len(mistakes) != maxMistakes || !strings.HasSuffix(err.Error(), "; and 95 more") {
		t.Errorf("%d mistakes: %v", len(mistakes), err)
	}
}

func TestJSONAndYAMLAreOneFormat(t *testing.T) {
	fromYAML := mustParse(t, testCatalog)
	written := fromYAML.AppendYAML(nil)
	again := mustParse(t, string(written))
	if string(again.AppendYAML(nil)) != string(written) {
		t.Errorf("what was written reads as something else:\n%s", written)
	}
	json := mustParse(t, `{"titles": [{"id": "no", "path": "/a/", "territories": ["NO", "at"], "model": "subscription", "plans": ["p \ud83d\ude00"],
		"windows": [{"start": "2026-11-20T00:00:00+01:00"}], "max_streams": 3}]}`)
	title := json.Lookup("/a/x")
	if title == nil || title.MaxStreams != 3 || title.Windows[0].Plans[0] != "p 😀" || !title.Windows[0].Territories.Contains(country(t, "NO")) {
		t.Errorf("JSON gave %+v", title)
	}
	yaml := mustParse(t, "titles: [{path: /a/, territories: [NO, at], model: free}]") // NO is no truth value here
	if !yaml.Lookup("/a/x").Windows[0].Territories.Contains(country(t, "NO")) {
		t.Error("YAML took Norway for a truth value")
	}
}

func TestInheritance(t *testing.T) {
	c := mustParse(t, `
titles:
  - path: /a/
    plans: [gold]
    windows:
      - {territories: DE}
      - {model: free, end: 2026-01-01T00:00:00Z}
      - {plans: silver, start: 2026-01-01T00:00:00Z}
defaults: {territories: [eu], excluded: [FR], model: subscription, plans: [basic]}
`)
	var got []string
	for _, w := range c.Titles()[0].Windows {
		got = append(got, w.String())
	}
	want := "subscription (gold) in DE without FR, always; free in eu without FR, until 2026-01-01T00:00:00Z; subscription (silver) in eu without FR, from 2026-01-01T00:00:00Z"
	if strings.Join(got, "; ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "; "), want)
	}
}

func TestLint(t *testing.T) {
	c := mustParse(t, `defaults: {territories: world, model: free}
titles:
  - path: /never/
  - path: /never/*
  - path: /over/
    windows: [{end: 2026-01-01T00:00:00Z}]
  - path: /gap/
    windows:
      - {end: 2027-01-01T00:00:00Z}
      - {start: 2027-02-01T00:00:00Z}
  - path: /both/
    id: both
    windows:
      - {model: free}
      - {model: purchase, territories: AT}
      - {model: ads}
  - path: /twice/
    id: twice
    windows:
      - {model: purchase, territories: AT}
      - {model: purchase, territories: eu}
      - {model: subscription, plans: [a], territories: AT}
      - {model: rental, territories: US}
  - path: /film/manifest.MPD
blackouts:
  - {path: /elsewhere/, territories: AT, to: 2026-01-01T00:00:00Z}
  - {path: /gap/live/, territories: AT}
`)
	var got []string
	for _, f := range c.Lint(instant(t, "2026-11-27T00:00:00Z")) {
		got = append(got, f.String())
	}
	want := []string{
		`error: line 3: titles[0]: "/never/" is never reached: whatever lies below belongs to "/never/*" of line 4`,
		`warning: line 5: titles[2]: "/over/" is over: no window is open or to come`,
		`warning: line 10: titles[3].windows[1]: a gap: no window is open from 2027-01-01T00:00:00Z to 2027-02-01T00:00:00Z`,
		`error: line 15: titles[4].windows[1]: contradicts the window of line 14: at the same time and place one is free and the other purchase, and so everybody may watch`,
		`error: line 16: titles[4].windows[2]: contradicts the window of line 14: at the same time and place one is free and the other ads`,
		`error: line 16: titles[4].windows[2]: contradicts the window of line 15: at the same time and place one is purchase and the other ads, and so everybody may watch`,
		`warning: line 21: titles[5].windows[1]: overlaps the window of line 20, with the same offer`,
		`warning: line 24: titles[6]: "/film/manifest.MPD" is a manifest: its segments and licenses are judged by their own paths; want the directory`,
		`warning: line 26: blackouts[0]: is over since 2026-01-01T00:00:00Z`,
		`warning: line 26: blackouts[0]: no title has the path "/elsewhere/", nor one below it`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if findings := mustParse(t, testCatalog).Lint(instant(t, "2026-10-27T00:00:00Z")); len(findings) != 2 || !strings.Contains(findings[0].Text, "a gap") || !strings.Contains(findings[1].Text, "a gap") {
		t.Errorf("the example: %v, want its two gaps alone", findings)
	}
}

func TestHugeCatalogsAreRefused(t *testing.T) {
	if _, err := Parse(make([]byte, MaxBytes+1)); err == nil {
		t.Error("no bound on bytes")
	}
	begin := time.Now()
	if _, err := Parse([]byte("titles: [" + strings.Repeat("[],", 100_000) + "]")); err == nil {
		t.Error("lists are no titles")
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("refusing took %s", took)
	}
}
