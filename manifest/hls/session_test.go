package hls

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSessionInTheQuery: every kind of reference carries the session as a parameter, behind its own query, and none in
// its path.
func TestSessionInTheQuery(t *testing.T) {
	const in = mediaTop + `#EXT-X-MAP:URI="init.mp4"
#EXT-X-PART:DURATION=1,URI="p.m4s",BYTERANGE="10@0"
#EXTINF:4,
a.m4s?x=%2F&s=old
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="h.m4s"
#EXT-X-RENDITION-REPORT:URI="../other/l.m3u8"
`
	const want = mediaTop + `#EXT-X-MAP:URI="../~e/init.mp4?s=abc"
#EXT-X-PART:DURATION=1,URI="../~e/p.m4s?s=abc"
#EXTINF:4,
../~e/a.m4s?x=%2F&s=abc
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="../~e/h.m4s?s=abc"
#EXT-X-RENDITION-REPORT:URI="../../other/~e/l.m3u8?s=abc"
`
	o, _ := testOptions()
	o.Protector, o.SessionQuery = fixedProtector{elements: []string{"~s.abc", "~e"}}, "s"
	for in, want := range map[string]string{
		in: want,
		"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"g\",NAME=\"n\",URI=\"s.m3u8\"\n": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n" +
			"../~e/v.m3u8?s=abc\n#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"g\",NAME=\"n\",URI=\"../~e/s.m3u8?s=abc\"\n",
	} {
		got, err := Rewrite(t.Context(), []byte(in), o)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" || strings.Contains(string(got), "~s.") {
			t.Errorf("want -, got +\n%s", diff)
		}
	}
}
