package caddymodule

import (
	"encoding/base64"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/manifest/hls"
)

// signalOf is what a key server says that a DRM system is to be told of a key: what gateways would say without a group, in all the forms that
// packagers ask for. License URLs are for the packager to add, since only its operator knows them.
func signalOf(system drm.SystemID, key drm.ContentKey, scheme drm.ProtectionScheme) (keysource.Signal, bool) {
	s := keysource.Signal{System: system, KID: key.KID()}
	switch system {
	case drm.SystemCommon:
		s.Pssh = drm.AppendCommonPssh(nil, key.KID())
		s.ContentProtection = psshElement(s.Pssh)
		return s, true
	case drm.SystemWidevine:
		s.Pssh = drm.AppendWidevinePssh(nil, drm.WidevineInit{KIDs: []drm.KID{key.KID()}, Scheme: scheme})
		s.ContentProtection = psshElement(s.Pssh)
		return withLines(s, scheme, hls.WidevineKey(scheme, key.KID(), s.Pssh))
	case drm.SystemPlayReady:
		return playReadySignal(s, key, scheme)
	case drm.SystemFairPlay:
		if scheme != drm.SchemeCbcs {
			return keysource.Signal{}, false
		}
		s.HLSKeyURI, s.HLSKeyFormat, s.HLSKeyFormatVersions = drm.SKDTemplate{}.URI(drm.SKD{KID: key.KID()}), hls.KeyFormatFairPlay, "1"
		return withLines(s, scheme, hls.FairPlayKey(scheme, s.HLSKeyURI))
	default:
		return keysource.Signal{}, false
	}
}

func playReadySignal(s keysource.Signal, key drm.ContentKey, scheme drm.ProtectionScheme) (keysource.Signal, bool) {
	header := drm.PlayReadyHeader{Scheme: scheme, Keys: []drm.PlayReadyKey{drm.NewPlayReadyKey(key)}}
	pro, err := drm.AppendPlayReadyObject(nil, header)
	if err != nil {
		return keysource.Signal{}, false // no scheme of PlayReady
	}
	s.PlayReadyHeader = pro
	if s.Pssh, err = drm.AppendPlayReadyPssh(nil, header); err != nil {
		return keysource.Signal{}, false
	}
	s.ContentProtection = append(psshElement(s.Pssh), element("mspr:pro", "mspr", "urn:microsoft:playready", pro)...)
	return withLines(s, scheme, hls.PlayReadyKey(scheme, pro))
}

// withLines adds the lines of playlists. A key whose scheme nobody named, or one of AES-128, has none.
func withLines(s keysource.Signal, scheme drm.ProtectionScheme, key hls.Key) (keysource.Signal, bool) {
	if !scheme.Common() {
		return s, true
	}
	var err error
	s.HLSMedia, s.HLSMultivariant, err = key.Lines()
	return s, err == nil
}

// psshElement is a box as a descriptor of DASH holds it (23001-7, 11.2).
func psshElement(box []byte) []byte {
	return element("cenc:pssh", "cenc", "urn:mpeg:cenc:2013", box)
}

// element stands alone: it declares the prefix of its name itself.
func element(name, prefix, namespace string, content []byte) []byte {
	return []byte("<" + name + " xmlns:" + prefix + `="` + namespace + `">` + base64.StdEncoding.EncodeToString(content) + "</" + name + ">")
}
