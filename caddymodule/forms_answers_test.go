package caddymodule

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/address"
)

// TestOneBodyInEveryForm covers rows 5 to 9, 11 and 12 for all forms: one body and one ETag, over HTTP/1.1 and HTTP/2, from the
// segment cache and without it; every range is a slice of it, whichever request comes first. No answer holds clear bytes, the
// origin sees plain GETs alone, and nothing but GET and HEAD is answered.
func TestOneBodyInEveryForm(t *testing.T) {
	o, origin := newFormsOrigin(t)
	bodies, tags := make(map[string][]byte), make(map[string]string)
	for _, cache := range []string{"off", "16MiB"} {
		g := newGateway(t, "ORIGIN", origin)
		global := strings.Replace(globalBlock, "admin off", "admin off\n\tservers {\n\t\tprotocols h1 h2c\n\t}", 1)
		g.load(t, strings.Replace(global, "segment_cache off", "segment_cache "+cache, 1)+formsSite)
		for protocol, client := range map[string]*http.Client{"HTTP/1.1": g.client, "HTTP/2": overHTTP2(t)} {
			g.client = client
			for _, f := range allForms() {
				t.Run(f.name+", "+protocol+", segment_cache "+cache, func(t *testing.T) {
					o.play(o.files)
					if f.growing {
						o.fault(t, f.file, grow)
					}
					target := f.find(t, g)
					forgetSegments(t)
					o.forget()
					whole := g.mustGet(t, target, "If-None-Match", `"none"`) // a growing segment has an ETag once it is there to its end
					clear := o.clearBytes(t, f)
					if f.piece > 0 && !f.holds(clear, clear) {
						t.Fatal("there is nothing to look for")
					}
					if f.holds(whole.body, clear) || f.piece > 0 && bytes.Equal(whole.body, clear) || f.piece == 0 && !bytes.Equal(whole.body, clear) {
						t.Error("clear bytes, or other bytes than those that pass")
					}
					etag := whole.header.Get("ETag")
					if earlier, ok := bodies[f.name]; ok && (!bytes.Equal(earlier, whole.body) || tags[f.name] != etag) {
						t.Error("another body, or another ETag, than by another protocol or without the cache")
					}
					bodies[f.name], tags[f.name] = whole.body, etag
					checkSlices(t, g, target, f, whole, clear)
					checkMethods(t, g, target)
					for _, name := range []string{"", "?x", "/", ";x", ".bak", "%00.vtt"} { // rows 6 and 7: without its seal it is nowhere
						clean := link{url: target}.cleanPath(t) + name
						if res := g.get(t, clean); res.status != 404 || res.reason() != "not_found" {
							t.Errorf("%s: %d %s", clean, res.status, res.reason())
						}
					}
					for _, asked := range o.seen() {
						if asked.Method != http.MethodGet || asked.Header.Get("If-Range") != "" || asked.Header.Get("If-None-Match") != "" ||
							strings.Contains(asked.Header.Get("Range"), ",") || f.whole && asked.URL.Path == f.file && asked.Header.Get("Range") != "" {
							t.Errorf("the origin was asked %s %s %v", asked.Method, asked.URL.Path, asked.Header)
						}
					}
				})
			}
		}
	}
}

// overHTTP2 is a client that speaks HTTP/2 without TLS.
func overHTTP2(t *testing.T) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{DisableCompression: true, Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// checkSlices asks for parts of a body, and under conditions. Before each, the segment is forgotten.
func checkSlices(t *testing.T, g *gateway, target string, f form, whole reply, clear []byte) {
	t.Helper()
	n, etag := len(whole.body), whole.header.Get("ETag")
	const theirs = `"origin-1"`
	for _, test := range []struct {
		header     []string
		status     int
		start, end int
	}{
		{nil, 200, 0, n},
		{[]string{"Range", "bytes=0-0"}, 206, 0, 1},
		{[]string{"Range", "bytes=3-18"}, 206, 3, 19}, // over the border of a box header and of a cipher block
		{[]string{"Range", fmt.Sprintf("bytes=%d-%d", n/2, n/2+40)}, 206, n / 2, n/2 + 41},
		{[]string{"Range", "bytes=-17"}, 206, n - 17, n},
		{[]string{"Range", fmt.Sprintf("bytes=%d-", n-1)}, 206, n - 1, n},
		{[]string{"Range", fmt.Sprintf("bytes=%d-", n)}, 416, 0, 0},
		{[]string{"Range", "bytes=18446744073709551615-18446744073709551616"}, 416, 0, 0},
		{[]string{"Range", "bytes=0-0" + strings.Repeat(",1-1", 2000)}, 200, 0, n},
		{[]string{"Range", "bytes=5-9", "If-Range", etag}, 206, 5, 10},
		{[]string{"Range", "bytes=5-9", "If-Range", theirs}, 200, 0, n},
		{[]string{"If-None-Match", etag}, 304, 0, 0},
		{[]string{"If-None-Match", theirs}, 200, 0, n},
		{[]string{"If-Match", theirs}, 412, 0, 0},
		{[]string{"Accept-Encoding", "gzip, br, zstd"}, 200, 0, n},
	} {
		forgetSegments(t)
		res := g.get(t, target, test.header...)
		if res.status != test.status || res.header.Get("Content-Encoding") != "" {
			t.Errorf("%v: %d %s, want %d", test.header, res.status, res.reason(), test.status)
			continue
		}
		if test.end > test.start && !bytes.Equal(res.body, whole.body[test.start:test.end]) {
			t.Errorf("%v: %d bytes, not those of [%d, %d)", test.header, len(res.body), test.start, test.end)
		}
		if f.holds(res.body, clear) {
			t.Errorf("%v: clear bytes", test.header)
		}
	}
	forgetSegments(t)
	if res := g.send(t, http.MethodHead, target); res.status != 200 || res.header.Get("Content-Length") != fmt.Sprint(n) || res.header.Get("ETag") != etag {
		t.Errorf("HEAD: %d %v", res.status, res.header)
	}
}

func checkMethods(t *testing.T, g *gateway, target string) {
	t.Helper()
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"} {
		if res := g.send(t, method, target, "X-HTTP-Method-Override", "GET"); res.status != 405 || res.header.Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("%s: %d", method, res.status)
		}
	}
	if res := g.send(t, http.MethodOptions, target, "Origin", "https://a.example", "Access-Control-Request-Method", "GET"); res.status != 204 {
		t.Errorf("preflight: %d", res.status)
	}
}

// TestSealsOfFormsDoNotMove covers row 41: the seal of each address, put into each other one, opens nothing. What it makes may be
// an address that some manifest has: a seal of a template is for all its segments.
func TestSealsOfFormsDoNotMove(t *testing.T) {
	o, origin := newFormsOrigin(t)
	g := startGateway(t, formsSite, "ORIGIN", origin)
	known, targets := make(map[string]bool), make(map[string]string)
	for _, f := range allForms() {
		o.play(o.files)
		if !strings.HasPrefix(f.manifest, "/demo") && !strings.HasPrefix(f.manifest, "/x") {
			continue // a site of its own
		}
		for _, l := range g.links(t, f.manifest) {
			known[l.url] = true
		}
		targets[f.name] = f.find(t, g)
	}
	// The other tracks of the files too.
	for name, manifest := range map[string]string{"sound of the single files": "/x/single/a.m3u8?drm=cenc", "sound by template": "/demo/audio/en.m3u8?drm=cenc"} {
		links := g.links(t, manifest)
		for _, l := range links {
			known[l.url] = true
		}
		targets[name] = links[len(links)-1].url
	}
	moved := 0
	for from, one := range targets {
		for to, other := range targets {
			target := strings.Replace(other, sealOf(t, other), sealOf(t, one), 1)
			if known[target] {
				continue
			}
			moved++
			if res := g.get(t, target); res.status != 404 || res.reason() != "not_found" {
				t.Errorf("the seal of %s on %s: %d %s", from, to, res.status, res.reason())
			}
		}
	}
	if moved < 100 {
		t.Errorf("%d seals were moved", moved)
	}
	for name, target := range targets {
		for _, prefix := range []string{"/sample", "/whole", "/pass"} {
			path := pathOf(t, target)
			if res := g.get(t, prefix+path); res.status != 404 && prefix != "/sample" {
				t.Errorf("%s in the site of %s: %d %s", name, prefix, res.status, res.reason())
			}
		}
	}
}

// TestNumbersBeyondAnIndex covers row 41 for single files: a number stands for an entry of the index, in its one spelling.
func TestNumbersBeyondAnIndex(t *testing.T) {
	o, origin := newFormsOrigin(t)
	for _, cache := range []string{"off", "16MiB"} {
		g := newGateway(t, "ORIGIN", origin)
		g.load(t, strings.Replace(globalBlock, "segment_cache off", "segment_cache "+cache, 1)+formsSite)
		o.play(o.files)
		links := g.links(t, "/x/single/m.mpd?drm=cenc")
		media, init := linkTo(t, links, "media", "v.mp4").url, linkTo(t, links, "init", "v.mp4").url
		if !strings.Contains(media, "/~n.1/v.mp4") {
			t.Fatal(media)
		}
		number := func(text string) string {
			return strings.Replace(media, address.NumberElement("1"), address.NumberElement(text), 1)
		}
		last := g.mustGet(t, number("20"))
		for _, text := range []string{"21", "0", "01", "+1", "-1", "1.0", "1e0", "0x1", "%31%32%33", "4294967295", "4294967296", "4294967297", "18446744073709551617", "", " 1", "1;", "٣"} {
			if res := g.get(t, strings.ReplaceAll(number(text), " ", "%20")); res.status != 404 || res.reason() != "not_found" {
				t.Errorf("~n.%s: %d %s", text, res.status, res.reason())
			}
		}
		for name, target := range map[string]string{
			"two numbers":              strings.Replace(media, "~n.1/", "~n.1/~n.2/", 1),
			"a number without a seal":  "/x/single/~n.1/v.mp4",
			"in front of the seal":     strings.Replace(strings.Replace(media, "~n.1/", "", 1), "/x/single/", "/x/single/~n.1/", 1),
			"of another file":          strings.Replace(media, "v.mp4", "a.mp4", 1),
			"on a range's seal":        strings.Replace(linkTo(t, g.links(t, "/x/single/v.m3u8?drm=cenc"), "media", "v.mp4").url, "v.mp4", "~n.1/v.mp4", 1),
			"on the seal of a segment": strings.Replace(linkTo(t, g.links(t, "/demo/master.m3u8?drm=cenc"), "media", "seg_1.m4s").url, "seg_1", "~n.1/seg_1", 1),
		} {
			if res := g.get(t, target); res.status != 404 || res.reason() != "not_found" {
				t.Errorf("%s: %d %s", name, res.status, res.reason())
			}
		}
		if again := g.mustGet(t, init); bytes.Equal(again.body, last.body) || !bytes.Contains(again.body, []byte("encv")) {
			t.Error("without a number it is not the init segment")
		}
	}
}
