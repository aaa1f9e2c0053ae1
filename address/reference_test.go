package address

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func testOrigins(t testing.TB, texts ...string) []*url.URL {
	t.Helper()
	origins := make([]*url.URL, len(texts))
	for i, text := range texts {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		origins[i] = u
	}
	return origins
}

func testBase(t testing.TB) Base {
	return NewBase("/vod/demo/main.mpd", testOrigins(t, "https://origin.example/media/", "http://10.0.0.1:8080", "http://dir.example/d"))
}

func TestResolve(t *testing.T) {
	for name, test := range map[string]struct {
		ref  string
		want Target
	}{
		"a name lies beside the manifest":          {"seg.m4s", Target{Path: "/vod/demo/seg.m4s"}},
		"a path goes down":                         {"video/seg.m4s", Target{Path: "/vod/demo/video/seg.m4s"}},
		"a dot is the directory itself":            {"./seg.m4s", Target{Path: "/vod/demo/seg.m4s"}},
		"dot-dot goes up":                          {"../other/seg.m4s", Target{Path: "/vod/other/seg.m4s"}},
		"dot-dot stops at the root":                {"../../../../seg.m4s", Target{Path: "/seg.m4s"}},
		"dots inside are folded":                   {"a/./b/../seg.m4s", Target{Path: "/vod/demo/a/seg.m4s"}},
		"an absolute path is one of this site":     {"/live/seg.m4s", Target{Path: "/live/seg.m4s"}},
		"an empty reference is the manifest":       {"", Target{Path: "/vod/demo/main.mpd"}},
		"a query alone is the manifest with it":    {"?a=1", Target{Path: "/vod/demo/main.mpd", RawQuery: "a=1"}},
		"a directory stays one":                    {"video/", Target{Path: "/vod/demo/video/"}},
		"dot-dot alone is a directory":             {"..", Target{Path: "/vod/"}},
		"a query is kept byte for byte":            {"seg.m4s?q=1&tok=a%2Fb~c&&x=", Target{Path: "/vod/demo/seg.m4s", RawQuery: "q=1&tok=a%2Fb~c&&x="}},
		"slashes and dots in a query are its own":  {"seg.m4s?u=//h/../x", Target{Path: "/vod/demo/seg.m4s", RawQuery: "u=//h/../x"}},
		"an escape is read":                        {"a%20b.mp4", Target{Path: "/vod/demo/a b.mp4"}},
		"spaces":                                   {"my film/seg 1.m4s?a=1", Target{Path: "/vod/demo/my film/seg 1.m4s", RawQuery: "a=1"}},
		"a space below a known origin":             {"https://origin.example/media/a b.mp4", Target{Path: "/a b.mp4"}},
		"an apostrophe":                            {"it's.mp4", Target{Path: "/vod/demo/it's.mp4"}},
		"letters beyond ASCII":                     {"é.mp4", Target{Path: "/vod/demo/é.mp4"}},
		"a colon behind a slash is no scheme":      {"./12:30.mp4", Target{Path: "/vod/demo/12:30.mp4"}},
		"an at sign is no user":                    {"a@b.mp4", Target{Path: "/vod/demo/a@b.mp4"}},
		"below a known origin":                     {"https://origin.example/media/vod/seg.m4s", Target{Path: "/vod/seg.m4s"}},
		"below a known origin, with a query":       {"https://origin.example/media/seg.m4s?a=1", Target{Path: "/seg.m4s", RawQuery: "a=1"}},
		"the directory of the origin itself":       {"https://origin.example/media/", Target{Path: "/"}},
		"host and scheme in upper case":            {"HTTPS://Origin.EXAMPLE/media/seg.m4s", Target{Path: "/seg.m4s"}},
		"a known origin without its scheme":        {"//origin.example/media/seg.m4s", Target{Path: "/seg.m4s"}},
		"dots inside the origin's directory":       {"https://origin.example/media/a/../seg.m4s", Target{Path: "/seg.m4s"}},
		"dots that come back into the directory":   {"https://origin.example/x/../media/seg.m4s", Target{Path: "/seg.m4s"}},
		"an origin given without a path":           {"http://10.0.0.1:8080/seg.m4s", Target{Path: "/seg.m4s"}},
		"an origin given without its slash":        {"http://dir.example/d/seg.m4s", Target{Path: "/seg.m4s"}},
		"an escape below a known origin":           {"https://origin.example/media/a%20b.mp4", Target{Path: "/a b.mp4"}},
		"an escaped percent sign is escaped once":  {"100%25.mp4", Target{Path: "/vod/demo/100%.mp4"}},
		"an escaped question mark belongs to path": {"what%3F.mp4?a", Target{Path: "/vod/demo/what?.mp4", RawQuery: "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := testBase(t).Resolve(test.ref); err != nil || got != test.want {
				t.Errorf("Resolve(%q) = %+v, %v; want %+v", test.ref, got, err, test.want)
			}
		})
	}
}

func TestResolveRefusesForeignHosts(t *testing.T) {
	for name, ref := range map[string]string{
		"another host":                        "https://evil.example/media/seg.m4s",
		"another host without a scheme":       "//evil.example/media/seg.m4s",
		"the metadata service":                "http://169.254.169.254/latest/meta-data/",
		"loopback":                            "http://127.0.0.1/seg.m4s",
		"loopback of IPv6":                    "http://[::1]/seg.m4s",
		"another scheme of a known origin":    "http://origin.example/media/seg.m4s",
		"ftp of a known origin":               "ftp://origin.example/media/seg.m4s",
		"another port of a known origin":      "https://origin.example:8443/media/seg.m4s",
		"a known port left out":               "http://10.0.0.1/seg.m4s",
		"a host that a known one begins":      "https://origin.example.evil.example/media/seg.m4s",
		"a host that ends in a known one":     "https://evil-origin.example/media/seg.m4s",
		"a trailing dot":                      "https://origin.example./media/seg.m4s",
		"above the origin's directory":        "https://origin.example/seg.m4s",
		"beside the origin's directory":       "https://origin.example/mediax/seg.m4s",
		"beside, of an origin without slash":  "http://dir.example/dx/seg.m4s",
		"the directory without its slash":     "https://origin.example/media",
		"no path":                             "https://origin.example",
		"dots out of the origin's directory":  "https://origin.example/media/../secret/seg.m4s",
		"dots above the root":                 "https://origin.example/../secret/seg.m4s",
		"a directory with one letter escaped": "https://origin.example/%6dedia/seg.m4s",
		"file with a host":                    "file://host/etc/passwd",
		"file without a host":                 "file:///etc/passwd",
		"one slash behind the scheme":         "https:/origin.example/media/seg.m4s",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := testBase(t).Resolve(ref); !errors.Is(err, ErrForeign) || got != (Target{}) {
				t.Errorf("Resolve(%q) = %+v, %v; want ErrForeign", ref, got, err)
			}
		})
	}
}

func TestResolveRefuses(t *testing.T) {
	for name, ref := range map[string]string{
		"data":                                       "data:text/plain;base64,AAAA",
		"javascript":                                 "javascript:alert(1)",
		"a scheme without slashes":                   "http:seg.m4s",
		"urn":                                        "urn:uuid:1",
		"file without slashes":                       "file:etc",
		"a colon in the first element":               "12:30.mp4",
		"a user":                                     "https://user@origin.example/media/seg.m4s",
		"a user and a password":                      "https://user:pass@origin.example/media/seg.m4s",
		"a user without a scheme":                    "//origin.example@evil.example/seg.m4s",
		"an empty user":                              "https://@origin.example/media/seg.m4s",
		"a fragment":                                 "seg.m4s#t=1",
		"an empty fragment":                          "seg.m4s#",
		"a fragment alone":                           "#",
		"an empty host":                              "//",
		"an empty host with a path":                  "///vod/seg.m4s",
		"an empty host with a query":                 "//?a",
		"a double quote":                             `seg.m4s"onload=`,
		"a double quote in a query":                  `seg.m4s?"`,
		"a single quote in a query":                  "seg.m4s?'",
		"an angle bracket":                           "seg<x>.m4s",
		"a backslash":                                `..\..\seg.m4s`,
		"a backslash for the host":                   `/\evil.example/seg.m4s`,
		"two backslashes for the host":               `\\evil.example\seg.m4s`,
		"a variable of HLS":                          "{$path}/seg.m4s",
		"a space in front":                           " seg.m4s",
		"a space behind":                             "seg.m4s ",
		"a space in front of the query":              "seg.m4s ?a",
		"a space behind a directory":                 "a /seg.m4s",
		"a space in a query":                         "seg.m4s?a b",
		"a space in a host":                          "https://origin .example/media/seg.m4s",
		"a space in front of a scheme":               " https://origin.example/media/seg.m4s",
		"a line feed":                                "seg.m4s\n#EXT-X-KEY:METHOD=NONE",
		"a carriage return":                          "seg.m4s\r",
		"a tab":                                      "s\teg.m4s",
		"a zero byte":                                "seg.m4s\x00",
		"delete":                                     "seg.m4s\x7f",
		"a control character of Unicode":             "seg.m4s?\u0085",
		"a line separator of Unicode":                "seg.m4s?\u2028",
		"bytes that are no text":                     "seg.m4s?\xff",
		"an escaped line feed in the path":           "seg%0a.m4s",
		"an escaped slash":                           "a%2fb.m4s",
		"an escaped slash in upper case":             "..%2F..%2Fseg.m4s",
		"escaped dots":                               "%2e%2e/seg.m4s",
		"half escaped dots":                          ".%2e/seg.m4s",
		"dots escaped twice":                         "%252e%252e/seg.m4s",
		"escaped dots below a known origin":          "https://origin.example/media/%2e%2e/secret/seg.m4s",
		"an escaped backslash":                       "..%5cseg.m4s",
		"an escape cut short":                        "seg%2",
		"two slashes inside":                         "a//seg.m4s",
		"two slashes below a known origin":           "https://origin.example/media//seg.m4s",
		"a host behind a known origin's directory":   "https://origin.example/media//evil.example/seg.m4s",
		"a seal of somebody's making":                "~AAAA/seg.m4s",
		"a session of somebody's making":             "../~s.AAAA/seg.m4s",
		"an escaped tilde":                           "%7EAAAA/seg.m4s",
		"a seal below a known origin":                "https://origin.example/media/~AAAA/seg.m4s",
		"an endpoint of ours":                        ".drm/clearkey/L",
		"an endpoint of ours, absolute":              "/vod/.drm/clearkey/L",
		"an escaped endpoint":                        "%2edrm/clearkey/L",
		"an endpoint with one letter escaped":        ".%64rm/clearkey/L",
		"a tilde at the end":                         "a/~",
		"a path parameter":                           "seg.m4s;x=1",
		"a reference over the limit":                 strings.Repeat("a/", maxReference/2) + "b",
		"a path over the limit":                      strings.Repeat("a/", maxPath/2) + "b",
		"a port that is no number":                   "https://origin.example:x/media/seg.m4s",
		"brackets that hold no address":              "https://[origin/media/seg.m4s",
		"an escape in the host":                      "https://origin%2eexample%00/media/seg.m4s",
		"dot-dot behind what looks like a parameter": "..;/seg.m4s",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := testBase(t).Resolve(ref)
			if !errors.Is(err, ErrReference) || got != (Target{}) {
				t.Fatalf("Resolve(%q) = %+v, %v; want ErrReference", ref, got, err)
			}
			if base, err := testBase(t).Join(ref); !errors.Is(err, ErrReference) || base.Path() != "" {
				t.Errorf("Join(%q) = %+v, %v; want ErrReference", ref, base, err)
			}
			if len(ref) > 8 && strings.Contains(err.Error(), ref) {
				t.Errorf("the error holds the reference: %v", err)
			}
		})
	}
}

func TestOriginsWithoutHostMatchNothing(t *testing.T) {
	for _, origin := range []string{"file:///srv/", "/srv/", "//h/", "https:///"} {
		b := NewBase("/a.mpd", testOrigins(t, origin))
		for _, ref := range []string{"file:///srv/x", "https:///x", "https:/x", "//h/x", "http://h/x"} {
			if got, err := b.Resolve(ref); err == nil {
				t.Errorf("origin %q: Resolve(%q) = %+v", origin, ref, got)
			}
		}
	}
}

func TestJoin(t *testing.T) {
	for name, test := range map[string]struct {
		refs []string
		want Path
	}{
		"a directory":     {[]string{"video/"}, "/vod/demo/video/"},
		"BaseURLs add up": {[]string{"b1/", "b2/"}, "/vod/demo/b1/b2/"},
		"the last element without a slash is a leaf": {[]string{"b1/x.mpd", "b2/"}, "/vod/demo/b1/b2/"},
		"an absolute path starts anew":               {[]string{"b1/", "/b2/"}, "/b2/"},
		"a known origin starts anew":                 {[]string{"b1/", "https://origin.example/media/b2/", "b3/"}, "/b2/b3/"},
		"its query is dropped":                       {[]string{"b1/?tok=1"}, "/vod/demo/b1/"},
	} {
		t.Run(name, func(t *testing.T) {
			b := testBase(t)
			for _, ref := range test.refs {
				var err error
				if b, err = b.Join(ref); err != nil {
					t.Fatal(err)
				}
			}
			if b.Path() != test.want {
				t.Fatalf("got %q, want %q", b.Path(), test.want)
			}
			got, err := b.Resolve("x?y")
			if want := (Target{Path: test.want.Dir() + "x", RawQuery: "y"}); err != nil || got != want {
				t.Errorf("below it: %+v, %v", got, err)
			}
		})
	}
	if _, err := testBase(t).Join("//evil.example/"); !errors.Is(err, ErrForeign) {
		t.Errorf("a foreign BaseURL: %v", err)
	}
}

func TestRelative(t *testing.T) {
	for name, test := range map[string]struct {
		from   string
		target Target
		insert []string
		want   string
	}{
		"beside the manifest":                    {"/vod/a.mpd", Target{Path: "/vod/seg.m4s"}, nil, "seg.m4s"},
		"beside it, with a seal":                 {"/vod/a.mpd", Target{Path: "/vod/seg.m4s"}, []string{"~S"}, "~S/seg.m4s"},
		"session and seal in their order":        {"/vod/a.mpd", Target{Path: "/vod/seg.m4s"}, []string{"~s.X", "~S"}, "~s.X/~S/seg.m4s"},
		"out of the playlist's own seal":         {"/vod/~P/a.m3u8", Target{Path: "/vod/seg.m4s"}, []string{"~S"}, "../~S/seg.m4s"},
		"a session that both have is shared":     {"/~s.X/a.m3u8", Target{Path: "/seg.m4s"}, []string{"~s.X", "~S"}, "~S/seg.m4s"},
		"up to another directory":                {"/vod/demo/a.mpd", Target{Path: "/vod/audio/seg.m4s"}, nil, "../audio/seg.m4s"},
		"a colon in front is no scheme":          {"/a.mpd", Target{Path: "/12:30.mp4"}, nil, "./12:30.mp4"},
		"the directory itself":                   {"/vod/a.mpd", Target{Path: "/vod/"}, nil, "./"},
		"the directory above":                    {"/vod/a.mpd", Target{Path: "/"}, nil, "../"},
		"a query follows":                        {"/vod/a.mpd", Target{Path: "/vod/seg.m4s", RawQuery: "a=%2F&b"}, nil, "seg.m4s?a=%2F&b"},
		"names are escaped":                      {"/vod/a.mpd", Target{Path: "/vod/a b?#\"é.mp4"}, nil, "a%20b%3F%23%22%C3%A9.mp4"},
		"a needless escape in from does no harm": {"/v%6fd/a.mpd", Target{Path: "/vod/seg.m4s"}, nil, "../vod/seg.m4s"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Relative(test.from, test.target, test.insert...); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// drawFrom draws the escaped path of a request for a manifest: a clean path with elements of ours in it.
func drawFrom(t *rapid.T) string {
	p := drawPath(t, "requested", false)
	elements := strings.Split(p.Escaped()[1:], "/")
	for _, ours := range []string{SealElement("Pl4y_-"), SessionElement("Se55")} {
		if rapid.Bool().Draw(t, "with "+ours) {
			elements = slices.Insert(elements, rapid.IntRange(0, len(elements)-1).Draw(t, "at"), ours)
		}
	}
	return "/" + strings.Join(elements, "/")
}

var insertion = rapid.SampledFrom([][]string{nil, {"~S3al"}, {"~s.Se55"}, {"~s.Se55", "~S3al"}, {"~Pl4y_-"}})

// follow resolves ref against from as a browser does, and returns the URL's escaped path and query.
func follow(t *rapid.T, from, ref string) (string, string) {
	base, err := url.Parse("https://player.example" + from)
	if err != nil {
		t.Fatal(err)
	}
	u, err := base.Parse(ref)
	if err != nil || u.Host != "player.example" {
		t.Fatalf("%q from %q leads to %v, %v", ref, from, u, err)
	}
	return u.EscapedPath(), u.RawQuery
}

func TestRelativeLeadsToTheTargetWithTheInsertedElements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, insert := drawFrom(t), insertion.Draw(t, "insert")
		target := Target{Path: drawPath(t, "target", rapid.Bool().Draw(t, "dir"))}
		if rapid.Bool().Draw(t, "beside") { // targets in the manifest's own directory are the usual case
			a, err := Parse(from)
			if err != nil {
				t.Fatal(err)
			}
			target.Path = a.Path.Dir() + target.Path[1:]
		}
		target.RawQuery = rapid.SampledFrom([]string{"", "a=1&b=%2F/../x", "u=http://h/?"}).Draw(t, "query")
		ref := Relative(from, target, insert...)

		path, query := follow(t, from, ref)
		want := target.Path.Dir().Escaped() + strings.Join(append(slices.Clone(insert), ""), "/") + (Path("/") + Path(target.Path.Base())).Escaped()[1:]
		if path != want || query != target.RawQuery {
			t.Fatalf("%q from %q leads to %q?%s, want %q?%s", ref, from, path, query, want, target.RawQuery)
		}
		requireParsed(t, path, target.Path, insert)
	})
}

func TestRelativeDirLeadsToTheDirectoryWithTheInsertedElements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, insert := drawFrom(t), insertion.Draw(t, "insert")
		target := drawPath(t, "target", rapid.Bool().Draw(t, "dir"))
		ref := RelativeDir(from, target, insert...)
		path, query := follow(t, from, ref)
		want := target.Dir().Escaped() + strings.Join(append(slices.Clone(insert), ""), "/")
		if path != want || query != "" || !strings.HasSuffix(ref, "/") {
			t.Fatalf("%q from %q leads to %q, want %q", ref, from, path, want)
		}
		requireParsed(t, path, target.Dir(), insert)
		// As a BaseURL it carries the seal to a relative template.
		path, _ = follow(t, path, "seg_7.m4s")
		requireParsed(t, path, target.Dir()+"seg_7.m4s", insert)
	})
}

func TestRelativeTemplateLeadsWhereItsSegmentsLie(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, insert := drawFrom(t), insertion.Draw(t, "insert")
		text, fill := drawTemplate(t)
		tmpl, err := ParseTemplate(text)
		if err != nil {
			t.Fatalf("ParseTemplate(%q): %v", text, err)
		}
		number, time := rapid.Uint64().Draw(t, "number"), rapid.Uint64().Draw(t, "time")
		ref := RelativeTemplate(from, tmpl, "q=$x$", insert...)
		filled := fillIdentifiers(strings.TrimSuffix(ref, "?q=$x$"), number, time)
		path, _ := follow(t, from, filled)
		requireParsed(t, path, Path(fill(number, time)), insert)
	})
}

// requireParsed checks that path is the clean path with the elements of insert.
func requireParsed(t *rapid.T, path string, clean Path, insert []string) {
	want := Address{Path: clean}
	for _, element := range insert {
		if session, ok := strings.CutPrefix(element, "~s."); ok {
			want.Session = session
		} else {
			want.Seal = element[1:]
		}
	}
	a, err := Parse(path)
	if err != nil || a.Path != want.Path || a.Seal != want.Seal || a.Session != want.Session || a.Endpoint != nil {
		t.Fatalf("Parse(%q) = %+v, %v; want %+v", path, a, err, want)
	}
}

func FuzzResolve(f *testing.F) {
	for _, seed := range []string{
		"seg.m4s", "../x/y?z", "/a", "//h/x", "https://origin.example/media/a/../b", "data:,", "%2e%2e/x", "~A/b", "a//b", "http:x", "é",
	} {
		f.Add(seed)
	}
	b := testBase(f)
	f.Fuzz(func(t *testing.T, ref string) {
		got, err := b.Resolve(ref)
		if err != nil {
			if got != (Target{}) || !errors.Is(err, ErrReference) && !errors.Is(err, ErrForeign) {
				t.Fatalf("Resolve(%q) = %+v, %v", ref, got, err)
			}
			return
		}
		if p, err := ParsePath(got.Path.Escaped()); len(got.Path.Escaped()) <= maxPath && (err != nil || p != got.Path) {
			t.Fatalf("Resolve(%q) = %q, which is no clean path", ref, got.Path)
		}
		// What is written into a manifest leads to the same place and stays on one line and in one attribute.
		const from = "/vod/~P/demo/~s.X/main.mpd"
		text := Relative(from, got, "~S")
		if strings.ContainsAny(text, "\"'<>\\ \t\r\n#") {
			t.Fatalf("Resolve(%q) gives %q", ref, text)
		}
		base, _ := url.Parse("https://player.example" + from)
		u, err := base.Parse(text)
		if err != nil || u.Host != "player.example" || u.RawQuery != got.RawQuery {
			t.Fatalf("%q leads to %v, %v", text, u, err)
		}
		if a, err := Parse(u.EscapedPath()); len(u.EscapedPath()) <= maxPath && (err != nil || a.Path != got.Path || a.Seal != "S") {
			t.Fatalf("%q leads to %+v, %v; want %q", text, a, err, got.Path)
		}
	})
}
