package keysource

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// answerTransport answers every request alike.
type answerTransport struct {
	status int
	body   string
	err    error
	sent   HTTPRequest
}

func (a *answerTransport) Do(_ context.Context, r HTTPRequest) (HTTPResponse, error) {
	a.sent = r
	return HTTPResponse{Status: a.status, Body: []byte(a.body)}, a.err
}

func mustTemplate(t *testing.T, text string) Template {
	t.Helper()
	template, err := ParseTemplate(text)
	if err != nil {
		t.Fatal(err)
	}
	return template
}

func TestNginxVOD(t *testing.T) {
	a := &answerTransport{status: 200, body: `[{"pssh":[{"data":"dGVzdA==","uuid":"edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"}],"key":"` +
		b64(key1) + `","key_id":"` + b64(kid1) + `"}]`}
	n, err := NewNginxVOD(a, mustTemplate(t, "https://keys.example/drm/{asset}?x=1"), drm.SchemeCenc)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := n.Fetch(context.Background(), testTitle())
	if err != nil {
		t.Fatal(err)
	}
	k := bundle.Keys[drm.ClassShared]
	if k.KID().Hex() != kid1 || len(bundle.Signals) != 1 || !IsPsshOf(bundle.Signals[0].Pssh, drm.SystemWidevine) || bundle.Signals[0].KID != k.KID() {
		t.Errorf("got %+v", bundle)
	}
	if a.sent.URL != "https://keys.example/drm/%2Fvod%2Fdemo%2F?x=1" || a.sent.Method != http.MethodGet {
		t.Errorf("asked %s", a.sent.URL)
	}
	for name, change := range map[string]func(*Title){
		"another scheme":     func(t *Title) { t.Scheme = drm.SchemeCbcs },
		"another generation": func(t *Title) { t.Generation = 1 },
		"another period":     func(t *Title) { t.Period = 1 },
	} {
		title := testTitle()
		change(&title)
		if _, err := n.Fetch(context.Background(), title); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewNginxVOD(a, mustTemplate(t, "https://keys.example/"), 0); err == nil {
		t.Error("no scheme accepted")
	}
}

// TestNginxVODFails: what a key server can do wrong ends in an error without a key in it (hostile row 36).
func TestNginxVODFails(t *testing.T) {
	entry := `{"key":"` + b64(key1) + `","key_id":"` + b64(kid1) + `"}`
	for name, a := range map[string]*answerTransport{
		"timeout":     {err: errors.New("timeout")},
		"500":         {status: 500, body: key1},
		"302":         {status: 302},
		"401":         {status: 401, body: key1},
		"empty":       {status: 200},
		"empty list":  {status: 200, body: `[]`},
		"two keys":    {status: 200, body: `[` + entry + `,{"key":"` + b64(key2) + `","key_id":"` + b64(key1) + `"}]`},
		"same twice":  {status: 200, body: `[` + entry + `,` + entry + `]`},
		"15 bytes":    {status: 200, body: `[{"key":"` + b64(key1[2:]) + `","key_id":"` + b64(kid1) + `"}]`},
		"zero":        {status: 200, body: `[{"key":"` + b64(strings.Repeat("00", 16)) + `","key_id":"` + b64(kid1) + `"}]`},
		"8-byte IV":   {status: 200, body: `[{"key":"` + b64(key1) + `","key_id":"` + b64(kid1) + `","iv":"AAAAAAAAAAA="}]`},
		"our form":    {status: 200, body: `{"keys":[{"kid":"` + kid1 + `","key":"` + key1 + `"}]}`},
		"10 MB":       {status: 200, body: strings.Repeat(" ", 10<<20)},
		"HTML":        {status: 200, body: `<html>` + key1},
		"not allowed": {status: 403},
	} {
		n, err := NewNginxVOD(a, mustTemplate(t, "https://keys.example/"), drm.SchemeCenc)
		if err != nil {
			t.Fatal(err)
		}
		bundle, err := n.Fetch(context.Background(), testTitle())
		if err == nil || bundle.Keys != nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		checkNoKeyIn(t, err.Error())
	}
}

func TestTemplate(t *testing.T) {
	title := Title{Tenant: "a", Group: "b", Asset: "{tenant}/c", Scheme: drm.SchemeCbcs, Period: 4, Generation: 5}
	if got := mustTemplate(t, "x{tenant}-{group}-{asset}-{scheme}-{period}-{generation}").Expand(title, nil); got != "xa-b-{tenant}/c-cbcs-4-5" {
		t.Errorf("got %s", got)
	}
	title = Title{Tenant: "..", Asset: "/a b&c=d?e#f+g/"}
	if got := mustTemplate(t, "/{tenant}/{asset}").ExpandURL(title); got != "/%2E%2E/%2Fa%20b%26c%3Dd%3Fe%23f%2Bg%2F" {
		t.Errorf("got %s", got)
	}
	for _, text := range []string{"{", "{}", "{kid}", "{asset", "a{asset}{env.X}"} {
		if _, err := ParseTemplate(text); err == nil {
			t.Errorf("%q accepted", text)
		}
	}
}
