package vendor

import (
	"encoding/json"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
)

// TestGeneralSaysWhatVendorsAreTold: a template can pass everything that the vendors of this package map.
func TestGeneralSaysWhatVendorsAreTold(t *testing.T) {
	secret := []byte(strings.Repeat("s", 32))
	g := grant(t, drm.SystemWidevine, drm.ClassUHD1, drm.ClassSD, drm.ClassAudio)
	g.Purpose = licensing.PurposeRenewal
	g.Group.License = drm.LicenseTerms{Persistent: true, Duration: 72 * time.Hour, Rental: 48 * time.Hour, Playback: 24 * time.Hour, Renew: time.Hour}
	v, err := NewGeneral(GeneralConfig{Algorithm: "HS256", Secret: secret, Header: "X", Claims: `{"for":"{purpose}","keys":{keys},"level":"{level}","hdcp":"{hdcp}","persistent":{persistent},` +
		`"license":{license_seconds},"rental":{rental_seconds},"playback":{playback_seconds},"renew":{renew_seconds},"ends":{ends}}`})
	if err != nil || !v.Binds() {
		t.Fatal(err)
	}
	got := parsed(t, string(claimsOf(t, ask(t, v, g).Header["X"])))
	want := parsed(t, `{"for":"renewal","level":"high","hdcp":"2.2","persistent":true,"license":259200,"rental":172800,"playback":86400,"renew":3600,"ends":`+licenseEnd(g)+`,"keys":[
		{"kid":"a0010203-0405-0607-0000-000000000000","track":"UHD1","hdcp":"2.2","widevine_level":5,"playready_level":3000,"fairplay_hdcp":"TYPE-1"},
		{"kid":"a0010203-0405-0607-0000-000000000001","track":"SD","hdcp":"2.2","widevine_level":1,"playready_level":2000,"fairplay_hdcp":"TYPE-1"},
		{"kid":"a0010203-0405-0607-0000-000000000002","track":"AUDIO","hdcp":"none","widevine_level":3,"playready_level":2000,"fairplay_hdcp":"NONE"}]}`)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, key := range g.Keys {
		if secret := key.Key.Secret(); strings.Contains(string(claimsOf(t, ask(t, v, g).Header["X"])), string(secret[:])) {
			t.Error("a key stands in the token")
		}
	}
	text, err := NewGeneral(GeneralConfig{Algorithm: "HS256", Secret: secret, Query: "q", HMAC: true, Claims: "for={purpose}~ends={ends}~keys={keys}"})
	if err != nil {
		t.Fatal(err)
	}
	written, _, _ := strings.Cut(ask(t, text, g).Query["q"], "~hmac=")
	head, list, _ := strings.Cut(written, "~keys=")
	list, err = url.QueryUnescape(list)
	if head != "for=renewal~ends="+licenseEnd(g) || err != nil || !json.Valid([]byte(list)) || !strings.Contains(list, `"track":"UHD1"`) {
		t.Errorf("%s, %v", written, err)
	}
}

// TestLicenseEnds: by its duration, else with what it rests on, else never.
func TestLicenseEnds(t *testing.T) {
	g := licensing.Grant{Now: time.Unix(1000, 0)}
	if licenseEnd(g) != "0" {
		t.Errorf("without an end: %s", licenseEnd(g))
	}
	g.Ends = time.Unix(5000, 0)
	if licenseEnd(g) != "5000" {
		t.Errorf("with the admission: %s", licenseEnd(g))
	}
	g.Group.License.Duration = time.Minute
	if licenseEnd(g) != "1060" {
		t.Errorf("by its duration: %s", licenseEnd(g))
	}
}

// TestPlaceholdersAreDocumented: each has a row in the page of licenses, and no row stands for nothing.
func TestPlaceholdersAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/licenses.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]bool)
	for _, match := range regexp.MustCompile("(?m)^\\| `\\{([a-z_]+)\\}` \\|").FindAllStringSubmatch(string(page), -1) {
		rows[match[1]] = true
		if generalWords[match[1]] == nil {
			t.Errorf("{%s} is documented and stands for nothing", match[1])
		}
	}
	for word := range generalWords {
		if !rows[word] {
			t.Errorf("{%s} is not documented", word)
		}
	}
}
