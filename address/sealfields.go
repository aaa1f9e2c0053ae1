package address

import (
	"encoding/binary"

	"github.com/caddy-drm/caddy-drm/drm"
)

// sealFields is the payload of a seal, taken apart and not yet believed. Its slices point into the payload.
type sealFields struct {
	kind               SealKind
	scheme             drm.ProtectionScheme
	class              drm.TrackClass
	formats            uint8
	period, generation uint32
	group, asset       []byte
	init, template     []byte
	media              Seal // the fields of appendMedia
	window             Window
	lead               []resourceField
}

type resourceField struct {
	path  []byte
	bytes Range
}

func parseSeal(b []byte) (sealFields, bool) {
	if len(b) < 5 || b[0] != sealLayout {
		return sealFields{}, false
	}
	f := sealFields{kind: SealKind(b[1]), scheme: drm.ProtectionScheme(b[2]), class: drm.TrackClass(b[3]), formats: b[4]}
	r := sealReader{b: b[5:], ok: f.kind >= SealPlaylist && f.kind <= SealLicense}
	f.period, f.generation = r.uint32(), r.uint32()
	f.group, f.asset, f.init, f.template = r.field(), r.field(), r.field(), r.field()
	switch f.kind {
	case SealMedia:
		f.readMedia(&r)
	case SealLicense:
		f.window = Window{Further: r.uint32(), Rotate: r.uint32(), Depth: r.uint32()}
	case SealPlaylist, SealSidecar: // have no more
	}
	if !r.ok || len(r.b) != 0 {
		return sealFields{}, false
	}
	return f, true
}

func (f *sealFields) readMedia(r *sealReader) {
	bits := r.uint64()
	m := &f.media
	copy(m.InitDigest[:], r.bytes(len(m.InitDigest)))
	copy(m.KeyDigest[:], r.bytes(len(m.KeyDigest)))
	if bits&hasRange != 0 {
		m.Range = r.byteRange()
	}
	if bits&hasInitRange != 0 {
		m.InitRange = r.byteRange()
	}
	if bits&hasIndex != 0 {
		m.Index = r.byteRange()
		copy(m.IndexDigest[:], r.bytes(len(m.IndexDigest)))
	}
	if bits&hasSequence != 0 {
		m.Sequence = r.uint64()
	}
	if bits&hasLead != 0 {
		n := r.uint64()
		r.ok = r.ok && n <= MaxLead
		for ; r.ok && n > 0; n-- {
			f.lead = append(f.lead, resourceField{r.field(), Range{Offset: r.uint64(), Length: r.uint64()}})
		}
	}
	if bits&hasClock != 0 {
		m.Clock = Clock{Origin: r.int64(), Length: r.uint64()}
		r.ok = r.ok && m.Clock.Length != 0
	}
	if bits&hasClearUntil != 0 {
		m.ClearUntil = r.uint64()
		// What decides for many segments has to be a time of theirs, and what is not encrypted at all has no lead.
		r.ok = r.ok && m.ClearUntil != 0 && (m.ClearUntil != ClearAlways || len(f.template) == 0 && bits&hasIndex == 0) && bits&(passes|isClear) == 0
	}
	m.IFrame, m.Passes, m.Clear = bits&isIFrame != 0, bits&passes != 0, bits&isClear != 0
	r.ok = r.ok && bits&^uint64(sealFieldBits) == 0
}

func (f *sealFields) bound(p Path) string {
	if len(f.template) == 0 {
		return string(p)
	}
	return boundToTemplate
}

// seal returns what the fields say, once their MAC is known to be right: paths and template were checked before they
// were sealed.
func (f *sealFields) seal() (Seal, error) {
	s := f.media
	s.Kind, s.Group, s.Asset, s.Scheme, s.KeyFormats = f.kind, string(f.group), Path(f.asset), f.scheme, f.formats
	s.Class, s.Period, s.Generation, s.Window = f.class, f.period, f.generation, f.window
	s.Init = Path(s.lengthen(f.init))
	for _, part := range f.lead {
		s.Lead = append(s.Lead, Resource{Path: Path(s.lengthen(part.path)), Range: part.bytes})
	}
	if len(f.template) > 0 {
		t, err := compileTemplate(s.lengthen(f.template))
		if err != nil {
			return Seal{}, err
		}
		s.Template = t
	}
	return s, nil
}

// lengthen undoes shorten.
func (s Seal) lengthen(p []byte) string {
	if len(p) == 0 || p[0] == '/' {
		return string(p)
	}
	return string(s.Asset) + string(p)
}

// sealReader reads fields until one does not fit; then ok is false and every further field is empty.
type sealReader struct {
	b  []byte
	ok bool
}

func (r *sealReader) uint32() uint32 {
	v := r.uint64()
	if v > 1<<32-1 {
		r.b, r.ok = nil, false
		return 0
	}
	return uint32(v)
}

func (r *sealReader) uint64() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.ok = nil, false
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *sealReader) int64() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.b, r.ok = nil, false
		return 0
	}
	r.b = r.b[n:]
	return v
}

// byteRange reads a range that is not all of a resource.
func (r *sealReader) byteRange() Range {
	v, err := NewRange(r.uint64(), r.uint64())
	if err != nil {
		r.b, r.ok = nil, false
	}
	return v
}

// field reads a length and as many bytes.
func (r *sealReader) field() []byte { return r.bytes(int(r.uint32())) }

func (r *sealReader) bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.b, r.ok = nil, false
		return nil
	}
	field := r.b[:n]
	r.b = r.b[n:]
	return field
}
