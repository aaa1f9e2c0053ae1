package cpix

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

var testTitle = keysource.Title{Tenant: "one.example", Asset: "/vod/demo/", Scheme: drm.SchemeCenc}

const splitRules = `<ContentKeyUsageRuleList><ContentKeyUsageRule kid="` + kid1 + `" intendedTrackType="VIDEO"><VideoFilter/></ContentKeyUsageRule>
	<ContentKeyUsageRule kid="` + kid2 + `" intendedTrackType="AUDIO"><AudioFilter/></ContentKeyUsageRule></ContentKeyUsageRuleList>`

func TestFile(t *testing.T) {
	one, err := NewFile([]byte(wrap(`<ContentKeyList>`+clearKey(kid1, key1, "")+`</ContentKeyList>`)), SourceOptions{Scheme: drm.SchemeCenc})
	if err != nil {
		t.Fatal(err)
	}
	two, err := NewFile([]byte(wrap(twoKeys()+splitRules)), SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if one.Split() || !two.Split() {
		t.Errorf("split %t, %t", one.Split(), two.Split())
	}
	source := keysource.NewBundled(two)
	for class, kid := range map[drm.TrackClass]string{drm.ClassAudio: kid2, drm.ClassSD: kid1, drm.ClassUHD2: kid1} {
		k, err := source.ContentKey(context.Background(), keysource.Request{Title: testTitle, Class: class})
		if err != nil || k.KID().String() != kid {
			t.Errorf("%s: %v, %v", class, k, err)
		}
	}
	if list, err := source.ContentKeys(context.Background(), testTitle); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
	for name, change := range map[string]func(*keysource.Title){
		"scheme":     func(t *keysource.Title) { t.Scheme = drm.SchemeCbcs },
		"generation": func(t *keysource.Title) { t.Generation = 1 },
	} {
		title := testTitle
		change(&title)
		for _, f := range []*File{one, two} {
			if _, err := f.Fetch(context.Background(), title); !errors.Is(err, keysource.ErrUnknownKey) {
				t.Errorf("another %s: %v", name, err)
			}
		}
	}
	for name, text := range map[string]string{
		"no keys":   wrap(""),
		"no value":  wrap(`<ContentKeyList><ContentKey kid="` + kid1 + `" commonEncryptionScheme="cenc"/></ContentKeyList>`),
		"no scheme": wrap(`<ContentKeyList>` + clearKey(kid1, key1, "") + `</ContentKeyList>`),
	} {
		if _, err := NewFile([]byte(text), SourceOptions{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

type answer struct {
	status int
	body   string
	url    string
}

func (a *answer) Do(_ context.Context, r keysource.HTTPRequest) (keysource.HTTPResponse, error) {
	a.url = r.URL
	return keysource.HTTPResponse{Status: a.status, Body: []byte(a.body)}, nil
}

func TestRemote(t *testing.T) {
	template := func(text string) keysource.Template {
		parsed, err := keysource.ParseTemplate(text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	now := func() time.Time { return time.Unix(0, 0) }
	a := &answer{status: 200, body: wrap(twoKeys() + splitRules)}
	r := NewRemote(a, template("https://keys.example/{asset}.xml"), now, SourceOptions{Split: true, ContentID: template("movie-7")})
	bundle, err := r.Fetch(context.Background(), testTitle)
	if err != nil || len(bundle.Keys) != 5 || a.url != "https://keys.example/%2Fvod%2Fdemo%2F.xml" {
		t.Errorf("%v, %v, %s", bundle.Keys, err, a.url)
	}
	for name, other := range map[string]*Remote{
		"another content":  NewRemote(a, template("https://k.example/"), now, SourceOptions{Split: true, ContentID: template("{asset}")}),
		"one key wanted":   NewRemote(a, template("https://k.example/"), now, SourceOptions{}),
		"a signature":      NewRemote(a, template("https://k.example/"), now, SourceOptions{Split: true, Parse: ParseOptions{Signers: []*x509.Certificate{testCertificate(t, "signer.pem")}}}),
		"404":              NewRemote(&answer{status: 404}, template("https://k.example/"), now, SourceOptions{}),
		"no document":      NewRemote(&answer{status: 200, body: "<html>" + key1}, template("https://k.example/"), now, SourceOptions{}),
		"other generation": NewRemote(a, template("https://k.example/"), now, SourceOptions{Split: true, Generation: 3}),
	} {
		bundle, err := other.Fetch(context.Background(), testTitle)
		if err == nil || bundle.Keys != nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		checkNoKey(t, err.Error())
		if strings.Contains(err.Error(), "k.example") {
			t.Errorf("%s: a URL in %q", name, err)
		}
	}
}
