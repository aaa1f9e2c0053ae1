package web

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/caddy-drm/caddy-drm/web/players"
)

func testConfig() Config {
	return Config{
		Title:   "Test <title>",
		Streams: []Stream{{Name: "One", DASH: "/one/manifest.mpd", HLS: "/one/master.m3u8", Scheme: "cbcs", Group: "premium", Note: "</script>"}},
		Players: players.FS,
	}
}

// get asks h for target as a client that sends the header lines given in pairs.
func get(h http.Handler, method, target string, header ...string) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func readBody(t *testing.T, res *http.Response) []byte {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func inflate(t *testing.T, data []byte) []byte {
	t.Helper()
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func TestFilesHaveTypesAndPolicies(t *testing.T) {
	h := Handler(testConfig())
	for target, contentType := range map[string]string{
		"/":                                   "text/html; charset=utf-8",
		"/index.html":                         "text/html; charset=utf-8",
		"/style.css":                          "text/css; charset=utf-8",
		"/icon.svg":                           "image/svg+xml",
		"/config.json":                        "application/json",
		"/js/app.js":                          "text/javascript; charset=utf-8",
		"/js/players/hls.js":                  "text/javascript; charset=utf-8",
		"/players/hls-1.7.4.js":               "text/javascript; charset=utf-8",
		"/players/hls.LICENSE.txt":            "text/plain; charset=utf-8",
		"/players/shaka-player-5.2.12.js?v=x": "text/javascript; charset=utf-8",
	} {
		res := get(h, http.MethodGet, target)
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", target, res.StatusCode)
			continue
		}
		for name, want := range map[string]string{
			"Content-Type":            contentType,
			"Content-Security-Policy": contentSecurityPolicy,
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "no-referrer",
			"Cache-Control":           "no-cache",
			"Vary":                    "Accept-Encoding",
			"Content-Encoding":        "",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %s: %q, want %q", target, name, got, want)
			}
		}
	}
}

func TestPolicyAllowsNothingInline(t *testing.T) {
	for _, word := range []string{"unsafe-inline", "unsafe-eval", "http:", "https:", "data:"} {
		if strings.Contains(contentSecurityPolicy, word) {
			t.Errorf("the policy holds %q", word)
		}
	}
	if !strings.HasPrefix(contentSecurityPolicy, "default-src 'none'; script-src 'self';") {
		t.Errorf("the policy is %q", contentSecurityPolicy)
	}
}

func TestGzipIsNegotiated(t *testing.T) {
	h := Handler(testConfig())
	for _, target := range []string{"/", "/players/dash-5.2.1.js"} {
		plain := get(h, http.MethodGet, target)
		zipped := get(h, http.MethodGet, target, "Accept-Encoding", "br, gzip;q=0.5")
		if got := zipped.Header.Get("Content-Encoding"); got != "gzip" {
			t.Fatalf("%s: Content-Encoding %q", target, got)
		}
		plainBody, zippedBody := readBody(t, plain), readBody(t, zipped)
		if !bytes.Equal(inflate(t, zippedBody), plainBody) {
			t.Errorf("%s: the two representations differ", target)
		}
		if plain.Header.Get("ETag") == zipped.Header.Get("ETag") {
			t.Errorf("%s: both representations have the ETag %s", target, plain.Header.Get("ETag"))
		}
		for name, res := range map[string]*http.Response{"plain": plain, "gzip": zipped} {
			want := len(plainBody)
			if name == "gzip" {
				want = len(zippedBody)
			}
			if got := res.Header.Get("Content-Length"); got != strconv.Itoa(want) {
				t.Errorf("%s %s: Content-Length %s, want %d", target, name, got, want)
			}
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	for line, want := range map[string]bool{
		"": false, "gzip": true, "GZIP": true, "x-gzip": true, "br": false, "gzip;q=0": false, "gzip; q=0.0": false,
		"gzip;q=1": true, "*": true, "*;q=0": false, "*, gzip;q=0": false, "identity, gzip ; q=0.2": true,
		"gzip;q=often": true, "gzipped": false, ",,": false,
	} {
		if got := acceptsGzip([]string{line}); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
	if acceptsGzip(nil) {
		t.Error("no Accept-Encoding got gzip")
	}
	if !acceptsGzip([]string{"br", "gzip"}) {
		t.Error("the second line was not read")
	}
}

func TestHeadHasTheHeadersOfGet(t *testing.T) {
	h := Handler(testConfig())
	for _, encoding := range []string{"identity", "gzip"} {
		want := get(h, http.MethodGet, "/style.css", "Accept-Encoding", encoding)
		got := get(h, http.MethodHead, "/style.css", "Accept-Encoding", encoding)
		if body := readBody(t, got); len(body) != 0 {
			t.Errorf("HEAD has a body of %d bytes", len(body))
		}
		for name := range want.Header {
			if got.Header.Get(name) != want.Header.Get(name) {
				t.Errorf("%s: HEAD %q, GET %q", name, got.Header.Get(name), want.Header.Get(name))
			}
		}
	}
}

func TestUnchangedFilesAreNotSentAgain(t *testing.T) {
	h := Handler(testConfig())
	tag := get(h, http.MethodGet, "/", "Accept-Encoding", "gzip").Header.Get("ETag")
	for sent, want := range map[string]int{
		tag: 304, "W/" + tag: 304, `"other", ` + tag: 304, "*": 304, `"other"`: 200, strings.Trim(tag, `"`): 200,
	} {
		res := get(h, http.MethodGet, "/", "Accept-Encoding", "gzip", "If-None-Match", sent)
		if res.StatusCode != want {
			t.Errorf("If-None-Match %s: status %d, want %d", sent, res.StatusCode, want)
		}
		if want == 304 && (len(readBody(t, res)) != 0 || res.Header.Get("ETag") != tag) {
			t.Errorf("If-None-Match %s: a 304 with a body or without the ETag", sent)
		}
	}
	// The identity representation is another one.
	if res := get(h, http.MethodGet, "/", "If-None-Match", tag); res.StatusCode != 200 {
		t.Errorf("the gzip ETag matched the plain file: %d", res.StatusCode)
	}
}

func TestPlayersAreCachedByTheirDigest(t *testing.T) {
	h := Handler(testConfig())
	var page struct {
		Players []struct{ ID, URL string }
	}
	if err := json.Unmarshal(readBody(t, get(h, http.MethodGet, "/config.json")), &page); err != nil {
		t.Fatal(err)
	}
	if len(page.Players) != 3 {
		t.Fatalf("%d players", len(page.Players))
	}
	for _, p := range page.Players {
		res := get(h, http.MethodGet, "/"+p.URL)
		if got := res.Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
			t.Errorf("%s: Cache-Control %q", p.URL, got)
		}
		if got := get(h, http.MethodGet, "/"+p.URL+"0").Header.Get("Cache-Control"); got != "no-cache" {
			t.Errorf("%s with another digest: Cache-Control %q", p.URL, got)
		}
	}
}

func TestOtherPathsAreNotFound(t *testing.T) {
	h := Handler(testConfig())
	for _, target := range []string{
		"/js", "/js/", "/players", "/players/", "/page/index.html", "/handler.go", "/players/players.json",
		"/players/update.sh", "/players/hls-1.7.4.js.gz", "//", "//style.css", "/./style.css", "/js/../style.css",
		"/../handler.go", "/%2e%2e/handler.go", "/js%2fapp.js%00", "/..%5chandler.go", "/style.css/",
	} {
		res := get(h, http.MethodGet, target)
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d", target, res.StatusCode)
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: refused without the security headers", target)
		}
	}
}

func TestOtherMethodsAreRefused(t *testing.T) {
	h := Handler(testConfig())
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, "BREW"} {
		res := get(h, method, "/")
		if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: status %d, Allow %q", method, res.StatusCode, res.Header.Get("Allow"))
		}
	}
}

func TestMountedBelowAPrefix(t *testing.T) {
	h := http.StripPrefix("/watch/me:now", Handler(testConfig()))
	if res := get(h, http.MethodGet, "/watch/me:now/style.css"); res.StatusCode != 200 {
		t.Errorf("a file: status %d", res.StatusCode)
	}
	res := get(h, http.MethodGet, "/watch/me:now")
	if got := res.Header.Get("Location"); res.StatusCode != 308 || got != "./me:now/" {
		t.Errorf("without the slash: status %d, Location %q", res.StatusCode, got)
	}
}

func TestPageConfigIsWhatTheOperatorGave(t *testing.T) {
	var page map[string]any
	if err := json.Unmarshal(readBody(t, get(Handler(testConfig()), http.MethodGet, "/config.json")), &page); err != nil {
		t.Fatal(err)
	}
	stream := page["streams"].([]any)[0].(map[string]any)
	if page["title"] != "Test <title>" || stream["name"] != "One" || stream["scheme"] != "cbcs" || stream["note"] != "</script>" {
		t.Errorf("config.json: %v", page)
	}
	empty := readBody(t, get(Handler(Config{}), http.MethodGet, "/config.json"))
	if string(empty) != `{"title":"caddy-drm","streams":[],"players":[]}` {
		t.Errorf("an empty configuration: %s", empty)
	}
}

func TestBrokenPlayersAreReportedAndLeftOut(t *testing.T) {
	list := []byte(`[{"id":"hls","name":"hls.js","version":"1","file":"hls.js","notice":"hls.txt"}]`)
	for name, c := range map[string]struct {
		files fstest.MapFS
		want  string
	}{
		"no list":         {fstest.MapFS{}, "reading the players"},
		"not JSON":        {fstest.MapFS{"players.json": {Data: []byte("{")}}, "parsing players.json"},
		"no script":       {fstest.MapFS{"players.json": {Data: list}}, "reading the script"},
		"not gzip":        {fstest.MapFS{"players.json": {Data: list}, "hls.js.gz": {Data: []byte("no")}}, "inflating hls.js"},
		"a gzip bomb":     {fstest.MapFS{"players.json": {Data: list}, "hls.js.gz": {Data: zeros(t, maxAssetBytes+1)}}, "more than"},
		"no license text": {fstest.MapFS{"players.json": {Data: list}, "hls.js.gz": {Data: zeros(t, 1)}}, "reading the license"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Players: c.files}
			if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Validate: %v, want %q", err, c.want)
			}
			h := Handler(cfg)
			if res := get(h, http.MethodGet, "/"); res.StatusCode != 200 {
				t.Errorf("the page: status %d", res.StatusCode)
			}
			if body := readBody(t, get(h, http.MethodGet, "/config.json")); !bytes.Contains(body, []byte(`"players":[]`)) {
				t.Errorf("config.json: %s", body)
			}
		})
	}
}

// zeros returns n zero bytes, gzipped.
func zeros(t *testing.T, n int) []byte {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	if _, err := zw.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestStreamsAreValidated(t *testing.T) {
	for name, c := range map[string]struct {
		streams []Stream
		want    string // part of the error; empty for none
	}{
		"DASH alone":          {[]Stream{{Name: "a", DASH: "https://m.example/a.mpd?x=1"}}, ""},
		"HLS alone, relative": {[]Stream{{Name: "a", HLS: "../a.m3u8", Scheme: "cenc"}}, ""},
		"no name":             {[]Stream{{DASH: "/a.mpd"}}, "needs a name"},
		"no manifest":         {[]Stream{{Name: "a"}}, "needs the URL"},
		"the same name twice": {[]Stream{{Name: "a", HLS: "/a"}, {Name: "a", HLS: "/b"}}, "this name is taken"},
		"an unknown scheme":   {[]Stream{{Name: "a", HLS: "/a", Scheme: "cens"}}, `scheme "cens"`},
		"a script as URL":     {[]Stream{{Name: "a", HLS: "javascript:alert(1)"}}, "must be http"},
		"a file as URL":       {[]Stream{{Name: "a", DASH: "file:///etc/passwd"}}, "must be http"},
		"credentials":         {[]Stream{{Name: "a", DASH: "https://me:secret@m.example/a.mpd"}}, "without credentials"},
		"not a URL":           {[]Stream{{Name: "a", DASH: "https://m.example/%zz?sig=secret"}}, "cannot be parsed"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Config{Streams: c.streams}.Validate()
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error holds a part of a signed URL: %v", err)
			}
		})
	}
}
