package caddymodule

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/keysource/cpix"
)

// vendorServer is a key server of SPEKE 2.0 as vendors run them: what FairPlay is told stands in HLSSignalingData, since SPEKE 2 has no other
// element for it, and the object of PlayReady in a box alone, with the vendor's own license URL.
func vendorServer(t *testing.T, licenseURL string) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		d, err := cpix.Parse(body, cpix.ParseOptions{})
		if err != nil {
			t.Errorf("%v\n%s", err, body)
			return
		}
		for i, k := range d.Keys {
			content, err := drm.NewContentKey(k.KID, []byte("0123456789abcdef"), []byte("fedcba9876543210"))
			if err != nil {
				t.Error(err)
			}
			d.Keys[i] = cpix.NewKey(content, k.Scheme)
			for j := range d.Systems {
				s := &d.Systems[j]
				s.Wants = nil
				switch s.System {
				case drm.SystemFairPlay:
					s.HLSMedia = []byte(`#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://vendor/movie?a=1,b=2",KEYFORMAT="com.apple.streamingkeydelivery",KEYFORMATVERSIONS="1"`)
				case drm.SystemPlayReady:
					s.Pssh, err = drm.AppendPlayReadyPssh(nil, drm.PlayReadyHeader{
						Version: drm.PlayReady43, Scheme: k.Scheme, Keys: []drm.PlayReadyKey{drm.NewPlayReadyKey(content)}, LicenseURL: licenseURL,
					})
					if err != nil {
						t.Error(err)
					}
				}
			}
		}
		answer, err := cpix.Append(nil, d, cpix.AppendOptions{Clear: true})
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/xml")
		_, _ = w.Write(answer)
	}))
	t.Cleanup(server.Close)
	return server
}

const vendorSite = `
http://:PORT {
	root TESTDATA
	drm {
		group vendor
		tenant one
		scheme cbcs
		keys speke SERVER/speke
	}
	file_server
}
`

// TestSignalsOfVendorsAreHeard: a license server answers for what its own key server wrote, so that manifests say that and nothing of ours.
func TestSignalsOfVendorsAreHeard(t *testing.T) {
	const licenseURL = "https://license.example/vendor"
	g := newGateway(t)
	global := strings.Replace(globalBlock, "drm {", "drm {\n\t\tgroup vendor {\n\t\t\tsystems widevine playready fairplay\n\t\t}", 1)
	g.load(t, global+strings.Replace(vendorSite, "SERVER", vendorServer(t, licenseURL).URL, 1))
	playlist := string(g.mustGet(t, linkTo(t, g.links(t, "/demo/master.m3u8"), "playlist", "/video/360p.m3u8").url).body)
	if !strings.Contains(playlist, `URI="skd://vendor/movie?a=1,b=2"`) {
		t.Errorf("FairPlay is not told the vendor's URI in\n%.900s", playlist)
	}
	mpd := string(g.mustGet(t, "/demo/manifest.mpd").body)
	for _, text := range []string{between(t, mpd, "<mspr:pro", "</mspr:pro>"), between(t, playlist, "base64,", `",KEYFORMAT="com.microsoft.playready"`)} {
		pro, err := base64.StdEncoding.DecodeString(text[strings.LastIndexAny(text, ">,")+1:])
		if err != nil {
			t.Fatal(err)
		}
		records, err := drm.ParsePlayReadyObject(pro)
		if err != nil || len(records) != 1 {
			t.Fatalf("%d records, %v", len(records), err)
		}
		if header, err := drm.ParsePlayReadyHeader(records[0].Value); err != nil || header.LicenseURL != licenseURL {
			t.Errorf("the object of PlayReady is not that of the box: %+v, %v", header, err)
		}
	}
}

// between returns what stands between the last begin in front of end, and end.
func between(t *testing.T, text, begin, end string) string {
	t.Helper()
	before, _, ok := strings.Cut(text, end)
	at := strings.LastIndex(before, begin)
	if !ok || at < 0 {
		t.Fatalf("no %s … %s in\n%.900s", begin, end, text)
	}
	return before[at+len(begin):]
}

// TestPackagersCanCopySignals: each element of an answer can stand in a manifest as it is.
func TestPackagersCanCopySignals(t *testing.T) {
	key, err := drm.NewContentKey(drm.KID{1, 2, 3}, []byte("0123456789abcdef"), []byte("fedcba9876543210"))
	if err != nil {
		t.Fatal(err)
	}
	for _, scheme := range drm.Schemes {
		for system, format := range map[drm.SystemID]string{
			drm.SystemWidevine: "urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed", drm.SystemPlayReady: "com.microsoft.playready", drm.SystemFairPlay: "com.apple.streamingkeydelivery",
		} {
			s, ok := signalOf(system, key, scheme)
			if system == drm.SystemFairPlay && scheme == drm.SchemeCenc {
				continue
			}
			lines := fmt.Sprintf("%s\n%s", s.HLSMedia, s.HLSMultivariant)
			if !ok || strings.Count(lines, `KEYFORMAT="`+format+`"`) != 2 || !strings.HasPrefix(lines, "#EXT-X-KEY:METHOD="+scheme.HLSMethod()+",") ||
				!strings.Contains(lines, "\n#EXT-X-SESSION-KEY:METHOD="+scheme.HLSMethod()+",") {
				t.Errorf("%s, %s: %s", system.Word(), scheme, lines)
			}
			fragment := string(s.ContentProtection)
			if boxed := strings.Contains(fragment, `<cenc:pssh xmlns:cenc="urn:mpeg:cenc:2013">`+base64.StdEncoding.EncodeToString(s.Pssh)+"</cenc:pssh>"); boxed != (s.Pssh != nil) {
				t.Errorf("%s, %s: %s", system.Word(), scheme, fragment)
			}
			if pro := strings.Contains(fragment, `<mspr:pro xmlns:mspr="urn:microsoft:playready">`+base64.StdEncoding.EncodeToString(s.PlayReadyHeader)+"</mspr:pro>"); pro != (s.PlayReadyHeader != nil) {
				t.Errorf("%s, %s: %s", system.Word(), scheme, fragment)
			}
		}
	}
}

// TestHalfOfAnObject: an object of PlayReady without a box gets one of its own.
func TestHalfOfAnObject(t *testing.T) {
	s := &signal{system: drm.SystemPlayReady, pssh: []byte("ours"), pro: []byte("ours")}
	s.hearPlayReady(keysource.Signal{PlayReadyHeader: []byte("theirs")})
	if box, _, err := drm.ParsePssh(s.pssh); err != nil || box.System != drm.SystemPlayReady || string(box.Data) != "theirs" || string(s.pro) != "theirs" {
		t.Errorf("box %q, object %q, %v", box.Data, s.pro, err)
	}
	s.hearPlayReady(keysource.Signal{})
	if string(s.pro) != "theirs" {
		t.Errorf("a server that says nothing said %q", s.pro)
	}
}
