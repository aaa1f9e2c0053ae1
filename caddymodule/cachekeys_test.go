package caddymodule

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// cachedBlock is globalBlock with a cache of segments.
var cachedBlock = strings.Replace(globalBlock, "segment_cache off", "segment_cache 64MiB", 1)

// TestHostsOfOneTenantShareNoSegments: the origin may have a folder for each host.
func TestHostsOfOneTenantShareNoSegments(t *testing.T) {
	g := newGateway(t)
	const name = "demo/video/360p/seg_1.m4s"
	for _, host := range []string{"a.test", "b.test"} {
		if err := os.CopyFS(filepath.Join(g.dir, host, "demo"), os.DirFS(filepath.Join(testdata(t), "demo"))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(g.dir, "b.test", name), clearFile(t, "demo/video/360p/seg_2.m4s"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.load(t, cachedBlock+"\nhttp://:PORT {\n\tdrm {\n\t\ttenant shared\n\t\tscheme cenc\n\t\tlicense_server clearkey\n\t}\n\troot DIR/{host}\n\tfile_server\n}\n")
	target := linkTo(t, g.links(t, "/demo/manifest.mpd", "Host", "a.test"), "media", "/"+name).url
	target = target[strings.Index(target, "/demo"):]
	if bytes.Equal(g.mustGet(t, target, "Host", "a.test").body, g.mustGet(t, target, "Host", "b.test").body) {
		t.Error("one host is served the segment of the other")
	}
}

// TestYoungFilesAreKeptBriefly: a file that is still written is served as it was for youngTTL, and no longer.
func TestYoungFilesAreKeptBriefly(t *testing.T) {
	g := newGateway(t)
	g.load(t, cachedBlock+"\nhttp://:PORT {\n\tdrm {\n\t\tlicense_server clearkey\n\t}\n\troot DIR\n\tfile_server\n}\n")
	ts, err := os.ReadFile("../segcrypt/mpegts/testdata/avc-aac.ts")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(g.dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("p.m3u8", []byte("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\ns.ts\n"))
	write("s.ts", ts[:len(ts)/188/2*188])
	lines := strings.Split(strings.TrimSpace(string(g.mustGet(t, "/p.m3u8").body)), "\n")
	target := "/" + lines[len(lines)-1]
	half := len(g.mustGet(t, target).body)
	write("s.ts", ts)
	time.Sleep(youngTTL + 200*time.Millisecond)
	if whole := len(g.mustGet(t, target).body); whole != len(ts)+16-len(ts)%16 {
		t.Errorf("%d bytes, then %d; the file has %d", half, whole, len(ts))
	}
}

// TestYoungChunksAreKeptBriefly: the same for a segment whose length the origin does not say.
func TestYoungChunksAreKeptBriefly(t *testing.T) {
	origin := &scriptedOrigin{}
	g := newGateway(t, "ORIGIN", origin.start(t))
	g.load(t, cachedBlock+proxySite)
	const name = "demo/video/360p/seg_3.m4s"
	target := linkTo(t, g.links(t, "/demo/manifest.mpd"), "media", "/"+name).url
	get := func(file string) []byte {
		body := clearFile(t, file)
		origin.play(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/"+name {
				return false
			}
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
			_ = http.NewResponseController(w).Flush() // so that no length is known
			_, _ = w.Write(body)
			return true
		})
		return g.mustGet(t, target).body
	}
	before := get(name)
	time.Sleep(youngTTL + 200*time.Millisecond)
	if after := get("demo/video/360p/seg_4.m4s"); bytes.Equal(after, before) {
		t.Error("what was there before is still served")
	}
}

// TestRefusedReloadKeepsSizes: a configuration that does not start changes nothing of the one that runs.
func TestRefusedReloadKeepsSizes(t *testing.T) {
	g := newGateway(t)
	const site = "\nhttp://:PORT {\n\tdrm {\n\t\tlicense_server clearkey\n\t}\n\tfile_server\n}\n"
	g.load(t, cachedBlock+site)
	segments, inFlight := sharedMemory().segments.Stats().MaxBytes, sharedMemory().inFlight.Stats().Capacity
	bad := strings.NewReplacer("64MiB", "1MiB\n\t\tin_flight 2MiB", "example-country", "not-there").Replace(cachedBlock)
	config, err := adaptCaddyfile(g.replace.Replace(bad + site))
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(config, true); err == nil {
		t.Fatal("a configuration without its database was loaded")
	}
	if s, i := sharedMemory().segments.Stats().MaxBytes, sharedMemory().inFlight.Stats().Capacity; s != segments || i != inFlight {
		t.Errorf("%d and %d bytes, were %d and %d", s, i, segments, inFlight)
	}
}
