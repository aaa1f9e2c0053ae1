package policy

import (
	"context"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// TestFoundCredentials: what a kind of token found is judged by its own verifier, beside no other credential, and costs little more once
// its answer is remembered.
func TestFoundCredentials(t *testing.T) {
	now := time.Now()
	secret := []byte("test-secret-of-the-policy-0123456789-abc")
	key, err := token.SecretKey("", secret)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := token.NewKeySet(key)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := token.NewSignedPrefix(token.SignedPrefixConfig{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	cached, err := token.NewCached(signed, token.CacheConfig{MaxTokens: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer cached.Close()
	raw, err := token.SignPrefix(key, token.Claims{Scope: []string{"/vod"}, Expires: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := token.NewSessionKey(secret[:token.SessionKeyBytes], token.SessionConfig{})
	if err != nil {
		t.Fatal(err)
	}
	p := &Policy{Tokens: Tokens{Sessions: sessions}} // no verifier for tokens that are told apart by form
	asset := Asset{Name: "/vod/", Path: "/vod/a.mpd"}
	found := token.Credential{Raw: raw, Verifier: cached}
	for name, test := range map[string]struct {
		viewer Viewer
		want   Reason
	}{
		"found":                  {Viewer{Found: []token.Credential{found}}, ReasonAllowed},
		"found twice":            {Viewer{Found: []token.Credential{found, found}}, ReasonAllowed},
		"beside another found":   {Viewer{Found: []token.Credential{found, {Raw: "x", Verifier: cached}}}, ReasonTokenAmbiguous},
		"the text for two kinds": {Viewer{Found: []token.Credential{found, {Raw: raw, Verifier: signed}}}, ReasonTokenAmbiguous},
		"beside a token":         {Viewer{Found: []token.Credential{found}, Tokens: []string{raw}}, ReasonTokenAmbiguous},
		"beside an empty place":  {Viewer{Found: []token.Credential{found}, Tokens: []string{""}}, ReasonAllowed},
		"a token nobody takes":   {Viewer{Tokens: []string{raw}}, ReasonTokenMissing},
		"a bad one":              {Viewer{Found: []token.Credential{{Raw: "x", Verifier: cached}}}, ReasonTokenInvalid},
	} {
		if got := p.Decide(context.Background(), now, asset, test.viewer).Reason; got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	time.Sleep(10 * time.Millisecond) // the table takes entries a moment later
	viewer := Viewer{Found: []token.Credential{found}}
	allocs := testing.AllocsPerRun(200, func() { p.Decide(context.Background(), now, asset, viewer) })
	if allocs > 3 {
		t.Errorf("%v allocations", allocs)
	}
}
