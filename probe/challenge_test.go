package probe

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// TestWhatLicenseServersAnswer: each system is sent what it understands, once, and the report says what came back.
func TestWhatLicenseServersAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		system drm.SystemID
		answer Response
		sent   func(r Request) bool
		status int
		want   string
	}{
		"Widevine": {
			drm.SystemWidevine, Response{Status: 200, Body: []byte{8, 5, 18, 1, 0}},
			func(r Request) bool {
				return bytes.Equal(r.Body, []byte{8, 4}) && r.ContentType == "application/octet-stream"
			},
			200, "answers 200 to the request for its certificate: the certificate of its service",
		},
		"a page in place of Widevine": {
			drm.SystemWidevine, Response{Status: 200, Body: []byte("<html>")}, func(Request) bool { return true },
			200, "answers 200 to the request for its certificate, with something else",
		},
		"PlayReady": {
			drm.SystemPlayReady, Response{Status: 500, Body: []byte("<Fault><StatusCode>0x8004C600</StatusCode></Fault>")},
			func(r Request) bool {
				return strings.Contains(string(r.Body), "<KID>AAAAqgAAAAAAAAAAAAAAAA==</KID>") && strings.HasSuffix(r.SOAPAction, `/AcquireLicense"`) && strings.HasPrefix(r.ContentType, "text/xml")
			},
			500, "answers 500 to a challenge without a device, and the fault 0x8004C600",
		},
		"a gateway that refuses": {
			drm.SystemFairPlay, Response{Status: 403, Reason: "license_over"}, func(r Request) bool { return len(r.Body) > 176 && r.Body[3] == 2 },
			403, "answers 403 (license_over) to a context without a device",
		},
		"no such server": {drm.SystemWidevine, Response{}, func(Request) bool { return true }, 0, "does not answer: no such host"},
	} {
		s := newServer(t, drm.SchemeCenc)
		for strings.Contains(string(s.files["/a.mpd"].Body), "e2719d58") {
			s.edit("/a.mpd", "e2719d58-a985-b3c9-781a-b030af78d30e", test.system.String())
			s.edit("/a.mpd", home+"/license<", "https://drm.example.net/rights?customer=1<")
		}
		if test.answer.Status != 0 {
			s.elsewhere = func(r Request) Response {
				if !test.sent(r) || r.Method != http.MethodPost || r.URL != "https://drm.example.net/rights?customer=1" {
					t.Errorf("%s: asked %+v", name, r)
				}
				return test.answer
			}
		}
		report, err := s.probe("/a.mpd", nil)
		if err != nil || !report.OK || len(report.Licenses) != 1 {
			t.Fatalf("%s: %v\n%s", name, err, report.Text())
		}
		if l := report.Licenses[0]; l.Status != test.status || l.Answer != test.want {
			t.Errorf("%s: %+v", name, l)
		}
	}
}
