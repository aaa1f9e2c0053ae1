package caddymodule

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

func init() { caddy.RegisterModule(CountedKeys{}) }

// What the tests know of CountedKeys. Tests that use it are not parallel.
var (
	keysAsked atomic.Int64  // questions
	keysUntil atomic.Uint32 // the first crypto period that has no key yet; 0 for none
)

// CountedKeys is a source of the tests: keys that are derived, by one that cannot name them without being asked.
type CountedKeys struct{}

// CaddyModule returns the module's registration.
func (CountedKeys) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "drm.key_sources.counted", New: func() caddy.Module { return new(CountedKeys) }}
}

// Source implements KeySource.
func (k *CountedKeys) Source(secret keysource.Secret, _ drm.ProtectionScheme) (keysource.Source, error) {
	derived, err := keysource.NewDerived(secret, true)
	return countedSource{derived}, err
}

// UnmarshalCaddyfile reads `keys counted`.
func (k *CountedKeys) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }

type countedSource struct{ derived keysource.Source }

func hasNoKeys(t keysource.Title) bool { return keysUntil.Load() > 0 && t.Period >= keysUntil.Load() }

func (s countedSource) Split() bool { return true }

func (s countedSource) ContentKey(ctx context.Context, r keysource.Request) (drm.ContentKey, error) {
	keysAsked.Add(1)
	if hasNoKeys(r.Title) {
		return drm.ContentKey{}, keysource.ErrUnknownKey
	}
	return s.derived.ContentKey(ctx, r)
}

func (s countedSource) ContentKeys(ctx context.Context, t keysource.Title) ([]drm.ContentKey, error) {
	keysAsked.Add(1)
	if hasNoKeys(t) {
		return nil, keysource.ErrUnknownKey
	}
	return s.derived.ContentKeys(ctx, t)
}

// TestForeignKeysAreLookedForOnce: a flood of requests for keys that a rotating title does not have costs a key server one look at the
// crypto periods of its license, whatever keys they name and however soon keys are to be asked for again, and costs those who ask for keys
// of theirs nothing.
func TestForeignKeysAreLookedForOnce(t *testing.T) {
	l := startLicensed(t, "", "license_server clearkey\n\tkey_cache 1ms 24h", "license temporary 12h", "rotate 2s", "keys derived {\n\tper track_class\n}", "keys counted",
		"widevine playready fairplay", "clearkey widevine playready fairplay", "level high", "level low", "hdcp 2.2", "")
	mpd := l.manifest(t, l.token)
	kids := kidsIn(t, mpd)
	foreign := func(i int) drm.KID { return drm.KID{0xf0, byte(i >> 8), byte(i)} }
	for name, test := range map[string]struct {
		system drm.SystemID
		body   func(kid drm.KID) []byte
	}{
		"widevine":  {drm.SystemWidevine, func(kid drm.KID) []byte { return widevineChallenge(1, kid) }},
		"playready": {drm.SystemPlayReady, func(kid drm.KID) []byte { return []byte(playReadyChallenge(kid)) }},
		"clearkey":  {drm.SystemClearKey, func(kid drm.KID) []byte { return []byte(`{"kids":["` + kid.Base64URL() + `"]}`) }},
	} {
		at := licenseURLIn(t, mpd, test.system)
		ask := func(kid drm.KID) reply { return l.sendBody(t, http.MethodPost, at, test.body(kid)) }
		wantReply(t, name+", foreign", ask(foreign(0)), 403, "license_no_keys")
		before := keysAsked.Load()
		for i := range 300 {
			wantReply(t, name+", foreign", ask(foreign(i+1)), 403, "license_no_keys")
		}
		if asked := keysAsked.Load() - before; asked > 21*5 { // what the first of them had asked for again behind it: each class of each period
			t.Errorf("%s: 300 requests for foreign keys are %d questions", name, asked)
		}
		wantReply(t, name+", the last period", ask(kids[len(kids)-1]), 200, "")
	}
}

// TestPeriodsWithoutKeys: where the source has no keys for the later crypto periods yet, those of the earlier ones are given, and the
// rest is asked for a bounded number of times.
func TestPeriodsWithoutKeys(t *testing.T) {
	l := startLicensed(t, "", "license_server clearkey\n\tkey_cache 1ms 24h", "license temporary 12h", "rotate 10s", "keys derived {\n\tper track_class\n}", "keys counted",
		"widevine playready fairplay", "clearkey widevine playready fairplay", "level high", "level low", "hdcp 2.2", "")
	mpd := l.manifest(t, l.token)
	kids := kidsIn(t, mpd)
	keysUntil.Store(2)
	t.Cleanup(func() { keysUntil.Store(0) })
	l.load(t, l.config+"# again, with nothing at hand\n")
	for name, test := range map[string]struct {
		system drm.SystemID
		body   func(kid drm.KID) []byte
	}{
		"widevine": {drm.SystemWidevine, func(kid drm.KID) []byte { return widevineChallenge(1, kid) }},
		"clearkey": {drm.SystemClearKey, func(kid drm.KID) []byte { return []byte(`{"kids":["` + kid.Base64URL() + `"]}`) }},
	} {
		at := licenseURLIn(t, mpd, test.system)
		ask := func(kid drm.KID) reply { return l.sendBody(t, http.MethodPost, at, test.body(kid)) }
		wantReply(t, name+", the first period", ask(kids[0]), 200, "")
		before := keysAsked.Load()
		for i := range 100 {
			if res := ask(drm.KID{0xf0, byte(i)}); res.status == 200 {
				t.Errorf("%s: a license for a foreign key", name)
			}
		}
		if asked := keysAsked.Load() - before; asked > 40 { // the four periods of the title, and each class of the two that have keys
			t.Errorf("%s: 100 requests for foreign keys are %d questions", name, asked)
		}
	}
}
