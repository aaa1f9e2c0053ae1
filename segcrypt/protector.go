package segcrypt

import (
	"errors"
	"fmt"
	"slices"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Protection says how the tracks of one init segment are protected.
type Protection struct {
	Scheme drm.ProtectionScheme
	// Key protects every video and audio track that TrackKeys does not name. It may be zero when all are named.
	Key drm.ContentKey
	// TrackKeys are the keys of single tracks by track_ID, for files with several tracks.
	TrackKeys map[uint32]drm.ContentKey
	// Pssh is zero or more whole pssh boxes, which become the last children of moov.
	Pssh []byte
	// IVSecret keys the derivation of `cenc` IVs. It must be the same on all nodes that serve the same media; `cbcs` does
	// not use it.
	IVSecret [32]byte
	// Variant tells copies of a track apart that share a key but not their bytes, such as watermark variants.
	Variant byte
	// ClearUntil leaves the beginning of a title clear: segments that begin before that tick of the first track in the init segment,
	// as they say themselves, or all of them with ClearAlways. The init segment then has a clear sample entry beside each protected
	// one. 0: everything is encrypted.
	ClearUntil uint64
}

// Format prints the scheme and the KID under every verb, so that neither a key nor the IV secret reaches a log.
func (p Protection) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "%s %s", p.Scheme, p.Key.KID())
}

// keyOf returns the key of a track.
func (p *Protection) keyOf(trackID uint32) drm.ContentKey {
	if key, ok := p.TrackKeys[trackID]; ok {
		return key
	}
	return p.Key
}

// Protector protects the segments of one init segment. It is immutable and safe for concurrent use.
type Protector struct {
	init      *Init
	scheme    drm.ProtectionScheme
	ivs       *ivSource        // nil unless the scheme is cenc
	tracks    []trackProtector // as Init.tracks
	protected []byte           // the init segment

	clearUntil uint64
}

// trackProtector is what one track is encrypted with; zero for text.
type trackProtector struct {
	cipher   sampleCipher
	ivPrefix ivPrefix
}

// Format prints the scheme and what kind of track comes first, and no secret.
func (p *Protector) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "%s %s", p.scheme, p.init.tracks[0].Kind)
}

// NewProtector expands the keys and writes the protected init segment, once for all segments that follow it.
//
// It returns ErrAlreadyProtected, wrapped in a *FormatError, for an init segment that is protected already, and ErrProtection
// for an unknown scheme, a video or audio track without a key, a key for a track that is not there
// or has no use for one, a zero IVSecret with `cenc`, or a Pssh that is not whole pssh boxes. Text tracks are not protected;
// where there are no others, nothing of p is used.
func NewProtector(init *Init, p Protection) (*Protector, error) {
	if init == nil {
		return nil, fmt.Errorf("%w: no init segment", ErrProtection)
	}
	if init.encrypted {
		return nil, formatErrorf("init", 0, "%w", ErrAlreadyProtected)
	}
	pr := &Protector{init: init, scheme: p.Scheme, tracks: make([]trackProtector, len(init.tracks)), clearUntil: p.ClearUntil}
	if !slices.ContainsFunc(init.tracks, func(t initTrack) bool { return t.Kind != KindText }) {
		pr.scheme, pr.protected, pr.clearUntil = 0, init.clear, 0
		return pr, nil
	}
	if err := p.check(init); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProtection, err)
	}
	if p.Scheme == drm.SchemeCenc {
		pr.ivs = newIVSource(p.IVSecret)
	}
	for i := range init.tracks {
		t := &init.tracks[i]
		if t.Kind == KindText {
			continue
		}
		key := p.keyOf(t.ID)
		pr.tracks[i] = trackProtector{newSampleCipher(key), newIVPrefix(key.KID(), t.ID, p.Variant)}
	}
	pr.protected = init.protect(&p)
	return pr, nil
}

var (
	errNoScheme   = errors.New("no scheme of Common Encryption")
	errNoIVSecret = errors.New("no IV secret")
)

// check refuses a Protection that cannot work for init.
func (p *Protection) check(init *Init) error {
	switch {
	case !p.Scheme.Common():
		return errNoScheme
	case p.Scheme == drm.SchemeCenc && p.IVSecret == [32]byte{}:
		return errNoIVSecret
	}
	for id := range p.TrackKeys {
		if i := init.findTrack(id); i < 0 || init.tracks[i].Kind == KindText {
			return fmt.Errorf("a key for track_ID %d, which has no use for it", id)
		}
	}
	for _, t := range init.tracks {
		if key := p.keyOf(t.ID); t.Kind != KindText && key.IsZero() {
			return fmt.Errorf("no content key for track_ID %d", t.ID)
		}
	}
	return checkPssh(p.Pssh)
}

func checkPssh(b []byte) error {
	return eachBox(b, 0, len(b), "pssh", func(x box) error {
		if x.typ != typPssh || x.header != 8 || x.size() < 32 {
			return formatErrorf("pssh", x.off, "not a pssh box")
		}
		return nil
	})
}

// Init returns the protected init segment, or the clear one where there are only text tracks. The caller must not change it.
func (p *Protector) Init() Protected { return p.protected }

// Plan checks and maps one clear media segment completely; nothing is encrypted yet. seg may hold several chunks (moof and
// mdat), and must stay as it is until the Segment is written or released.
//
// On error, a *FormatError that wraps ErrAlreadyProtected, ErrTrackMismatch or ErrParameterSets where they apply, the
// Segment is nil.
//
// Time and memory are proportional to len(seg), whatever sizes and counts it claims.
func (p *Protector) Plan(seg Clear) (*Segment, error) {
	s := newSegment(p)
	s.clearUntil = p.clearUntil
	if err := s.build(seg, p.init, p.scheme); err != nil {
		s.Release()
		return nil, err
	}
	s.cut = s.size
	return s, nil
}

// ProtectSegment appends the protected form of one clear media segment to dst and returns the longer slice; without dst it
// allocates exactly what is needed. It is Plan and Segment.AppendTo in one: seg is not changed, and must not share memory with
// dst.
//
// Every box and every sample is checked before anything is written; samples that leave clear (Protection.ClearUntil) are not
// looked into. On error, that of Plan, the result is nil and nothing that was clear has been copied.
func (p *Protector) ProtectSegment(dst []byte, seg Clear) (Protected, error) {
	s, err := p.Plan(seg)
	if err != nil {
		return nil, err
	}
	defer s.Release()
	return s.AppendTo(dst), nil
}
