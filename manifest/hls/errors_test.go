package hls

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/address"
)

func TestRewriteErrors(t *testing.T) {
	tests := []struct {
		name, in string
		line     int
		tag      string
		want     error
	}{
		{"key of the origin", mediaTop + "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n", 4, tagKey, ErrAlreadyProtected},
		{"session key of the origin", "#EXTM3U\n#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n", 2, tagSessionKey, ErrAlreadyProtected},
		{"key without method", mediaTop + "#EXT-X-KEY:URI=\"k\"\n", 4, tagKey, errMissing},
		{"byte range without offset", mediaTop + inf + "#EXT-X-BYTERANGE:10\na.vtt\n", 6, "", errByteRangeOffset},
		{"byte range without offset behind a whole resource", mediaTop + inf + "a.vtt\n" + inf + "#EXT-X-BYTERANGE:10\na.vtt\n", 8, "", errByteRangeOffset},
		{"byte range without offset of another resource", mediaTop + inf + "#EXT-X-BYTERANGE:10@0\na.vtt\n" + inf + "#EXT-X-BYTERANGE:10\nb.vtt\n", 9, "", errByteRangeOffset},
		{"byte range without offset of another query", mediaTop + inf + "#EXT-X-BYTERANGE:10@0\na.vtt?a\n" + inf + "#EXT-X-BYTERANGE:10\na.vtt?b\n", 9, "", errByteRangeOffset},
		{"two byte ranges", mediaTop + inf + "#EXT-X-BYTERANGE:10@0\n#EXT-X-BYTERANGE:10@0\na.vtt\n", 6, tagByteRange, errTwice},
		{"empty byte range", mediaTop + inf + "#EXT-X-BYTERANGE:0@0\na.vtt\n", 5, tagByteRange, errByteRange},
		{"byte range without length", mediaTop + inf + "#EXT-X-BYTERANGE:@0\na.vtt\n", 5, tagByteRange, errByteRange},
		{"byte range with an empty offset", mediaTop + inf + "#EXT-X-BYTERANGE:1@\na.vtt\n", 5, tagByteRange, errByteRange},
		{"byte range with a sign", mediaTop + inf + "#EXT-X-BYTERANGE:+1@0\na.vtt\n", 5, tagByteRange, errByteRange},
		{"byte range past all files", mediaTop + inf + "#EXT-X-BYTERANGE:9223372036854775807@1\na.vtt\n", 6, "", errByteRange},
		{"byte range of 64 bits", mediaTop + inf + "#EXT-X-BYTERANGE:9223372036854775808@0\na.vtt\n", 5, tagByteRange, errByteRange},
		{"map with a bare byte range", mediaTop + "#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=10@0\n", 4, tagMap, errByteRange},
		{"map with a malformed byte range", mediaTop + "#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"10-20\"\n", 4, tagMap, errByteRange},
		{"map with a byte range past all files", mediaTop + "#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"9223372036854775807@1\"\n", 4, tagMap, errByteRange},
		{"part with an empty byte range", mediaTop + mapIn + "#EXT-X-PART:DURATION=1,URI=\"a\",BYTERANGE=\"0@0\"\n", 5, tagPart, errByteRange},
		{"part with a byte range without offset", mediaTop + mapIn + "#EXT-X-PART:DURATION=1,URI=\"a\",BYTERANGE=\"10\"\n", 5, tagPart, errByteRangeOffset},
		{"hint with a malformed byte range", mediaTop + mapIn + "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"a\",BYTERANGE-LENGTH=0\n", 5, tagPreloadHint, errByteRange},
		{"hint with a byte range past all files", mediaTop + mapIn + "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"a\",BYTERANGE-LENGTH=9223372036854775807,BYTERANGE-START=1\n", 5, tagPreloadHint, errByteRange},
		{"hint without URI", mediaTop + mapIn + "#EXT-X-PRELOAD-HINT:TYPE=PART\n", 5, tagPreloadHint, errMissing},
		{"delta update without map", mediaTop + "#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n" + inf + "a.vtt\n", 6, "", ErrUnsupported},
		{"delta update with the map in front", mediaTop + mapIn + "#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n" + inf + "a.m4s\n", 7, "", ErrUnsupported},
		{"two delta updates", mediaTop + strings.Repeat("#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n", 2), 5, tagSkip, errTwice},
		{"delta update behind a segment", mediaTop + inf + "a.vtt\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n", 6, tagSkip, errOrder},
		{"delta update without count", mediaTop + "#EXT-X-SKIP:X=3\n", 4, tagSkip, errMissing},
		{"delta update with a malformed count", mediaTop + "#EXT-X-SKIP:SKIPPED-SEGMENTS=-3\n", 4, tagSkip, errSequence},
		{"media sequence behind a segment", mediaTop + inf + "a.vtt\n#EXT-X-MEDIA-SEQUENCE:3\n", 6, tagSequence, errOrder},
		{"media sequence behind a part", mediaTop + "#EXT-X-PART:DURATION=1,URI=\"a.vtt\"\n#EXT-X-MEDIA-SEQUENCE:3\n", 5, tagSequence, errOrder},
		{"media sequence behind a delta update", mediaTop + "#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXT-X-MEDIA-SEQUENCE:3\n", 5, tagSequence, errOrder},
		{"two media sequences", mediaTop + "#EXT-X-MEDIA-SEQUENCE:3\n#EXT-X-MEDIA-SEQUENCE:3\n", 5, tagSequence, errTwice},
		{"date with a reference in it", mediaTop + "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z,URI=\"https://origin.example/a\"\n", 4, tagDateTime, errValue},
		{"media sequence that is no number", mediaTop + "#EXT-X-MEDIA-SEQUENCE:0x3\n", 4, tagSequence, errSequence},
		{"media sequence of 64 bits", mediaTop + "#EXT-X-MEDIA-SEQUENCE:9223372036854775808\n", 4, tagSequence, errSequence},
		{"segment without EXTINF", mediaTop + inf + "a.vtt\nb.vtt\n", 6, "", errNoInf},
		{"I-frame playlist without URI", "#EXTM3U\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1\n", 2, tagIFrameStreamInf, errMissing},
		{"segment of another host", mediaTop + inf + "https://a.example/1.vtt\n", 5, "", address.ErrForeign},
		{"segment of another scheme", mediaTop + inf + "file:///etc/1.vtt\n", 5, "", address.ErrForeign},
		{"variant of another host", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n//a.example/1.m3u8\n", 3, "", address.ErrForeign},
		{"rendition of another host", "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,URI=\"//a.example/1.m3u8\"\n", 2, tagMedia, address.ErrForeign},
		{"map of another host", mediaTop + "#EXT-X-MAP:URI=\"//a.example/init.mp4\"\n", 4, tagMap, address.ErrForeign},
		{"report of another host", mediaTop + "#EXT-X-RENDITION-REPORT:URI=\"//a.example/1.m3u8\"\n", 4, tagReport, address.ErrForeign},
		{"another host by a variable", mediaTop + "#EXT-X-DEFINE:NAME=\"h\",VALUE=\"https://a.example\"\n" + inf + "{$h}/1.vtt\n", 6, "", address.ErrForeign},
		{"encoded slash", mediaTop + inf + "..%2f..%2fx/1.vtt\n", 5, "", address.ErrReference},
		{"leading blank", mediaTop + inf + " 1.vtt\n", 5, "", address.ErrReference},
		{"map without URI", mediaTop + "#EXT-X-MAP:X=1\n", 4, tagMap, errMissing},
		{"map with a bare URI", mediaTop + "#EXT-X-MAP:URI=init.mp4\n", 4, tagMap, errMissing},
		{"rendition with a bare URI", "#EXTM3U\n#EXT-X-MEDIA:URI=a.m3u8\n", 2, tagMedia, errMissing},
		{"attribute that stands twice", mediaTop + "#EXT-X-MAP:URI=\"init.mp4\",URI=\"b\"\n", 4, tagMap, errAttributes},
		{"quoted string without end", mediaTop + "#EXT-X-MAP:URI=\"init.mp4\n", 4, tagMap, errAttributes},
		{"text behind a quoted string", mediaTop + "#EXT-X-MAP:URI=\"init.mp4\"x,A=1\n", 4, tagMap, errAttributes},
		{"undefined variable", mediaTop + inf + "{$x}.vtt\n", 5, "", errVariable},
		{"undefined variable in an attribute", mediaTop + "#EXT-X-DATERANGE:ID=\"{$x}\"\n", 4, tagDateRange, errVariable},
		{"variable outside of quotes", mediaTop + "#EXT-X-DEFINE:NAME=\"x\",VALUE=\"1,URI=2\"\n#EXT-X-PART-INF:PART-TARGET={$x}\n", 5, "EXT-X-PART-INF", errVariable},
		{"variable without end", mediaTop + inf + "{$x.vtt\n", 5, "", errVariable},
		{"variable defined later", mediaTop + inf + "{$x}.vtt\n#EXT-X-DEFINE:NAME=\"x\",VALUE=\"1\"\n", 5, "", errVariable},
		{"variable defined twice", mediaTop + strings.Repeat("#EXT-X-DEFINE:NAME=\"x\",VALUE=\"1\"\n", 2), 5, tagDefine, errVariableName},
		{"variable without name", mediaTop + "#EXT-X-DEFINE:VALUE=\"1\"\n", 4, tagDefine, errVariableName},
		{"variable without value", mediaTop + "#EXT-X-DEFINE:NAME=\"x\"\n", 4, tagDefine, errVariableName},
		{"variable with two names", mediaTop + "#EXT-X-DEFINE:NAME=\"x\",IMPORT=\"x\"\n", 4, tagDefine, errVariableName},
		{"variable with a bad name", mediaTop + "#EXT-X-DEFINE:NAME=\"x y\",VALUE=\"1\"\n", 4, tagDefine, errVariableName},
		{"imported variable", mediaTop + "#EXT-X-DEFINE:IMPORT=\"x\"\n" + inf + "{$x}.vtt\n", 6, "", ErrUnsupported},
		{"import in a multivariant playlist", "#EXTM3U\n#EXT-X-DEFINE:IMPORT=\"x\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n", 2, tagDefine, errVariableName},
		{"query parameter that is missing", mediaTop + "#EXT-X-DEFINE:QUERYPARAM=\"none\"\n", 4, tagDefine, errVariable},
		{"query parameter with a quote", mediaTop + "#EXT-X-DEFINE:QUERYPARAM=\"quote\"\n", 4, tagDefine, errVariable},
		{"query parameter with a line break", mediaTop + "#EXT-X-DEFINE:QUERYPARAM=\"break\"\n", 4, tagDefine, errVariable},
		{"query parameter with a variable", mediaTop + "#EXT-X-DEFINE:QUERYPARAM=\"again\"\n", 4, tagDefine, errVariable},
		{"version that is no number", "#EXTM3U\n#EXT-X-VERSION:x\n#EXT-X-ENDLIST\n", 2, tagVersion, errVersion},
		{"two versions", mediaTop + "#EXT-X-VERSION:7\n", 4, tagVersion, errTwice},
		{"EXTINF at the end", mediaTop + "#EXTINF:4,title https://a.example/1.ts", 4, tagInf, errNoURI},
		{"EXTINF twice", mediaTop + inf + inf + "1.vtt\n", 5, tagInf, errNoURI},
		{"EXTINF that players read in part", mediaTop + "#EXTINF:4 https://a.example/1.ts\n1.vtt\n", 4, tagInf, errDuration},
		{"EXTINF without digits behind the point", mediaTop + "#EXTINF:4.,\n1.vtt\n", 4, tagInf, errDuration},
		{"EXTINF without duration", mediaTop + "#EXTINF:,\n1.vtt\n", 4, tagInf, errDuration},
		{"variant without URI", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n", 2, tagStreamInf, errNoURI},
		{"variant followed by a tag", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n#EXT-X-MEDIA:TYPE=AUDIO\na\n", 3, tagMedia, errNoURI},
		{"tag inside a tag", mediaTop + "#EXTINF:4,#EXT-X-MAP:URI=\"x\"\n1.vtt\n", 4, tagInf, errInsideTag},
		{"both kinds", mediaTop + "#EXT-X-STREAM-INF:BANDWIDTH=1\n", 4, tagStreamInf, errMixed},
		{"byte order mark", "\ufeff" + mediaTop, 1, "", errCharacter},
		{"zero byte", mediaTop + "a\x00\n", 4, "", errCharacter},
		{"bare carriage return", mediaTop + "# a\rhttps://a.example/\n", 4, "", errCharacter},
		{"next line", mediaTop + "# a\u0085b\n", 4, "", errCharacter},
		{"line separator", mediaTop + "#EXTINF:4,\u2028https://a.example/1.ts\n1.vtt\n", 4, "", errCharacter},
		{"broken UTF-8", mediaTop + "# \xff\n", 4, "", errCharacter},
		{"UTF-8 cut short", mediaTop + "# \xe2\x82", 4, "", errCharacter},
		{"stray continuation", mediaTop + "# \x80\n", 4, "", errCharacter},
		{"long line", mediaTop + strings.Repeat("a", maxLineBytes+1) + "\n", 4, "", ErrTooLarge},
		{"long line at the end", mediaTop + strings.Repeat("a", maxLineBytes+2), 4, "", ErrTooLarge},
		{"too many references", mediaTop + strings.Repeat("a\n", maxReferences+1), 4 + maxReferences, "", ErrTooLarge},
		{"too many attributes", mediaTop + "#EXT-X-DATERANGE:" + manyAttributes(maxAttributes+1) + "\n", 4, tagDateRange, errAttributes},
		{"expansion beyond a line", mediaTop + "#EXT-X-DEFINE:NAME=\"x\",VALUE=\"" + strings.Repeat("a", maxLineBytes/2) + "\"\n#EXT-X-DATERANGE:ID=\"{$x}{$x}{$x}\"\n", 5, tagDateRange, ErrTooLarge},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := rewriteText(t, test.in)
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || !errors.Is(err, test.want) || syntax.Line != test.line || syntax.Tag != test.tag {
				t.Fatalf("got error %v, want line %d, tag %q, %v", err, test.line, test.tag, test.want)
			}
			if strings.Contains(err.Error(), "example") {
				t.Errorf("error %q holds a URL", err)
			}
		})
	}
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "A%d=1,", i)
	}
	return b.String()
}

func TestRewriteNotPlaylist(t *testing.T) {
	for _, in := range []string{"", "\n#EXTM3U\n", "#EXTM3U8\n#EXT-X-ENDLIST\n", "<MPD/>", "#EXTM3U x\n#EXT-X-ENDLIST\n", "#EXTM3U:x\n#EXT-X-ENDLIST\n", "#EXTM3U", "#EXTM3U\nfile.ts\n", "\ufeff"} {
		if _, err := rewriteText(t, in); !errors.Is(err, ErrNotPlaylist) {
			t.Errorf("%q: got %v, want %v", in, err, ErrNotPlaylist)
		}
	}
	big := mediaTop + strings.Repeat("#\n", maxPlaylistBytes/2)
	if _, err := rewriteText(t, big); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want %v", err, ErrTooLarge)
	}
}

func TestRewriteBoundsTheResult(t *testing.T) {
	// 2,000 lines of 30 kB out of 50 kB: the sum is within 64 MiB; 3,000 are not.
	define := mediaTop + "#EXT-X-DEFINE:NAME=\"x\",VALUE=\"" + strings.Repeat("a", 30_000) + "\"\n"
	const use = "#EXT-X-DATERANGE:ID=\"{$x}\"\n"
	if _, err := rewriteText(t, define+strings.Repeat(use, 2000)); err != nil {
		t.Errorf("60 MB: %v", err)
	}
	if _, err := rewriteText(t, define+strings.Repeat(use, 3000)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("90 MB: got %v, want %v", err, ErrTooLarge)
	}
}

func TestRewriteBoundsVariables(t *testing.T) {
	var define, unused strings.Builder
	fmt.Fprintf(&define, "%s#EXT-X-DEFINE:NAME=\"x\",VALUE=\"%s\"\n", mediaTop, strings.Repeat("a", 30_000))
	unused.WriteString(define.String())
	for i := range 40 {
		fmt.Fprintf(&define, "#EXT-X-DEFINE:NAME=\"x%d\",VALUE=\"{$x}\"\n", i)
	}
	if _, err := rewriteText(t, define.String()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("1.2 MB of values: got %v, want %v", err, ErrTooLarge)
	}
	// Lines that are dropped take no space, but time.
	unused.WriteString(strings.Repeat("#EXT-X-DATERANGE:X-ASSET-URI=\"{$x}{$x}\"\n", 2000))
	if _, err := rewriteText(t, unused.String()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("120 MB of references: got %v, want %v", err, ErrTooLarge)
	}
}

func TestSyntaxErrorNamesOnlyKnownTags(t *testing.T) {
	r := rewriter{line: line{number: 7, tag: "EXT secret"}}
	if got := r.fault(errKey).Error(); got != "playlist line 7: "+errKey.Error() {
		t.Errorf("got %q", got)
	}
}

func TestRewriteBoundsTracks(t *testing.T) {
	var b strings.Builder
	b.WriteString(mediaTop)
	for i := range maxTracks + 1 {
		fmt.Fprintf(&b, "#EXT-X-MAP:URI=\"text%d.mp4\"\n", i)
	}
	o, protector := testOptions()
	if _, err := Rewrite(t.Context(), []byte(b.String()), o); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want %v", err, ErrTooLarge)
	}
	if len(protector.inits) != maxTracks {
		t.Errorf("asked for %d tracks, want %d", len(protector.inits), maxTracks)
	}
}

func TestRewriteRefusals(t *testing.T) {
	for name, in := range map[string]string{
		"segment without map":          mediaTop + "#EXTINF:4,\n1.mp3\n",
		"part without map":             mediaTop + "#EXT-X-PART:DURATION=1,URI=\"1.m4s\"\n",
		"segment outside of the asset": mediaTop + mapIn + "#EXTINF:4,\n/premium/1.m4s\n",
		"map outside of the asset":     mediaTop + "#EXT-X-MAP:URI=\"/premium/init.mp4\"\n",
		"unreadable init segment":      mediaTop + "#EXT-X-MAP:URI=\"broken.mp4\"\n",
		"variant outside of the asset": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n../../premium/1.m3u8\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rewriteText(t, in)
			var syntax *SyntaxError
			if !errors.Is(err, errTestRefused) || errors.As(err, &syntax) || !strings.Contains(err.Error(), "line ") {
				t.Errorf("got %v, want the line and the protector's own error, and no SyntaxError", err)
			}
		})
	}
}

func TestRewriteChecksTheProtector(t *testing.T) {
	good := Key{Method: "SAMPLE-AES", URI: "k"}
	for name, p := range map[string]fixedProtector{
		"no element":              {nil, nil},
		"empty element":           {[]string{""}, nil},
		"slash in an element":     {[]string{"~a/b"}, nil},
		"colon in an element":     {[]string{"~a:b"}, nil},
		"quote in an element":     {[]string{`~a"b`}, nil},
		"line break in element":   {[]string{"~a\nb"}, nil},
		"dot element":             {[]string{".."}, nil},
		"dot at the end":          {[]string{"~a."}, nil},
		"key without URI":         {[]string{"~a"}, []Key{{Method: "SAMPLE-AES"}}},
		"key without method":      {[]string{"~a"}, []Key{{URI: "k"}}},
		"key with METHOD=NONE":    {[]string{"~a"}, []Key{{Method: "NONE", URI: "k"}}},
		"attribute in a method":   {[]string{"~a"}, []Key{{Method: "A,IV=0x0", URI: "k"}}},
		"quote in a key URI":      {[]string{"~a"}, []Key{{Method: "SAMPLE-AES", URI: `k"`}}},
		"line break in a key URI": {[]string{"~a"}, []Key{{Method: "SAMPLE-AES", URI: "k\n#"}}},
		"variable in a key URI":   {[]string{"~a"}, []Key{{Method: "SAMPLE-AES", URI: "{$k}"}}},
		"quote in a key format":   {[]string{"~a"}, []Key{{Method: "SAMPLE-AES", URI: "k", KeyFormat: `"`}}},
		"quote in the versions":   {[]string{"~a"}, []Key{{Method: "SAMPLE-AES", URI: "k", KeyFormatVersions: `"`}}},
		"AES-128 without IV":      {[]string{"~a"}, []Key{{Method: MethodAES128, URI: "k"}}},
		"key format twice":        {[]string{"~a"}, []Key{good, {Method: "SAMPLE-AES", URI: "l", KeyFormat: KeyFormatIdentity}}},
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := testOptions()
			o.Protector = p
			if out, err := Rewrite(t.Context(), []byte(mediaTop+mapIn), o); err == nil || out != nil {
				t.Errorf("got %q, %v, want an error alone", out, err)
			}
		})
	}
	o, _ := testOptions()
	o.Protector = fixedProtector{[]string{"~s.a-b_c", "~d"}, []Key{good}}
	out, err := Rewrite(t.Context(), []byte(mediaTop+mapIn), o)
	if want := mediaTop + "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n#EXT-X-MAP:URI=\"../~s.a-b_c/~d/init.mp4\"\n"; err != nil || string(out) != want {
		t.Errorf("got %q, %v, want %q", out, err, want)
	}
}

func TestRewriteCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o, _ := testOptions()
	_, err := Rewrite(ctx, []byte(mediaTop+strings.Repeat("#\n", 300)), o)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestTrackIsAskedForOnce(t *testing.T) {
	o, protector := testOptions()
	in := mediaTop + mapIn + "#EXT-X-MAP:URI=\"text.mp4\"\n" + mapIn + "#EXT-X-MAP:URI=\"./init.mp4\"\n"
	if _, err := Rewrite(t.Context(), []byte(in), o); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(protector.inits, " "); got != "/vod/demo/init.mp4 /vod/demo/text.mp4" {
		t.Errorf("asked for %s", got)
	}
}
