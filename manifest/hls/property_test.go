package hls

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
)

// TestRewriteIsReversible takes out what the rewriter is known to add, our key lines and path elements, and wants the
// playlist back, byte for byte.
func TestRewriteIsReversible(t *testing.T) {
	ours := regexp.MustCompile(`#EXT-X-KEY:[^\r\n]*\r?\n|~(?:p|t|init|init2|text|two|vtt|aac|ts)/`)
	rapid.Check(t, func(t *rapid.T) {
		playlist := drawPlaylist(t)
		o, _ := testOptions()
		o.From = "/vod/demo/list.m3u8" // references stay relative to the same directory
		out, err := Rewrite(t.Context(), []byte(playlist), o)
		if err != nil {
			t.Fatalf("%v\n%s", err, playlist)
		}
		if got := ours.ReplaceAllString(string(out), ""); got != playlist {
			t.Fatalf("got\n%q\nwant\n%q", got, playlist)
		}
		if again, err := Rewrite(t.Context(), []byte(playlist), o); err != nil || string(again) != string(out) {
			t.Fatalf("a second time: %v", err)
		}
		if fault := unsealed(string(out), o.From); fault != "" {
			t.Fatal(fault)
		}
	})
}

// drawPlaylist draws a playlist in which nothing is dropped and every reference is in the form that we write.
func drawPlaylist(t *rapid.T) string {
	eol := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "line end")
	blank := rapid.SampledFrom([]string{"", "", "", " ", "\t "})
	reference := rapid.StringMatching(`([a-z0-9._-]{1,6}x/){0,2}[a-zA-Z0-9_-]{1,9}\.m4s(\?[a-z]=[a-zA-Z0-9%2F&~]{0,6})?`)
	free := rapid.StringMatching(`[ -!$-9;-zäß€]{0,20}[a-z]`)
	number := rapid.StringMatching(`0{0,2}[0-9]{1,5}(\.[0-9]{1,5})?`)
	seconds := func() string { return number.Draw(t, "number") }

	var b strings.Builder
	write := func(parts ...string) {
		b.WriteString(strings.Join(parts, "") + blank.Draw(t, "blank") + eol)
	}
	b.WriteString("#EXTM3U" + eol + "#EXT-X-VERSION:" + rapid.SampledFrom([]string{"6", "07", "13"}).Draw(t, "version") + eol)
	multivariant := rapid.Bool().Draw(t, "multivariant")
	if !multivariant {
		write("#EXT-X-TARGETDURATION:", seconds())
		write(`#EXT-X-MAP:URI="init.mp4"`)
	}
	for range rapid.IntRange(1, 20).Draw(t, "lines") {
		shape := rapid.IntRange(0, 9).Draw(t, "shape")
		switch {
		case shape == 0:
			write("# ", free.Draw(t, "comment"))
		case shape == 1:
			write("#EXT-X-ACME:v", free.Draw(t, "unknown"))
		case shape == 2:
			write()
		case multivariant && shape < 6:
			write(`#EXT-X-MEDIA:TYPE=AUDIO, URI="`, reference.Draw(t, "rendition"), `",NAME="`, free.Draw(t, "name"), `"`)
		case multivariant:
			write("#EXT-X-STREAM-INF:BANDWIDTH=", seconds(), `,CODECS="a,b"`)
			write(reference.Draw(t, "variant"))
		case shape == 3:
			name := rapid.SampledFrom([]string{"init", "init2", "text", "two"}).Draw(t, "init")
			write(`#EXT-X-MAP:URI="`, name, `.mp4"`)
		case shape == 4:
			write("#EXT-X-PART:DURATION=", seconds(), `,URI="`, reference.Draw(t, "part"), `"`)
		case shape == 5:
			write(`#EXT-X-DATERANGE:ID="`, free.Draw(t, "id"), `",DURATION=`, seconds())
		default:
			write("#EXTINF:", seconds(), ",", free.Draw(t, "title"))
			write(reference.Draw(t, "segment"))
		}
	}
	playlist := b.String()
	if multivariant {
		playlist += "#EXT-X-SESSION-DATA:DATA-ID=\"a\",VALUE=\"b\"" + eol
	}
	if rapid.Bool().Draw(t, "no final line end") {
		playlist = strings.TrimRight(playlist, " \t\r\n")
	}
	return playlist
}

var (
	anyLineEnd = regexp.MustCompile("\r\n|[\r\n\u0085\u2028\u2029]")
	anyTag     = regexp.MustCompile(`#EXT[A-Z0-9-]*:`)
	// anyAttribute and extInf read as laxly as a browser player does.
	anyAttribute = regexp.MustCompile(`\s*(.+?)\s*=((?:".*?")|.*?)(?:,|$)`)
	extInf       = regexp.MustCompile(`^#EXTINF:\s*\d*(?:\.\d+)?(?:,.*)?\s*$`)
)

// unsealed reads a playlist as a lax player would, which looks for tags anywhere in a line, and returns the first
// reference that leads away from this site or is not sealed.
func unsealed(playlist, from string) string {
	for _, l := range anyLineEnd.Split(playlist, -1) {
		l = strings.Trim(l, " \t")
		if l != "" && l[0] != '#' && !isSealed(l, from) {
			return "URI line " + l
		}
		if strings.HasPrefix(l, "#EXTINF:") && !extInf.MatchString(l) {
			return "half-read " + l
		}
		if strings.HasPrefix(l, "#EXT-X-BYTERANGE:") {
			return "byte range " + l
		}
		for _, place := range anyTag.FindAllStringIndex(l, -1) {
			if tag := l[place[0]:place[1]]; tag == "#EXT-X-KEY:" || tag == "#EXT-X-SESSION-KEY:" {
				continue
			}
			for _, attribute := range anyAttribute.FindAllStringSubmatch(l[place[1]:], -1) {
				name, value := attribute[1], strings.Trim(attribute[2], `"`)
				if isRange(l, name) || name == attrSkipUntil && strings.HasPrefix(l, "#EXT-X-SERVER-CONTROL:") {
					return "byte range or delta update " + attribute[0]
				}
				if (name == "URI" || name == "X-ASSET-URI" || name == "X-ASSET-LIST" || name == "SERVER-URI") && !isSealed(value, from) {
					return "attribute " + attribute[0]
				}
			}
		}
	}
	return ""
}

func isSealed(ref, from string) bool {
	base := url.URL{Scheme: "https", Host: "gateway.example", Path: from}
	u, err := base.Parse(ref)
	if err != nil || u.Scheme != base.Scheme || u.Host != base.Host {
		return false
	}
	a, err := address.Parse(u.EscapedPath())
	return err == nil && a.Seal != "" && a.Path.Under("/vod/")
}

func FuzzRewrite(f *testing.F) {
	for _, seed := range []string{
		mediaTop + mapIn + "#EXTINF:4,\nseg.m4s\n#EXT-X-PART:URI=\"p.m4s\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p\"\n",
		mediaTop + "#EXT-X-MAP:URI=\"two.mp4\"\n#EXT-X-MAP:URI=\"text.mp4\"\n#EXT-X-KEY:METHOD=NONE\n",
		mediaTop + "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"\n#EXT-X-DEFINE:QUERYPARAM=\"part\"\n#EXTINF:4,\n{$a}/{$part}.vtt\n",
		mediaTop + "#EXT-X-DATERANGE:ID=\"a\",X-ASSET-URI=\"a.m3u8\"\n#EXT-X-RENDITION-REPORT:URI=\"r.m3u8\"\n#EXT-X-ACME:URI=\"x\"\n# #EXT-X-MAP\n",
		"#EXTM3U\r\n#EXT-X-STREAM-INF:BANDWIDTH=1\r\nhttps://origin.example/bucket/vod/v.m3u8\r\n#EXT-X-MEDIA:URI=\"a.m3u8\"\r\n",
		"#EXTM3U\n#EXT-X-SESSION-DATA:URI=\"a.json\"\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"s\"\n#EXT-X-I-FRAME-STREAM-INF:URI=\"i\"\n",
		mediaTop + "#EXT-X-BYTERANGE:1@0\n", mediaTop + "#EXTINF:1\u2028a\n", "\ufeff#EXTM3U\n#EXT-X-ENDLIST",
		mediaTop + "#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"9@0\"\n#EXTINF:1,\n#EXT-X-BYTERANGE:5@9\na.mp4\n#EXTINF:1,\n#EXT-X-BYTERANGE:5\na.mp4\n",
		mediaTop + "#EXT-X-I-FRAMES-ONLY\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:1,\n#EXT-X-GAP\n1.ts\n#EXTINF:1,\n2.aac\n#EXT-X-DISCONTINUITY\n#EXTINF:1,\n3.vtt\n",
		mediaTop + "#EXT-X-MAP:URI=\"whole.mp4\"\n#EXTINF:1,\na\n#EXT-X-MAP:URI=\"whole.mp4\"\n#EXT-X-MAP:URI=\"two.mp4\"",
		mediaTop + "#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=6,CAN-BLOCK-RELOAD=YES\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n" + mapIn + "#EXT-X-PART:DURATION=1,INDEPENDENT=YES,URI=\"a.mp4\",BYTERANGE=\"5@0\"\n#EXT-X-PART:DURATION=1,URI=\"a.mp4\",BYTERANGE=\"6\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"a.mp4\",BYTERANGE-START=11,BYTERANGE-LENGTH=4\n#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"init.mp4\"\n",
		liveTop + mapIn + seg("a") + date0 + "#EXT-X-PART:DURATION=1,URI=\"b.0\"\n" + seg("b") + wholeIn + date0 + seg("c") + theirKeys + seg("d") + "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"e.0\"\n",
		vodTop + seg("a.ts") + seg("b.ts") + "#EXT-X-PLAYLIST-TYPE:EVENT\n" + seg("c.aac"), liveTop + "#EXT-X-MEDIA-SEQUENCE:9\n" + mapIn + seg("a"),
		vodTop + mapIn + seg("a") + "#EXT-X-MAP:URI=\"two.mp4\"\n" + seg("b") + mapIn + seg("c") + seg("d"),
		"#EXTM3U\n" + theirs + "#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"v\",URI=\"m\"\n#EXT-X-STREAM-INF:BANDWIDTH=2,VIDEO=\"v\"\na\n#EXT-X-STREAM-INF:BANDWIDTH=5,RESOLUTION=1x1,HDCP-LEVEL=NONE,ALLOWED-CPC=\"x:A/B,y:C\"\nb\n",
	} {
		for flags := range byte(64) {
			f.Add([]byte(seed), uint16(flags), flags)
		}
	}
	f.Fuzz(func(t *testing.T, playlist []byte, rotate uint16, flags byte) {
		o, protector := fuzzOptions(rotate, flags)
		before := string(playlist)
		out, err := Rewrite(t.Context(), playlist, o)
		if string(playlist) != before {
			t.Fatal("the input was changed")
		}
		if err != nil {
			if out != nil {
				t.Fatalf("error %v came with a playlist", err)
			}
			return
		}
		was, err := Inspect(playlist)
		if err != nil {
			t.Fatal(err)
		}
		is, err := Inspect(out)
		if errors.Is(err, ErrNotPlaylist) && onlyDropped(before) {
			return
		}
		if err != nil || is.Kind != was.Kind || rotate == 0 && o.ClearLead == 0 && o.Rotation.Replaced == nil && is.references > was.references {
			t.Fatalf("from %+v to %+v, %v\n%s", was, is, err, out)
		}
		if fault := unsealed(string(out), o.From); fault != "" {
			t.Fatalf("%q\n%s", fault, out)
		}
		for _, s := range protector.segments {
			if s.ClearLead && (o.ClearLead == 0 || s.IFrame || len(s.Lead) > 0) {
				t.Fatalf("in a clear lead: %+v", s)
			}
			if s.Range.End() > 1<<63-1 || s.Range.Length == 0 && s.Range.Offset != 0 || len(s.Lead) > maxLead {
				t.Fatalf("asked for %+v", s)
			}
		}
		if fault := splitSegment(protector.segments); fault != "" {
			t.Fatalf("%s\n%s", fault, out)
		}
	})
}

// fuzzOptions are testOptions with crypto periods of some seconds, and a bit each for keys that stay, keys that are replaced, a
// protector that judges variants, a clear lead, a re-key, and one whose grace is over.
func fuzzOptions(rotate uint16, flags byte) (Options, *testProtector) {
	o, protector := testOptions()
	o.Rotation.Length = time.Duration(rotate) * time.Second
	o.PassProtected, o.ReplaceProtection = flags&1 != 0, flags&2 != 0
	if flags&8 != 0 {
		o.ClearLead = 3 * time.Second
	}
	if flags&16 != 0 {
		o.Rotation.Replaced = drm.Generations{2_000_000_005}
		o.Rotation.Oldest = uint32(flags >> 5 & 1)
	}
	if flags&4 != 0 {
		o.Protector = &judge{testProtector: protector, keys: []Key{{Method: "SAMPLE-AES", URI: "k"}}, terms: func(v Variant) VariantTerms {
			cpc := []AllowedCPC{{"com.example", []string{"A"}}}
			return VariantTerms{Drop: v.Bandwidth%2 == 0, HDCP: HDCPLevel(v.Bandwidth % 3), AllowedCPC: cpc[:v.Width%2]}
		}}
	} else if rotate > 0 {
		o.Protector = &rotator{testProtector: protector}
	}
	return o, protector
}

// splitSegment names a segment whose parts are not all of one epoch. Init segments are told by their number, 0.
func splitSegment(segments []Segment) string {
	epochs := map[uint64]Epoch{}
	for _, s := range segments {
		if epoch, ok := epochs[s.Sequence]; ok && epoch != s.Epoch && s.Sequence != 0 {
			return fmt.Sprintf("segment %d is of the epochs %s and %s", s.Sequence, epoch, s.Epoch)
		}
		epochs[s.Sequence] = s.Epoch
	}
	return ""
}

// isRange reports whether an attribute of a line is a byte range of its URI.
func isRange(l, name string) bool {
	if strings.HasPrefix(l, "#EXT-X-PRELOAD-HINT:") {
		return name == attrRangeStart || name == attrRangeLength
	}
	return name == attrByteRange && (strings.HasPrefix(l, "#EXT-X-MAP:") || strings.HasPrefix(l, "#EXT-X-PART:"))
}

// onlyDropped reports whether a playlist may have had no tag of its kind but those that are dropped.
func onlyDropped(playlist string) bool {
	for _, tag := range []string{
		tagIFrameStreamInf, tagSteering, tagSessionData, tagSessionKey, tagKey, tagDateRange, tagPreloadHint, tagByteRange, tagServerControl,
	} {
		if strings.Contains(playlist, "#"+tag) {
			return true
		}
	}
	return false
}

func FuzzInspect(f *testing.F) {
	f.Add([]byte(mediaTop))
	f.Add([]byte("#EXTM3U\n#EXT-X-STREAM-INF:A=1\na"))
	f.Fuzz(func(t *testing.T, playlist []byte) {
		if info, err := Inspect(playlist); err != nil && info != (Info{}) {
			t.Fatalf("error %v came with %+v", err, info)
		}
	})
}
