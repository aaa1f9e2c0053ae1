package hls

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// judge is a testProtector that announces session keys and judges variants.
type judge struct {
	*testProtector
	keys  []Key
	err   error
	terms func(Variant) VariantTerms
	asked []Variant
	times int
}

func (j *judge) SessionKeys(context.Context) ([]Key, error) {
	j.times++
	return j.keys, j.err
}

func (j *judge) Variant(_ context.Context, v Variant) (VariantTerms, error) {
	j.asked = append(j.asked, v)
	if j.terms == nil {
		return VariantTerms{}, j.err
	}
	return j.terms(v), j.err
}

// rewriteJudged rewrites a multivariant playlist with the answers of j.
func rewriteJudged(t *testing.T, j *judge, playlist string, change func(*Options)) (string, error) {
	t.Helper()
	o, protector := testOptions()
	j.testProtector = protector
	o.Protector = j
	if change != nil {
		change(&o)
	}
	out, err := Rewrite(t.Context(), []byte(playlist), o)
	if err != nil && out != nil {
		t.Fatalf("error %v came with a playlist", err)
	}
	return string(out), err
}

const (
	variantIn  = "#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n"
	variantOut = "#EXT-X-STREAM-INF:BANDWIDTH=1\n../~p/v.m3u8\n"
	theirs     = "#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"skd://1\"\n"
)

func TestSessionKeys(t *testing.T) {
	fairplay := Key{Method: "SAMPLE-AES", URI: "skd://a", KeyFormat: KeyFormatFairPlay, KeyFormatVersions: "1"}
	another := fairplay
	another.URI = "skd://b"
	const a = "#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"skd://a\",KEYFORMAT=\"com.apple.streamingkeydelivery\",KEYFORMATVERSIONS=\"1\"\n"
	b := strings.Replace(a, "skd://a", "skd://b", 1)
	const iFrames, iFramesOut = "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"\n", "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"../~p/i.m3u8\"\n"
	replace := func(o *Options) { o.ReplaceProtection, o.PassProtected = true, true }
	pass := func(o *Options) { o.PassProtected = true }
	for name, test := range map[string]struct {
		in, want string
		change   func(*Options)
	}{
		"in front of the first variant, once":       {"#EXTM3U\n#EXT-X-VERSION:4\n# c\n" + variantIn + variantIn, "#EXTM3U\n#EXT-X-VERSION:5\n# c\n" + a + b + variantOut + variantOut, nil},
		"a version is written":                      {"#EXTM3U\r\n" + variantIn, "#EXTM3U\r\n#EXT-X-VERSION:5\r\n" + strings.ReplaceAll(a+b, "\n", "\r\n") + variantOut, nil},
		"a version is not lowered":                  {"#EXTM3U\n#EXT-X-VERSION:8\n" + variantIn, "#EXTM3U\n#EXT-X-VERSION:8\n" + a + b + variantOut, nil},
		"in front of I-frames":                      {"#EXTM3U\n#EXT-X-VERSION:8\n" + iFrames + variantIn, "#EXTM3U\n#EXT-X-VERSION:8\n" + a + b + iFramesOut + variantOut, nil},
		"those of the origin are replaced":          {"#EXTM3U\n#EXT-X-VERSION:8\n" + theirs + variantIn + theirs, "#EXTM3U\n#EXT-X-VERSION:8\n" + a + b + variantOut, replace},
		"those of the origin stay alone":            {"#EXTM3U\n#EXT-X-VERSION:8\n" + variantIn + theirs, "#EXTM3U\n#EXT-X-VERSION:8\n" + variantOut + theirs, pass},
		"where keys may stay and there are none":    {"#EXTM3U\n#EXT-X-VERSION:8\n#EXT-X-SESSION-KEY:METHOD=NONE\n" + variantIn, "#EXTM3U\n#EXT-X-VERSION:8\n" + a + b + variantOut, pass},
		"not in a playlist of renditions alone":     {"#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO\n", "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO\n", nil},
		"not in a media playlist, which has others": {mediaTop + mapIn, mediaTop + mapOut, nil},
	} {
		j := &judge{keys: []Key{fairplay, another}}
		got, err := rewriteJudged(t, j, test.in, test.change)
		if err != nil || got != test.want || j.times > 1 {
			t.Errorf("%s: %v, asked %d times\n%s\nwant\n%s", name, err, j.times, got, test.want)
		}
	}
	if _, err := rewriteJudged(t, &judge{keys: []Key{fairplay}}, "#EXTM3U\n"+theirs+variantIn, nil); !errors.Is(err, ErrAlreadyProtected) {
		t.Errorf("keys of the origin: %v", err)
	}
	if _, err := rewriteJudged(t, &judge{err: errTestRefused}, "#EXTM3U\n"+variantIn, nil); !errors.Is(err, errTestRefused) {
		t.Errorf("error of the protector: %v", err)
	}
	for _, keys := range [][]Key{{fairplay, fairplay}, {{Method: methodNone, URI: "a"}}, {{Method: "SAMPLE-AES", URI: "a\"\n"}}} {
		if _, err := rewriteJudged(t, &judge{keys: keys}, "#EXTM3U\n"+variantIn, nil); !errors.Is(err, errKey) {
			t.Errorf("%+v: %v, want %v", keys, err, errKey)
		}
	}
}

func TestVariantIsDescribed(t *testing.T) {
	j := &judge{}
	_, err := rewriteJudged(t, j, "#EXTM3U\n#EXT-X-DEFINE:NAME=\"c\",VALUE=\"hvc1\"\n"+
		"#EXT-X-STREAM-INF:BANDWIDTH=16000000 ,RESOLUTION=3840x2160 , CODECS=\"{$c}.2,mp4a.40.2\",VIDEO-RANGE=PQ,HDCP-LEVEL=TYPE-1\na.m3u8\n"+
		"#EXT-X-STREAM-INF:BANDWIDTH=-1,RESOLUTION=12x,HDCP-LEVEL=TYPE-9\na.m3u8\n"+
		"#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=5,RESOLUTION=16x9,HDCP-LEVEL=NONE,URI=\"i.m3u8\"\n", nil)
	want := []Variant{
		{Bandwidth: 16_000_000, Width: 3840, Height: 2160, Codecs: "hvc1.2,mp4a.40.2", VideoRange: "PQ", HDCP: HDCPType1},
		{HDCP: HDCPType1},
		{IFrame: true, Bandwidth: 5, Width: 16, Height: 9},
	}
	if diff := cmp.Diff(want, j.asked); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestVariantTerms(t *testing.T) {
	const format = "urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"
	terms := VariantTerms{HDCP: HDCPType0, AllowedCPC: []AllowedCPC{{format, []string{"HW", "TEE-1"}}, {"com.example", []string{"A"}}}}
	const ours = format + ":HW/TEE-1,com.example:A"
	for name, test := range map[string]struct{ in, want string }{
		"added":                  {"BANDWIDTH=1", `BANDWIDTH=1,HDCP-LEVEL=TYPE-0,ALLOWED-CPC="` + ours + `"`},
		"in front of what ends":  {"BANDWIDTH=1, ", `BANDWIDTH=1,HDCP-LEVEL=TYPE-0,ALLOWED-CPC="` + ours + `", `},
		"a weaker level":         {"HDCP-LEVEL=NONE,BANDWIDTH=1", `HDCP-LEVEL=TYPE-0,BANDWIDTH=1,ALLOWED-CPC="` + ours + `"`},
		"a stricter level":       {"HDCP-LEVEL=TYPE-1,A=1", `HDCP-LEVEL=TYPE-1,A=1,ALLOWED-CPC="` + ours + `"`},
		"an unknown level":       {"HDCP-LEVEL=TYPE-2,A=1", `HDCP-LEVEL=TYPE-2,A=1,ALLOWED-CPC="` + ours + `"`},
		"what both allow":        {`ALLOWED-CPC="x:Y,` + format + `:SW/HW/3",A=1`, `ALLOWED-CPC="x:Y,` + format + `:HW,com.example:A",A=1,HDCP-LEVEL=TYPE-0`},
		"nothing that both have": {`ALLOWED-CPC="` + format + `:SW",A=1`, ""},
	} {
		j := &judge{terms: func(v Variant) VariantTerms {
			if v.IFrame || v.Bandwidth != 7 {
				return terms
			}
			return VariantTerms{}
		}}
		const other = "#EXT-X-STREAM-INF:BANDWIDTH=7,HDCP-LEVEL=NONE\n"
		got, err := rewriteJudged(t, j, "#EXTM3U\n"+other+"v.m3u8\n#EXT-X-STREAM-INF:"+test.in+"\nw.m3u8\n#EXT-X-I-FRAME-STREAM-INF:URI=\"i.m3u8\","+test.in+"\n", nil)
		want := "#EXTM3U\n" + other + "../~p/v.m3u8\n"
		if test.want != "" {
			want += "#EXT-X-STREAM-INF:" + test.want + "\n../~p/w.m3u8\n#EXT-X-I-FRAME-STREAM-INF:URI=\"../~p/i.m3u8\"," + test.want + "\n"
		}
		if err != nil || got != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, want)
		}
	}
	for _, broken := range []string{`ALLOWED-CPC=x`, `ALLOWED-CPC="x"`, `ALLOWED-CPC="x:"`, `ALLOWED-CPC="x:a"`, `ALLOWED-CPC=":A"`, `ALLOWED-CPC="x:A,x:B"`} {
		j := &judge{terms: func(Variant) VariantTerms { return terms }}
		var syntax *SyntaxError
		if _, err := rewriteJudged(t, j, "#EXTM3U\n#EXT-X-STREAM-INF:"+broken+"\nv.m3u8\n", nil); !errors.Is(err, errCPC) || !errors.As(err, &syntax) {
			t.Errorf("%s: %v", broken, err)
		}
	}
	for _, cpc := range []AllowedCPC{{"", []string{"A"}}, {"x", nil}, {"x", []string{""}}, {"x", []string{"a"}}, {`x"`, []string{"A"}}, {"x,y", []string{"A"}}, {"{$x}", []string{"A"}}} {
		j := &judge{terms: func(Variant) VariantTerms { return VariantTerms{AllowedCPC: []AllowedCPC{cpc}} }}
		var syntax *SyntaxError
		if _, err := rewriteJudged(t, j, "#EXTM3U\n"+variantIn, nil); !errors.Is(err, errCPC) || errors.As(err, &syntax) {
			t.Errorf("%+v: %v", cpc, err)
		}
	}
}

func TestVariantsAreDropped(t *testing.T) {
	media := func(kind, id, uri string) string {
		return "#EXT-X-MEDIA:TYPE=" + kind + ",GROUP-ID=\"" + id + "\",NAME=\"n\",URI=\"" + uri + ".m3u8\"\n"
	}
	high := func(v Variant) VariantTerms { return VariantTerms{Drop: v.Height > 1080} }
	j := &judge{terms: high}
	got, err := rewriteJudged(t, j, "#EXTM3U\n"+
		media("AUDIO", "a", "a")+media("AUDIO", "hq", "hq")+media("SUBTITLES", "s", "s")+media("SUBTITLES", "s4k", "s4k")+media("VIDEO", "s", "video")+
		"#EXT-X-DEFINE:NAME=\"s\",VALUE=\"s\"\n"+
		"#EXT-X-STREAM-INF:RESOLUTION=3840x2160,AUDIO=\"hq\",SUBTITLES=\"{$s}4k\",VIDEO=\"s\",CLOSED-CAPTIONS=NONE\n# between\n//other.example/4k.m3u8\n"+
		"#EXT-X-STREAM-INF:RESOLUTION=1920x1080,AUDIO=\"a\",SUBTITLES=\"s\"\nhd.m3u8\n"+
		"#EXT-X-STREAM-INF:CODECS=\"mp4a.40.2\",AUDIO=\"a\"\na.m3u8\n"+
		"#EXT-X-I-FRAME-STREAM-INF:RESOLUTION=3840x2160,URI=\"i4k.m3u8\"\n#EXT-X-I-FRAME-STREAM-INF:RESOLUTION=1920x1080,URI=\"i.m3u8\"\n"+
		media("SUBTITLES", "{$s}4k", "late")+media("SUBTITLES", "lonely", "lonely")+"#EXT-X-VERSION:4\n# end\n", nil)
	want := "#EXTM3U\n" + media("AUDIO", "a", "../~p/a") + media("AUDIO", "hq", "../~p/hq") + media("SUBTITLES", "s", "../~p/s") +
		"# between\n#EXT-X-STREAM-INF:RESOLUTION=1920x1080,AUDIO=\"a\",SUBTITLES=\"s\"\n../~p/hd.m3u8\n" +
		"#EXT-X-STREAM-INF:CODECS=\"mp4a.40.2\",AUDIO=\"a\"\n../~p/a.m3u8\n#EXT-X-I-FRAME-STREAM-INF:RESOLUTION=1920x1080,URI=\"../~p/i.m3u8\"\n" +
		media("SUBTITLES", "lonely", "../~p/lonely") + "#EXT-X-VERSION:4\n# end\n"
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	// A version in front of and behind dropped lines is found again.
	j.keys = []Key{{Method: "SAMPLE-AES", URI: "k"}}
	got, err = rewriteJudged(t, j, "#EXTM3U\n"+media("VIDEO", "v", "v")+"#EXT-X-VERSION:3\n"+media("VIDEO", "v", "v")+"#EXT-X-STREAM-INF:RESOLUTION=3840x2160,VIDEO=\"v\"\na.m3u8\n"+variantIn, nil)
	if want := "#EXTM3U\n#EXT-X-VERSION:5\n#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n" + variantOut; err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}

func TestNoVariantsAreLeft(t *testing.T) {
	j := &judge{terms: func(v Variant) VariantTerms { return VariantTerms{Drop: !v.IFrame} }}
	const iFrames = "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"\n"
	if _, err := rewriteJudged(t, j, "#EXTM3U\n"+variantIn+iFrames, nil); !errors.Is(err, ErrNoVariants) {
		t.Errorf("got %v, want %v", err, ErrNoVariants)
	}
	if _, err := rewriteJudged(t, j, "#EXTM3U\n"+iFrames, nil); err != nil {
		t.Errorf("none to begin with: %v", err)
	}
	if _, err := rewriteJudged(t, &judge{err: errTestRefused}, "#EXTM3U\n"+variantIn, nil); !errors.Is(err, errTestRefused) {
		t.Errorf("error of the protector: %v", err)
	}
	// A dropped variant without URI line is malformed all the same.
	if _, err := rewriteJudged(t, j, "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n", nil); !errors.Is(err, errNoURI) {
		t.Errorf("got %v, want %v", err, errNoURI)
	}
}

func TestReplaceProtection(t *testing.T) {
	replace := func(playlist string) (string, error) {
		o, _ := testOptions()
		o.ReplaceProtection, o.PassProtected = true, true
		out, err := Rewrite(t.Context(), []byte(playlist), o)
		return string(out), err
	}
	leftover := theirKeys + "#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n"
	for name, test := range map[string]struct{ in, want string }{
		"in front of the map":     {leftover + mapIn + inf + "a.m4s\n", mapOut + inf + "../~init/a.m4s\n"},
		"behind it, and rotation": {mapIn + leftover + inf + "a.m4s\n" + leftover + inf + "b.m4s\n", mapOut + inf + "../~init/a.m4s\n" + inf + "../~init/b.m4s\n"},
		"a transport stream":      {leftover + inf + "a.ts\n#EXT-X-KEY:METHOD=NONE\n" + inf + "b.ts\n", tsKey + inf + "../~ts/a.ts\n" + inf + "../~ts/b.ts\n"},
	} {
		if got, err := replace(mediaTop + test.in); err != nil || got != mediaTop+test.want {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
	if got, err := replace(mediaTop + leftover + theirMap); !errors.Is(err, ErrAlreadyProtected) || got != "" {
		t.Errorf("media that is protected: %v", err)
	}
	if got, err := replace(mediaTop + "#EXT-X-KEY:URI=\"a\"\n" + mapIn); !errors.Is(err, errMissing) || got != "" {
		t.Errorf("a key without method: %v", err)
	}
}
