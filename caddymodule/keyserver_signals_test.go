package caddymodule

import (
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// TestSignalsOfTheKeyServer: each system is told of the key by its own means, or not at all.
func TestSignalsOfTheKeyServer(t *testing.T) {
	key, err := drm.NewContentKey(drm.KID{1, 2, 3}, []byte("0123456789abcdef"), []byte("fedcba9876543210"))
	if err != nil {
		t.Fatal(err)
	}
	for _, scheme := range drm.Schemes {
		widevine, ok := signalOf(drm.SystemWidevine, key, scheme)
		box, _, err := drm.ParsePssh(widevine.Pssh)
		said, errInit := drm.ParseWidevineInit(box.Data)
		if !ok || err != nil || errInit != nil || len(said.KIDs) != 1 || said.KIDs[0] != key.KID() || said.Scheme != scheme {
			t.Errorf("%s: Widevine is told %+v: %v, %v", scheme, said, err, errInit)
		}
		playready, ok := signalOf(drm.SystemPlayReady, key, scheme)
		if records, err := drm.ParsePlayReadyObject(playready.PlayReadyHeader); !ok || err != nil || len(records) != 1 {
			t.Errorf("%s: PlayReady: %v", scheme, err)
		}
		fairplay, ok := signalOf(drm.SystemFairPlay, key, scheme)
		if want := scheme == drm.SchemeCbcs; ok != want || ok && fairplay.HLSKeyURI != "skd://"+key.KID().Hex() {
			t.Errorf("%s: FairPlay is told %t %q", scheme, ok, fairplay.HLSKeyURI)
		}
	}
	if _, ok := signalOf(drm.SystemID{1}, key, drm.SchemeCenc); ok {
		t.Error("an unknown system is told something")
	}
}
