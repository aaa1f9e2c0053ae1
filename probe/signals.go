package probe

import (
	"bytes"
	"slices"

	"github.com/caddy-drm/caddy-drm/drm"
)

// checkSignals compares what boxes and objects say to DRM systems with the key of the track. key is zero where it is not known.
func (p *prober) checkSignals(at place, boxes []drm.Pssh, objects [][]byte, kid drm.KID, scheme string, key drm.ContentKey) {
	for _, box := range boxes {
		switch box.System {
		case drm.SystemPlayReady:
			objects = append(slices.Clone(objects), box.Data)
		case drm.SystemWidevine:
			p.checkWidevine(at, box.Data, kid, scheme)
		}
		if len(box.KIDs) > 0 && !slices.Contains(box.KIDs, kid) {
			p.problem(PsshMismatch, at, "the pssh box of %s lists %s, and not KID %s", box.System.Name(), plural(len(box.KIDs), "KID"), kid)
		}
	}
	for _, object := range objects {
		p.checkPlayReady(at, object, kid, scheme, key)
	}
}

func (p *prober) checkWidevine(at place, data []byte, kid drm.KID, scheme string) {
	init, err := drm.ParseWidevineInit(data)
	if err != nil {
		p.problem(PsshMismatch, at, "the pssh box of Widevine: %v", err)
		return
	}
	if len(init.KIDs) > 0 && !slices.Contains(init.KIDs, kid) {
		p.problem(PsshMismatch, at, "the pssh box of Widevine names %s, and not KID %s", plural(len(init.KIDs), "key"), kid)
	}
	if init.Scheme.Valid() && init.Scheme.String() != scheme {
		p.problem(SchemeMismatch, at, "the pssh box of Widevine says %s, and schm %s", init.Scheme, scheme)
	}
}

func (p *prober) checkPlayReady(at place, object []byte, kid drm.KID, scheme string, key drm.ContentKey) {
	headers := headersOf(object)
	if len(headers) == 0 {
		p.problem(PsshMismatch, at, "a PlayReady Object without a header that can be read")
	}
	for _, header := range headers {
		named := false
		for _, k := range header.Keys {
			if k.KID != kid {
				continue
			}
			named = true
			if !key.IsZero() && k.Checksum != nil && !bytes.Equal(k.Checksum, drm.NewPlayReadyKey(key).Checksum) {
				p.problem(WrongKey, at, "the key with KID %s has not the checksum of the PlayReady header", kid)
			}
		}
		if len(header.Keys) > 0 && !named {
			p.problem(PsshMismatch, at, "the PlayReady header names %s, and not KID %s", plural(len(header.Keys), "key"), kid)
		}
		if header.Scheme.Valid() && header.Scheme.String() != scheme {
			p.problem(SchemeMismatch, at, "the PlayReady header says %s, and schm %s", header.Scheme, scheme)
		}
	}
}
