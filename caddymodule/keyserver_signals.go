package caddymodule

import (
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/manifest/hls"
)

// signalOf is what a key server says that a DRM system is to be told of a key: what gateways would say without a group. License URLs are for
// the packager to add, since only its operator knows them.
func signalOf(system drm.SystemID, key drm.ContentKey, scheme drm.ProtectionScheme) (keysource.Signal, bool) {
	s := keysource.Signal{System: system, KID: key.KID()}
	switch system {
	case drm.SystemCommon:
		s.Pssh = drm.AppendCommonPssh(nil, key.KID())
	case drm.SystemWidevine:
		s.Pssh = drm.AppendWidevinePssh(nil, drm.WidevineInit{KIDs: []drm.KID{key.KID()}, Scheme: scheme})
	case drm.SystemPlayReady:
		header := drm.PlayReadyHeader{Scheme: scheme, Keys: []drm.PlayReadyKey{drm.NewPlayReadyKey(key)}}
		pro, err := drm.AppendPlayReadyObject(nil, header)
		if err != nil {
			return keysource.Signal{}, false // no scheme of PlayReady
		}
		s.PlayReadyHeader = pro
		if s.Pssh, err = drm.AppendPlayReadyPssh(nil, header); err != nil {
			return keysource.Signal{}, false
		}
	case drm.SystemFairPlay:
		if scheme != drm.SchemeCbcs {
			return keysource.Signal{}, false
		}
		uri := drm.SKDTemplate{}.URI(drm.SKD{KID: key.KID()})
		s.HLSKeyURI, s.HLSKeyFormat, s.HLSKeyFormatVersions = uri, hls.KeyFormatFairPlay, "1"
	default:
		return keysource.Signal{}, false
	}
	return s, true
}
