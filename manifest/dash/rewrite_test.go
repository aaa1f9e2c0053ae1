package dash_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

const (
	testPath = "/vod/demo/m.mpd"
	head     = `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">`
	tail     = `</MPD>`
)

// testOrigins are the absolute URLs that belong to the site: /clear/ of the origin is the root of the site.
func testOrigins() []*url.URL {
	return []*url.URL{{Scheme: "https", Host: "origin.example", Path: "/clear/"}}
}

func options(g *gateway) dash.Options {
	from := testPath
	if g.inQuery {
		return dash.Options{Base: address.NewBase(testPath, testOrigins()), From: from, Protector: g, SessionQuery: "s", Session: g.session}
	}
	if g.session != "" {
		from = "/vod/demo/" + address.SessionElement(g.session) + "/m.mpd"
	}
	return dash.Options{Base: address.NewBase(testPath, testOrigins()), From: from, Protector: g}
}

func video(inside string) string {
	return `<Period><AdaptationSet mimeType="video/mp4">` + inside + `</AdaptationSet></Period>`
}

func TestURLsThatAPlayerMakes(t *testing.T) {
	const (
		template = `<SegmentTemplate duration="2" initialization="$RepresentationID$/i.mp4" media="$RepresentationID$/$Number$.m4s"/>`
		rep      = `<Representation id="v1" bandwidth="100"/>`
	)
	segments := func(init, media string) string {
		return `<SegmentTemplate duration="2" initialization="` + init + `" media="` + media + `"/>`
	}
	v1 := []string{"/vod/demo/v1/i.mp4", "/vod/demo/v1/7.m4s"}
	tests := map[string]struct {
		mpd  string
		want []string
	}{
		"template of the set": {video(template + rep), v1},
		"template of the Period": {
			`<Period>` + template + `<AdaptationSet mimeType="video/mp4">` + rep + `</AdaptationSet></Period>`, v1,
		},
		"template of the Representation": {
			video(`<Representation id="v1" bandwidth="100">` + template + `</Representation>`), v1,
		},
		"template below its Representations": {video(rep + template), v1},
		"attributes from three levels": {
			`<Period><SegmentTemplate duration="2" media="wrong/$Number$.m4s"/><AdaptationSet mimeType="video/mp4"><SegmentTemplate initialization="$RepresentationID$/i.mp4"/>` +
				`<Representation id="v1"><SegmentTemplate media="$RepresentationID$/$Number$.m4s"/></Representation></AdaptationSet></Period>`, v1,
		},
		"number width": {
			video(segments("i.mp4", "s-$Number%05d$.m4s") + rep), []string{"/vod/demo/i.mp4", "/vod/demo/s-00007.m4s"},
		},
		"time": {video(segments("i.mp4", "s/$Time$.m4s") + rep), []string{"/vod/demo/i.mp4", "/vod/demo/s/900.m4s"}},
		"bandwidth": {
			video(segments("$Bandwidth$/i.mp4", "$Bandwidth$/$Number$") + rep), []string{"/vod/demo/100/i.mp4", "/vod/demo/100/7"},
		},
		"bandwidth with a width": {
			video(segments("i.mp4", "$Bandwidth%05d$/$Number$") + rep), []string{"/vod/demo/i.mp4", "/vod/demo/00100/7"},
		},
		"number in a directory": {
			video(segments("i.mp4", "$Number$/v.m4s") + rep), []string{"/vod/demo/i.mp4", "/vod/demo/7/v.m4s"},
		},
		"BaseURLs of four levels": {
			`<BaseURL>a/</BaseURL><Period><BaseURL>b/</BaseURL><AdaptationSet mimeType="video/mp4"><BaseURL> c/ </BaseURL>` + template +
				`<Representation id="v1"><BaseURL>d/</BaseURL></Representation></AdaptationSet></Period>`,
			[]string{"/vod/demo/a/b/c/d/v1/i.mp4", "/vod/demo/a/b/c/d/v1/7.m4s"},
		},
		"last part of a BaseURL is dropped": {
			`<BaseURL>a/x.mpd?query</BaseURL>` + video(template+rep), []string{"/vod/demo/a/v1/i.mp4", "/vod/demo/a/v1/7.m4s"},
		},
		"climbing BaseURL":      {`<BaseURL>../x/</BaseURL>` + video(template+rep), []string{"/vod/x/v1/i.mp4", "/vod/x/v1/7.m4s"}},
		"BaseURL from the root": {`<BaseURL>/x/</BaseURL>` + video(template+rep), []string{"/x/v1/i.mp4", "/x/v1/7.m4s"}},
		"absolute BaseURL of a known origin": {
			`<BaseURL>https://origin.example/clear/x/</BaseURL>` + video(template+rep), []string{"/x/v1/i.mp4", "/x/v1/7.m4s"},
		},
		"first usable of alternatives": {
			`<BaseURL>https://cdn.example/</BaseURL><BaseURL>x/</BaseURL><BaseURL>y/</BaseURL>` + video(template+rep),
			[]string{"/vod/demo/x/v1/i.mp4", "/vod/demo/x/v1/7.m4s"},
		},
		"BaseURL with a colon": {
			`<BaseURL>./a:b/</BaseURL>` + video(template+rep), []string{"/vod/demo/a:b/v1/i.mp4", "/vod/demo/a:b/v1/7.m4s"},
		},
		"climbing template": {
			video(segments("../i/$RepresentationID$.mp4", "s/$Number$.m4s") + rep), []string{"/vod/i/v1.mp4", "/vod/demo/s/7.m4s"},
		},
		"template that climbs in the middle": {
			video(segments("a/../i.mp4", "a/b/../$Number$.m4s") + rep), []string{"/vod/demo/i.mp4", "/vod/demo/a/7.m4s"},
		},
		"template from the root": {
			video(segments("/vod/i.mp4", "/vod/$Number$.m4s") + rep), []string{"/vod/i.mp4", "/vod/7.m4s"},
		},
		"absolute template": {
			video(segments("https://origin.example/clear/i.mp4", "//origin.example/clear/$Time$") + rep), []string{"/i.mp4", "/900"},
		},
		"query of a template": {
			video(segments("i.mp4?a=%2F&amp;b=~c", "$Number$.m4s?n=$Number$&amp;r=$RepresentationID$&amp;w=$Bandwidth$") + rep),
			[]string{"/vod/demo/i.mp4?a=%2F&b=~c", "/vod/demo/7.m4s?n=7&r=v1&w=100"},
		},
		"query of an absolute template": {
			video(segments("/i.mp4?a=%2F&amp;b=~c", "/$Number$.m4s?n=$Number$&amp;r=$RepresentationID$&amp;w=$Bandwidth$") + rep),
			[]string{"/i.mp4?a=%2F&b=~c", "/7.m4s?n=7&r=v1&w=100"},
		},
		"id that climbs": {
			video(template + `<Representation id=".."/>`), []string{"/vod/i.mp4", "/vod/7.m4s"},
		},
		"id with a space": {
			video(template + `<Representation id="a b"/>`), []string{"/vod/demo/a b/i.mp4", "/vod/demo/a b/7.m4s"},
		},
		"sourceURL": {
			video(`<SegmentTemplate duration="2" media="$Number$.m4s"><Initialization sourceURL="x/i.mp4"/></SegmentTemplate>` + rep),
			[]string{"/vod/demo/x/i.mp4", "/vod/demo/7.m4s"},
		},
		"index beside a duration": {
			video(`<SegmentTemplate duration="2" index="x" initialization="i.mp4" media="$Number$.m4s"/>` + rep),
			[]string{"/vod/demo/i.mp4", "/vod/demo/7.m4s"},
		},
		"a single segment": {video(segments("i.mp4", "all.m4s") + rep), []string{"/vod/demo/i.mp4", "/vod/demo/all.m4s"}},
		"escapes and letters beyond ASCII": {
			`<BaseURL>café%20x/</BaseURL>` + video(segments("%41é.mp4", "ü-$Number$.m4s")+rep),
			[]string{"/vod/demo/café x/Aé.mp4", "/vod/demo/café x/ü-7.m4s"},
		},
		"WebVTT file": {
			`<Period><BaseURL>x/</BaseURL><AdaptationSet contentType="text"><Representation id="t" mimeType="text/vtt"><BaseURL>../en.vtt?v=1&amp;w</BaseURL></Representation></AdaptationSet></Period>`,
			[]string{"/vod/demo/en.vtt?v=1&w"},
		},
		"WebVTT file named by the set": {
			`<Period><AdaptationSet mimeType="text/vtt"><BaseURL>en.vtt?v=1</BaseURL><Representation id="t"/></AdaptationSet></Period>`,
			[]string{"/vod/demo/en.vtt?v=1"},
		},
	}
	for name, test := range tests {
		for _, session := range []string{"", "sess", "?sess"} {
			t.Run(name+"/session "+session, func(t *testing.T) {
				g := newGateway()
				g.session, g.inQuery = strings.CutPrefix(session, "?")
				o := options(g)
				out, err := dash.Rewrite(t.Context(), []byte(head+test.mpd+tail), o)
				if err != nil {
					t.Fatal(err)
				}
				urls, _, err := play(out, o.From)
				if err != nil {
					t.Fatalf("%v in\n%s", err, out)
				}
				var got []string
				for _, u := range urls {
					clean, err := g.open(u)
					if err != nil {
						t.Errorf("%v in\n%s", err, out)
					}
					got = append(got, clean)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("%s\n%s", diff, out)
				}
			})
		}
	}
}
