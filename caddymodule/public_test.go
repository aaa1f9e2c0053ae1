package caddymodule

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPrefixOf has paths as they came, and as they are behind what other handlers did with them.
func TestPrefixOf(t *testing.T) {
	for _, test := range []struct {
		name           string
		original, seen string
		raw            bool // of what is seen, which a rewrite by {path} drops
		prefix         string
		ok             bool
	}{
		{"nothing taken off", "/vod/a.mpd", "/vod/a.mpd", true, "", true},
		{"a prefix", "/x/vod/a.mpd", "/vod/a.mpd", true, "/x", true},
		{"a prefix with escapes", "/%78/vod/a.mpd", "/vod/a.mpd", true, "/%78", true},
		{"another path", "/x/vod/a.mpd", "/b.mpd", true, "", true},
		{"empty elements", "/x//vod/a.mpd", "/vod/a.mpd", true, "", false},
		{"dots", "/y/../x/vod/a.mpd", "/vod/a.mpd", true, "", false},
		{"empty elements behind it", "/x/vod//a.mpd", "/vod/a.mpd", true, "", false},
		{"characters that need no escape", "/x/a(1)!*'.mpd", "/a(1)!*'.mpd", true, "/x", true},
		{"rewritten", "/x/a(1)!*'.mpd", "/a(1)!*'.mpd", false, "/x", true},
		{"rewritten to what it was", "/a(1)!*'.mpd", "/a(1)!*'.mpd", false, "", true},
		{"rewritten, with escapes", "/%78/a%281%29.mpd", "/a(1).mpd", false, "/%78", true},
		{"rewritten, and respelled", "/x//a(1)!.mpd", "/a(1)!.mpd", false, "", false},
		{"rewritten, and respelled in front", "//x/a(1)!.mpd", "/a(1)!.mpd", false, "", false},
		{"rewritten, and respelled behind", "/x/b//a(1)!.mpd", "/b/a(1)!.mpd", false, "", false},
		{"rewritten, a dot in the prefix", "/x./a(1)!.mpd", "/a(1)!.mpd", false, "", false},
		{"rewritten, a slash in the prefix", "/x%2fy/a(1)!.mpd", "/a(1)!.mpd", false, "", false},
		{"rewritten, what decodes twice", "/x%2541/a(1)!.mpd", "/a(1)!.mpd", false, "", false},
	} {
		original, err := url.ParseRequestURI(test.original)
		if err != nil {
			t.Fatal(err)
		}
		seen, err := url.ParseRequestURI(test.seen)
		if err != nil {
			t.Fatal(err)
		}
		if !test.raw {
			seen.RawPath = ""
		}
		if prefix, ok := prefixOf(original, seen); prefix != test.prefix || ok != test.ok {
			t.Errorf("%s: %q, %t, want %q, %t", test.name, prefix, ok, test.prefix, test.ok)
		}
	}
}

// TestRewrittenPath has a handler in front that writes the path anew, and a name whose characters need no escape.
func TestRewrittenPath(t *testing.T) {
	const site = `http://:PORT {
	root DIR
	handle_path /x/* {
		rewrite * {path}
		drm {
			license_server clearkey
		}
		file_server
	}
}
`
	g := startGateway(t, site)
	const title = "it's (1)!*"
	if err := os.CopyFS(filepath.Join(g.dir, title), os.DirFS(filepath.Join(testdata(t), "demo"))); err != nil {
		t.Fatal(err)
	}
	manifest := "/x/it's%20(1)!*/manifest.mpd"
	g.mustGet(t, manifest)
	if license := laurlPattern.FindSubmatch(g.mustGet(t, manifest).body); license == nil || !strings.Contains(string(license[1]), g.addr+"/x/it") {
		t.Errorf("the license is at %s", license)
	}
	wantReply(t, "another spelling", g.raw(t, "/x//it's%20(1)!*/manifest.mpd"), 404, "not_found")
}
