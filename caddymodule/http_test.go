package caddymodule

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"path"
	"strings"
	"testing"
)

const plainSite = `
http://:PORT {
	root TESTDATA
	drm {
		license_server clearkey
	}
	file_server
}
`

// TestEveryLinkIsServedAndProtected follows each URL of the demo titles' manifests, in both schemes.
func TestEveryLinkIsServedAndProtected(t *testing.T) {
	g := startGateway(t, plainSite)
	for _, title := range []string{"demo", "demo-av1"} {
		for _, name := range []string{"manifest.mpd", "master.m3u8"} {
			for _, scheme := range []string{"cenc", "cbcs"} {
				t.Run(title+" "+name+" "+scheme, func(t *testing.T) {
					links := g.links(t, "/"+title+"/"+name+"?drm="+scheme)
					counts := make(map[string]int)
					for _, l := range links {
						counts[l.kind]++
						checkLink(t, g, l, map[string]int{"cenc": pieceOfCenc, "cbcs": pieceOfCbcs}[scheme])
					}
					if counts["media"] < 18 || counts["init"] != 3 || counts["text"] != 1 || counts["license"] == 0 {
						t.Errorf("links: %v", counts)
					}
				})
			}
		}
	}
}

func checkLink(t *testing.T, g *gateway, l link, piece int) {
	t.Helper()
	wantTypes := map[string]string{".m3u8": "application/vnd.apple.mpegurl", ".vtt": "text/vtt; charset=utf-8"}
	if l.kind == "license" {
		checkLicense(t, g, l.url)
		return
	}
	res := g.mustGet(t, l.url)
	if res.header.Get("Access-Control-Allow-Origin") != "*" || res.header.Get("Server") == "" {
		t.Errorf("%s: header %v", l.url, res.header)
	}
	if l.kind == "key" {
		if len(res.body) != 16 || res.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d bytes, header %v", l.url, len(res.body), res.header)
		}
		return
	}
	clean := l.cleanPath(t)
	clear := clearFile(t, strings.TrimPrefix(clean, "/"))
	want := wantTypes[path.Ext(clean)]
	if l.isMedia() {
		want = map[bool]string{true: "video/mp4", false: "audio/mp4"}[strings.Contains(clean, "/video/")]
	}
	if got := res.header.Get("Content-Type"); got != want {
		t.Errorf("%s: Content-Type %q, want %q", l.url, got, want)
	}
	if equal := bytes.Equal(res.body, clear); equal != (l.kind == "text") {
		t.Errorf("%s: equals the clear file: %v", l.url, equal)
	}
	if l.kind == "media" && leaks(res.body, clear, piece) {
		t.Errorf("%s: holds clear sample bytes", l.url)
	}
	if etag := res.header.Get("ETag"); len(etag) < 20 || etag[0] != '"' {
		t.Errorf("%s: ETag %q", l.url, etag)
	}
}

// Pieces of plaintext that no protected segment may hold. The pattern of cbcs encrypts one block of ten (23001-7, 9.6), so
// that shorter pieces are in clear by intent.
const (
	pieceOfCenc = 64
	pieceOfCbcs = 352
)

// leaks looks for size consecutive bytes of the second half of the clear mdat.
func leaks(out, clear []byte, size int) bool {
	mdat := bytes.Index(clear, []byte("mdat"))
	media := clear[mdat+4:]
	for at := len(media) / 2; at+size <= len(media); at += 997 {
		if piece := media[at : at+size]; !isUniform(piece) && bytes.Contains(out, piece) {
			return true
		}
	}
	return false
}

func isUniform(b []byte) bool { return bytes.Count(b, b[:1]) > len(b)/2 }

func checkLicense(t *testing.T, g *gateway, target string) {
	t.Helper()
	target, query, _ := strings.Cut(target, "?")
	request := `{"kids":[],"type":"temporary"}`
	if kid := strings.TrimPrefix(query, "kid="); kid != "" {
		request = `{"kids":["` + base64.RawURLEncoding.EncodeToString(unhex(t, kid)) + `"],"type":"temporary"}`
		target += "?" + query
	}
	res := g.sendBody(t, http.MethodPost, target, []byte(request), "Content-Type", "application/json")
	if query == "" { // an MPD's license URL does not say which KID
		if res.status == http.StatusNotFound {
			t.Errorf("POST %s = %d %s", target, res.status, res.reason())
		}
		return
	}
	var license struct {
		Keys []struct{ K, Kid, Kty string }
	}
	if err := json.Unmarshal(res.body, &license); err != nil || res.status != http.StatusOK || len(license.Keys) != 1 || len(license.Keys[0].K) != 22 {
		t.Errorf("POST %s = %d %s %s", target, res.status, res.reason(), res.body)
	}
}

// TestRepresentationSemantics holds answers to RFC 9110: HEAD, ranges and conditionals about our own bytes.
func TestRepresentationSemantics(t *testing.T) {
	g := startGateway(t, plainSite)
	links := g.links(t, "/demo/manifest.mpd")
	segment := linkTo(t, links, "media", "/video/360p/seg_2.m4s").url
	whole := g.mustGet(t, segment)
	etag, size := whole.header.Get("ETag"), len(whole.body)
	if again := g.mustGet(t, segment); again.header.Get("ETag") != etag || !bytes.Equal(again.body, whole.body) {
		t.Error("the second fetch differs from the first")
	}
	if got := whole.header.Get("Cache-Control"); got != "private, max-age=3600" {
		t.Errorf("Cache-Control %q", got)
	}
	head := g.send(t, http.MethodHead, segment)
	if head.status != 200 || len(head.body) != 0 || head.header.Get("Content-Length") != fmt.Sprint(size) || head.header.Get("ETag") != etag {
		t.Errorf("HEAD = %d, %v", head.status, head.header)
	}
	origin := `"` + "abc" + `"` // what an origin might have said
	for name, test := range map[string]struct {
		header     []string
		status     int
		start, end int // of the body that is wanted
	}{
		"first bytes":                        {[]string{"Range", "bytes=0-99"}, 206, 0, 100},
		"in the middle of a box":             {[]string{"Range", "bytes=1000-1016"}, 206, 1000, 1017},
		"the end":                            {[]string{"Range", "bytes=-7"}, 206, size - 7, size},
		"open at the end":                    {[]string{"Range", fmt.Sprintf("bytes=%d-", size-33)}, 206, size - 33, size},
		"beyond the end":                     {[]string{"Range", fmt.Sprintf("bytes=%d-", size)}, 416, 0, -1},
		"numbers that overflow":              {[]string{"Range", "bytes=18446744073709551615-18446744073709551616"}, 416, 0, -1},
		"another unit":                       {[]string{"Range", "seconds=0-1"}, 416, 0, -1},
		"two Range fields":                   {[]string{"Range", "bytes=0-1", "Range", "bytes=2-3"}, 200, 0, size},
		"If-Range with our ETag":             {[]string{"Range", "bytes=5-9", "If-Range", etag}, 206, 5, 10},
		"If-Range with another ETag":         {[]string{"Range", "bytes=5-9", "If-Range", origin}, 200, 0, size},
		"If-None-Match with our ETag":        {[]string{"If-None-Match", etag}, 304, 0, 0},
		"If-None-Match weakly":               {[]string{"If-None-Match", "W/" + etag}, 304, 0, 0},
		"If-None-Match with any":             {[]string{"If-None-Match", "*"}, 304, 0, 0},
		"If-None-Match with another ETag":    {[]string{"If-None-Match", origin}, 200, 0, size},
		"If-Modified-Since says nothing":     {[]string{"If-Modified-Since", "Fri, 31 Dec 2038 00:00:00 GMT"}, 200, 0, size},
		"If-Unmodified-Since says nothing":   {[]string{"If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"}, 200, 0, size},
		"If-Match with another ETag":         {[]string{"If-Match", origin}, 412, 0, -1},
		"Accept-Encoding changes no segment": {[]string{"Accept-Encoding", "gzip, br, zstd"}, 200, 0, size},
	} {
		t.Run(name, func(t *testing.T) {
			res := g.get(t, segment, test.header...)
			if res.status != test.status {
				t.Fatalf("status %d, want %d", res.status, test.status)
			}
			if test.end >= test.start && !bytes.Equal(res.body, whole.body[test.start:test.end]) {
				t.Errorf("%d bytes, not those of [%d, %d)", len(res.body), test.start, test.end)
			}
			if res.header.Get("Access-Control-Allow-Origin") != "*" || res.header.Get("Last-Modified") != "" || res.header.Get("Content-Encoding") != "" {
				t.Errorf("header %v", res.header)
			}
		})
	}
}

func TestManyRanges(t *testing.T) {
	g := startGateway(t, plainSite)
	segment := linkTo(t, g.links(t, "/demo/manifest.mpd"), "media", "/video/180p/seg_1.m4s").url
	whole := g.mustGet(t, segment)
	for name, test := range map[string]struct {
		ranges string
		status int
	}{
		"a few":                        {"0-9,20-29,40-49", 206},
		"a thousand that overlap":      {strings.Repeat("0-,", 999) + "0-", 200},
		"two thousand tiny":            {strings.Repeat("5-5,", 1999) + "5-5", 200},
		"overlapping, above the whole": {"0-,0-,0-", 200},
	} {
		t.Run(name, func(t *testing.T) {
			res := g.get(t, segment, "Range", "bytes="+test.ranges)
			if res.status != test.status {
				t.Fatalf("status %d, want %d", res.status, test.status)
			}
			if test.status == 200 {
				if !bytes.Equal(res.body, whole.body) {
					t.Error("not the whole body")
				}
				return
			}
			_, params, err := mime.ParseMediaType(res.header.Get("Content-Type"))
			if err != nil {
				t.Fatal(err)
			}
			parts := multipart.NewReader(bytes.NewReader(res.body), params["boundary"])
			for _, start := range []int{0, 20, 40} {
				part, err := parts.NextPart()
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(part); err != nil || !bytes.Equal(got, whole.body[start:start+10]) {
					t.Errorf("part at %d differs: %v", start, err)
				}
			}
		})
	}
}

// TestMethods covers row 8 of the hostile inputs: nothing but GET and HEAD gets through, and POST to a license.
func TestMethods(t *testing.T) {
	asked := &scriptedOrigin{}
	g := startGateway(t, proxySite, "ORIGIN", asked.start(t))
	links := g.links(t, "/demo/manifest.mpd")
	segment, license := linkTo(t, links, "media", "/video/360p/seg_1.m4s").url, linkTo(t, links, "license", "").url
	asked.forget()
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "MKCOL", "get"} {
		for _, target := range []string{"/demo/manifest.mpd", "/demo/master.m3u8", segment} {
			res := g.send(t, method, target, "X-HTTP-Method-Override", "GET")
			if res.status != 405 || res.reason() != "method_not_allowed" || res.header.Get("Allow") != "GET, HEAD, OPTIONS" {
				t.Errorf("%s %s = %d %s", method, target, res.status, res.header)
			}
		}
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
		if res := g.send(t, method, license); res.status != 405 || res.header.Get("Allow") != "POST, OPTIONS" {
			t.Errorf("%s license = %d %s", method, res.status, res.header)
		}
	}
	if seen := asked.seen(); len(seen) > 0 {
		t.Errorf("the origin was asked for %v", seen)
	}
	for _, override := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		res := g.get(t, "/demo/manifest.mpd", override, "DELETE")
		if res.status != 200 {
			t.Errorf("%s: %d", override, res.status)
		}
	}
	for _, r := range asked.seen() {
		if r.Method != http.MethodGet || r.Header.Get("X-Http-Method-Override") != "" {
			t.Errorf("the origin was sent %s with %v", r.Method, r.Header)
		}
	}
}

func TestPreflightAndCORS(t *testing.T) {
	asked := &scriptedOrigin{}
	g := startGateway(t, proxySite+`
http://listed.test:PORT {
	drm {
		license_server clearkey
		cors https://play.example.com
		token signed {
			key {env.TEST_TOKEN_SECRET}
		}
		token_from header X-Play-Token
	}
	reverse_proxy ORIGIN
}
`, "ORIGIN", asked.start(t))
	listed := "listed.test:" + g.port
	t.Run("a preflight is answered without the origin", func(t *testing.T) {
		for _, target := range []string{"/demo/manifest.mpd", "/nothing", "/demo/.drm/clearkey/x"} {
			res := g.send(t, http.MethodOptions, target, "Origin", "https://any.example", "Access-Control-Request-Method", "GET")
			if res.status != 204 || res.header.Get("Access-Control-Allow-Origin") != "*" ||
				!strings.Contains(res.header.Get("Access-Control-Allow-Methods"), "POST") ||
				!strings.Contains(res.header.Get("Access-Control-Allow-Headers"), "Range") {
				t.Errorf("OPTIONS %s = %d %v", target, res.status, res.header)
			}
		}
		if seen := asked.seen(); len(seen) > 0 {
			t.Errorf("the origin was asked for %v", seen)
		}
	})
	t.Run("a listed origin may read refusals, with credentials", func(t *testing.T) {
		res := g.get(t, "/demo/manifest.mpd", "Host", listed, "Origin", "https://play.example.com")
		if res.status != 401 || res.header.Get("Access-Control-Allow-Origin") != "https://play.example.com" ||
			res.header.Get("Access-Control-Allow-Credentials") != "true" || !strings.Contains(res.header.Get("Access-Control-Expose-Headers"), "Drm-Reason") {
			t.Errorf("%d %v", res.status, res.header)
		}
		preflight := g.send(t, http.MethodOptions, "/demo/manifest.mpd", "Host", listed, "Origin", "https://play.example.com")
		if !strings.Contains(preflight.header.Get("Access-Control-Allow-Headers"), "X-Play-Token") {
			t.Errorf("preflight: %v", preflight.header)
		}
	})
	t.Run("another origin may not", func(t *testing.T) {
		for _, origin := range []string{"https://evil.example", "https://play.example.com.evil.example", "null", ""} {
			res := g.get(t, "/demo/manifest.mpd", "Host", listed, "Origin", origin)
			if res.header.Get("Access-Control-Allow-Origin") != "" || !strings.Contains(res.header.Get("Vary"), "Origin") {
				t.Errorf("%s: %v", origin, res.header)
			}
		}
	})
	t.Run("a refusal says why in a header and a problem", func(t *testing.T) {
		res := g.get(t, "/demo/video/360p/seg_1.m4s", "Origin", "https://any.example")
		var problem struct {
			Status int
			Reason string
		}
		if err := json.Unmarshal(res.body, &problem); err != nil || problem.Status != 404 || problem.Reason != "not_found" || res.status != 404 {
			t.Errorf("%d %s %v", res.status, res.body, err)
		}
		if res.header.Get("Content-Type") != "application/problem+json" || res.header.Get("Cache-Control") != "no-store" ||
			res.header.Get("Access-Control-Allow-Origin") != "*" || res.reason() != "not_found" {
			t.Errorf("%v", res.header)
		}
	})
}

// TestEncodeInFront holds `encode` to coding manifests only, after they were rewritten.
func TestEncodeInFront(t *testing.T) {
	g := startGateway(t, `
http://:PORT {
	encode gzip
	root TESTDATA
	drm {
		license_server clearkey
	}
	file_server
}
`)
	plain := g.mustGet(t, "/demo/master.m3u8", "User-Agent", "x")
	coded := g.mustGet(t, "/demo/master.m3u8", "User-Agent", "x", "Accept-Encoding", "gzip")
	if coding := coded.header.Get("Content-Encoding"); coding == "gzip" {
		if got := gunzip(t, coded.body); !bytes.Equal(got, plain.body) {
			t.Error("the coded playlist is another one")
		}
	} else if !bytes.Equal(coded.body, plain.body) {
		t.Error("the playlist is another one")
	}
	mpd := g.mustGet(t, "/demo/manifest.mpd", "Accept-Encoding", "gzip")
	if mpd.header.Get("Content-Encoding") == "gzip" {
		mpd.body = gunzip(t, mpd.body)
	}
	segment := linkTo(t, mpdLinks(t, "http://"+g.addr+"/demo/manifest.mpd", mpd.body), "media", "/audio/en/seg_3.m4s").url
	res := g.mustGet(t, segment, "Accept-Encoding", "gzip")
	if res.header.Get("Content-Encoding") != "" || !bytes.Equal(res.body, g.mustGet(t, segment).body) {
		t.Errorf("a segment is coded: %v", res.header)
	}
}
