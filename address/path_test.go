package address

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParsePathReadsOneCanonicalForm(t *testing.T) {
	for name, test := range map[string]struct {
		escaped string
		want    Path
	}{
		"the root is a directory":                      {"/", "/"},
		"a file":                                       {"/vod/demo/seg_1.m4s", "/vod/demo/seg_1.m4s"},
		"a directory keeps its slash":                  {"/vod/demo/", "/vod/demo/"},
		"a needless escape is taken away":              {"/vod/%64emo/%73eg.m4s", "/vod/demo/seg.m4s"},
		"hex digits in either case are the same":       {"/%C3%A9/%c3%a9", "/é/é"},
		"raw UTF-8 is its escaped form":                {"/é", "/é"},
		"a space in a name":                            {"/my%20film/a%20b.mp4", "/my film/a b.mp4"},
		"an escaped question mark is part of a name":   {"/what%3F.mp4", "/what?.mp4"},
		"an escaped hash is part of a name":            {"/%231.mp4", "/#1.mp4"},
		"a plus is a plus":                             {"/a+b.mp4", "/a+b.mp4"},
		"a percent sign that escapes nothing":          {"/100%25.mp4", "/100%.mp4"},
		"sub-delimiters stay":                          {"/a!$&'()*,=:@b", "/a!$&'()*,=:@b"},
		"a tilde inside a name is not ours":            {"/a~b/c~", "/a~b/c~"},
		".drm inside a name is not ours":               {"/x.drm/.drmx/drm", "/x.drm/.drmx/drm"},
		"a hidden file is a file":                      {"/.well-known/x", "/.well-known/x"},
		"upper case is another path, not a folded one": {"/VOD/Seg.M4S", "/VOD/Seg.M4S"},
		"dots inside a name":                           {"/a..b/..c/.d", "/a..b/..c/.d"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParsePath(test.escaped)
			if err != nil || got != test.want {
				t.Fatalf("ParsePath(%q) = %q, %v; want %q", test.escaped, got, err, test.want)
			}
			if again, err := ParsePath(got.Escaped()); err != nil || again != got {
				t.Errorf("ParsePath(%q) = %q, %v; want what was escaped, %q", got.Escaped(), again, err, got)
			}
		})
	}
}

func TestParsePathRefusesSecondSpellings(t *testing.T) {
	for name, escaped := range map[string]string{
		"empty":                            "",
		"relative":                         "vod/a.mp4",
		"two slashes in front":             "//vod/a.mp4",
		"two slashes inside":               "/vod//a.mp4",
		"two slashes at the end":           "/vod//",
		"dot element":                      "/vod/./a.mp4",
		"dot at the end":                   "/vod/.",
		"dot-dot element":                  "/vod/a/../b.mp4",
		"dot-dot at the end":               "/vod/..",
		"dot-dot in front":                 "/../vod",
		"escaped dot-dot":                  "/vod/%2e%2e/b.mp4",
		"escaped dot-dot in upper case":    "/vod/%2E%2E/b.mp4",
		"half escaped dot-dot":             "/vod/.%2e/b.mp4",
		"escaped dot":                      "/vod/%2e/b.mp4",
		"dot-dot with a parameter":         "/vod/..;/b.mp4",
		"dot-dot escaped twice":            "/vod/%252e%252e/b.mp4",
		"three dots":                       "/vod/.../b.mp4",
		"escaped slash":                    "/vod%2fa.mp4",
		"escaped slash in upper case":      "/vod%2Fa.mp4",
		"slash escaped twice":              "/vod%252fa.mp4",
		"backslash":                        `/vod\a.mp4`,
		"escaped backslash":                "/vod%5ca.mp4",
		"escaped backslash in upper case":  "/vod%5C..%5Ca.mp4",
		"letter escaped twice":             "/vod/%2561.mp4",
		"path parameter":                   "/vod/a.mp4;x",
		"escaped path parameter":           "/vod/a.mp4%3bx=1",
		"parameter of a directory":         "/vod;jsessionid=1/a.mp4",
		"trailing dot of a file":           "/vod/a.mp4.",
		"escaped trailing dot":             "/vod/a.mp4%2e",
		"trailing dot of a directory":      "/vod./a.mp4",
		"trailing space of a file":         "/vod/a.mp4%20",
		"trailing space of a directory":    "/vod%20/a.mp4",
		"query":                            "/vod/a.mp4?x",
		"fragment":                         "/vod/a.mp4#t=1",
		"zero byte":                        "/vod/a.mp4%00",
		"zero byte inside":                 "/vod/a.mp4%00.txt",
		"line feed":                        "/vod/a%0a.mp4",
		"carriage return":                  "/vod/a%0D%0Ab.mp4",
		"tab":                              "/vod/a%09.mp4",
		"raw control character":            "/vod/a\x01.mp4",
		"delete":                           "/vod/a%7f.mp4",
		"control character of Unicode":     "/vod/a%C2%85.mp4",
		"line separator of Unicode":        "/vod/a%E2%80%A8.mp4",
		"paragraph separator of Unicode":   "/vod/a%E2%80%A9.mp4",
		"overlong UTF-8":                   "/vod/%c0%ae%c0%ae/b.mp4",
		"half a UTF-8 sequence":            "/vod/%c3.mp4",
		"surrogate in UTF-8":               "/vod/%ed%a0%80.mp4",
		"escape of IIS":                    "/vod/%u002e%u002e/b.mp4",
		"escape cut short":                 "/vod/a%2",
		"escape without digits":            "/vod/a%zz",
		"absolute URL":                     "http://h/vod/a.mp4",
		"too long":                         "/" + strings.Repeat("a", maxPath),
		"seal":                             "/~abc/a.mp4",
		"session":                          "/~s.abc/a.mp4",
		"tilde at the end":                 "/vod/~",
		"home directory":                   "/~user",
		"escaped tilde":                    "/%7Eabc/a.mp4",
		"escaped tilde in lower case":      "/%7eabc/a.mp4",
		"endpoint":                         "/vod/.drm/clearkey",
		"endpoint at the end":              "/vod/.drm",
		"escaped endpoint":                 "/vod/%2edrm/clearkey",
		"endpoint with one letter escaped": "/vod/.%64rm/clearkey",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParsePath(escaped); !errors.Is(err, ErrPath) || got != "" {
				t.Errorf("ParsePath(%q) = %q, %v; want no Path and ErrPath", escaped, got, err)
			}
		})
	}
}

func TestPathParts(t *testing.T) {
	for _, test := range []struct {
		path  Path
		dir   Path
		base  string
		ext   string
		isDir bool
	}{
		{"/", "/", "", "", true},
		{"/a", "/", "a", "", false},
		{"/a/b/", "/a/b/", "", "", true},
		{"/a/b.MP4", "/a/", "b.MP4", ".mp4", false},
		{"/a.mp4/b", "/a.mp4/", "b", "", false},
		{"/a/b.tar.gz", "/a/", "b.tar.gz", ".gz", false},
		{"", "", "", "", false},
	} {
		p := test.path
		if p.Dir() != test.dir || p.Base() != test.base || p.Ext() != test.ext || p.IsDir() != test.isDir {
			t.Errorf("%q: Dir %q, Base %q, Ext %q, IsDir %v", p, p.Dir(), p.Base(), p.Ext(), p.IsDir())
		}
	}
}

func TestUnderComparesWholeElements(t *testing.T) {
	for _, test := range []struct {
		path, dir Path
		want      bool
	}{
		{"/vod/a/x.mp4", "/vod/a/", true},
		{"/vod/a/", "/vod/a/", true},
		{"/vod/a", "/vod/a/", false},
		{"/vod/ab/x.mp4", "/vod/a/", false},
		{"/vod/ab", "/vod/a", false}, // no directory, holds nothing
		{"/vod/A/x.mp4", "/vod/a/", false},
		{"/anything", "/", true},
		{"/anything", "", false},
	} {
		if got := test.path.Under(test.dir); got != test.want {
			t.Errorf("%q under %q: %v", test.path, test.dir, got)
		}
	}
}

// pathElement draws one element of a clean path, with the characters that URLs, manifests and shells trip over.
var pathElement = rapid.Custom(func(t *rapid.T) string {
	runes := []rune("abzAZ0189._-~!$&'()*+,=:@ \"<>[]{}|^`?#%é日")
	element := string(rapid.SliceOfN(rapid.SampledFrom(runes), 1, 8).Draw(t, "element"))
	if _, err := ParsePath("/" + url.PathEscape(element)); err != nil {
		return "e" + rapid.StringMatching(`[a-z0-9]{1,4}`).Draw(t, "plain element")
	}
	return element
})

// drawPath draws a clean path of a file, or of a directory if dir is set.
func drawPath(t *rapid.T, label string, dir bool) Path {
	elements := rapid.SliceOfN(pathElement, 1, 5).Draw(t, label)
	p := "/" + strings.Join(elements, "/")
	if dir {
		p += "/"
	}
	return Path(p)
}

func TestEscapedIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPath(t, "path", rapid.Bool().Draw(t, "dir"))
		if got, err := ParsePath(p.Escaped()); err != nil || got != p {
			t.Fatalf("ParsePath(%q) = %q, %v; want %q", p.Escaped(), got, err, p)
		}
		u, err := url.Parse("http://h" + p.Escaped())
		if err != nil || u.Path != string(p) || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%q is another path to net/url: %v, %v", p.Escaped(), u, err)
		}
		if strings.ContainsAny(p.Escaped(), "\"'<> \\`{}|^?#") {
			t.Fatalf("%q is not safe in a manifest", p.Escaped())
		}
	})
}

func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{"/", "/a/b.mp4", "/%61", "/a%2fb", "/a//b", "/..", "/%2e%2e/", "/~x/y", "/.drm/x", "/a;b", "/%2561", "/a.", "/é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		p, err := ParsePath(escaped)
		if err != nil {
			if p != "" {
				t.Fatalf("error and a Path: %q", p)
			}
			return
		}
		if again, err := ParsePath(p.Escaped()); len(p.Escaped()) <= maxPath && (err != nil || again != p) {
			t.Fatalf("ParsePath(%q) = %q, %v; want %q", p.Escaped(), again, err, p)
		}
		for i, element := range strings.Split(string(p[1:]), "/") {
			if element == ".." || element == "." || strings.HasPrefix(element, "~") || element == ".drm" ||
				element == "" && i < strings.Count(string(p), "/")-1 {
				t.Fatalf("%q has the element %q", p, element)
			}
		}
		if u := (&url.URL{Path: "/"}).ResolveReference(&url.URL{Path: string(p)}); u.Path != string(p) {
			t.Fatalf("%q resolves to %q", p, u.Path)
		}
	})
}
