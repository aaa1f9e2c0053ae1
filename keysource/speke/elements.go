package speke

import (
	"slices"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/keysource/cpix"
)

// signal fills what is asked for of one key. What nobody knows to say is left out.
func (s *Server) signal(d *cpix.Document, key drm.ContentKey, scheme drm.ProtectionScheme, version Version) {
	for i, system := range d.Systems {
		if system.KID != key.KID() {
			continue
		}
		d.Systems[i].Wants = nil
		d.Systems[i].Signal = keysource.Signal{System: system.System, KID: system.KID}
		if signal, ok := s.config.Signal(system.System, key, schemeFor(system.System, scheme, version)); ok {
			signal.System, signal.KID = system.System, system.KID
			d.Systems[i].Signal = asked(signal, system.Wants, version)
		}
	}
}

// schemeFor is the scheme that a system is told of. SPEKE 1 names none, and knows FairPlay for SAMPLE-AES and PlayReady for Common Encryption, which
// was that of counter mode then; Widevine need not be told.
func schemeFor(system drm.SystemID, scheme drm.ProtectionScheme, version Version) drm.ProtectionScheme {
	switch {
	case scheme != 0 || version != V1:
		return scheme
	case system == drm.SystemFairPlay:
		return drm.SchemeCbcs
	case system == drm.SystemPlayReady:
		return drm.SchemeCenc
	default:
		return scheme
	}
}

// asked returns what of a signal a packager wants: the elements that it names or, where it names none, all that its version has.
func asked(s keysource.Signal, wants []string, version Version) keysource.Signal {
	if len(wants) == 0 {
		switch {
		case version == V1:
			s.ContentProtection = nil
		case version.is2(): // HLSSignalingData took its place
			s.HLSKeyURI = ""
		}
		return s
	}
	for _, element := range []struct {
		name string
		into *[]byte
	}{
		{cpix.WantPssh, &s.Pssh},
		{cpix.WantContentProtection, &s.ContentProtection},
		{cpix.WantHLSMultivariant, &s.HLSMultivariant},
		{cpix.WantHLSMedia, &s.HLSMedia},
		{cpix.WantSmoothHeader, &s.PlayReadyHeader},
	} {
		if !slices.Contains(wants, element.name) {
			*element.into = nil
		}
	}
	if !slices.Contains(wants, cpix.WantURIExtXKey) {
		s.HLSKeyURI, s.HLSKeyFormat, s.HLSKeyFormatVersions = "", "", ""
	}
	return s
}
