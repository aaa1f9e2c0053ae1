package caddymodule

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// sessionSite is a site of tokens with more options; its sessions outlive their token by an hour.
func sessionSite(session string, more ...string) string {
	return "http://:PORT {\n\tdrm {\n" + memberOptions + "\tsession " + session + "\n" + strings.Join(more, "\n") + "\n}\n\tfile_server {\n\troot TESTDATA\n}\n}\n"
}

// endingSession is a session of the test viewer that ends so soon.
func endingSession(t *testing.T, left time.Duration) string {
	t.Helper()
	now := time.Now()
	return session(t, "members", token.Claims{Subject: "test-viewer", Scope: []string{"/demo"}, Expires: now.Add(left)}, now.Add(-time.Hour))
}

// sessionIn returns the session that a URL carries.
func sessionIn(t *testing.T, target string) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	if _, rest, ok := strings.Cut(u.Path, "/~s."); ok {
		text, _, _ := strings.Cut(rest, "/")
		return text
	}
	return u.Query().Get("session")
}

// TestSessionInTheQuery: what an address carries, and that it means the same as in the path.
func TestSessionInTheQuery(t *testing.T) {
	g := startGateway(t, sessionSite("query"))
	for _, manifest := range []string{"/demo/manifest.mpd", "/demo/master.m3u8"} {
		for _, l := range g.links(t, manifest+"?drm=cenc&token="+tokenFor(t, "/demo")) {
			if strings.Contains(l.url, "~s.") || strings.Count(l.url, "session=") != 1 || sessionIn(t, l.url) == "" {
				t.Fatalf("%s: %s", l.kind, l.url)
			}
		}
	}
	segment := linkTo(t, g.links(t, "/demo/manifest.mpd?token="+tokenFor(t, "/demo")), "media", "seg_1.m4s").url
	good, other := sessionIn(t, segment), endingSession(t, time.Hour)
	path, _, _ := strings.Cut(segment, "?")
	inPath := strings.Replace(path, "/demo/", "/demo/~s."+good+"/", 1)
	for name, test := range map[string]struct {
		target string
		status int
		reason string
	}{
		"in the query":             {segment, 200, ""},
		"in the path":              {inPath, 200, ""},
		"in both":                  {inPath + "?session=" + good, 200, ""},
		"in both, and they differ": {inPath + "?session=" + other, 401, "token_ambiguous"},
		"twice in the query":       {segment + "&session=" + good, 401, "token_ambiguous"},
		"an empty one":             {path + "?session=", 401, "token_missing"},
		"a bad one":                {path + "?session=AQAA", 401, "token_invalid"},
		"escaped":                  {path + "?%73ession=" + good, 200, ""},
		"beside what is not ours":  {path + "?x=1&session=" + good, 200, ""},
		"a query that is none":     {segment + "&%zz", 400, "query_invalid"},
	} {
		if res := g.get(t, test.target); res.status != test.status || res.reason() != test.reason {
			t.Errorf("%s: %d %s", name, res.status, res.reason())
		}
	}
	first, second := g.mustGet(t, segment), g.mustGet(t, path+"?session="+other)
	if first.header.Get("ETag") != second.header.Get("ETag") {
		t.Error("the session is part of the ETag of a segment")
	}
}

// TestLicenseAddressesByQuery: a template with a query of its own, one with another host, and one that leads elsewhere.
func TestLicenseAddressesByQuery(t *testing.T) {
	for template, want := range map[string][2]string{ // what it begins with, and what comes behind the path
		"https://licenses.test{http.drm.license_path}?x=1": {"https://licenses.test/demo/.drm/clearkey/", "?x=1&session="},
		"https://licenses.test{http.drm.license_path}":     {"https://licenses.test/demo/.drm/clearkey/", "?session="},
		"https://licenses.test/elsewhere":                  {"https://licenses.test/elsewhere", ""},
	} {
		g := startGateway(t, strings.Replace(sessionSite("query"), "license_server clearkey", "license_server clearkey {\n url "+template+"\n}", 1))
		for _, manifest := range []string{"/demo/manifest.mpd", "/demo/master.m3u8"} {
			license := linkTo(t, g.links(t, manifest+"?drm=cenc&token="+tokenFor(t, "/demo")), "license", "").url
			if !strings.HasPrefix(license, want[0]) || !strings.Contains(license, want[1]) || strings.Count(license, "?") > 1 {
				t.Errorf("%s: %s", template, license)
			}
			if want[1] == "" && strings.Contains(license, "session=") {
				t.Errorf("the session is told to others: %s", license)
			}
		}
	}
}

// TestRenewal: in its last part a session is followed by another, if the viewer's token comes along; the addresses of keys
// stay the same in between.
func TestRenewal(t *testing.T) {
	for _, kind := range []string{"path", "query"} {
		t.Run(kind, func(t *testing.T) {
			g := startGateway(t, sessionSite(kind+" 1h"))
			at := func(session, manifest string) string {
				if kind == "query" {
					return "/demo/" + manifest + "?drm=cenc&session=" + session
				}
				return "/demo/~s." + session + "/" + manifest + "?drm=cenc"
			}
			carried := func(session string, header ...string) string {
				t.Helper()
				next := ""
				for _, manifest := range []string{"manifest.mpd", "master.m3u8"} {
					for _, l := range g.links(t, at(session, manifest), header...) {
						switch s := sessionIn(t, l.url); {
						case next == "":
							next = s
						case next != s:
							t.Fatalf("one manifest carries two sessions: %s", l.url)
						}
					}
				}
				return next
			}
			bearer := func() []string { // each time a newer one
				time.Sleep(1100 * time.Millisecond)
				return []string{"Authorization", "Bearer " + tokenFor(t, "/demo")}
			}
			early, last, over := endingSession(t, 50*time.Minute), endingSession(t, 10*time.Minute), endingSession(t, -time.Second)
			if got := carried(early, bearer()...); got != early {
				t.Error("a session was renewed early")
			}
			if got := carried(last); got != last {
				t.Error("a session was renewed without a token")
			}
			for name, session := range map[string]string{"in its last part": last, "that is over": over} {
				next := carried(session, bearer()...)
				if next == session {
					t.Errorf("a session %s was not renewed", name)
				}
				if again := carried(session, bearer()...); again != next {
					t.Errorf("a session %s is followed by a second one", name)
				}
				if got := carried(next); got != next {
					t.Errorf("the session after one %s is not good by itself", name)
				}
			}
			if segment := linkTo(t, g.links(t, at(last, "manifest.mpd")), "media", "seg_1.m4s").url; g.get(t, segment).status != 200 {
				t.Error("the renewed session does not outlast its renewal")
			}
			for name, test := range map[string]struct {
				header []string
				reason string
			}{
				"no token":         {nil, "token_expired"},
				"a bad token":      {[]string{"Authorization", "Bearer v1.bad.bad"}, "token_expired"},
				"another viewer's": {[]string{"Authorization", "Bearer " + signedToken(t, time.Now().Add(time.Hour), token.Claims{Subject: "other"})}, "token_expired"},
			} {
				if res := g.get(t, at(over, "manifest.mpd"), test.header...); res.status != 401 || res.reason() != test.reason {
					t.Errorf("over, with %s: %d %s", name, res.status, res.reason())
				}
			}
		})
	}
	t.Run("off", func(t *testing.T) {
		g := startGateway(t, sessionSite("path 1h {\n renew off\n}"))
		res := g.get(t, "/demo/~s."+endingSession(t, -time.Second)+"/manifest.mpd", "Authorization", "Bearer "+tokenFor(t, "/demo"))
		if res.reason() != "token_expired" {
			t.Errorf("%d %s", res.status, res.reason())
		}
	})
}

// TestLivePlaylistMovesToItsNextSession: what a live playlist says of a segment must not change, so that its own address does.
func TestLivePlaylistMovesToItsNextSession(t *testing.T) {
	origin := &scriptedOrigin{script: func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/live.m3u8") {
			_, _ = w.Write([]byte("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:2.0,\nseg_1.m4s\n"))
		}
		return strings.HasSuffix(r.URL.Path, "/live.m3u8")
	}}
	g := startGateway(t, strings.Replace(sessionSite("path 1h"), "file_server {\n\troot TESTDATA\n}", "reverse_proxy ORIGIN", 1), "ORIGIN", origin.start(t))
	session := endingSession(t, 10*time.Minute)
	at := "/demo/video/360p/~s." + session + "/live.m3u8?drm=cenc&_HLS_msn=4"
	segments := func(body []byte) (lines []string) {
		for line := range strings.Lines(string(body)) {
			if !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
		return lines
	}
	before := g.mustGet(t, at)
	moved := g.get(t, at, "Authorization", "Bearer "+tokenFor(t, "/demo"))
	if moved.status != http.StatusFound || moved.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s", moved.status, moved.reason())
	}
	target := resolve(t, "http://"+g.addr+at, moved.header.Get("Location"))
	if next := sessionIn(t, target); next == "" || next == session || !strings.Contains(target, "_HLS_msn=4") || strings.Contains(target, "token") {
		t.Fatalf("moved to %s", target)
	}
	after := g.mustGet(t, target, "Authorization", "Bearer "+tokenFor(t, "/demo"))
	if a, b := segments(before.body), segments(after.body); len(a) != 1 || a[0] != b[0] || strings.Contains(a[0], "~s.") {
		t.Errorf("a segment was %q and is %q", a, b)
	}
	g.mustGet(t, resolve(t, target, strings.TrimSpace(segments(after.body)[0])))
}

// TestCookiesOfSeveralTitles: one title's cookie never takes another's place, shared paths or not.
func TestCookiesOfSeveralTitles(t *testing.T) {
	for _, more := range []string{"", "shared /audio/*"} {
		g := startGateway(t, sessionSite("cookie viewer 1h", more))
		jar := map[string]*http.Cookie{}
		for _, title := range []string{"demo", "demo-av1"} {
			res := g.mustGet(t, "/"+title+"/manifest.mpd?token="+tokenFor(t, "/"+title))
			cookies := (&http.Response{Header: res.header}).Cookies()
			if len(cookies) != 1 || !strings.HasPrefix(cookies[0].Name, "viewer") || !cookies[0].HttpOnly {
				t.Fatalf("%v", cookies)
			}
			jar[cookies[0].Name+cookies[0].Path] = cookies[0]
		}
		if len(jar) != 2 {
			t.Errorf("with %q one title's cookie replaces another's: %v", more, jar)
		}
		for _, title := range []string{"demo", "demo-av1"} {
			var sent []string
			for _, cookie := range jar {
				if strings.HasPrefix("/"+title+"/", cookie.Path) {
					sent = append(sent, cookie.Name+"="+cookie.Value)
				}
			}
			if res := g.get(t, "/"+title+"/manifest.mpd", "Cookie", strings.Join(sent, "; ")); res.status != 200 {
				t.Errorf("%s with both cookies and %q: %d %s", title, more, res.status, res.reason())
			}
		}
	}
}

// TestBoundSessions: a session goes with the address and the program that it was handed out to.
func TestBoundSessions(t *testing.T) {
	g := newGateway(t)
	global := strings.Replace(globalBlock, "admin off", "admin off\n\tservers {\n\t\ttrusted_proxies static 127.0.0.0/8\n\t}", 1)
	g.load(t, global+sessionSite("path 1h {\n bind address 24 56\n bind user_agent\n}"))
	from := func(addr, agent string) []string { return []string{"X-Forwarded-For", addr, "User-Agent", agent} }
	home := from("192.0.2.7", "player/1")
	links := g.links(t, "/demo/manifest.mpd?token="+tokenFor(t, "/demo"), home...)
	segment := linkTo(t, links, "media", "seg_1.m4s").url
	license := linkTo(t, links, "license", "").url
	for name, test := range map[string]struct {
		header []string
		reason string
	}{
		"from home":                 {home, ""},
		"from the same /24":         {from("192.0.2.200", "player/1"), ""},
		"from elsewhere":            {from("198.51.100.1", "player/1"), "session_binding"},
		"by IPv6":                   {from("2001:db8::7", "player/1"), "session_binding"},
		"by another program":        {from("192.0.2.7", "curl/8"), "session_binding"},
		"with a User-Agent too few": {[]string{"X-Forwarded-For", "192.0.2.7", "User-Agent", ""}, "session_binding"},
	} {
		want := map[bool]int{true: 200, false: 401}[test.reason == ""]
		if res := g.get(t, segment, test.header...); res.status != want || res.reason() != test.reason {
			t.Errorf("a segment %s: %d %s", name, res.status, res.reason())
		}
		if res := g.sendBody(t, http.MethodPost, license, []byte("{"), test.header...); (res.reason() == "session_binding") != (test.reason != "") {
			t.Errorf("a license %s: %d %s", name, res.status, res.reason())
		}
	}
	session, err := base64.RawURLEncoding.DecodeString(sessionIn(t, segment))
	if err != nil {
		t.Fatal(err)
	}
	// All that the network has, since "192" alone is in a port or a seal now and then.
	if bytes.Contains(session, []byte{192, 0, 2}) || bytes.Contains(session, []byte("192.0.2")) || strings.Contains(segment, "192.0.2") {
		t.Error("the address can be read from the session")
	}
}

// TestObserve: whoever would be refused is served, encrypted and sealed, and what is not ours stays unserved.
func TestObserve(t *testing.T) {
	g := startGateway(t, sessionSite("path", "mode observe", "geo country {\n allow US\n}", "limit 1 per 1h"))
	for _, target := range []string{
		"/demo/manifest.mpd", "/demo/manifest.mpd?token=bad", "/demo/manifest.mpd?token=a&token=b",
		"/demo/~s.AQAA/manifest.mpd", "/demo/manifest.mpd?token=" + tokenFor(t, "/demo-av1"),
	} {
		links := g.links(t, target)
		for _, l := range links {
			if strings.Contains(l.url, "~s.") {
				t.Fatalf("%s: a session of nobody: %s", target, l.url)
			}
		}
		segment := g.mustGet(t, linkTo(t, links, "media", "/video/360p/seg_1.m4s").url)
		if string(segment.body) == string(clearFile(t, "demo/video/360p/seg_1.m4s")) {
			t.Error("clear media left")
		}
	}
	links := g.links(t, "/demo/manifest.mpd?token="+tokenFor(t, "/demo"))
	if sessionIn(t, linkTo(t, links, "media", "seg_1.m4s").url) == "" {
		t.Error("a good token gives no session")
	}
	injected := g.raw(t, "/demo/~s.%22onload=%22x%3c/manifest.mpd")
	if strings.Contains(string(injected.body), "onload") {
		t.Error("text of the address stands in the manifest")
	}
	for _, target := range []string{"/demo/video/360p/seg_1.m4s", "/demo/video/360p/init.mp4", "/demo/~AAAA/video/360p/seg_1.m4s"} {
		if res := g.get(t, target); res.status != 404 {
			t.Errorf("%s: %d", target, res.status)
		}
	}
}
