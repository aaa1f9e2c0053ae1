package hls

import (
	"encoding/base64"

	"github.com/caddy-drm/caddy-drm/drm"
)

// The spelling of KEYFORMAT for the systems with license servers of their own.
const (
	KeyFormatWidevine  = "urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"
	KeyFormatPlayReady = "com.microsoft.playready"
	KeyFormatFairPlay  = "com.apple.streamingkeydelivery"
)

// WidevineKey returns the key line for Widevine: pssh is a whole pssh box for kid.
func WidevineKey(scheme drm.ProtectionScheme, kid drm.KID, pssh []byte) Key {
	return Key{
		Method: scheme.HLSMethod(), KeyFormat: KeyFormatWidevine, KeyFormatVersions: "1", KID: kid,
		URI: "data:text/plain;base64," + base64.StdEncoding.EncodeToString(pssh),
	}
}

// PlayReadyKey returns the key line for PlayReady: pro is a PlayReady Object alone, without a pssh box around it. The
// object says which key.
func PlayReadyKey(scheme drm.ProtectionScheme, pro []byte) Key {
	return Key{
		Method: scheme.HLSMethod(), KeyFormat: KeyFormatPlayReady, KeyFormatVersions: "1",
		URI: "data:text/plain;charset=UTF-16;base64," + base64.StdEncoding.EncodeToString(pro),
	}
}

// FairPlayKey returns the key line for FairPlay: uri begins with skd:// and is handed to the license request. The IV comes
// with the license.
func FairPlayKey(scheme drm.ProtectionScheme, uri string) Key {
	return Key{Method: scheme.HLSMethod(), KeyFormat: KeyFormatFairPlay, KeyFormatVersions: "1", URI: uri}
}
