package caddymodule

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// faulty is an answer of an origin that must not become an answer of ours.
type faulty struct {
	name   string
	status int // wanted
	answer func(w http.ResponseWriter, good []byte)
}

// cutOff sends the header of a whole answer and less than its body.
func cutOff(w http.ResponseWriter, good []byte, keep int) {
	w.Header().Set("Content-Length", strconv.Itoa(len(good)))
	_, _ = w.Write(good[:keep])
	panic(http.ErrAbortHandler)
}

func segmentFaults(t *testing.T) []faulty {
	t.Helper()
	status := func(code int) func(http.ResponseWriter, []byte) {
		return func(w http.ResponseWriter, good []byte) { w.WriteHeader(code); _, _ = w.Write(good) }
	}
	send := func(edit func(good []byte) []byte) func(http.ResponseWriter, []byte) {
		return func(w http.ResponseWriter, good []byte) {
			body := edit(bytes.Clone(good))
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = w.Write(body)
		}
	}
	return []faulty{
		{"301", 502, func(w http.ResponseWriter, _ []byte) { w.Header().Set("Location", "/clear.m4s"); w.WriteHeader(301) }},
		{"307", 502, func(w http.ResponseWriter, _ []byte) { w.Header().Set("Location", "http://x/"); w.WriteHeader(307) }},
		{"304", 502, func(w http.ResponseWriter, _ []byte) { w.WriteHeader(304) }},
		{"204", 502, func(w http.ResponseWriter, _ []byte) { w.WriteHeader(204) }},
		{"203", 502, status(203)}, {"400", 502, status(400)}, {"401", 502, status(401)}, {"403", 502, status(403)},
		{"404", 404, status(404)}, {"410", 404, status(410)}, {"429", 503, status(429)}, {"500", 502, status(500)}, {"503", 503, status(503)},
		{"an unasked 206", 502, func(w http.ResponseWriter, good []byte) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-99/%d", len(good)))
			w.WriteHeader(206)
			_, _ = w.Write(good[:100])
		}},
		{"a body that breaks off", 502, func(w http.ResponseWriter, good []byte) { cutOff(w, good, len(good)/2) }},
		{"a body that breaks off at a byte from the end", 502, func(w http.ResponseWriter, good []byte) { cutOff(w, good, len(good)-1) }},
		{"a chunked body that breaks off", 502, func(w http.ResponseWriter, good []byte) {
			_, _ = w.Write(good[:len(good)/2])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}},
		{"an HTML page", 502, send(func([]byte) []byte { return []byte("<!DOCTYPE html><title>Sorry</title>") })},
		{"nothing", 502, send(func([]byte) []byte { return nil })},
		{"a truncated mdat", 502, send(func(good []byte) []byte { return good[:len(good)-1000] })},
		{"half of a box header", 502, send(func(good []byte) []byte { return append(good, 0, 0, 0) })},
		{"an init segment", 502, send(func([]byte) []byte { return clearFile(t, "demo/video/360p/init.mp4") })},
		{"gzip that is none", 502, func(w http.ResponseWriter, good []byte) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(good)
		}},
		{"gzip in gzip", 502, func(w http.ResponseWriter, good []byte) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(gzipped(t, gzipped(t, good)))
		}},
		{"a coding that was not asked for", 502, func(w http.ResponseWriter, good []byte) {
			w.Header().Set("Content-Encoding", "br")
			_, _ = w.Write(good)
		}},
		{"two codings", 502, func(w http.ResponseWriter, good []byte) {
			w.Header()["Content-Encoding"] = []string{"gzip", "gzip"}
			_, _ = w.Write(gzipped(t, gzipped(t, good)))
		}},
		{"a bomb", 502, func(w http.ResponseWriter, _ []byte) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(gzipped(t, make([]byte, 8<<20)))
		}},
		{"more than the limit, announced", 502, func(w http.ResponseWriter, _ []byte) { _, _ = w.Write(make([]byte, 3<<20)) }},
		{"more than the limit, chunked", 502, func(w http.ResponseWriter, good []byte) {
			for range 40 {
				_, _ = w.Write(make([]byte, 100<<10))
				_ = http.NewResponseController(w).Flush()
			}
		}},
		{"a trun of 2^32-1 samples", 502, send(func(good []byte) []byte {
			at := bytes.Index(good, []byte("trun"))
			binary.BigEndian.PutUint32(good[at+8:], 1<<32-1)
			return good
		})},
		{"samples that begin in the moof", 502, send(func(good []byte) []byte {
			at := bytes.Index(good, []byte("trun"))
			binary.BigEndian.PutUint32(good[at+12:], 8)
			return good
		})},
		{"a length of a NAL unit beyond its sample", 502, send(func(good []byte) []byte {
			at := bytes.Index(good, []byte("mdat"))
			binary.BigEndian.PutUint32(good[at+4:], 1<<31)
			return good
		})},
	}
}

// TestFaultsOfTheOrigin covers rows 13, 14, 16, 18, 19, 26 and 42: none of it becomes a 200, and none reaches the client.
func TestFaultsOfTheOrigin(t *testing.T) {
	origin := &scriptedOrigin{}
	g := startGateway(t, strings.Replace(proxySite, "drm {", "drm {\n\t\tmax_segment_size 2MiB\n\t\tmax_manifest_size 1MiB", 1), "ORIGIN", origin.start(t))
	const name = "demo/video/360p/seg_1.m4s"
	good := clearFile(t, name)
	target := linkTo(t, g.links(t, "/demo/manifest.mpd"), "media", "/"+name).url
	want := g.mustGet(t, target)
	for _, fault := range segmentFaults(t) {
		t.Run(fault.name, func(t *testing.T) {
			origin.play(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/"+name {
					return false
				}
				fault.answer(w, good)
				return true
			})
			res := g.get(t, target, "Origin", "https://play.example.com")
			if res.status != fault.status || res.header.Get("Cache-Control") != "no-store" || res.header.Get("ETag") != "" ||
				res.header.Get("Location") != "" || res.header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%d %s %v", res.status, res.reason(), res.header)
			}
			if leaks(res.body, good, 64) || bytes.Contains(res.body, []byte("Sorry")) || !bytes.Contains(res.body, []byte(`"reason"`)) {
				t.Errorf("body %.200q", res.body)
			}
			origin.play(nil)
			if again := g.mustGet(t, target); !bytes.Equal(again.body, want.body) || again.header.Get("ETag") == "" {
				t.Error("the fault was remembered")
			}
		})
	}
}

// TestFaultsInManifests covers rows 18, 21, 22 and 26 for manifests.
func TestFaultsInManifests(t *testing.T) {
	origin := &scriptedOrigin{}
	g := startGateway(t, strings.Replace(proxySite, "drm {", "drm {\n\t\tmax_manifest_size 1MiB", 1), "ORIGIN", origin.start(t))
	mpd, m3u := string(clearFile(t, "demo/manifest.mpd")), string(clearFile(t, "demo/master.m3u8"))
	protectedMPD := strings.Replace(mpd, `<Role `, `<ContentProtection schemeIdUri="urn:mpeg:dash:mp4protection:2011" value="cenc"/><Role `, 1)
	for name, test := range map[string]struct {
		body   string
		reason string
	}{
		"an HTML page as MPD":         {"<!DOCTYPE html><title>Sorry</title>", "manifest_malformed"},
		"an empty MPD":                {"", "manifest_malformed"},
		"an entity bomb":              {`<!DOCTYPE MPD [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>` + mpd[strings.Index(mpd, "<MPD"):], "manifest_malformed"},
		"a protected MPD":             {protectedMPD, "manifest_already_protected"},
		"a truncated MPD":             {mpd[:len(mpd)-40], "manifest_malformed"},
		"a deep MPD":                  {strings.Repeat("<a>", 100_000), "manifest_malformed"},
		"a large MPD":                 {mpd + strings.Repeat(" ", 1<<20), "origin_failed"},
		"an MPD with a remote Period": {strings.Replace(mpd, "<Period ", `<Period xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="http://x/" `, 1), "manifest_malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			origin.play(answerAt("/demo/manifest.mpd", test.body))
			if res := g.get(t, "/demo/manifest.mpd"); res.status != 502 || res.reason() != test.reason || bytes.Contains(res.body, []byte("Sorry")) {
				t.Errorf("%d %s %.200q", res.status, res.reason(), res.body)
			}
		})
	}
	for name, test := range map[string]struct {
		body   string
		reason string
	}{
		"an HTML page as playlist": {"<!DOCTYPE html><title>Sorry</title>", "manifest_malformed"},
		"an empty playlist":        {"", "manifest_malformed"},
		"a protected playlist":     {"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:2,\na.m4s\n", "manifest_already_protected"},
		"a large playlist":         {m3u + strings.Repeat("#\n", 1<<20), "origin_failed"},
	} {
		t.Run(name, func(t *testing.T) {
			origin.play(answerAt("/demo/master.m3u8", test.body))
			if res := g.get(t, "/demo/master.m3u8"); res.status != 502 || res.reason() != test.reason || bytes.Contains(res.body, []byte("Sorry")) {
				t.Errorf("%d %s %.200q", res.status, res.reason(), res.body)
			}
		})
	}
	t.Run("a compressed MPD is inflated", func(t *testing.T) {
		origin.play(nil)
		want := g.mustGet(t, "/demo/manifest.mpd")
		origin.play(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/demo/manifest.mpd" {
				return false
			}
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(gzipped(t, []byte(mpd)))
			return true
		})
		if res := g.mustGet(t, "/demo/manifest.mpd", "Accept-Encoding", "gzip"); !bytes.Equal(res.body, want.body) || res.header.Get("Content-Encoding") != "" {
			t.Errorf("%d bytes, %v", len(res.body), res.header)
		}
	})
	t.Run("a manifest whose init is gone is no manifest", func(t *testing.T) {
		origin.play(func(w http.ResponseWriter, r *http.Request) bool {
			switch r.URL.Path {
			case "/other/manifest.mpd":
				_, _ = w.Write([]byte(mpd))
			case "/other/video/360p/init.mp4":
				http.NotFound(w, r)
			default:
				return false
			}
			return true
		})
		if res := g.get(t, "/other/manifest.mpd"); res.status != 502 || res.reason() != "init_unavailable" {
			t.Errorf("%d %s", res.status, res.reason())
		}
	})
}

// answerAt answers one path with one body.
func answerAt(path, body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == path {
			_, _ = w.Write([]byte(body))
		}
		return r.URL.Path == path
	}
}

// TestHeadersOfTheOrigin covers rows 9 and 42: validators, cookies and links of the origin stay behind the gateway, and
// nothing of a client that could matter reaches it.
func TestHeadersOfTheOrigin(t *testing.T) {
	origin := &scriptedOrigin{}
	g := startGateway(t, proxySite, "ORIGIN", origin.start(t))
	links := g.links(t, "/demo/master.m3u8")
	hostile := map[string]string{
		"Set-Cookie": "origin=1", "Link": "</clear.m4s>; rel=alternate", "Content-Location": "/clear.m4s", "Alt-Svc": `h3=":444"`,
		"Location": "/clear.m4s", "Refresh": "0; url=/clear.m4s", "X-Origin": "bucket-7", "Content-Disposition": "attachment", "Age": "7",
		"Last-Modified": "Sat, 01 Jan 2022 00:00:00 GMT", "Content-Md5": "AAAA", "Digest": "sha-256=AAAA", "Access-Control-Allow-Origin": "https://x",
		"Cache-Control": "public, max-age=99", "Content-Type": "text/html", "Vary": "X-Origin", "Expires": "Sat, 01 Jan 2050 00:00:00 GMT",
	}
	const originTag = `"origin-etag-0123456789"`
	origin.play(func(w http.ResponseWriter, r *http.Request) bool {
		for name, value := range hostile {
			w.Header().Set(name, value)
		}
		w.Header().Set("ETag", originTag)
		if r.Header.Get("If-None-Match") != "" || r.Header.Get("Range") != "" {
			w.WriteHeader(http.StatusNotModified)
			return true
		}
		_, _ = w.Write(clearFile(t, strings.TrimPrefix(r.URL.Path, "/")))
		return true
	})
	for _, l := range []link{
		{url: "/demo/manifest.mpd"}, linkTo(t, links, "playlist", ""), linkTo(t, links, "init", ""), linkTo(t, links, "media", ""), linkTo(t, links, "text", ""),
	} {
		origin.forget()
		res := g.mustGet(t, l.url, "If-None-Match", originTag, "Cookie", "a=b", "Authorization", "Basic eDp5", "X-Forwarded-For", "1.2.3.4", "X-Api-Key", "k")
		for name, value := range hostile {
			if res.header.Get(name) == value {
				t.Errorf("%s: %s of the origin passed", l.url, name)
			}
		}
		if etag := res.header.Get("ETag"); etag == originTag || etag == "" {
			t.Errorf("%s: ETag %s", l.url, etag)
		}
		if again := g.get(t, l.url, "If-None-Match", res.header.Get("ETag")); again.status != http.StatusNotModified || len(again.body) > 0 {
			t.Errorf("%s: %d for our own ETag", l.url, again.status)
		}
		for _, asked := range origin.seen() {
			for _, name := range []string{"Cookie", "Authorization", "If-None-Match", "Range", "X-Api-Key", "Origin"} {
				if asked.Header.Get(name) != "" {
					t.Errorf("%s: %s reached the origin", l.url, name)
				}
			}
			if got := asked.Header.Get("Accept-Encoding"); got != "identity" {
				t.Errorf("%s: the origin was asked for the coding %q", l.url, got)
			}
		}
	}
}

// TestLiveSegmentBreaksOff: an answer of which a chunk has left cannot be taken back. The connection breaks, so that nobody
// takes what came for the whole segment.
func TestLiveSegmentBreaksOff(t *testing.T) {
	origin := &scriptedOrigin{}
	g := startGateway(t, proxySite, "ORIGIN", origin.start(t))
	const name = "demo/video/360p/seg_1.m4s"
	good := clearFile(t, name)
	target := linkTo(t, g.links(t, "/demo/manifest.mpd"), "media", "/"+name).url
	want := g.mustGet(t, target)
	for what, tail := range map[string]string{
		"half of a box header": "\x00\x00\x00", "half of a chunk": string(good[:len(good)/2]), "a box that is not allowed": "\x00\x00\x00\x08evil",
	} {
		t.Run(what, func(t *testing.T) {
			origin.play(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/"+name {
					return false
				}
				_, _ = w.Write(good)
				_ = http.NewResponseController(w).Flush()
				_, _ = io.WriteString(w, tail)
				return true
			})
			res, err := g.client.Get(target)
			if err != nil {
				return // broken off before the header was read
			}
			defer func() { _ = res.Body.Close() }()
			body, err := io.ReadAll(res.Body)
			if err == nil || !bytes.HasPrefix(want.body, body) || res.Header.Get("ETag") != "" {
				t.Errorf("%d, %d bytes, error %v", res.StatusCode, len(body), err)
			}
		})
	}
}

// forgetInits makes the process one that has seen nothing yet.
func forgetInits() {
	sharedCaches().inits.Clear()
	sharedCaches().protectors.Clear()
	sharedCaches().edits.Clear()
}

// TestReplacedInit covers row 20: segments go with the init that their seal names, or not at all.
func TestReplacedInit(t *testing.T) {
	origin := &scriptedOrigin{}
	g := startGateway(t, proxySite, "ORIGIN", origin.start(t))
	path := "/demo/video/360p/init.mp4"
	first := g.links(t, "/demo/manifest.mpd")
	segment, init := linkTo(t, first, "media", "/360p/seg_1.m4s").url, linkTo(t, first, "init", path).url
	before := g.mustGet(t, segment)
	origin.play(answerAt(path, string(clearFile(t, "demo/video/180p/init.mp4"))))
	// A node that has not seen the old init cannot serve what belongs to it.
	forgetInits()
	for _, target := range []string{segment, init} {
		if res := g.get(t, target); res.status != 404 || res.reason() != "init_replaced" {
			t.Errorf("%d %s", res.status, res.reason())
		}
	}
	second := g.links(t, "/demo/manifest.mpd")
	if sealOf(t, linkTo(t, second, "init", path).url) == sealOf(t, init) {
		t.Error("the seal is the same for another init")
	}
	g.mustGet(t, linkTo(t, second, "init", path).url)
	origin.play(nil)
	forgetInits()
	if after := g.mustGet(t, segment); !bytes.Equal(after.body, before.body) {
		t.Error("with the old init back, the segment is another one")
	}
}

// TestReplacedSegment covers row 3: other content under the same URL shares no keystream with what was there before.
func TestReplacedSegment(t *testing.T) {
	origin := &scriptedOrigin{}
	g := startGateway(t, strings.Replace(proxySite, "drm {", "drm {\n\t\tscheme cenc", 1), "ORIGIN", origin.start(t))
	const name = "demo/video/360p/seg_1.m4s"
	clear := clearFile(t, name)
	target := linkTo(t, g.links(t, "/demo/manifest.mpd"), "media", "/"+name).url
	before := g.mustGet(t, target)
	changed := bytes.Clone(clear)
	changed[len(changed)-5] ^= 1
	origin.play(answerAt("/"+name, string(changed)))
	after := g.mustGet(t, target)
	if after.header.Get("ETag") == before.header.Get("ETag") || len(after.body) != len(before.body) {
		t.Fatal("the replaced segment is taken for the old one")
	}
	half := len(after.body) / 2
	if same := bytes.Equal(after.body[half:half+64], before.body[half:half+64]); same {
		t.Error("one keystream for two contents")
	}
}
