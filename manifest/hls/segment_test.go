package hls

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-drm/caddy-drm/address"
)

const (
	tsKey    = "#EXT-X-KEY:METHOD=AES-128,URI=\"k/ts\"\n"
	aacKey   = "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k/aac\",IV=0x0123456789ABCDEF0123456789ABCDEF\n"
	wholeKey = "#EXT-X-KEY:METHOD=AES-128,URI=\"k/whole\"\n"
	noKey    = "#EXT-X-KEY:METHOD=NONE\n"
	inf      = "#EXTINF:4,\n"
)

func testRewrites(t *testing.T, top string, tests []struct{ name, in, want string }) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := rewriteText(t, top+test.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(top+test.want, got); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
		})
	}
}

func TestRewriteByteRanges(t *testing.T) {
	const partOut = "#EXT-X-PART:DURATION=1,URI=\"../~init"
	testRewrites(t, mediaTop, []struct{ name, in, want string }{
		{"range in front of EXTINF and behind it", mapIn + "#EXT-X-BYTERANGE:10@40\n" + inf + "a.mp4\n" + inf + "#EXT-X-BYTERANGE: 5@0 \na.mp4\n", mapOut + inf + "../~init.10-40/a.mp4\n" + inf + "../~init.5-0/a.mp4\n"},
		{"a range without offset continues the one before", mapIn + inf + "#EXT-X-BYTERANGE:10@40\na.mp4\n" + inf + "#EXT-X-BYTERANGE:5\n./a.mp4\n" + inf + "#EXT-X-BYTERANGE:3\na.mp4\n", mapOut + inf + "../~init.10-40/a.mp4\n" + inf + "../~init.5-50/a.mp4\n" + inf + "../~init.3-55/a.mp4\n"},
		{"a range is for one segment", mapIn + inf + "#EXT-X-BYTERANGE:10@40\na.mp4\n" + inf + "a.mp4\n", mapOut + inf + "../~init.10-40/a.mp4\n" + inf + "../~init/a.mp4\n"},
		{"the largest offset", mapIn + inf + "#EXT-X-BYTERANGE:1@9223372036854775806\na.mp4\n", mapOut + inf + "../~init.1-9223372036854775806/a.mp4\n"},
		{"init segment in the same file", "#EXT-X-MAP:BYTERANGE=\"812@0\",URI=\"init.mp4\"\n" + inf + "#EXT-X-BYTERANGE:10@812\ninit.mp4\n", keyLine + "#EXT-X-MAP:URI=\"../~init.812-0/init.mp4\"\n" + inf + "../~init.10-812/init.mp4\n"},
		{"range by a variable", "#EXT-X-DEFINE:NAME=\"n\",VALUE=\"812@0\"\n#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"{$n}\"\n", keyLine + "#EXT-X-MAP:URI=\"../~init.812-0/init.mp4\"\n"},
		{"init segment without offset", "#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"812\"\n", keyLine + "#EXT-X-MAP:URI=\"../~init.812-0/init.mp4\"\n"},
		{"an init segment does not place the segment behind it", mapIn + inf + "#EXT-X-BYTERANGE:10@0\na.mp4\n#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"812\"\n" + inf + "#EXT-X-BYTERANGE:5\na.mp4\n", mapOut + inf + "../~init.10-0/a.mp4\n#EXT-X-MAP:URI=\"../~init.812-0/init.mp4\"\n" + inf + "../~init.5-10/a.mp4\n"},
		{"parts", mapIn + "#EXT-X-PART:DURATION=1,URI=\"a.mp4\",BYTERANGE=\"10@0\"\n#EXT-X-PART:DURATION=1,URI=\"a.mp4\",BYTERANGE=\"5\",INDEPENDENT=YES\n" + inf + "a.mp4\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"b.mp4\",BYTERANGE-START=15\n", mapOut + partOut + ".10-0/a.mp4\"\n" + partOut + ".5-10/a.mp4\",INDEPENDENT=YES\n" + inf + "../~init/a.mp4\n"},
		{"parts and segments are placed apart", mapIn + "#EXT-X-PART:DURATION=1,URI=\"a.mp4\",BYTERANGE=\"10@0\"\n" + inf + "#EXT-X-BYTERANGE:20@0\na.mp4\n#EXT-X-PART:DURATION=1,URI=\"a.mp4\",BYTERANGE=\"5\"\n", mapOut + partOut + ".10-0/a.mp4\"\n" + inf + "../~init.20-0/a.mp4\n" + partOut + ".5-10/a.mp4\"\n"},
		{"bit rates stay", mapIn + "#EXT-X-BITRATE:900\n" + inf + "#EXT-X-BYTERANGE:10@0\na.mp4\n", mapOut + "#EXT-X-BITRATE:900\n" + inf + "../~init.10-0/a.mp4\n"},
		{"segments without map", inf + "#EXT-X-BYTERANGE:10@0\na.ts\n" + inf + "#EXT-X-BYTERANGE:5\na.ts\n", tsKey + inf + "../~ts.10-0/a.ts\n" + inf + "../~ts.5-10/a.ts\n"},
	})
}

func TestRewritePlacesKeys(t *testing.T) {
	const wholeIn, wholeOut = "#EXT-X-MAP:URI=\"whole.mp4\"\n", "#EXT-X-MAP:URI=\"../~whole/whole.mp4\"\n"
	testRewrites(t, mediaTop, []struct{ name, in, want string }{
		{"in front of the first segment", "#EXT-X-PLAYLIST-TYPE:VOD\n" + inf + "# 1\n1.ts\n" + inf + "2.ts\n", "#EXT-X-PLAYLIST-TYPE:VOD\n" + tsKey + inf + "# 1\n../~ts/1.ts\n" + inf + "../~ts/2.ts\n"},
		{"in front of the first part", "#EXT-X-PART:DURATION=1,URI=\"1.ts\"\n" + inf + "1.ts\n", tsKey + "#EXT-X-PART:DURATION=1,URI=\"../~ts/1.ts\"\n" + inf + "../~ts/1.ts\n"},
		{"where they change", inf + "1.ts\n" + inf + "1.aac\n" + inf + "1.vtt\n" + inf + "2.ts\n", tsKey + inf + "../~ts/1.ts\n" + aacKey + inf + "../~aac/1.aac\n" + noKey + inf + "../~vtt/1.vtt\n" + tsKey + inf + "../~ts/2.ts\n"},
		{"not for clear segments", inf + "1.vtt\n" + inf + "2.VTT\n", inf + "../~vtt/1.vtt\n" + inf + "../~vtt/2.VTT\n"},
		{"behind the keys of a part between EXTINF and URI", inf + "#EXT-X-PART:DURATION=1,URI=\"1.aac\"\n1.ts\n", inf + aacKey + "#EXT-X-PART:DURATION=1,URI=\"../~aac/1.aac\"\n" + tsKey + "../~ts/1.ts\n"},
		{"with the line ends of the playlist", "#EXTINF:4,\r\n1.ts\r\n", tsKey + "#EXTINF:4,\r\n../~ts/1.ts\r\n"},
		{"segments encrypted whole behind a clear init segment", wholeIn + inf + "1.m4s\n", wholeOut + wholeKey + inf + "../~whole/1.m4s\n"},
		{"the same init segment again", wholeIn + inf + "1.m4s\n" + wholeIn + inf + "2.m4s\n", wholeOut + wholeKey + inf + "../~whole/1.m4s\n" + noKey + wholeOut + wholeKey + inf + "../~whole/2.m4s\n"},
		{"from whole segments to samples", wholeIn + mapIn, wholeOut + wholeKey + noKey + mapOut},
		{"from samples to whole segments", mapIn + wholeIn, mapOut + noKey + wholeOut + wholeKey},
		{"from whole segments to text", wholeIn + "#EXT-X-MAP:URI=\"text.mp4\"\n", wholeOut + wholeKey + noKey + "#EXT-X-MAP:URI=\"../~text/text.mp4\"\n"},
		{"from transport streams to an init segment", inf + "1.ts\n" + wholeIn, tsKey + inf + "../~ts/1.ts\n" + noKey + wholeOut + wholeKey},
		{"a map that the playlist ends with", strings.TrimSuffix(wholeIn, "\n"), wholeOut + wholeKey},
		{"delta update", "#EXT-X-SKIP:SKIPPED-SEGMENTS=3,RECENTLY-REMOVED-DATERANGES=\"a\"\n" + mapIn, "#EXT-X-SKIP:SKIPPED-SEGMENTS=3,RECENTLY-REMOVED-DATERANGES=\"a\"\n" + noKey + mapOut},
		{"delta update of whole segments", "#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n" + wholeIn, "#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n" + noKey + wholeOut + wholeKey},
		{"delta update of text", "#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXT-X-MAP:URI=\"text.mp4\"\n", "#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n" + noKey + "#EXT-X-MAP:URI=\"../~text/text.mp4\"\n"},
	})
}

func TestRewriteServerControl(t *testing.T) {
	testRewrites(t, mediaTop, []struct{ name, in, want string }{
		{"first", "#EXT-X-SERVER-CONTROL: CAN-SKIP-UNTIL=24.0, CAN-BLOCK-RELOAD=YES\n", "#EXT-X-SERVER-CONTROL: CAN-BLOCK-RELOAD=YES\n"},
		{"between", "#EXT-X-SERVER-CONTROL:HOLD-BACK=12,CAN-SKIP-UNTIL=24.0,CAN-SKIP-DATERANGES=YES,PART-HOLD-BACK=1.0,\n", "#EXT-X-SERVER-CONTROL:HOLD-BACK=12,PART-HOLD-BACK=1.0,\n"},
		{"last", "#EXT-X-SERVER-CONTROL:HOLD-BACK=12,CAN-SKIP-UNTIL=24.0, \n", "#EXT-X-SERVER-CONTROL:HOLD-BACK=12 \n"},
		{"alone", "#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=24.0,CAN-SKIP-DATERANGES=YES\n", ""},
		{"absent", "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES , HOLD-BACK=12,\n", "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES , HOLD-BACK=12,\n"},
	})
}

func TestRewriteHintsOfAnInitSegment(t *testing.T) {
	const part = "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p.m4s\"\n"
	testRewrites(t, mediaTop, []struct{ name, in, want string }{
		{"unknown: its part is dropped too", mapIn + "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"init2.mp4\"\n" + part, mapOut},
		{"unknown, for its range is open", mapIn + "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"init.mp4\",BYTERANGE-START=0\n" + part, mapOut},
		{"unknown by its range", mapIn + "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"init.mp4\",BYTERANGE-LENGTH=5\n" + part, mapOut},
		{"known: its part is its own", "#EXT-X-MAP:URI=\"text.mp4\"\n" + mapIn + "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"text.mp4\"\n" + part, "#EXT-X-MAP:URI=\"../~text/text.mp4\"\n" + mapOut + "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"../~text/text.mp4\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"../~text/p.m4s\"\n"},
	})
}

func TestRewriteVersionWithoutMap(t *testing.T) {
	for extension, want := range map[string]string{"ts": "", "aac": "#EXT-X-VERSION:5\n", "vtt": ""} {
		got, err := rewriteText(t, "#EXTM3U\n"+inf+"1."+extension+"\n")
		if err != nil || !strings.HasPrefix(got, "#EXTM3U\n"+want+"#EXT") || strings.Count(got, tagVersion) != strings.Count(want, tagVersion) {
			t.Errorf("%s: got %q, %v, want %q", extension, got, err, want)
		}
	}
	// The lines of keys move a version that stands behind them.
	got, err := rewriteText(t, "#EXTM3U\n"+inf+"#EXT-X-VERSION:3\n1.aac\n")
	if want := "#EXTM3U\n" + aacKey + inf + "#EXT-X-VERSION:5\n../~aac/1.aac\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for _, test := range []struct {
		key  Key
		want uint64
	}{
		{Key{Method: MethodAES128}, 0},
		{Key{Method: MethodAES128, HasIV: true}, 2},
		{Key{Method: MethodAES128, KeyFormat: KeyFormatIdentity}, 5},
		{Key{Method: MethodAES128, KeyFormatVersions: "1"}, 5},
		{Key{Method: "SAMPLE-AES"}, 5},
	} {
		if got := (&rewriter{}).versionFor(test.key); got != test.want {
			t.Errorf("%+v: got %d, want %d", test.key, got, test.want)
		}
	}
}

// asked returns what the tracks of a playlist were asked for, a line each: number, flags, path and range, and in brackets
// the names of the lead.
func asked(t *testing.T, playlist string) []string {
	t.Helper()
	o, protector := testOptions()
	if _, err := Rewrite(t.Context(), []byte(playlist), o); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range protector.segments {
		text := fmt.Sprintf("%d %s%s", s.Sequence, s.Target.Path.Base(), rangeElement(s.Range))
		if s.IFrame {
			text += " I"
		}
		if s.Gap {
			text += " gap"
		}
		for _, part := range s.Lead {
			text += " <" + part.Target.Path.Base() + rangeElement(part.Range)
		}
		all = append(all, text)
	}
	return all
}

func TestRewriteDescribesSegments(t *testing.T) {
	const next = inf + "s.m4s\n"
	part := func(name, more string) string {
		return "#EXT-X-PART:DURATION=1,URI=\"" + name + ".m4s\"" + more + "\n"
	}
	const independent, hint = ",INDEPENDENT=YES", "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"h.m4s\"\n"
	tests := []struct {
		name, in string
		want     []string
	}{
		{"numbers begin with zero", inf + "1.ts\n" + inf + "2.ts\n", []string{"0 1.ts", "1 2.ts"}},
		{"numbers begin with the media sequence", "#EXT-X-MEDIA-SEQUENCE: 007\n" + inf + "1.ts\n#EXT-X-DISCONTINUITY\n" + inf + "2.ts\n", []string{"7 1.ts", "8 2.ts"}},
		{"gaps count", inf + "#EXT-X-GAP\n1.ts\n" + inf + "2.ts\n", []string{"0 1.ts gap", "1 2.ts"}},
		{"skipped segments count", "#EXT-X-MEDIA-SEQUENCE:10\n#EXT-X-SKIP:SKIPPED-SEGMENTS=5\n" + mapIn + next, []string{"0 init.mp4", "15 s.m4s"}},
		{"parts have the number of their segment", "#EXT-X-MEDIA-SEQUENCE:3\n" + mapIn + part("a", "") + next + part("b", ",GAP=YES") + hint, []string{"0 init.mp4", "3 a.m4s", "3 s.m4s", "4 b.m4s gap", "4 h.m4s"}},
		{"I-frames", "#EXT-X-I-FRAMES-ONLY\n" + mapIn + inf + "#EXT-X-BYTERANGE:5@9\ns.m4s\n", []string{"0 init.mp4", "0 s.m4s.5-9 I"}},
		{"I-frames, told late", inf + "#EXT-X-BYTERANGE:5@9\ns.ts\n#EXT-X-I-FRAMES-ONLY\n", []string{"0 s.ts.5-9 I"}},
		{"parts since the independent one", mapIn + part("x", "") + part("a", independent) + part("b", "") + part("c", "") + next + part("d", "") + part("e", independent) + hint,
			[]string{"0 init.mp4", "0 x.m4s", "0 a.m4s", "0 b.m4s <a.m4s", "0 c.m4s <a.m4s <b.m4s", "0 s.m4s", "1 d.m4s <a.m4s <b.m4s <c.m4s", "1 e.m4s", "1 h.m4s <e.m4s"}},
		{"ranges of parts", mapIn + part("a", `,BYTERANGE="5@0"`+independent) + part("a", `,BYTERANGE="6"`), []string{"0 init.mp4", "0 a.m4s.5-0", "0 a.m4s.6-5 <a.m4s.5-0"}},
		{"a segment without parts cuts", mapIn + part("a", independent) + next + next + part("b", ""), []string{"0 init.mp4", "0 a.m4s", "0 s.m4s", "1 s.m4s", "2 b.m4s"}},
		{"a discontinuity cuts", mapIn + part("a", independent) + next + "#EXT-X-DISCONTINUITY\n" + part("b", ""), []string{"0 init.mp4", "0 a.m4s", "0 s.m4s", "1 b.m4s"}},
		{"another track cuts", mapIn + part("a", independent) + "#EXT-X-MAP:URI=\"init2.mp4\"\n" + part("b", ""), []string{"0 init.mp4", "0 a.m4s", "0 init2.mp4", "0 b.m4s"}},
		{"the same track does not", mapIn + part("a", independent) + mapIn + part("b", ""), []string{"0 init.mp4", "0 a.m4s", "0 init.mp4", "0 b.m4s <a.m4s"}},
		{"a missing part cuts", mapIn + part("a", independent) + part("b", ",GAP=YES") + part("c", ""), []string{"0 init.mp4", "0 a.m4s", "0 b.m4s gap <a.m4s", "0 c.m4s"}},
		{"a hint at the start of a segment, as the last one began", mapIn + part("a", independent) + part("b", "") + next + hint, []string{"0 init.mp4", "0 a.m4s", "0 b.m4s <a.m4s", "0 s.m4s", "1 h.m4s"}},
		{"a hint at the start of a segment, where they do not begin so", mapIn + part("x", "") + part("a", independent) + next + hint, []string{"0 init.mp4", "0 x.m4s", "0 a.m4s", "0 s.m4s", "1 h.m4s <a.m4s"}},
		{"independent segments", "#EXT-X-INDEPENDENT-SEGMENTS\n" + mapIn + part("a", "") + part("b", "") + next + part("c", "") + next + hint, []string{"0 init.mp4", "0 a.m4s", "0 b.m4s <a.m4s", "0 s.m4s", "1 c.m4s", "1 s.m4s", "2 h.m4s"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, asked(t, mediaTop+test.in)); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
		})
	}
}

func TestLeadIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(mediaTop + mapIn + "#EXT-X-PART:DURATION=1,URI=\"p0.m4s\",INDEPENDENT=YES\n")
	for i := range maxLead + 3 {
		fmt.Fprintf(&b, "#EXT-X-PART:DURATION=1,URI=\"p%d.m4s\"\n", i+1)
	}
	for i, got := range asked(t, b.String())[1:] { // without the init segment
		want := i
		if i > maxLead {
			want = 0
		}
		if strings.Count(got, "<") != want {
			t.Errorf("part %d: got %s, want %d parts in front", i, got, want)
		}
	}
}

func TestBareIsAskedForOnce(t *testing.T) {
	o, protector := testOptions()
	in := mediaTop + inf + "#EXT-X-GAP\n0.ts\n" + inf + "1.vtt\n" + inf + "2.TS?x=1\n" + inf + "#EXT-X-BYTERANGE:7@3\n3.aac\n" + mapIn + inf + "4.ts\n"
	if _, err := Rewrite(t.Context(), []byte(in), o); err != nil {
		t.Fatal(err)
	}
	target := func(path string) address.Target { return address.Target{Path: address.Path("/vod/demo/" + path)} }
	want := []Segment{
		{Resource: Resource{Target: target("0.ts")}, Gap: true},
		{Resource: Resource{Target: target("1.vtt")}, Sequence: 1},
		{Resource: Resource{Target: target("3.aac"), Range: address.Range{Offset: 3, Length: 7}}, Sequence: 3},
	}
	if diff := cmp.Diff(want, protector.bare); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	if last := protector.segments[len(protector.segments)-1]; !slices.Equal(protector.inits, []string{"/vod/demo/init.mp4"}) || last.Sequence != 4 {
		t.Errorf("asked for %v, last for %+v", protector.inits, last)
	}
}
