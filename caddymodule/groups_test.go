package caddymodule

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
)

// TestValidateGroups: what cannot work is refused when the configuration is loaded, and the error names group and reason.
func TestValidateGroups(t *testing.T) {
	g := newGateway(t)
	const clearkey = "license_server clearkey\n"
	const widevine = "group premium {\n level high\n systems widevine playready fairplay\n}\n"
	for name, test := range map[string]struct {
		global, options string
		json            [2]string
		wants           []string // none: accepted
	}{
		"persistent with rotation":             {global: "group premium {\n systems widevine\n license persistent 48h\n rotate 10m\n}", options: clearkey, wants: []string{"groups.premium", "license: ", "exclude each other"}},
		"less than two crypto periods":         {global: "group premium {\n systems widevine\n license temporary 15m\n rotate 10\n}", options: clearkey, wants: []string{"groups.premium", "license: ", "two crypto periods"}},
		"ClearKey at level high":               {global: "group premium {\n level high\n}", options: clearkey, wants: []string{"groups.premium", "systems: ", "ClearKey"}},
		"header 4.0 with cbcs":                 {global: "group premium {\n scheme cbcs\n systems playready\n playready_header 4.0\n}", options: clearkey, wants: []string{"groups.premium", "playready_header: ", "4.3"}},
		"two problems are both named":          {global: "group premium {\n level high\n hdcp 2.2\n}", options: clearkey, wants: []string{"systems: ", "; hdcp: "}},
		"an unknown group":                     {options: clearkey + "group premium", wants: []string{"group:", `"premium"`}},
		"an unknown group of a path":           {options: clearkey + "group premium /vod", wants: []string{"groups:", `"premium"`}},
		"a path that is none":                  {global: "group news", options: clearkey + "group news vod", wants: []string{"groups:", "/vod/*"}},
		"a path without a group":               {global: "group news", options: clearkey + "group news /vod", json: [2]string{`"group":"news",`, ``}, wants: []string{"groups:", "name"}},
		"another scheme than the site":         {global: "group news {\n scheme cbcs\n}", options: clearkey + "scheme cenc\ngroup news", wants: []string{"group:", "cbcs", "cenc"}},
		"a system that the site's scheme bars": {global: widevine, options: "scheme cenc\ngroup premium", wants: []string{"group:", "premium", "FairPlay"}},
		"ClearKey for nobody":                  {global: widevine, options: clearkey + "group premium", wants: []string{"license: ", "leave it out"}},
		"no license server beside a group":     {global: widevine, options: "group premium /vod", wants: []string{"license: want"}},
		"a level of another word":              {global: "group news {\n level low\n}", options: clearkey, json: [2]string{`"level":"low"`, `"level":"lowest"`}, wants: []string{"groups.news", "level"}},
		"a scheme of another word":             {global: "group news {\n scheme cenc\n}", options: clearkey, json: [2]string{`"scheme":"cenc"`, `"scheme":"cens"`}, wants: []string{"groups.news", "scheme"}},
		"a system of another word":             {global: "group news {\n systems widevine\n}", options: clearkey, json: [2]string{`"widevine"`, `"w3c"`}, wants: []string{"groups.news", "system"}},
		"HDCP of another word":                 {global: "group news {\n systems widevine\n hdcp 2.2\n}", options: clearkey, json: [2]string{`"hdcp":"2.2"`, `"hdcp":"2.9"`}, wants: []string{"groups.news", "hdcp"}},
		"a header of another word":             {global: "group news {\n systems playready\n playready_header 4.3\n}", options: clearkey, json: [2]string{`"4.3"`, `"4"`}, wants: []string{"groups.news", "playready_header"}},
		"a group that is null":                 {global: "group news {\n level low\n}", options: clearkey, json: [2]string{`{"level":"low"}`, `null`}, wants: []string{"groups.news"}},
		"a group without a name":               {global: "group news {\n level low\n}", options: clearkey, json: [2]string{`"news"`, `""`}, wants: []string{"groups."}},
		"groups of a site, with ClearKey":      {global: widevine + "group news", options: clearkey + "group news\ngroup premium /vod/premium"},
		"a site without ClearKey":              {global: widevine, options: "group premium"},
		"the same scheme as the site":          {global: "group news {\n scheme cbcs\n}", options: clearkey + "scheme cbcs\ngroup news"},
	} {
		t.Run(name, func(t *testing.T) {
			err := validateCaddyfile(t, g, test.global, test.options, test.json)
			if err == nil && len(test.wants) > 0 {
				t.Fatal("accepted")
			}
			if err != nil && len(test.wants) == 0 {
				t.Fatal(err)
			}
			for _, want := range test.wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not name %q", err, want)
				}
			}
		})
	}
}

func TestGroupFor(t *testing.T) {
	app := &App{Groups: map[string]*GroupConfig{
		"news": {Rotate: 1}, "hd": {Systems: []string{"widevine"}}, "old": {Scheme: "cenc"},
	}}
	app.Groups["news"].Rotate = 600e9
	app.ctx.Context = t.Context()
	app.groups = make(map[string]drm.Group)
	for name, c := range app.Groups {
		group, err := checkedGroup(name, c)
		if err != nil {
			t.Fatal(err)
		}
		app.groups[name] = group
	}
	h := &Handler{
		app: app, Group: "news", License: &LicenseConfig{ClearKey: true}, logger: zap.NewNop(),
		Groups: []GroupPaths{{"hd", []string{"/live/*/hd", "/vod/premium"}}, {"old", []string{"/live"}}},
	}
	if err := h.compileGroups(app.ctx); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/live/one/hd/1.m4s": "hd", "/live/one/hd/": "hd", "/live/one/hd": "hd", "/live/one/sd/1.m4s": "old", "/live/one/hdr/": "old",
		"/vod/premium/a/": "hd", "/vod/premium": "hd", "/vod/premium2/": "news", "/": "news", "/liven/": "news",
	} {
		if got := h.groupFor(path); got.Name != want {
			t.Errorf("%s is of group %q, want %q", path, got.Name, want)
		}
	}
	if got := h.groupFor("/x/"); got.Rotate != 10*time.Minute || got.Scheme != 0 {
		t.Errorf("%+v", got)
	}
	for group, want := range map[string]bool{"hd": false, "news": true, "old": true, "": true, "unknown": false} {
		q := &request{Handler: h, seal: address.Seal{Group: group}}
		if q.servesClearKey() != want {
			t.Errorf("keys of group %q are handed out in clear: %t", group, !want)
		}
	}
	h.Scheme = "cbcs"
	h.Groups, h.groups = h.Groups[:1], siteGroups{}
	if err := h.compileGroups(app.ctx); err != nil || h.groupFor("/x/").Scheme != drm.SchemeCbcs || h.groupFor("/vod/premium/").Scheme != drm.SchemeCbcs {
		t.Errorf("the scheme of the site does not hold where groups have none: %v", err)
	}
}

// TestWarningsOfSharedKeys: one key for audio and video at level high is said once for each group.
func TestWarningsOfSharedKeys(t *testing.T) {
	core, logs := observer.New(zapcore.WarnLevel)
	high := drm.Group{Name: "high", Level: drm.LevelHigh, Systems: []drm.SystemID{drm.SystemWidevine}}
	h := &Handler{logger: zap.New(core), keys: openKeys{oneKey: true}, groups: siteGroups{standard: high, paths: []groupPattern{{group: high}, {group: drm.Group{Name: "low"}}}}}
	h.warnOfSharedKeys()
	if entries := logs.All(); len(entries) != 1 || entries[0].ContextMap()["group"] != "high" || entries[0].ContextMap()["option"] != "level" {
		t.Errorf("%v", entries)
	}
	h.keys.oneKey = false
	h.warnOfSharedKeys()
	if logs.Len() != 1 {
		t.Error("it is said of keys that are not shared")
	}
}

// TestClearKeyIsRefusedToGroupsWithoutIt: no key of theirs leaves in clear, whoever asks.
func TestClearKeyIsRefusedToGroupsWithoutIt(t *testing.T) {
	site := `
http://:PORT {
	root TESTDATA
	drm {
		license_server clearkey
		GROUPS
	}
	file_server
}
`
	global := "{\n\tdrm {\n\t\tgroup premium {\n\t\t\tlevel high\n\t\t\tsystems widevine playready\n\t\t}\n\t}\n}\n"
	withGlobal := func(groups string) string {
		block := strings.TrimSuffix(strings.TrimPrefix(global, "{\n\tdrm {\n"), "\t}\n}\n")
		return strings.Replace(globalBlock, "drm {\n", "drm {\n"+block, 1) + strings.Replace(site, "GROUPS", groups, 1)
	}
	g := newGateway(t)
	// A player that was given addresses before the title got its group has them still.
	type asking struct{ kind, url string }
	linksOf := func(title string) (found []asking) {
		for _, name := range []string{"manifest.mpd", "master.m3u8"} {
			for _, l := range g.links(t, title+name) {
				if strings.Contains(l.url, "/.drm/") {
					found = append(found, asking{l.kind, l.url})
				}
			}
		}
		return found
	}
	ask := func(a asking) reply {
		target, query, _ := strings.Cut(a.url, "?")
		if a.kind == "key" {
			return g.get(t, a.url)
		}
		return g.sendBody(t, http.MethodPost, target+"?"+query, []byte(`{"kids":["`+base64URL(t, strings.TrimPrefix(query, "kid="))+`"],"type":"temporary"}`))
	}
	g.load(t, withGlobal(""))
	free, premium := linksOf("/demo/"), linksOf("/demo-av1/")
	if len(free) == 0 || len(premium) == 0 {
		t.Fatal("no manifest names a license or a key")
	}
	g.load(t, withGlobal("group premium /demo-av1"))
	if again := linksOf("/demo-av1/"); len(again) > 0 {
		t.Errorf("manifests of the group name %v", again)
	}
	for title, want := range map[string]struct {
		links  []asking
		status int
	}{"/demo/": {free, http.StatusOK}, "/demo-av1/": {premium, http.StatusNotFound}} {
		asked := 0
		for _, l := range want.links {
			if l.kind == "license" && !strings.Contains(l.url, "?kid=") {
				continue // of DASH, where the KID stands elsewhere
			}
			asked++
			if res := ask(l); res.status != want.status {
				t.Errorf("%s %s = %d %s", l.kind, l.url, res.status, res.reason())
			}
		}
		if asked == 0 {
			t.Errorf("nothing of %s was asked for", title)
		}
	}
}

func base64URL(t *testing.T, kid string) string {
	t.Helper()
	parsed, err := drm.ParseKID(kid)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Base64URL()
}

// TestKeysOfAGroup: a group's own source gives the keys of its titles, and the site's those of all others.
func TestKeysOfAGroup(t *testing.T) {
	g := newGateway(t)
	kids := func(groups, title string) []string {
		g.load(t, withGroups(groups)+`
http://:PORT {
	root TESTDATA
	drm {
		tenant keys
		license_server clearkey
		group split /demo
	}
	file_server
}
`)
		seen := make(map[string]bool)
		var list []string
		for _, match := range defaultKIDPattern.FindAllStringSubmatch(string(g.mustGet(t, title).body), -1) {
			if !seen[match[1]] {
				seen[match[1]] = true
				list = append(list, match[1])
			}
		}
		return list
	}
	own := "\t\tgroup split {\n\t\t\tkeys derived {\n\t\t\t\tper track_class\n\t\t\t}\n\t\t}\n"
	if got := kids(own, "/demo/manifest.mpd"); len(got) != 2 {
		t.Errorf("keys %v of a group with one for each class", got)
	}
	if got := kids(own, "/demo-av1/manifest.mpd"); len(got) != 1 {
		t.Errorf("keys %v outside of the group", got)
	}
	if got := kids("\t\tgroup split {\n\t\t}\n", "/demo/manifest.mpd"); len(got) != 1 {
		t.Errorf("keys %v of a group without a source of its own", got)
	}
	for _, l := range g.links(t, "/demo/manifest.mpd") {
		if l.isMedia() {
			g.mustGet(t, l.url)
		}
	}
}
