package dash_test

import (
	"net/url"
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
	}
	for name, test := range tests {
		for _, session := range []string{"", "sess"} {
			t.Run(name+"/session "+session, func(t *testing.T) {
				g := newGateway()
				g.session = session
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
