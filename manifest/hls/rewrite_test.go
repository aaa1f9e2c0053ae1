package hls

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
)

var testKID = drm.KID{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}

var errTestRefused = errors.New("refused by the test")

func testOptions() (Options, *testProtector) {
	protector := &testProtector{}
	origin := &url.URL{Scheme: "https", Host: "origin.example", Path: "/bucket/"}
	query := func(name string) (string, bool) {
		value, ok := map[string]string{"part": "a", "quote": `a"b`, "break": "a\nb", "again": "{$again}"}[name]
		return value, ok
	}
	return Options{
		Base: address.NewBase("/vod/demo/list.m3u8", []*url.URL{origin}), From: "/vod/demo/~seal/list.m3u8",
		Query: query, Protector: protector,
	}, protector
}

func rewriteText(t *testing.T, playlist string) (string, error) {
	t.Helper()
	o, _ := testOptions()
	out, err := Rewrite(t.Context(), []byte(playlist), o)
	if err != nil && out != nil {
		t.Fatalf("error %v came with a playlist", err)
	}
	return string(out), err
}

const (
	keyLine  = `#EXT-X-KEY:METHOD=SAMPLE-AES,URI="k/init",KEYID=0x0123456789ABCDEF0123456789ABCDEF,KEYFORMAT="org.w3.clearkey",KEYFORMATVERSIONS="1"` + "\n"
	mediaTop = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n"
	mapIn    = "#EXT-X-MAP:URI=\"init.mp4\"\n"
	mapOut   = keyLine + "#EXT-X-MAP:URI=\"../~init/init.mp4\"\n"
)

func TestRewriteMedia(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"key stands in front of its map, segments are sealed", mapIn + "#EXTINF:4.000,\nseg1.m4s\n", mapOut + "#EXTINF:4.000,\n../~init/seg1.m4s\n"},
		{"map between EXTINF and URI", "#EXTINF:4,\n" + mapIn + "seg1.m4s\n", "#EXTINF:4,\n" + mapOut + "../~init/seg1.m4s\n"},
		{"keys are not repeated with the same map", mapIn + "#EXTINF:4,\na.m4s\n#EXT-X-DISCONTINUITY\n" + mapIn + "#EXTINF:4,\nb.m4s\n", mapOut + "#EXTINF:4,\n../~init/a.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"../~init/init.mp4\"\n#EXTINF:4,\n../~init/b.m4s\n"},
		{"keys are not repeated with another map of the same keys", mapIn + "#EXT-X-MAP:URI=\"init-same.mp4\"\n", mapOut + "#EXT-X-MAP:URI=\"../~init-same/init-same.mp4\"\n"},
		{"text track after a protected one", mapIn + "#EXT-X-MAP:URI=\"text.mp4\"\n", mapOut + "#EXT-X-KEY:METHOD=NONE\n#EXT-X-MAP:URI=\"../~text/text.mp4\"\n"},
		{"protected track after a text one", "#EXT-X-MAP:URI=\"text.mp4\"\n" + mapIn, "#EXT-X-MAP:URI=\"../~text/text.mp4\"\n" + mapOut},
		{"a key format without a successor is switched off", "#EXT-X-MAP:URI=\"two.mp4\"\n" + mapIn, `#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI="i/two"` + "\n" + strings.Replace(keyLine, "k/init", "k/two", 1) + "#EXT-X-MAP:URI=\"../~two/two.mp4\"\n#EXT-X-KEY:METHOD=NONE\n" + mapOut},
		{"text segments without map", "#EXTINF:4,\nsub/1.vtt?x=1\n", "#EXTINF:4,\n../sub/~vtt/1.vtt?x=1\n"},
		{"METHOD=NONE of the origin is removed", "#EXT-X-KEY:METHOD=NONE\n" + mapIn, mapOut},
		{"all else of a map stays", `#EXT-X-MAP: X-A="b,c", URI="init.mp4",X-D=1,` + " \n", keyLine + `#EXT-X-MAP: X-A="b,c", URI="../~init/init.mp4",X-D=1,` + " \n"},
		{"absolute URL of the origin", "#EXTINF:4,\nhttps://origin.example/bucket/vod/x/1.vtt\n", "#EXTINF:4,\n../../x/~vtt/1.vtt\n"},
		{"part", mapIn + "#EXT-X-PART:DURATION=0.5,URI=\"p.m4s\",INDEPENDENT=YES\n", mapOut + "#EXT-X-PART:DURATION=0.5,URI=\"../~init/p.m4s\",INDEPENDENT=YES\n"},
		{"preload hint for a part", mapIn + "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p.m4s\"\n", mapOut + "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"../~init/p.m4s\"\n"},
		{"preload hint with an open byte range", mapIn + "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p.m4s\",BYTERANGE-START=0\n", mapOut},
		{"preload hint for a byte range", mapIn + "#EXT-X-PRELOAD-HINT:TYPE=PART,BYTERANGE-START=7,URI=\"p.m4s\",BYTERANGE-LENGTH=5\n", mapOut + "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"../~init.5-7/p.m4s\"\n"},
		{"preload hint for the first bytes", mapIn + "#EXT-X-PRELOAD-HINT:BYTERANGE-LENGTH=5, TYPE=PART,URI=\"p.m4s\"\n", mapOut + "#EXT-X-PRELOAD-HINT: TYPE=PART,URI=\"../~init.5-0/p.m4s\"\n"},
		{"preload hint without track", "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p.ts\"\n", ""},
		{"preload hint of another extension", "#EXTINF:4,\na.vtt\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p.ts\"\n", "#EXTINF:4,\n../~vtt/a.vtt\n"},
		{"preload hint for a segment without map", "#EXTINF:4,\na.vtt\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p.vtt\"\n", "#EXTINF:4,\n../~vtt/a.vtt\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"../~vtt/p.vtt\"\n"},
		{"preload hint of an unknown type", mapIn + "#EXT-X-PRELOAD-HINT:TYPE=KEY,URI=\"p.m4s\"\n", mapOut},
		{"preload hint for a new init segment", mapIn + "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"init2.mp4\"\n", mapOut},
		{"preload hint for a known init segment", mapIn + "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"init.mp4\"\n", mapOut + "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"../~init/init.mp4\"\n"},
		{"rendition report", "#EXT-X-RENDITION-REPORT:URI=\"../other/l.m3u8\",LAST-MSN=3\n", "#EXT-X-RENDITION-REPORT:URI=\"../../other/~p/l.m3u8\",LAST-MSN=3\n"},
		{"date range without asset", "#EXT-X-DATERANGE:ID=\"x\",SCTE35-OUT=0xFC,X-COM-A=\"https://a.example/\"\n", "#EXT-X-DATERANGE:ID=\"x\",SCTE35-OUT=0xFC,X-COM-A=\"https://a.example/\"\n"},
		{"interstitial of this site", "#EXT-X-DATERANGE:ID=\"x\",X-ASSET-URI=\"ad.m3u8\"\n", "#EXT-X-DATERANGE:ID=\"x\",X-ASSET-URI=\"../~p/ad.m3u8\"\n"},
		{"interstitial of another host", "#EXT-X-DATERANGE:ID=\"x\",X-ASSET-URI=\"https://a.example/ad.m3u8\"\n", ""},
		{"interstitial list", "#EXT-X-DATERANGE:ID=\"x\",X-ASSET-LIST=\"ads.json\"\n", ""},
		{"reference where none belongs", "#EXT-X-START:TIME-OFFSET=1,URI=\"https://a.example/\"\n#EXT-X-DATERANGE:URI=\"/b\",ID=\"a\"\n", "#EXT-X-START:TIME-OFFSET=1\n#EXT-X-DATERANGE:ID=\"a\"\n"},
		{"comment with a URL", "## https://a.example/\n", "## https://a.example/\n"},
		{"comment with a tag in it", "## #EXT-X-MAP:URI=\"https://a.example/\"\n", ""},
		{"unknown tag", "#EXT-X-CUE-OUT:30.0, x\n#EXT-ACME\n", "#EXT-X-CUE-OUT:30.0, x\n#EXT-ACME\n"},
		{"unknown tag with a URL", "#EXT-X-ACME:https://a.example/\n", ""},
		{"unknown tag with a URL before any colon", "#EXT-X-ACME https://a.example/\n", ""},
		{"unknown tag with a variable", "#EXT-X-ACME:{$x}\n", ""},
		{"unknown tag with a host", "#EXT-X-ACME:A=\"//a.example/\"\n", ""},
		{"unknown tag with a URI", "#EXT-X-ACME:A=1,URI=\"x\"\n", ""},
		{"line ends and odd spellings", "#EXT-X-MEDIA-SEQUENCE:007 \t\r\n\r\n   \n#EXTINF: 3.840 ,title, more\r\n1.vtt \r\n#EXT-X-ENDLIST", "#EXT-X-MEDIA-SEQUENCE:007 \t\r\n\r\n   \n#EXTINF: 3.840 ,title, more\r\n../~vtt/1.vtt \r\n#EXT-X-ENDLIST"},
		{"variables are expanded and their definitions dropped", "#EXT-X-DEFINE:NAME=\"d\",VALUE=\"sub\"\n#EXT-X-DEFINE:NAME=\"e\",VALUE=\"{$d}/x\"\n#EXT-X-DATERANGE:ID=\"a{$d}\",X-B=1\n#EXTINF:4,{$d}\n{$e}/1.vtt\n", "#EXT-X-DATERANGE:ID=\"asub\",X-B=1\n#EXTINF:4,{$d}\n../sub/x/~vtt/1.vtt\n"},
		{"variable from the query", "#EXT-X-DEFINE:QUERYPARAM=\"part\"\n#EXTINF:4,\n{$part}.vtt\n", "#EXTINF:4,\n../~vtt/a.vtt\n"},
		{"imported variable that is not used", "#EXT-X-DEFINE:IMPORT=\"x\"\n", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := rewriteText(t, mediaTop+test.in)
			if err != nil {
				t.Fatal(err)
			}
			if want := mediaTop + test.want; got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestRewriteMultivariant(t *testing.T) {
	const top, variant = "#EXTM3U\n", "#EXT-X-STREAM-INF:BANDWIDTH=1\nv/1.m3u8?a=b%2F\n"
	const sealed = "#EXT-X-STREAM-INF:BANDWIDTH=1\n../v/~p/1.m3u8?a=b%2F\n"
	tests := []struct{ name, in, want string }{
		{"variants, the same twice", variant + variant, sealed + sealed},
		{"comment behind EXT-X-STREAM-INF", "#EXT-X-STREAM-INF:BANDWIDTH=1\n# 1\n\nv/1.m3u8\n", "#EXT-X-STREAM-INF:BANDWIDTH=1\n# 1\n\n../v/~p/1.m3u8\n"},
		{"rendition", "#EXT-X-MEDIA:TYPE=AUDIO,URI=\"a.m3u8\",GROUP-ID=\"a\"\n", "#EXT-X-MEDIA:TYPE=AUDIO,URI=\"../~p/a.m3u8\",GROUP-ID=\"a\"\n"},
		{"rendition without URI", "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,INSTREAM-ID=\"CC1\"\n", "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,INSTREAM-ID=\"CC1\"\n"},
		{"I-frame playlist", "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"\n" + variant, "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"../~p/i.m3u8\"\n" + sealed},
		{"I-frame playlist of another host", "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"//a.example/i.m3u8\"\n" + variant, sealed},
		{"I-frame playlist outside of the asset", "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"/premium/i.m3u8\"\n" + variant, sealed},
		{"steering is dropped", "#EXT-X-CONTENT-STEERING:SERVER-URI=\"/steer\"\n" + variant, sealed},
		{"session data with a value", "#EXT-X-SESSION-DATA:DATA-ID=\"a\",VALUE=\"b\"\n", "#EXT-X-SESSION-DATA:DATA-ID=\"a\",VALUE=\"b\"\n"},
		{"session data as sidecar", "#EXT-X-SESSION-DATA:DATA-ID=\"a\",URI=\"d.json\"\n", "#EXT-X-SESSION-DATA:DATA-ID=\"a\",URI=\"../~t/d.json\"\n"},
		{"session data that is no sidecar", "#EXT-X-SESSION-DATA:DATA-ID=\"a\",URI=\"d.mp4\"\n" + variant, sealed},
		{"session data of another host", "#EXT-X-SESSION-DATA:DATA-ID=\"a\",URI=\"//a.example/d.json\"\n" + variant, sealed},
		{"session key NONE", "#EXT-X-SESSION-KEY:METHOD=NONE\n" + variant, sealed},
		{"image playlists are an unknown tag with a URI", "#EXT-X-IMAGE-STREAM-INF:BANDWIDTH=1,URI=\"t.m3u8\"\n" + variant, sealed},
		{"variables", "#EXT-X-DEFINE:NAME=\"h\",VALUE=\"https://origin.example/bucket\"\n#EXT-X-STREAM-INF:BANDWIDTH=1,X=\"{$h}\"\n{$h}/vod/1.m3u8\n", "#EXT-X-STREAM-INF:BANDWIDTH=1,X=\"https://origin.example/bucket\"\n../../~p/1.m3u8\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := rewriteText(t, top+test.in)
			if err != nil {
				t.Fatal(err)
			}
			if want := top + test.want; got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestRewriteVersion(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"absent", "#EXTM3U\n", "#EXTM3U\n#EXT-X-VERSION:6\n"},
		{"absent, CRLF", "#EXTM3U \r\n", "#EXTM3U \r\n#EXT-X-VERSION:6\r\n"},
		{"raised", "#EXTM3U\n#EXT-X-VERSION:3\n", "#EXTM3U\n#EXT-X-VERSION:6\n"},
		{"raised, blanks around it", "#EXTM3U\n#EXT-X-VERSION: 3 \r\n", "#EXTM3U\n#EXT-X-VERSION:6 \r\n"},
		{"never lowered", "#EXTM3U\n#EXT-X-VERSION:013\n", "#EXTM3U\n#EXT-X-VERSION:013\n"},
		{"raised in a list of I-frames", "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-I-FRAMES-ONLY\n", "#EXTM3U\n#EXT-X-VERSION:5\n#EXT-X-I-FRAMES-ONLY\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := rewriteText(t, test.in+mapIn)
			if err != nil {
				t.Fatal(err)
			}
			want := test.want + mapOut
			if strings.HasPrefix(test.in, "#EXTM3U \r\n") {
				want = test.want + strings.Replace(mapOut, "\"1\"\n", "\"1\"\r\n", 1)
			}
			if got != want {
				t.Errorf("got\n%q\nwant\n%q", got, want)
			}
		})
	}
	t.Run("behind the keys", func(t *testing.T) {
		got, err := rewriteText(t, "#EXTM3U\n"+mapIn+"#EXT-X-VERSION:3\n# end\n")
		if want := "#EXTM3U\n" + mapOut + "#EXT-X-VERSION:6\n# end\n"; err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	})
	t.Run("untouched when no key is added", func(t *testing.T) {
		in := "#EXTM3U\n#EXT-X-TARGETDURATION:4\n"
		if got, err := rewriteText(t, in); err != nil || got != in {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
