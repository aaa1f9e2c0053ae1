package dash_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

// The descriptors as the fixed protector's answer makes them, in a document that lets the root declare the prefixes.
const (
	generic  = `<ContentProtection schemeIdUri="urn:mpeg:dash:mp4protection:2011" value="cenc" cenc:default_KID="01234567-89ab-cdef-0123-456789abcdef"/>`
	clearKey = `<ContentProtection schemeIdUri="urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e" value="ClearKey1.0"><dashif:Laurl licenseType="EME-1.0">/.drm/l?a=1&amp;b=&lt;2&gt;</dashif:Laurl></ContentProtection>`
	declared = ` xmlns:cenc="urn:mpeg:cenc:2013" xmlns:dashif="https://dashif.org/CPS"`
	sealBase = `<BaseURL>~seal/</BaseURL>`
)

func rewriteFixed(t *testing.T, mpd string) string {
	t.Helper()
	p := fixed{
		Protection: dash.Protection{Scheme: drm.SchemeCenc, KID: testKID, Systems: clearKeyAt("/.drm/l?a=1&b=<2>"), Tracks: sealedAs("~seal")},
		sidecar:    []string{"~side"},
	}
	o := dash.Options{Base: address.NewBase(testPath, testOrigins()), From: testPath, Protector: p}
	out, err := dash.Rewrite(t.Context(), []byte(mpd), o)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestOutput states the whole result of small documents: what is not named as a change is the same byte for byte.
func TestOutput(t *testing.T) {
	const (
		open    = `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">`
		set     = `<Period><AdaptationSet mimeType="video/mp4">`
		rest    = goodTemplate + `<Representation id="v"/></AdaptationSet></Period></MPD>`
		newOpen = `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"` + declared + `>`
		newRest = goodTemplate + `<Representation id="v">` + sealBase + `</Representation></AdaptationSet></Period></MPD>`
	)
	tests := map[string]struct{ mpd, want string }{
		"smallest": {open + set + rest, newOpen + set + generic + clearKey + newRest},
		"byte order mark": {
			"\ufeff<?xml version='1.0' encoding='utf-8' ?>" + open + set + rest + "\n<!-- end -->",
			"\ufeff<?xml version='1.0' encoding='utf-8' ?>" + newOpen + set + generic + clearKey + newRest + "\n<!-- end -->",
		},
		"prefixes declared already": {
			`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"` + declared + `>` + set + rest,
			newOpen + set + generic + clearKey + newRest,
		},
		"prefix cenc for something else": {
			`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" xmlns:cenc="urn:x">` + set + rest,
			`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" xmlns:cenc="urn:x" xmlns:dashif="https://dashif.org/CPS">` + set +
				strings.Replace(generic, " ", ` xmlns:cenc="urn:mpeg:cenc:2013" `, 1) + clearKey + newRest,
		},
		"prefix dashif for something else, further down": {
			open + `<x xmlns:dashif="urn:x"/>` + set + rest,
			`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" xmlns:cenc="urn:mpeg:cenc:2013"><x xmlns:dashif="urn:x"/>` + set + generic +
				strings.Replace(clearKey, "<dashif:Laurl", `<dashif:Laurl xmlns:dashif="https://dashif.org/CPS"`, 1) + newRest,
		},
		"another prefix for the namespace of cenc": {
			`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" xmlns:c="urn:mpeg:cenc:2013">` + set + rest,
			`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" xmlns:c="urn:mpeg:cenc:2013" xmlns:dashif="https://dashif.org/CPS">` + set +
				strings.Replace(generic, " ", ` xmlns:cenc="urn:mpeg:cenc:2013" `, 1) + clearKey + newRest,
		},
		"behind AudioChannelConfiguration, in front of Role": {
			open + set + "\n<AudioChannelConfiguration/><!-- c -->\n <Role/>" + rest,
			newOpen + set + "\n<AudioChannelConfiguration/>" + generic + clearKey + "<!-- c -->\n <Role/>" + newRest,
		},
		"indented": {
			open + "<Period>\r\n\t<AdaptationSet mimeType='video/mp4' >\r\n\t\t" + goodTemplate + "\r\n\t\t<Representation id='v' ><!-- x -->\r\n\t\t</Representation></AdaptationSet></Period></MPD>",
			newOpen + "<Period>\r\n\t<AdaptationSet mimeType='video/mp4' >\r\n\t\t" + generic + "\r\n\t\t" + clearKey + "\r\n\t\t" + goodTemplate +
				"\r\n\t\t<Representation id='v' >" + sealBase + "<!-- x -->\r\n\t\t</Representation></AdaptationSet></Period></MPD>",
		},
		"BaseURL between its neighbors": {
			open + set + goodTemplate + "<Representation id='v'>\n <Label>x</Label>\n <SubRepresentation/>\n</Representation></AdaptationSet></Period></MPD>",
			newOpen + set + generic + clearKey + goodTemplate + "<Representation id='v'>\n <Label>x</Label>\n " + sealBase + "\n <SubRepresentation/>\n</Representation></AdaptationSet></Period></MPD>",
		},
		"own BaseURL": {
			open + set + goodTemplate + `<Representation id="v"><BaseURL serviceLocation='a'>./<!-- x --></BaseURL><BaseURL>b/</BaseURL></Representation></AdaptationSet></Period></MPD>`,
			newOpen + set + generic + clearKey + goodTemplate + `<Representation id="v"><BaseURL serviceLocation='a'>~seal/</BaseURL></Representation></AdaptationSet></Period></MPD>`,
		},
		"own BaseURL that is empty": {
			open + set + goodTemplate + `<Representation id="v"><BaseURL /></Representation></AdaptationSet></Period></MPD>`,
			newOpen + set + generic + clearKey + goodTemplate + `<Representation id="v"><BaseURL >~seal/</BaseURL></Representation></AdaptationSet></Period></MPD>`,
		},
		"own template that climbs": {
			open + set + `<Representation id="v"><SegmentTemplate duration = '2' media = '../$Time$?a=1&#38;b' index='x' initialization="i"/></Representation></AdaptationSet></Period></MPD>`,
			newOpen + set + generic + clearKey + `<Representation id="v"><SegmentTemplate duration = '2' media = '../~seal/$Time$?a=1&amp;b' initialization="~seal/i"/></Representation></AdaptationSet></Period></MPD>`,
		},
		"own template without initialization": {
			open + set + `<SegmentTemplate initialization="/i"/><Representation id="v"><SegmentTemplate
				media="$Time$"/></Representation></AdaptationSet></Period></MPD>`,
			newOpen + set + generic + clearKey + `<SegmentTemplate/><Representation id="v"><SegmentTemplate initialization="../../~seal/i"
				media="~seal/$Time$"/></Representation></AdaptationSet></Period></MPD>`,
		},
		"unknown content": {
			open + `<x:y xmlns:x="urn:x" x:href="a" href="b" u="https://origin.example/" v='"'><![CDATA[<BaseURL>]]></x:y><EventStream><Event><BaseURL>x</BaseURL></Event></EventStream>` + set + rest,
			newOpen + `<x:y xmlns:x="urn:x" x:href="a" href="b" u="https://origin.example/" v='"'><![CDATA[<BaseURL>]]></x:y><EventStream><Event><BaseURL>x</BaseURL></Event></EventStream>` + set + generic + clearKey + newRest,
		},
		"strays": {
			open + `<PatchLocation>p</PatchLocation> <ContentSteering/><InitializationSet initialization="i"/><SupplementalProperty schemeIdUri=" urn:mpeg:dash:chaining:2016 " value="x"/>` +
				`<EssentialProperty xmlns:d="urn:dvb:dash:dash-extensions:2014-1" schemeIdUri="u" d:url="f"/><SupplementalProperty schemeIdUri="u"/>` + set + rest,
			newOpen + `<SupplementalProperty schemeIdUri="u"/>` + set + generic + clearKey + newRest,
		},
		"thumbnails with strays inside": {
			open + set + goodTemplate + `<Representation id="v"/></AdaptationSet><AdaptationSet mimeType="image/png"><SupplementalProperty schemeIdUri="urn:mpeg:dash:fallback:2016"/>` + goodTemplate + goodRep + `</AdaptationSet></Period></MPD>`,
			newOpen + set + generic + clearKey + newRest,
		},
		"BaseURLs above": {
			open + `<BaseURL>a/</BaseURL><Period><BaseURL availabilityTimeOffset="1">b/</BaseURL><AdaptationSet mimeType="video/mp4"><BaseURL>c/</BaseURL>` + rest,
			newOpen + `<Period><BaseURL availabilityTimeOffset="1">./</BaseURL><AdaptationSet mimeType="video/mp4">` + generic + clearKey +
				strings.Replace(newRest, "~seal/", "a/b/c/~seal/", 1),
		},
		"clocks": {
			open + set + goodTemplate + `<Representation id="v"/></AdaptationSet></Period>` +
				`<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="https://time.example/a https://origin.example/clear/b"/>` +
				`<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="https://time.example/a"/>` +
				`<UTCTiming schemeIdUri="urn:mpeg:dash:utc:ntp:2014" value="a b"/></MPD>`,
			newOpen + set + generic + clearKey + goodTemplate + `<Representation id="v">` + sealBase + `</Representation></AdaptationSet></Period>` +
				`<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="https://time.example/a"/>` +
				`<UTCTiming schemeIdUri="urn:mpeg:dash:utc:ntp:2014" value="a b"/></MPD>`,
		},
		"locations": {
			open + `<Location>m.mpd</Location><Location>n.mpd</Location><Location>../m.mpd</Location><Location>https://x.example/</Location><Location>m.mpd?x&amp;y</Location>` + set + rest,
			newOpen + `<Location>n.mpd</Location><Location>m.mpd?x&amp;y</Location>` + set + generic + clearKey + newRest,
		},
		"subtitle file": {
			open + `<Period><AdaptationSet mimeType="application/ttml+xml"><Representation id="t"><SegmentBase timescale="1"/></Representation><BaseURL>s.ttml?v=1</BaseURL></AdaptationSet></Period></MPD>`,
			open + `<Period><AdaptationSet mimeType="application/ttml+xml"><Representation id="t"><BaseURL>~side/s.ttml?v=1</BaseURL><SegmentBase timescale="1"/></Representation></AdaptationSet></Period></MPD>`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, rewriteFixed(t, test.mpd)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSignals reads the descriptors by namespace, as no text comparison could.
func TestSignals(t *testing.T) {
	for name, root := range map[string]string{
		"plain":          `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">`,
		"foreign cenc":   `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" xmlns:cenc="urn:x">`,
		"foreign dashif": `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" xmlns:dashif="urn:x">`,
		"other prefixes": `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" xmlns:a="urn:mpeg:cenc:2013" xmlns:b="https://dashif.org/CPS">`,
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway()
			out, err := dash.Rewrite(t.Context(), []byte(root+goodVideo()+tail), options(g))
			if err != nil {
				t.Fatal(err)
			}
			_, mpd, err := play(out, testPath)
			if err != nil {
				t.Fatal(err)
			}
			want := []playerProtection{
				{Scheme: "urn:mpeg:dash:mp4protection:2011", Value: "cbcs", KID: testKID.String()},
				{Scheme: "urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e", Value: "ClearKey1.0", Laurl: g.license},
			}
			if diff := cmp.Diff(want, mpd.Period[0].Set[0].Protection); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWithoutLicenseURLThereIsNoClearKey(t *testing.T) {
	g := newGateway()
	g.license = ""
	out, err := dash.Rewrite(t.Context(), []byte(head+goodVideo()+tail), options(g))
	if err != nil || strings.Count(string(out), "<ContentProtection") != 1 || strings.Contains(string(out), "e2719d58") {
		t.Errorf("%s, %v", out, err)
	}
}

func TestTextStaysClearUnderASeal(t *testing.T) {
	subtitles := `<Period><AdaptationSet contentType="text" mimeType="application/mp4" codecs="wvtt">` + goodTemplate + goodRep + `</AdaptationSet></Period>`
	g := newGateway()
	out, err := dash.Rewrite(t.Context(), []byte(head+subtitles+tail), options(g))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "ContentProtection") || strings.Contains(string(out), "xmlns:cenc") {
		t.Errorf("signals for clear text: %s", out)
	}
	urls, _, err := play(out, testPath)
	if err != nil || len(urls) != 2 {
		t.Fatal(urls, err)
	}
	for _, u := range urls {
		if _, err := g.open(u); err != nil {
			t.Error(err)
		}
	}
}

func TestQuestionsToTheProtector(t *testing.T) {
	mpd := head + `<Period/><Period><AdaptationSet id=" 7 " mimeType="video/mp4" codecs="avc1" width="640" height="360">` + goodTemplate +
		`<Representation id="a" bandwidth="1000"/>` +
		`<Representation id="b" bandwidth="4294967295" width="1280" height="720" codecs="hvc1" mimeType="video/iso.segment"/></AdaptationSet>` +
		`<AdaptationSet contentType="audio">` + goodTemplate + `<Representation id="c" mimeType="audio/mp4"/></AdaptationSet>` +
		`<AdaptationSet mimeType="text/vtt"><Representation id="d"><BaseURL>/x.vtt?q</BaseURL></Representation></AdaptationSet></Period>` + tail
	g := newGateway()
	if _, err := dash.Rewrite(t.Context(), []byte(mpd), options(g)); err != nil {
		t.Fatal(err)
	}
	media, err := address.ParseTemplate("/vod/demo/$Number$.m4s")
	if err != nil {
		t.Fatal(err)
	}
	want := []dash.AdaptationSet{
		{Period: 1, ID: "7", Representations: []dash.Representation{
			{ID: "a", MIMEType: "video/mp4", Codecs: "avc1", ContentType: "video", Width: 640, Height: 360, Bandwidth: 1000, Init: dash.Resource{Path: "/vod/demo/i.mp4"}, Media: media},
			{ID: "b", MIMEType: "video/iso.segment", Codecs: "hvc1", ContentType: "video", Width: 1280, Height: 720, Bandwidth: 1<<32 - 1, Init: dash.Resource{Path: "/vod/demo/i.mp4"}, Media: media},
		}},
		{Period: 1, ContentType: "audio", Representations: []dash.Representation{
			{ID: "c", MIMEType: "audio/mp4", ContentType: "audio", Init: dash.Resource{Path: "/vod/demo/i.mp4"}, Media: media},
		}},
	}
	sameTemplate := cmp.Comparer(func(a, b address.Template) bool { return a.String() == b.String() })
	if diff := cmp.Diff(want, g.sets, sameTemplate); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]address.Target{{Path: "/x.vtt", RawQuery: "q"}}, g.sidecars); diff != "" {
		t.Error(diff)
	}
}
