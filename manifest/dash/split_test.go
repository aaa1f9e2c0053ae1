package dash_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

// byName is a Protector for which a Representation says in its id what becomes of it: "x" is dropped, and the first digit names
// its key. Text stays clear.
type byName struct{}

func (byName) AdaptationSet(_ context.Context, set dash.AdaptationSet) (dash.Protection, error) {
	p := dash.Protection{Scheme: drm.SchemeCenc, KID: drm.KID{0xf0}}
	for i := range byte(3) {
		p.Further = append(p.Further, dash.Key{KID: drm.KID{0xf1 + i}, Systems: clearKeyAt("/l" + string('1'+rune(i)))})
	}
	if set.Representations[0].ContentType == "application" {
		p.Scheme = 0
	}
	for _, rep := range set.Representations {
		track := dash.TrackProtection{Elements: []string{"~" + rep.ID}, Drop: strings.Contains(rep.ID, "x")}
		if i := strings.IndexAny(rep.ID, "0123456789"); i >= 0 {
			track.Key = int(rep.ID[i] - '0')
		}
		p.Tracks = append(p.Tracks, track)
	}
	return p, nil
}

func (byName) Sidecar(context.Context, address.Target, string) ([]string, error) {
	return []string{"~side"}, nil
}

func (byName) Thumbnails(context.Context, address.Template) ([]string, error) {
	return []string{"~side"}, nil
}

func rewriteByName(t *testing.T, mpd string) (string, error) {
	t.Helper()
	return rewriteAs(t, mpd, dash.Protection{}, func(o *dash.Options) { o.Protector = byName{} })
}

// signalsOf are the descriptors for a key of byName.
func signalsOf(key string) string {
	s := `<ContentProtection schemeIdUri="urn:mpeg:dash:mp4protection:2011" value="cenc" cenc:default_KID="f` + key + `000000-0000-0000-0000-000000000000"/>`
	if key != "0" {
		s += `<ContentProtection schemeIdUri="urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e" value="ClearKey1.0"><dashif:Laurl licenseType="EME-1.0">/l` + key + `</dashif:Laurl></ContentProtection>`
	}
	return s
}

func TestOneSetForEachKey(t *testing.T) {
	const (
		video = `<AdaptationSet mimeType="video/mp4"`
		role  = `<!-- r --><Role schemeIdUri="r"/>` + goodTemplate
		end   = `</AdaptationSet>`
	)
	rep := func(id string) string { return `<Representation id="` + id + `"></Representation>` }
	sealed := func(id string) string {
		return `<Representation id="` + id + `"><BaseURL>~` + id + `/</BaseURL></Representation>`
	}
	joined := func(ids string) string {
		return `<SupplementalProperty schemeIdUri="urn:mpeg:dash:adaptation-set-switching:2016" value="` + ids + `"/>`
	}
	for name, test := range map[string]struct{ in, want string }{
		"one key that is not the first": {
			video + `>` + role + rep("a2") + rep("b2") + end,
			video + `>` + signalsOf("2") + role + sealed("a2") + sealed("b2") + end,
		},
		"two, no ids": {
			video + `>` + role + rep("a1") + rep("b") + rep("c1") + end,
			`<AdaptationSet id="1" mimeType="video/mp4">` + signalsOf("1") + joined("2") + role + sealed("a1") + sealed("c1") + end +
				`<AdaptationSet id="2" mimeType="video/mp4">` + signalsOf("0") + joined("1") + role + sealed("b") + end,
		},
		"three, ids in use, white space": {
			"\n " + video + ` id='1'>` + role + rep("a1") + rep("b2") + rep("c3") + end + "\n <AdaptationSet id=\"2\" mimeType=\"audio/mp4\">" + role + rep("d") + end,
			"\n " + video + ` id='1'>` + signalsOf("1") + joined("3,4") + role + sealed("a1") + end +
				"\n " + video + ` id='3'>` + signalsOf("2") + joined("1,4") + role + sealed("b2") + end +
				"\n " + video + ` id='4'>` + signalsOf("3") + joined("1,3") + role + sealed("c3") + end +
				"\n <AdaptationSet id=\"2\" mimeType=\"audio/mp4\">" + signalsOf("0") + role + sealed("d") + end,
		},
		"sets that were joined before": {
			video + ` id="1">` + `<SupplementalProperty schemeIdUri="urn:mpeg:dash:adaptation-set-switching:2016" value=" 2 "/>` + role + rep("a1") + rep("b2") + end +
				video + ` id="2">` + joined("1") + role + rep("c") + end,
			video + ` id="1">` + signalsOf("1") + joined("3,2") + role + sealed("a1") + end +
				video + ` id="3">` + signalsOf("2") + joined("1,2") + role + sealed("b2") + end +
				video + ` id="2">` + signalsOf("0") + joined("1,3") + role + sealed("c") + end,
		},
		"behind EssentialProperty": {
			video + `><AudioChannelConfiguration/><EssentialProperty schemeIdUri="u"/><InbandEventStream/>` + goodTemplate + rep("a1") + rep("b2") + end,
			`<AdaptationSet id="1" mimeType="video/mp4"><AudioChannelConfiguration/>` + signalsOf("1") + `<EssentialProperty schemeIdUri="u"/>` + joined("2") + `<InbandEventStream/>` + goodTemplate + sealed("a1") + end +
				`<AdaptationSet id="2" mimeType="video/mp4"><AudioChannelConfiguration/>` + signalsOf("2") + `<EssentialProperty schemeIdUri="u"/>` + joined("1") + `<InbandEventStream/>` + goodTemplate + sealed("b2") + end,
		},
		"strays and BaseURLs in both": {
			video + `><SupplementalProperty schemeIdUri="urn:mpeg:dash:fallback:2016"/><BaseURL>d/</BaseURL>` + role + rep("a1") + rep("b2") + end,
			`<AdaptationSet id="1" mimeType="video/mp4">` + signalsOf("1") + joined("2") + role + strings.Replace(sealed("a1"), "~", "d/~", 1) + end +
				`<AdaptationSet id="2" mimeType="video/mp4">` + signalsOf("2") + joined("1") + role + strings.Replace(sealed("b2"), "~", "d/~", 1) + end,
		},
		"dropped": {
			video + `>` + role + rep("a1") + rep("x2") + rep("c1") + end,
			video + `>` + signalsOf("1") + role + sealed("a1") + sealed("c1") + end,
		},
		"a whole set dropped": {
			video + `>` + role + rep("a1") + end + "\n" + video + ` id="5">` + role + rep("x") + end,
			video + `>` + signalsOf("1") + role + sealed("a1") + end,
		},
		"keys of what stays clear": {
			video + `>` + role + rep("a") + end + `<AdaptationSet mimeType="application/mp4">` + role + rep("t1") + rep("t2") + end,
			video + `>` + signalsOf("0") + role + sealed("a") + end + `<AdaptationSet mimeType="application/mp4">` + role + sealed("t1") + sealed("t2") + end,
		},
	} {
		out, err := rewriteByName(t, `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"`+declared+`><Period>`+test.in+`</Period></MPD>`)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"`+declared+`><Period>`+test.want+`</Period></MPD>`, out); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestDroppedToNothing(t *testing.T) {
	audio := `<AdaptationSet mimeType="audio/mp4">` + goodTemplate + `<Representation id="a"/></AdaptationSet>`
	video := func(id string) string {
		return `<AdaptationSet contentType="video">` + goodTemplate + `<Representation id="` + id + `"/></AdaptationSet>`
	}
	for name, test := range map[string]struct {
		mpd  string
		want error
	}{
		"no video":               {`<Period>` + video("x") + audio + `</Period>`, dash.ErrNoVideo},
		"no video in any Period": {`<Period>` + video("x") + audio + `</Period><Period>` + video("x1") + `</Period>`, dash.ErrNoVideo},
		"video in one Period":    {`<Period>` + video("x") + audio + `</Period><Period>` + video("b") + `</Period>`, nil},
		"video in another set":   {`<Period>` + video("x") + video("b") + `</Period>`, nil},
		"audio only":             {`<Period>` + audio + `</Period>`, nil},
		"nothing":                {`<Period>` + strings.Replace(audio, `"a"`, `"x"`, 1) + `</Period>`, dash.ErrNothingSealed},
		"no such key":            {`<Period>` + video("a9") + `</Period>`, dash.ErrOptions},
	} {
		if out, err := rewriteByName(t, head+test.mpd+tail); !errors.Is(err, test.want) || (err == nil) != (out != "") {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}
