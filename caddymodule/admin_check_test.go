package caddymodule

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

const checkSites = `
http://members.test:PORT {
	encode
	handle_path /vod/* {
		drm {
			tenant members
			license_server clearkey
			token signed {
				key {env.TEST_TOKEN_SECRET}
			}
			geo country {
				allow DE
			}
			limit 1 per 1h burst 2
		}
		file_server {
			root TESTDATA
		}
	}
	handle /old/* {
		redir * /vod{uri}
	}
	handle /moved/* {
		uri replace /moved/ /demo/
		drm {
			mode observe
			license_server clearkey
			token signed {
				key {env.TEST_TOKEN_SECRET}
			}
		}
		file_server {
			root TESTDATA
		}
	}
	respond 404
}
`

// adminGateway is a gateway whose admin endpoint answers.
func adminGateway(t *testing.T, sites string) (g *gateway, admin string) {
	t.Helper()
	g = newGateway(t)
	admin = "127.0.0.1:" + freePort(t)
	g.load(t, strings.Replace(globalBlock, "admin off", "admin "+admin, 1)+sites)
	return g, admin
}

// check asks as the command does.
func check(t *testing.T, admin string, asked CheckRequest) CheckReport {
	t.Helper()
	o := checkOptions{CheckRequest: asked, admin: admin}
	report, err := o.ask(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := o.print(&text, report); err != nil {
		t.Fatal(err)
	}
	if asked.Token != "" && len(asked.Token) > 20 && strings.Contains(text.String(), asked.Token[10:]) {
		t.Errorf("the report holds the token:\n%s", &text)
	}
	return report
}

func TestCheck(t *testing.T) {
	g, admin := adminGateway(t, checkSites)
	now := time.Now()
	good := tokenFor(t, "/demo")
	site := "http://members.test:" + g.port
	member := CheckRequest{URL: site + "/vod/demo/manifest.mpd", IP: "192.0.2.1", Token: good}
	for name, test := range map[string]struct {
		change func(*CheckRequest)
		reason string
		status int
	}{
		"a member":              {func(*CheckRequest) {}, "allowed", 200},
		"a member, HTTPS":       {func(c *CheckRequest) { c.URL = strings.Replace(c.URL, "http:", "https:", 1) }, "allowed", 200},
		"a token in the URL":    {func(c *CheckRequest) { c.URL += "?token=" + c.Token; c.Token = "" }, "allowed", 200},
		"a token in a header":   {func(c *CheckRequest) { c.Header = http.Header{"authorization": {"Bearer " + c.Token}}; c.Token = "" }, "allowed", 200},
		"two tokens":            {func(c *CheckRequest) { c.URL += "?token=x" }, "token_ambiguous", 401},
		"no token":              {func(c *CheckRequest) { c.Token = "" }, "token_missing", 401},
		"a token for elsewhere": {func(c *CheckRequest) { c.Token = tokenFor(t, "/demo-av1") }, "token_scope", 403},
		"two hours from now":    {func(c *CheckRequest) { c.At = now.Add(2 * time.Hour) }, "token_expired", 401},
		"another country":       {func(c *CheckRequest) { c.IP = "198.51.100.1" }, "country_denied", 403},
		"no country":            {func(c *CheckRequest) { c.IP = "100.64.0.1" }, "country_unknown", 403},
		"media without a seal":  {func(c *CheckRequest) { c.URL = site + "/vod/demo/video/360p/seg_1.m4s" }, "not_found", 404},
		"another method":        {func(c *CheckRequest) { c.Method = "DELETE" }, "method_not_allowed", 405},
		"a path that climbs":    {func(c *CheckRequest) { c.URL = site + "/vod/demo/a;b.mpd" }, "not_found", 404},
		"a site that observes":  {func(c *CheckRequest) { c.URL, c.Token = site+"/moved/manifest.mpd", "" }, "token_missing", 401},
		"a member, a rewrite":   {func(c *CheckRequest) { c.URL = site + "/moved/manifest.mpd" }, "allowed", 200},
	} {
		for range 4 { // a limit would have been reached
			asked := member
			test.change(&asked)
			report := check(t, admin, asked)
			if report.Reason != test.reason || report.Status != test.status || report.Allowed != (test.reason == "allowed") {
				t.Fatalf("%s: %s %d: %+v", name, report.Reason, report.Status, report)
			}
			refusals := 0
			for _, step := range report.Steps {
				if step.Outcome == "" {
					t.Errorf("%s: %s says nothing", name, step.Rule)
				}
				if step.Reason != "" && refusals == 0 && step.Reason != test.reason {
					t.Errorf("%s: decided by %s, explained by %s", name, test.reason, step.Reason)
				}
				if step.Reason != "" {
					refusals++
				}
			}
			if (refusals == 0) != report.Allowed {
				t.Errorf("%s: %d rules refuse", name, refusals)
			}
		}
	}
	report := check(t, admin, member)
	if report.Tenant != "members" || report.Kind != "manifest" || report.Path != "/demo/manifest.mpd" || report.Asset != "/demo/" ||
		report.Country != "DE" || report.Subject != "test-viewer" || report.Mode != "enforce" || report.Until.Before(now) {
		t.Errorf("%+v", report)
	}
	if len(report.Passed) != 1 || report.Passed[0] != "encode" {
		t.Errorf("passed by %q", report.Passed)
	}
	if report := check(t, admin, CheckRequest{URL: site + "/moved/manifest.mpd"}); report.Mode != "observe" || report.Path != "/demo/manifest.mpd" {
		t.Errorf("%+v", report)
	}
	// What is explained is what happens.
	if res := g.get(t, "/vod/demo/manifest.mpd?token="+signedToken(t, now.Add(time.Hour), token.Claims{Scope: []string{"/demo"}}), "Host", "members.test:"+g.port); res.reason() != "country_denied" {
		t.Errorf("%d %s", res.status, res.reason())
	}
}

func TestCheckRefusesWhatItCannotAnswer(t *testing.T) {
	g, admin := adminGateway(t, checkSites)
	site := "http://members.test:" + g.port
	for name, asked := range map[string]CheckRequest{
		"no URL":                {},
		"a relative URL":        {URL: "/vod/demo/manifest.mpd"},
		"another scheme":        {URL: "ftp://members.test/vod/x.mpd"},
		"credentials":           {URL: "http://a:b@members.test/vod/x.mpd"},
		"no address":            {URL: site + "/vod/x.mpd", IP: "home"},
		"a path of no site":     {URL: site + "/other/x.mpd"},
		"a path that redirects": {URL: site + "/old/x.mpd"},
		"another host":          {URL: "http://other.test:" + g.port + "/vod/x.mpd"},
	} {
		o := checkOptions{CheckRequest: asked, admin: admin}
		if report, err := o.ask(time.Now()); err == nil {
			t.Errorf("%s: %+v", name, report)
		}
	}
	for body, status := range map[string]int{"{": 400, `{"uri":"x"}`: 400, `{}`: 400} {
		res := g.sendBody(t, http.MethodPost, "http://"+admin+"/drm/check", []byte(body), "Content-Type", "application/json")
		if res.status != status || !json.Valid(res.body) {
			t.Errorf("%s: %d %s", body, res.status, res.body)
		}
	}
	if res := g.get(t, "http://"+admin+"/drm/check"); res.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", res.status)
	}
}

func TestCheckInstant(t *testing.T) {
	now := time.Date(2026, 12, 24, 20, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2h": now.Add(2 * time.Hour), "-10m": now.Add(-10 * time.Minute), "2026-12-24T21:00:00+01:00": now, "tomorrow": {}, "2026-12-24": {},
	} {
		got, err := parseInstant(text, now)
		if (err != nil) != want.IsZero() || err == nil && !got.Equal(want) {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
}

// TestCheckTakesTokensOutOfPaths: the report is about the path without its credential, and holds none of it.
func TestCheckTakesTokensOutOfPaths(t *testing.T) {
	_, admin := adminGateway(t, "http://:PORT {\n\tdrm {\n\tlicense_server clearkey\n\ttoken_from path auth\n\ttoken signed {\n\tkey {env.TEST_TOKEN_SECRET}\n}\n}\n"+
		"\tfile_server {\n\troot TESTDATA\n}\n}\n")
	report := check(t, admin, CheckRequest{URL: "http://media.test/auth=" + tokenFor(t, "/demo") + "/demo/manifest.mpd"})
	if report.Path != "/demo/manifest.mpd" || report.Asset != "/demo/" || !report.Allowed {
		t.Errorf("%+v", report)
	}
}
