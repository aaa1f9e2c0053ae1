package segcrypt

import (
	"encoding/binary"

	"github.com/caddy-drm/caddy-drm/drm"
)

// protect writes the protected init segment: every sample entry becomes encv or enca and gets a sinf as its last child, and
// pssh boxes become the last children of moov. With a clear lead, the clear entries follow behind the protected ones. All else stays
// byte for byte, but for the sizes of the boxes around.
//
// Source: 14496-12, 8.12; 23001-7, 8; 23000-19, 8.2.
func (in *Init) protect(p *Protection) []byte {
	patched := append([]byte(nil), in.clear...)
	var sinfs []insertion
	for i := range in.tracks {
		sinfs = in.tracks[i].patch(patched, in.clear, sinfs, p)
	}
	growth := len(p.Pssh)
	for _, s := range sinfs {
		growth += len(s.bytes)
	}
	grow(patched, in.moov, growth)
	out := make([]byte, 0, len(patched)+growth)
	for _, b := range in.kept {
		if b.typ != typMoov {
			out = append(out, patched[b.off:b.end]...)
			continue
		}
		at := b.off
		for _, s := range sinfs {
			out = append(out, patched[at:s.at]...)
			out = append(out, s.bytes...)
			at = s.at
		}
		out = append(out, patched[at:b.end]...)
		out = append(out, p.Pssh...)
	}
	return out
}

// insertion is bytes that come in before byte at of the clear init segment.
type insertion struct {
	at    int
	bytes []byte
}

// patch gives the sample entries of t their protected types and sizes, and appends what comes in behind each. Text stays.
func (t *initTrack) patch(patched, clear []byte, sinfs []insertion, p *Protection) []insertion {
	if t.Kind == KindText {
		return sinfs
	}
	typ, growth := cc("encv"), 0
	if t.Kind == KindAudio {
		typ = cc("enca")
	}
	for i := range t.entries {
		e := &t.entries[i]
		sinf := appendSinf(nil, e, p.Scheme, p.keyOf(t.ID))
		sinfs = append(sinfs, insertion{e.box.end, sinf})
		growth += len(sinf)
		grow(patched, e.box, len(sinf))
		binary.BigEndian.PutUint32(patched[e.box.off+4:], uint32(typ))
	}
	if p.ClearUntil > 0 {
		twins := t.clearTwins(patched, clear)
		sinfs = append(sinfs, twins)
		growth += len(twins.bytes)
	}
	for _, b := range t.path {
		grow(patched, b, growth)
	}
	return sinfs
}

// grow adds n to the 32-bit size of b.
func grow(buf []byte, b box, n int) {
	binary.BigEndian.PutUint32(buf[b.off:], be32(buf, b.off)+uint32(n))
}

// appendSinf appends the protection scheme information of one sample entry.
//
//	sinf { frma: original type; schm: scheme, version 1.0; schi { tenc } }
func appendSinf(dst []byte, e *sampleEntry, protection drm.ProtectionScheme, key drm.ContentKey) []byte {
	const frmaBytes, schmBytes = 12, 20
	tenc := appendTenc(nil, e, protection, key)
	schi := 8 + len(tenc)
	dst = putHeader(dst, 8+frmaBytes+schmBytes+schi, typSinf)
	dst = putHeader(dst, frmaBytes, cc("frma"))
	dst = put32(dst, uint32(e.box.typ))
	dst = putHeader(dst, schmBytes, cc("schm"))
	dst = put32(dst, 0)
	scheme := protection.FourCC()
	dst = append(dst, scheme[:]...)
	dst = put32(dst, 0x00010000)
	dst = putHeader(dst, schi, cc("schi"))
	return append(dst, tenc...)
}

// appendTenc appends the track encryption box.
//
//	version(1) flags(3) reserved(1) crypt(4 bits) skip(4 bits) isProtected(1) Per_Sample_IV_Size(1) KID(16)
//	[constant_IV_size(1) constant_IV(16)]
//
// It has version 1 for cbcs even where there is no pattern, as for audio: players refuse version 0 there. Source: 23001-7, 8.2.
func appendTenc(dst []byte, e *sampleEntry, scheme drm.ProtectionScheme, key drm.ContentKey) []byte {
	kid := key.KID()
	version, size := byte(0), 32
	var pattern drm.Pattern
	if scheme == drm.SchemeCbcs {
		version, size = 1, 32+1+drm.KeySize
		if e.subsampled() {
			pattern = scheme.VideoPattern()
		}
	}
	dst = putHeader(dst, size, typTenc)
	dst = append(dst, version, 0, 0, 0, 0, pattern.Crypt<<4|pattern.Skip, 1, byte(scheme.PerSampleIVSize()))
	dst = append(dst, kid[:]...)
	if scheme == drm.SchemeCbcs {
		iv := key.ConstantIV()
		dst = append(dst, drm.KeySize)
		dst = append(dst, iv[:]...)
	}
	return dst
}

// Unprotected returns the init segment without protection, for delivery where whole segments are encrypted: it holds no
// samples, and boxes in which something could hide are left out.
func (in *Init) Unprotected() Protected {
	var out []byte
	for _, b := range in.kept {
		out = append(out, in.clear[b.off:b.end]...)
	}
	return out
}
