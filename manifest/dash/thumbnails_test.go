package dash_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

// pictures answers for thumbnails with elements, or with an error.
type pictures struct {
	fixed
	err error
}

func (p pictures) Thumbnails(context.Context, address.Template) ([]string, error) {
	return p.sidecar, p.err
}

// TestThumbnails: sets of pictures are sealed where that is all they need, and taken out where it is not.
func TestThumbnails(t *testing.T) {
	const (
		open  = `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT20S">`
		video = `<AdaptationSet mimeType="video/mp4">` + goodTemplate + `<Representation id="v"/></AdaptationSet>`
		tiles = `<EssentialProperty schemeIdUri="http://dashif.org/guidelines/thumbnail_tile" value="5x4"/>`
	)
	set := func(content string) string {
		return `<AdaptationSet mimeType="image/jpeg">` + content + `</AdaptationSet>`
	}
	representation := `<Representation id="t" bandwidth="1" width="1600" height="720">` + tiles + `</Representation>`
	sealed := func(inside string) string {
		return `<Representation id="t" bandwidth="1" width="1600" height="720">` + tiles + inside + `</Representation>`
	}
	const template = `<SegmentTemplate media="t/$Number$.jpg" duration="10" startNumber="1"/>`
	for rule, test := range map[string]struct {
		above, set string // in the Period in front of the sets, and the set itself
		want       string // instead of the set; empty if it is taken out
		err        error
		change     func(*dash.Options)
	}{
		"a template of the set":   {"", set(template + representation), set(template + sealed(`<BaseURL>~side/</BaseURL>`)), nil, nil},
		"a template of the track": {"", set(strings.Replace(representation, tiles, tiles+template, 1)), set(sealed(`<BaseURL>~side/</BaseURL>` + template)), nil, nil},
		"a template that climbs": {
			"", set(`<SegmentTemplate media="../t/$Number$.jpg" duration="10"/>` + representation),
			set(`<SegmentTemplate duration="10"/>` + sealed(`<SegmentTemplate media="../t/~side/$Number$.jpg"/>`)), nil, nil,
		},
		"a template of the track that climbs": {
			"", set(strings.Replace(representation, tiles, tiles+`<SegmentTemplate media="../t/$Number$.jpg" duration="10"/>`, 1)),
			set(sealed(`<SegmentTemplate media="../t/~side/$Number$.jpg" duration="10"/>`)), nil, nil,
		},
		"an initialization from above":  {`<SegmentTemplate initialization="i.mp4"/>`, set(template + representation), "", nil, nil},
		"another host":                  {"", set(`<SegmentTemplate media="https://cdn.example/$Number$.jpg" duration="10"/>` + representation), "", nil, nil},
		"a list":                        {"", set(`<SegmentList duration="10"><SegmentURL media="1.jpg"/></SegmentList>` + representation), "", nil, nil},
		"images that are no images":     {"", `<AdaptationSet contentType="image" mimeType="video/mp4">` + template + representation + `</AdaptationSet>`, "", nil, nil},
		"what the protector leaves out": {"", set(template + representation), "", dash.ErrLeftOut, nil},
		"a Period that is divided":      {"", set(template + representation), "", nil, func(o *dash.Options) { o.Rotation.Length = time.Hour }},
		"a Period with a clear lead":    {"", set(template + representation), "", nil, func(o *dash.Options) { o.ClearLead = 2 * time.Second }},
		"an element that is none of ours": {"", set(template + representation), "error", nil, func(o *dash.Options) {
			p, _ := o.Protector.(pictures)
			p.sidecar = []string{"side"}
			o.Protector = p
		}},
	} {
		t.Run(rule, func(t *testing.T) {
			p := pictures{fixed{dash.Protection{Scheme: drm.SchemeCenc, KID: testKID, Tracks: sealedAs("~seal")}, []string{"~side"}}, test.err}
			o := dash.Options{Base: address.NewBase(testPath, nil), From: testPath, Protector: p}
			if test.change != nil {
				test.change(&o)
			}
			out, err := dash.Rewrite(t.Context(), []byte(open+`<Period>`+test.above+video+test.set+`</Period></MPD>`), o)
			if test.want == "error" {
				if err == nil {
					t.Errorf("%s", out)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if test.want == "" && strings.Contains(string(out), "image") || !strings.Contains(string(out), test.want) {
				t.Errorf("want %q in\n%s", test.want, out)
			}
		})
	}
}
