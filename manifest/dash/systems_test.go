package dash_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

// rewriteAs rewrites an MPD with one answer for every set.
func rewriteAs(t *testing.T, mpd string, p dash.Protection, change ...func(*dash.Options)) (string, error) {
	t.Helper()
	o := dash.Options{Base: address.NewBase(testPath, testOrigins()), From: testPath, Protector: fixed{Protection: p}}
	for _, c := range change {
		c(&o)
	}
	out, err := dash.Rewrite(t.Context(), []byte(mpd), o)
	return string(out), err
}

func TestDescriptorsOfAllSystems(t *testing.T) {
	systems := []dash.System{
		{ID: drm.SystemWidevine, LicenseURL: "/w?a&b", Pssh: []byte("\x00\x00box"), Robustness: "HW_SECURE_ALL"},
		{ID: drm.SystemPlayReady, LicenseURL: "/p", Pssh: []byte("box"), PRO: []byte("object")},
		{ID: drm.SystemFairPlay},
		{ID: drm.SystemClearKey, LicenseURL: "/c"},
	}
	const (
		want = `<ContentProtection schemeIdUri="urn:mpeg:dash:mp4protection:2011" value="cbcs" cenc:default_KID="01234567-89ab-cdef-0123-456789abcdef"/>` +
			`<ContentProtection schemeIdUri="urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed" value="Widevine" robustness="HW_SECURE_ALL">` +
			`<cenc:pssh>AABib3g=</cenc:pssh><dashif:Laurl>/w?a&amp;b</dashif:Laurl></ContentProtection>` +
			`<ContentProtection schemeIdUri="urn:uuid:9a04f079-9840-4286-ab92-e65be0885f95" value="MSPR 2.0">` +
			`<cenc:pssh>Ym94</cenc:pssh><mspr:pro>b2JqZWN0</mspr:pro><dashif:Laurl>/p</dashif:Laurl></ContentProtection>` +
			`<ContentProtection schemeIdUri="urn:uuid:94ce86fb-07ff-4f43-adb8-93d2fa968ca2"/>` +
			`<ContentProtection schemeIdUri="urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e" value="ClearKey1.0"><dashif:Laurl licenseType="EME-1.0">/c</dashif:Laurl></ContentProtection>`
		namespaces = declared + ` xmlns:mspr="urn:microsoft:playready"`
	)
	answer := dash.Protection{Scheme: drm.SchemeCbcs, KID: testKID, Systems: systems, Tracks: sealedAs("~seal")}
	for name, test := range map[string]struct{ root, wantRoot, want string }{
		"prefixes free":     {``, namespaces, want},
		"mspr declared":     {` xmlns:mspr="urn:microsoft:playready"`, ` xmlns:mspr="urn:microsoft:playready"` + declared, want},
		"mspr of somebody":  {` xmlns:mspr="urn:x"`, ` xmlns:mspr="urn:x"` + declared, strings.Replace(want, "<mspr:pro>", `<mspr:pro xmlns:mspr="urn:microsoft:playready">`, 1)},
		"cenc of somebody":  {` xmlns:cenc="urn:x"`, ` xmlns:cenc="urn:x" xmlns:dashif="https://dashif.org/CPS" xmlns:mspr="urn:microsoft:playready"`, strings.NewReplacer("<cenc:pssh>", `<cenc:pssh xmlns:cenc="urn:mpeg:cenc:2013">`, "<ContentProtection schemeIdUri=\"urn:mpeg", "<ContentProtection xmlns:cenc=\"urn:mpeg:cenc:2013\" schemeIdUri=\"urn:mpeg").Replace(want)},
		"another for mspr":  {` xmlns:m="urn:microsoft:playready"`, ` xmlns:m="urn:microsoft:playready"` + declared, strings.Replace(want, "<mspr:pro>", `<mspr:pro xmlns:mspr="urn:microsoft:playready">`, 1)},
		"all of them there": {namespaces, namespaces, want},
	} {
		open := `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"`
		rest := goodTemplate + `<Representation id="v">`
		out, err := rewriteAs(t, open+test.root+`><Period><AdaptationSet mimeType="video/mp4">`+rest+`</Representation></AdaptationSet></Period></MPD>`, answer)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		whole := open + test.wantRoot + `><Period><AdaptationSet mimeType="video/mp4">` + test.want + rest + sealBase + `</Representation></AdaptationSet></Period></MPD>`
		if diff := cmp.Diff(whole, out); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestSystemsThatHaveNoDescriptor(t *testing.T) {
	for name, systems := range map[string][]dash.System{
		"none":                {{}},
		"common":              {{ID: drm.SystemCommon, Pssh: []byte("box")}},
		"ClearKey with pssh":  {{ID: drm.SystemClearKey, Pssh: []byte("box")}},
		"object of another":   {{ID: drm.SystemWidevine, PRO: []byte("object")}},
		"twice":               {{ID: drm.SystemWidevine}, {ID: drm.SystemPlayReady}, {ID: drm.SystemWidevine}},
		"two words":           {{ID: drm.SystemWidevine, Robustness: "HW SECURE"}},
		"words of no browser": {{ID: drm.SystemWidevine, Robustness: "\u00e9"}},
	} {
		answer := dash.Protection{Scheme: drm.SchemeCbcs, KID: testKID, Systems: systems, Tracks: sealedAs("~seal")}
		if out, err := rewriteAs(t, head+goodVideo()+tail, answer); !errors.Is(err, dash.ErrOptions) || out != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLeftoverProtectionIsReplaced(t *testing.T) {
	replace := func(o *dash.Options) { o.ReplaceProtection = true }
	answer := dash.Protection{Scheme: drm.SchemeCenc, KID: testKID, Systems: clearKeyAt("/.drm/l?a=1&b=<2>"), Tracks: sealedAs("~seal")}
	clear := `<Period><AdaptationSet mimeType="video/mp4">` + goodTemplate + `<Representation id="v1" bandwidth="100"></Representation></AdaptationSet></Period>`
	want, err := rewriteAs(t, head+clear+tail, answer)
	if err != nil {
		t.Fatal(err)
	}
	for name, mpd := range map[string]string{
		"of the MPD":              theirSignals + clear,
		"of the Period":           strings.Replace(clear, "<Period>", "<Period>"+theirSignals, 1),
		"of the set":              strings.Replace(clear, `video/mp4">`, `video/mp4">`+theirSignals, 1),
		"of the Representation":   strings.Replace(clear, "</Representation>", theirSignals+"</Representation>", 1),
		"everywhere, with refs":   strings.NewReplacer(`video/mp4">`, `video/mp4"><ContentProtection ref="1"/>`, "<Period>", "<Period>"+strings.ReplaceAll(theirSignals, "schemeIdUri", `refId="1" schemeIdUri`)).Replace(clear),
		"ours of another rewrite": strings.Replace(clear, `video/mp4">`, `video/mp4">`+strings.NewReplacer("cenc:def", `xmlns:cenc="urn:mpeg:cenc:2013" cenc:def`, "<dashif:Laurl", `<dashif:Laurl xmlns:dashif="https://dashif.org/CPS"`).Replace(generic+clearKey), 1),
	} {
		mpd = head + mpd + tail
		out, err := rewriteAs(t, mpd, answer, replace)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		// Where they declared cenc, they kept others from it: the declarations of ours may stand elsewhere.
		plain := strings.ReplaceAll(out, "<!-- kept -->", "")
		if diff := cmp.Diff(want, plain); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if _, err := rewriteAs(t, mpd, answer); !errors.Is(err, dash.ErrAlreadyProtected) {
			t.Errorf("%s: %v without the option", name, err)
		}
		again, err := rewriteAs(t, mpd, dash.Protection{Passes: true, Tracks: sealedAs("~seal")}, replace)
		if !errors.Is(err, dash.ErrAlreadyProtected) || again != "" {
			t.Errorf("%s: %v for tracks that pass", name, err)
		}
	}
	if _, err := rewriteAs(t, head+clear+tail, answer, replace, func(o *dash.Options) { o.PassProtected = true }); !errors.Is(err, dash.ErrOptions) {
		t.Errorf("%v for two answers to one question", err)
	}
}
