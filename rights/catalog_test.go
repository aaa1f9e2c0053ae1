package rights

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/geo"
)

func mustParse(t testing.TB, text string) *Catalog {
	t.Helper()
	c, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := ParseTime(text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func country(t testing.TB, code string) geo.Country {
	t.Helper()
	if code == "" {
		return geo.CountryUnknown
	}
	c, err := geo.ParseCountry(code)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// testCatalog has every kind of title.
const testCatalog = `
defaults:
  territories: world
  model: free
titles:
  - path: /free/
  - id: summer
    path: [/vod/summer/, /trailers/summer.mp4]
    group: premium
    max_streams: 2
    territories: [AT, DE]
    model: subscription
    plans: [basic, premium]
    license:
      url: https://creativecommons.org/licenses/by/4.0/
      attribution: "Blender Foundation | www.blender.org"
      source: https://peach.blender.org/
    windows:
      - start: 2026-11-20T00:00:00+01:00
        end: 2026-11-27T20:15:00+01:00
      - model: purchase
        territories: eu
        start: 2026-11-25T00:00:00Z
        end: 2026-12-25T00:00:00Z
      - territories: [AT]
        start: 2027-01-01T00:00:00+01:00
  - path: /vod/relay/
    windows:
      - {end: 2026-11-01T00:00:00Z}
      - {start: 2026-11-01T00:00:00Z, end: 2026-11-02T00:00:00Z, model: ads}
      - {start: 2026-11-03T00:00:00Z, end: 2026-11-04T00:00:00Z}
  - path: /live/
    excluded: [CH]
  - path: /vod/*/bonus/
    model: rental
    id: bonus
blackouts:
  - path: /live/sports/
    from: 2026-11-27T18:00:00Z
    to: 2026-11-27T20:00:00Z
    territories: [AT]
  - path: /live/
    from: 2026-11-27T19:30:00Z
    to: 2026-11-27T21:00:00Z
    territories: [AT]
`

func TestDecide(t *testing.T) {
	c := mustParse(t, testCatalog)
	basic, bought := "plan basic", "bought summer"
	for _, test := range []struct {
		rule, path, at, country, has string
		want                         Verdict
		until, opens                 string
	}{
		{"no entry", "/other/x", "2026-11-26T00:00:00Z", "AT", "", Unlisted, "", ""},
		{"free, always, also in an unknown country", "/free/x.mpd", "2026-11-26T00:00:00Z", "", "", Allowed, "", ""},
		{"the last nanosecond before the start", "/vod/summer/x", "2026-11-19T22:59:59.999999999Z", "AT", basic, NotStarted, "", "2026-11-20T00:00:00+01:00"},
		{"the start is inside", "/vod/summer/x", "2026-11-19T23:00:00Z", "AT", basic, Allowed, "2026-11-27T20:15:00+01:00", ""},
		{"the same instant in another zone", "/vod/summer/x", "2026-11-20T08:00:00+09:00", "AT", basic, Allowed, "2026-11-27T20:15:00+01:00", ""},
		{"the last nanosecond before the end", "/vod/summer/x", "2026-11-27T19:14:59.999999999Z", "DE", basic, Allowed, "2026-11-27T20:15:00+01:00", ""},
		{"the end is outside: only the purchase is left", "/vod/summer/x", "2026-11-27T19:15:00Z", "DE", basic, NotPurchased, "", ""},
		{"a file of the title", "/trailers/summer.mp4", "2026-11-26T00:00:00Z", "AT", basic, Allowed, "2026-11-27T20:15:00+01:00", ""},
		{"not what is called alike", "/trailers/summer.mp4x", "2026-11-26T00:00:00Z", "AT", basic, Unlisted, "", ""},
		{"no token: both are open, the first counts", "/vod/summer/x", "2026-11-26T00:00:00Z", "AT", "", PlanMissing, "", ""},
		{"bought: where subscribers of no plan are", "/vod/summer/x", "2026-11-26T00:00:00Z", "FR", bought, Allowed, "2026-12-25T00:00:00Z", ""},
		{"not bought, in a country that sells alone", "/vod/summer/x", "2026-11-26T00:00:00Z", "FR", basic, NotPurchased, "", ""},
		{"before all in a country that sells alone", "/vod/summer/x", "2026-11-22T00:00:00Z", "FR", bought, NotStarted, "", "2026-11-25T00:00:00Z"},
		{"after all of it", "/vod/summer/x", "2026-12-25T00:00:00Z", "FR", bought, Ended, "", ""},
		{"between two windows", "/vod/summer/x", "2026-12-25T00:00:00Z", "AT", basic, NotStarted, "", "2027-01-01T00:00:00+01:00"},
		{"the last one has no end", "/vod/summer/x", "2040-01-01T00:00:00Z", "AT", basic, Allowed, "", ""},
		{"nowhere in that country", "/vod/summer/x", "2026-11-26T00:00:00Z", "US", basic, WrongTerritory, "", ""},
		{"an unknown country is in no list", "/vod/summer/x", "2026-11-26T00:00:00Z", "", basic, WrongTerritory, "", ""},
		{"windows without a gap are one", "/vod/relay/x", "2026-10-01T00:00:00Z", "", "", Allowed, "2026-11-02T00:00:00Z", ""},
		{"in the gap", "/vod/relay/x", "2026-11-02T00:00:00Z", "", "", NotStarted, "", "2026-11-03T00:00:00Z"},
		{"excluded from the world", "/live/news/x", "2026-11-26T00:00:00Z", "CH", "", WrongTerritory, "", ""},
		{"unknown, where somebody is excluded", "/live/news/x", "2026-11-26T00:00:00Z", "", "", WrongTerritory, "", ""},
		{"the next blackout is the end", "/live/sports/x", "2026-11-27T17:59:59.999999999Z", "AT", "", Allowed, "2026-11-27T18:00:00Z", ""},
		{"blacked out", "/live/sports/x", "2026-11-27T18:00:00Z", "AT", "", BlackedOut, "", "2026-11-27T20:00:00Z"},
		{"two blackouts at a time", "/live/sports/x", "2026-11-27T19:30:00Z", "AT", "", BlackedOut, "", "2026-11-27T21:00:00Z"},
		{"another channel", "/live/news/x", "2026-11-27T18:00:00Z", "AT", "", Allowed, "2026-11-27T19:30:00Z", ""},
		{"the blackout is elsewhere", "/live/sports/x", "2026-11-27T18:00:00Z", "DE", "", Allowed, "", ""},
		{"over", "/live/sports/x", "2026-11-27T21:00:00Z", "AT", "", Allowed, "", ""},
		{"a pattern, deeper than the title beside it", "/vod/summer/bonus/x", "2026-11-26T00:00:00Z", "AT", basic, NotPurchased, "", ""},
	} {
		t.Run(test.rule, func(t *testing.T) {
			q := Query{Now: instant(t, test.at), Path: test.path, Country: country(t, test.country)}
			switch test.has {
			case basic:
				q.Plans = []string{"other", "basic"}
			case bought:
				q.Purchases = []string{"summer"}
			}
			got := c.Decide(q)
			if got.Verdict != test.want || text(got.Until) != text(parsed(t, test.until)) || text(got.Opens) != text(parsed(t, test.opens)) {
				t.Errorf("%s until %s, opens %s; want %s, %s, %s", got.Verdict, text(got.Until), text(got.Opens), test.want, test.until, test.opens)
			}
			if got.Verdict.Admits() != (test.want == Allowed) {
				t.Error("Admits says otherwise")
			}
		})
	}
}

func parsed(t *testing.T, text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	return instant(t, text)
}

func text(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.UTC().Format(time.RFC3339Nano)
}

func TestBlackoutsInterruptAndDoNotEnd(t *testing.T) {
	c := mustParse(t, testCatalog)
	out := c.Decide(Query{Now: instant(t, "2026-11-27T17:00:00Z"), Path: "/live/sports/x", Country: country(t, "AT")})
	if !out.WindowEnd.IsZero() || out.Until.IsZero() {
		t.Errorf("window end %s, until %s; want none and the blackout's start", out.WindowEnd, out.Until)
	}
	// Where paths without a title are open, blackouts still hold; and where the country is not known, the viewer may be there.
	c = mustParse(t, "titles: []\nblackouts: [{path: /live/, territories: AT}]")
	for _, code := range []string{"AT", ""} {
		if out := c.Decide(Query{Path: "/live/x", Country: country(t, code), AllowUnlisted: true}); out.Verdict != BlackedOut || out.Blackout == nil {
			t.Errorf("%q: %s, want a blackout", code, out.Verdict)
		}
	}
	if out := c.Decide(Query{Path: "/live/x", Country: country(t, "DE"), AllowUnlisted: true}); out.Verdict != Allowed {
		t.Errorf("DE: %s", out.Verdict)
	}
}

func TestLookupTakesTheMostSpecific(t *testing.T) {
	var b strings.Builder
	b.WriteString("defaults: {territories: world, model: free}\ntitles:\n")
	for _, path := range []string{"/", "/vod/", "/vod/*/extras/", "/*/a/", "/vod/a/x.mpd", "/vod/b", "/*/*/*/*"} {
		fmt.Fprintf(&b, "  - path: %q\n", path)
	}
	c := mustParse(t, b.String())
	for path, want := range map[string]string{
		"/x":                   "/",
		"/":                    "/",
		"/vod":                 "/vod/",
		"/vod/":                "/vod/",
		"/vod/c/1.m4s":         "/vod/",
		"/vod/c/extras/1.m4s":  "/*/*/*/*", // four elements beat three
		"/vod/c/extras/":       "/vod/*/extras/",
		"/vod/a/":              "/*/a/", // two elements beat one
		"/vod/a/y":             "/*/a/",
		"/vod/a/x.mpd":         "/vod/a/x.mpd",
		"/vod/b/y":             "/vod/b",
		"/vod/bb/y":            "/vod/",
		"/other/a/1":           "/*/a/",
		"/vod/a/x.mpd/deeper/": "/*/*/*/*",
	} {
		if got := c.Lookup(path); got == nil || got.Paths[0] != want {
			t.Errorf("%s is of %+v, want %s", path, got, want)
		}
	}
	if got := mustParse(t, "titles: []").Lookup("/x"); got != nil {
		t.Errorf("an empty catalog has %+v", got)
	}
}

func TestNamesBeatAsterisks(t *testing.T) {
	for _, order := range [][]string{{"/*/b/", "/a/*/"}, {"/a/*/", "/*/b/"}} {
		c := mustParse(t, fmt.Sprintf("defaults: {territories: world, model: free}\ntitles: [{path: %q}, {path: %q}]", order[0], order[1]))
		if got := c.Lookup("/a/b/x"); got.Paths[0] != "/a/*/" {
			t.Errorf("%v: /a/b/x is of %s", order, got.Paths[0])
		}
	}
}

func TestCurrent(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var current Current
	if current.Catalog(now) != nil || !current.StaleAt().IsZero() {
		t.Error("there is a catalog before the first")
	}
	current.Confirm(now)
	first, second := mustParse(t, "titles: []"), mustParse(t, "titles: []")
	current.StaleAfter = time.Hour
	current.Replace(first, now)
	if current.Catalog(now.Add(time.Hour-1)) != first || current.Catalog(now.Add(time.Hour)) != nil {
		t.Error("a catalog counts for [confirmed, confirmed + stale after)")
	}
	current.Confirm(now.Add(30 * time.Minute))
	if current.Catalog(now.Add(time.Hour)) != first || !current.StaleAt().Equal(now.Add(90*time.Minute)) {
		t.Error("confirming did not extend it")
	}
	current.Replace(second, now.Add(time.Hour))
	if current.Catalog(now.Add(time.Hour)) != second {
		t.Error("it was not replaced")
	}
	if Fixed(first).Catalog(now.Add(1e6*time.Hour)) != first {
		t.Error("a fixed catalog became stale")
	}
}
