package address

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		escaped string
		want    Address
	}{
		"a clean path is only a path":            {"/vod/a.mpd", Address{Path: "/vod/a.mpd"}},
		"the root":                               {"/", Address{Path: "/"}},
		"a seal is taken out":                    {"/vod/~S/a.m4s", Address{Path: "/vod/a.m4s", Seal: "S"}},
		"a seal may stand in front":              {"/~S/vod/a.m4s", Address{Path: "/vod/a.m4s", Seal: "S"}},
		"a session is taken out":                 {"/~s.X/vod/a.mpd", Address{Path: "/vod/a.mpd", Session: "X"}},
		"a session and a seal":                   {"/~s.X/vod/~S/a.m4s", Address{Path: "/vod/a.m4s", Seal: "S", Session: "X"}},
		"a seal and a session":                   {"/vod/~S/~s.X/a.m4s", Address{Path: "/vod/a.m4s", Seal: "S", Session: "X"}},
		"a seal may begin with s":                {"/vod/~sS/a.m4s", Address{Path: "/vod/a.m4s", Seal: "sS"}},
		"an escaped tilde is a tilde":            {"/vod/%7ES/a.m4s", Address{Path: "/vod/a.m4s", Seal: "S"}},
		"a sealed directory":                     {"/vod/~S/", Address{Path: "/vod/", Seal: "S"}},
		"the root behind a seal":                 {"/~S/", Address{Path: "/", Seal: "S"}},
		"an endpoint of the root":                {"/.drm/clearkey/L", Address{Path: "/", Endpoint: []string{"clearkey", "L"}}},
		"an endpoint of a directory":             {"/vod/demo/.drm/clearkey", Address{Path: "/vod/demo/", Endpoint: []string{"clearkey"}}},
		"an endpoint in front of a session":      {"/vod/.drm/~s.X/key/1", Address{Path: "/vod/", Session: "X", Endpoint: []string{"key", "1"}}},
		"an escaped endpoint is an endpoint":     {"/%2edrm/key", Address{Path: "/", Endpoint: []string{"key"}}},
		"an upper-case .DRM is a path like any":  {"/.DRM/key", Address{Path: "/.DRM/key"}},
		"elements of ours are told by the front": {"/a~S/b.drm/c", Address{Path: "/a~S/b.drm/c"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(test.escaped)
			if err != nil || got.Path != test.want.Path || got.Seal != test.want.Seal || got.Session != test.want.Session ||
				!slices.Equal(got.Endpoint, test.want.Endpoint) {
				t.Errorf("Parse(%q) = %+v, %v; want %+v", test.escaped, got, err, test.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, escaped := range map[string]string{
		"no path":                             "",
		"two seals":                           "/~A/vod/~B/a.m4s",
		"two sessions":                        "/~s.A/vod/~s.B/a.m4s",
		"an empty seal":                       "/vod/~/a.m4s",
		"an empty session":                    "/vod/~s./a.m4s",
		"a seal as the last element":          "/vod/~A",
		"a session as the last element":       "/vod/~s.A",
		"an escaped seal as the last element": "/vod/%7EA",
		"an endpoint without a name":          "/vod/.drm",
		"an endpoint with an empty name":      "/vod/.drm/",
		"an endpoint that ends in a slash":    "/vod/.drm/key/",
		"an endpoint behind a seal":           "/~A/vod/.drm/key",
		"an endpoint in an endpoint":          "/.drm/.drm/key",
		"a seal in an endpoint":               "/.drm/key/~A",
		"a session late in an endpoint":       "/.drm/key/~s.A",
		"a session as the endpoint":           "/.drm/~s.A",
		"two sessions around an endpoint":     "/~s.A/.drm/~s.B/key",
		"an empty session in an endpoint":     "/.drm/~s./key",
		"dots behind a seal":                  "/vod/~A/../a.m4s",
		"escaped dots behind a seal":          "/vod/~A/%2e%2e/a.m4s",
		"an escaped slash in a seal":          "/vod/~A%2fB/a.m4s",
		"two slashes behind a seal":           "/vod/~A//a.m4s",
		"a parameter of a seal":               "/vod/~A;x/a.m4s",
		"an endpoint behind a session":        "/~s.X/vod/.drm/key",
		"a clean path over the limit":         "/~A/" + strings.Repeat("a", maxPath),
		"a request path over the limit":       "/~" + strings.Repeat("A", maxEscaped+maxElements) + "/a",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(escaped)
			if !errors.Is(err, ErrPath) || got.Path != "" || got.Seal != "" || got.Session != "" || got.Endpoint != nil {
				t.Errorf("Parse(%q) = %+v, %v; want the zero Address and ErrPath", escaped, got, err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"/", "/vod/~S/a.m4s", "/~s.X/vod/~S/a.m4s", "/.drm/clearkey/L", "/vod/.drm/~s.X/key/1", "/~A/~B/c", "/~s./a", "/%7ES/%61",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		a, err := Parse(escaped)
		if err != nil {
			if a.Path != "" || a.Seal != "" || a.Session != "" || a.Endpoint != nil {
				t.Fatalf("error and %+v", a)
			}
			return
		}
		if _, err := ParsePath(a.Path.Escaped()); err != nil && len(a.Path.Escaped()) <= maxPath {
			t.Fatalf("Parse(%q) leaves %q, which is no clean path", escaped, a.Path)
		}
		if strings.Contains(a.Seal, "/") || strings.Contains(a.Session, "/") || slices.Contains(a.Endpoint, "") {
			t.Fatalf("Parse(%q) = %+v", escaped, a)
		}
		if a.Seal == "" && a.Session == "" && a.Endpoint == nil {
			if p, err := ParsePath(escaped); err != nil || p != a.Path {
				t.Fatalf("ParsePath(%q) = %q, %v, and Parse says %q", escaped, p, err, a.Path)
			}
		}
	})
}

var benchmarkAddress Address

func BenchmarkParse(b *testing.B) {
	const path = "/~s.AbCdEfGhIjKlMnOpQrStUvWxYz012345/vod/demo/video/~" +
		"AQIBBAAAAAVncm91cAovdm9kL2RlbW8vDmluaXRfdmlkZW8ubXA0AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8/seg_7.m4s"
	b.ReportAllocs()
	for b.Loop() {
		benchmarkAddress, _ = Parse(path)
	}
}

func TestInPlace(t *testing.T) {
	for name, test := range map[string]struct {
		escaped string
		asset   Path
		want    bool
	}{
		"nothing of ours":                             {"/vod/demo/a.mpd", "/vod/demo/", true},
		"in the asset's directory":                    {"/vod/demo/~S/video/seg.m4s", "/vod/demo/", true},
		"below it":                                    {"/vod/demo/video/~s.X/~S/seg.m4s", "/vod/demo/", true},
		"in front of the last element of another":     {"/audio/en/~S/seg.m4s", "/vod/demo/", true},
		"above the asset":                             {"/vod/~S/demo/video/seg.m4s", "/vod/demo/", false},
		"a session in front of all":                   {"/~s.X/vod/demo/a.mpd", "/vod/demo/", false},
		"a session above, a seal below":               {"/~s.X/vod/demo/~S/seg.m4s", "/vod/demo/", false},
		"inside another directory, not at its end":    {"/audio/~S/en/seg.m4s", "/vod/demo/", false},
		"at the root of an asset that is the root":    {"/~S/video/seg.m4s", "/", true},
		"a session behind the endpoint's own element": {"/vod/demo/.drm/~s.X/key/a", "/vod/demo/", true},
	} {
		a, err := Parse(test.escaped)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := a.InPlace(test.asset); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}

// TestNumberElement: the number of a segment in a single file stands behind its seal, right in front of the file name.
func TestNumberElement(t *testing.T) {
	a, err := Parse("/vod/~abc/" + NumberElement("17") + "/film.mp4")
	if err != nil || a.Path != "/vod/film.mp4" || a.Number != 17 || a.Seal != "abc" {
		t.Errorf("got %+v, %v", a, err)
	}
	for _, path := range []string{
		"/vod/~n.17/film.mp4", "/vod/~n.17/~abc/film.mp4", "/vod/~abc/~n.17/x/film.mp4", "/vod/~abc/~n.0/film.mp4",
		"/vod/~abc/~n.017/film.mp4", "/vod/~abc/~n.+1/film.mp4", "/vod/~abc/~n./film.mp4", "/vod/~abc/~n.1/~n.2/film.mp4",
		"/vod/~abc/~n.4294967296/film.mp4", "/vod/~abc/~n.1", "/vod/~abc/~n.1/~s.x/film.mp4",
	} {
		if a, err := Parse(path); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", path, a)
		}
	}
}

func TestRange(t *testing.T) {
	r, err := NewRange(100, 50)
	if err != nil || r.Header() != "bytes=100-149" || r.End() != 150 || (Range{}).Header() != "" {
		t.Errorf("got %+v, %v, %q", r, err, r.Header())
	}
	for _, bad := range []Range{{0, 0}, {1 << 63, 1}, {1, 1<<63 - 1}, {1<<64 - 1, 2}} {
		if _, err := NewRange(bad.Offset, bad.Length); err == nil {
			t.Errorf("NewRange(%d, %d) is no error", bad.Offset, bad.Length)
		}
	}
}
