package dash_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

// passing is a gateway that lets AdaptationSets with the id "theirs" pass.
type passing struct{ *gateway }

func (p passing) AdaptationSet(ctx context.Context, set dash.AdaptationSet) (dash.Protection, error) {
	answer, err := p.gateway.AdaptationSet(ctx, set)
	if set.ID == "theirs" {
		return dash.Protection{Passes: true, Tracks: answer.Tracks}, err
	}
	return answer, err
}

func rewritePassing(t *testing.T, mpd string) (string, error) {
	t.Helper()
	g := newGateway()
	o := options(g)
	o.Protector, o.PassProtected = passing{g}, true
	out, err := dash.Rewrite(t.Context(), []byte(mpd), o)
	return string(out), err
}

const (
	theirSignals = `<ContentProtection schemeIdUri="urn:mpeg:dash:mp4protection:2011"  value='cbcs' cenc:default_KID="00112233-4455-6677-8899-aabbccddeeff" xmlns:cenc="urn:mpeg:cenc:2013"/>` +
		`<!-- kept --><ContentProtection schemeIdUri="urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"><cenc:pssh xmlns:cenc="urn:mpeg:cenc:2013">AAAA</cenc:pssh>` +
		`<ms:laurl xmlns:ms="urn:microsoft" licenseUrl="https://license.example/?a=1&amp;b=2"/></ContentProtection>`
	ourSets = `<AdaptationSet id="ours" mimeType="video/mp4">` + goodTemplate + goodRep + `</AdaptationSet>`
)

func theirSet(signals, inRepresentation string) string {
	return `<AdaptationSet id="theirs" mimeType="video/mp4">` + signals + goodTemplate + `<Representation id="v1" bandwidth="100">` + inRepresentation +
		`</Representation></AdaptationSet>`
}

func TestSignalsOfTheOriginStay(t *testing.T) {
	forReferences := strings.ReplaceAll(theirSignals, "schemeIdUri", `refId="1" schemeIdUri`)
	for name, test := range map[string]struct {
		mpd  string
		ours int // ContentProtection elements that are added
	}{
		"of the set":                   {theirSet(theirSignals, ""), 0},
		"of the Representation":        {theirSet("", theirSignals), 0},
		"of both":                      {theirSet(theirSignals, theirSignals), 0},
		"none":                         {theirSet("", ""), 0},
		"above, for references":        {forReferences + theirSet(`<ContentProtection ref="1"/>`, ""), 0},
		"beside a set that we protect": {theirSet(theirSignals, "") + ourSets, 2},
		"behind a set that we protect": {ourSets + theirSet(theirSignals, ""), 2},
	} {
		mpd := head + "<Period>" + test.mpd + "</Period>" + tail
		out, err := rewritePassing(t, mpd)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		const signal = "<ContentProtection"
		if got, want := strings.Count(out, signal), strings.Count(mpd, signal)+test.ours; got != want {
			t.Errorf("%s: %d signals, want %d\n%s", name, got, want, out)
		}
		for _, signals := range []string{theirSignals, forReferences, `<ContentProtection ref="1"/>`} {
			if strings.Count(out, signals) != strings.Count(mpd, signals) {
				t.Errorf("%s: %s is not what it was\n%s", name, signals, out)
			}
		}
		if !strings.Contains(out, "~") {
			t.Errorf("%s: nothing is sealed\n%s", name, out)
		}
	}
}

func TestSignalsThatCannotStay(t *testing.T) {
	clear := func(inside string) string {
		return head + `<Period><AdaptationSet mimeType="video/mp4">` + inside + `</AdaptationSet></Period>` + tail
	}
	for name, test := range map[string]struct {
		mpd  string
		want error
	}{
		"over clear tracks":       {clear(theirSignals + goodTemplate + goodRep), dash.ErrMixedProtection},
		"of a clear track":        {clear(goodTemplate + `<Representation id="1">` + theirSignals + `</Representation>`), dash.ErrMixedProtection},
		"over a file of text":     {head + `<Period><AdaptationSet mimeType="text/vtt">` + theirSignals + `<Representation id="1"><BaseURL>a.vtt</BaseURL></Representation></AdaptationSet></Period>` + tail, dash.ErrMixedProtection},
		"of the Period":           {head + `<Period>` + theirSignals + theirSet("", "") + `</Period>` + tail, dash.ErrAlreadyProtected},
		"of the MPD":              {head + theirSignals + `<Period>` + theirSet("", "") + `</Period>` + tail, dash.ErrAlreadyProtected},
		"of a Preselection":       {head + `<Period>` + theirSet("", "") + `<Preselection>` + theirSignals + `</Preselection></Period>` + tail, dash.ErrAlreadyProtected},
		"of a SubRepresentation":  {head + `<Period>` + theirSet("", `<SubRepresentation>`+theirSignals+`</SubRepresentation>`) + `</Period>` + tail, dash.ErrAlreadyProtected},
		"in another namespace":    {head + `<Period>` + theirSet(strings.Replace(theirSignals, "<ContentProtection", `<x:ContentProtection xmlns:x="urn:x"`, 1), "") + `</Period>` + tail, dash.ErrNamespace},
		"that lead to a resource": {head + `<Period>` + theirSet(`<ContentProtection><BaseURL>x</BaseURL></ContentProtection>`, "") + `</Period>` + tail, dash.ErrStructure},
		"by a remote element":     {head + `<Period>` + theirSet(`<ContentProtection xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="x"/>`, "") + `</Period>` + tail, dash.ErrXlink},
	} {
		out, err := rewritePassing(t, test.mpd)
		if !errors.Is(err, test.want) || out != "" {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if _, err := dash.Inspect([]byte(head + `<Period>` + theirSet(theirSignals, "") + `</Period>` + tail)); err != nil {
		t.Errorf("inspecting: %v", err)
	}
}
