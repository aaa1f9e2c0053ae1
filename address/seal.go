package address

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash"
	"math"
	"strings"
	"sync"

	"github.com/caddy-drm/caddy-drm/drm"
)

// SealKind says what a seal is for. A seal of one kind never opens as another.
type SealKind uint8

const (
	// SealPlaylist carries the asset, the scheme and the key formats from a multivariant playlist to its children.
	SealPlaylist SealKind = iota + 1
	// SealMedia is for an init segment and the media segments of one track.
	SealMedia
	// SealSidecar is for a resource that has no samples to protect, such as a WebVTT file.
	SealSidecar
	// SealLicense is for the license and key endpoints of one title; its path is the directory of the endpoint.
	SealLicense
)

// Seal is what a URL of ours is for. Fields that a kind does not use are zero.
//
// The text form is base64url without padding of
//
//	layout(1) kind(1) scheme(1) class(1) formats(1) period(uvarint) generation(uvarint)
//	group asset init template(each uvarint length, bytes)
//	media only: fields(uvarint) initDigest(16) keyDigest(8), then those of range, initRange, index indexDigest(8), sequence,
//	            lead, clock (origin as varint, length), clearUntil that the bits of fields name; ranges are offset and length, numbers
//	            are uvarints
//	license only: further, rotate, depth (each uvarint)
//	MAC(16)
//
// where paths and templates leave out the asset that they begin with. The MAC is HMAC-SHA-256, cut to 128 bits, under a
// key that belongs to one tenant, over everything before it, a zero byte, and the clean path. A seal with a template has
// the word "template" in place of the path: what the path must match is among the fields.
type Seal struct {
	Kind   SealKind
	Group  string
	Asset  Path // the directory whose content shares rights and keys
	Scheme drm.ProtectionScheme
	// KeyFormats is the set of HLS key formats that child playlists announce, as bits that manifest/hls names.
	KeyFormats uint8
	// Class is the track class whose key protects a media segment.
	Class drm.TrackClass
	// Period and Generation select the content key in time: crypto period and emergency re-key.
	Period, Generation uint32
	// Init is the clean path of the init segment and InitRange what it takes of that file; InitDigest holds the first 128
	// bits of the SHA-256 of its clear bytes. Transport streams and packed audio have none of them.
	Init       Path
	InitRange  Range
	InitDigest [16]byte
	// KeyDigest tells the content key of the track from one that a key source gives later, so that a key never changes
	// under a URL. It is a keyed digest: nobody learns of the key from it.
	KeyDigest [8]byte
	// Template is set in DASH: the pattern that the clean path of a media segment must match. Without it the seal is
	// for exactly one path.
	Template Template
	// Range is the part of the file that the address stands for, in clear bytes.
	Range Range
	// IFrame is set if Range may end inside a chunk, behind the samples that an I-frame playlist wants.
	IFrame bool
	// Clear is set if the track has no samples to protect: what the address stands for leaves as it is.
	Clear bool
	// ClearUntil is set for a track whose beginning stays clear. Its init segment has clear sample entries beside the protected ones,
	// and segments that begin before that tick of the first track in it leave clear. ClearAlways is for the address of one segment
	// that the playlist has in the lead, and of an init segment. A seal without it never stands for clear samples.
	ClearUntil uint64
	// Index is where the segment index of a single-file track lies in the file; the number in the address picks one of its
	// entries. IndexDigest tells it from the index of a file that replaced it.
	Index       Range
	IndexDigest [8]byte
	// Sequence is the media sequence number of a segment that is encrypted whole, and gives its IV.
	Sequence uint64
	// Lead are the parts that come before a low-latency part since the last one that players can begin with.
	Lead []Resource
	// Clock is set where the template covers segments of other crypto periods, too, and tells those of Period from them.
	Clock Clock
	// Window is which periods a license is for, besides Period.
	Window Window
	// Passes is set for a track that came protected and leaves as it is. It has an init segment, and no scheme, class or key.
	Passes bool
}

// Resource is a file at the origin, or a range of it.
type Resource struct {
	Path  Path
	Range Range
}

// Clock tells the crypto period of a segment by its decode time, in ticks of the track: that of period n is at least
// Origin + n·Length.
type Clock struct {
	Origin int64
	Length uint64 // 0: there is one period
}

// Window is a span of crypto periods. The zero value is one period.
type Window struct {
	// Further is how many periods behind the first belong to it: those of a title that is whole.
	Further uint32
	// Rotate and Depth are set for a live title, in seconds: its periods are that long, and the span is from Depth ago to the one
	// that comes next.
	Rotate, Depth uint32
}

// ClearAlways is the ClearUntil of what is in the lead whatever its decode time is. No template may have it.
const ClearAlways = math.MaxUint64

// MaxLead bounds the parts of Lead.
const MaxLead = 16

// Bits of the fields that not every media seal has.
const (
	hasRange = 1 << iota
	hasInitRange
	hasIndex
	hasSequence
	hasLead
	isIFrame
	passes
	isClear
	hasClock
	hasClearUntil
	sealFieldBits = hasClearUntil<<1 - 1
)

const (
	// sealLayout is the version of the text form. A change of meaning, however small, takes a new number. A new bit of fields
	// does not: whoever does not know it refuses the seal.
	sealLayout = 3
	sealMAC    = 16
	// MaxSeal bounds the text of a seal; players were measured to cope with path elements far above it.
	MaxSeal = 1400
)

// ErrSeal is returned for a seal that is damaged, forged, of another kind, tenant or path. It says no more, because the
// caller answers 404 to all of them.
var ErrSeal = errors.New("seal does not fit")

// Sealer makes and opens the seals of one tenant. It is safe for concurrent use. It holds its key in keyed hash states
// only, so that printing a Sealer shows none of it.
type Sealer struct{ pool sync.Pool }

// sealScratch is what one Seal or Open works in.
type sealScratch struct {
	h            hash.Hash // HMAC under the key of the tenant
	text, binary []byte
	sum          [sha256.Size]byte
}

// NewSealer returns a Sealer for a key that was derived for one tenant and for nothing but seals.
func NewSealer(key [32]byte) *Sealer {
	k := &Sealer{}
	k.pool.New = func() any { return &sealScratch{h: hmac.New(sha256.New, key[:])} }
	return k
}

// Seal returns the text of s, bound to the clean path p. With a Template, p is not used: each path that matches opens it,
// and so does the path of the init segment.
//
// A text of more than 1400 characters, which takes paths of hundreds of characters, is one that Open refuses.
func (k *Sealer) Seal(s Seal, p Path) string {
	w := k.pool.Get().(*sealScratch)
	defer k.pool.Put(w)
	w.binary = s.append(w.binary[:0])
	w.binary = append(w.binary, w.mac(w.binary, s.bound(p))...)
	w.text = base64.RawURLEncoding.AppendEncode(w.text[:0], w.binary)
	return string(w.text)
}

// Open returns the seal in text if it was made with the same key, is of the wanted kind and is for the clean path p.
// It returns ErrSeal and the zero Seal otherwise.
func (k *Sealer) Open(text string, kind SealKind, p Path) (Seal, error) {
	// The decoder skips line breaks; a seal has one spelling.
	if len(text) > MaxSeal || strings.ContainsAny(text, "\r\n") {
		return Seal{}, ErrSeal
	}
	w := k.pool.Get().(*sealScratch)
	defer k.pool.Put(w)
	var err error
	w.text = append(w.text[:0], text...)
	w.binary, err = sealEncoding.AppendDecode(w.binary[:0], w.text)
	if err != nil || len(w.binary) <= sealMAC {
		return Seal{}, ErrSeal
	}
	payload, mac := w.binary[:len(w.binary)-sealMAC], w.binary[len(w.binary)-sealMAC:]
	f, ok := parseSeal(payload)
	if !ok || f.kind != kind || !hmac.Equal(mac, w.mac(payload, f.bound(p))) {
		return Seal{}, ErrSeal
	}
	s, err := f.seal()
	if err != nil {
		return Seal{}, ErrSeal
	}
	if !s.Template.IsZero() && p != s.Init {
		if _, ok := s.Template.Match(p); !ok {
			return Seal{}, ErrSeal
		}
	}
	return s, nil
}

// sealEncoding refuses a last character with bits that the bytes do not have.
var sealEncoding = base64.RawURLEncoding.Strict()

// bound returns what the MAC covers besides the payload. The template is in the payload, but the marker keeps a seal for
// a template apart from one for a path, which begins with a slash.
func (s Seal) bound(p Path) string {
	if s.Template.IsZero() {
		return string(p)
	}
	return boundToTemplate
}

const boundToTemplate = "template"

func (w *sealScratch) mac(payload []byte, bound string) []byte {
	w.h.Reset()
	w.h.Write(payload)
	// No field ends open: payload lengths are inside, and a path holds no zero byte. The text buffer is free here, and
	// lends its memory to a string that the hash wants as bytes.
	w.text = append(append(w.text[:0], 0), bound...)
	w.h.Write(w.text)
	return w.h.Sum(w.sum[:0])[:sealMAC]
}

func (s Seal) append(b []byte) []byte {
	b = append(b, sealLayout, byte(s.Kind), byte(s.Scheme), byte(s.Class), s.KeyFormats)
	b = binary.AppendUvarint(b, uint64(s.Period))
	b = binary.AppendUvarint(b, uint64(s.Generation))
	for _, field := range []string{s.Group, string(s.Asset), s.shorten(string(s.Init)), s.shorten(s.Template.String())} {
		b = binary.AppendUvarint(b, uint64(len(field)))
		b = append(b, field...)
	}
	switch s.Kind {
	case SealMedia:
		b = s.appendMedia(b)
	case SealLicense:
		for _, n := range [...]uint32{s.Window.Further, s.Window.Rotate, s.Window.Depth} {
			b = binary.AppendUvarint(b, uint64(n))
		}
	case SealPlaylist, SealSidecar: // have no more
	}
	return b
}

// fields returns the bits of the fields that the seal has.
func (s Seal) fields() (bits uint64) {
	for _, field := range [...]struct {
		bit uint64
		has bool
	}{
		{hasRange, !s.Range.IsZero()}, {hasInitRange, !s.InitRange.IsZero()}, {hasIndex, !s.Index.IsZero()}, {hasSequence, s.Sequence != 0},
		{hasLead, len(s.Lead) > 0}, {isIFrame, s.IFrame}, {passes, s.Passes}, {isClear, s.Clear}, {hasClock, s.Clock.Length != 0},
		{hasClearUntil, s.ClearUntil != 0},
	} {
		if field.has {
			bits |= field.bit
		}
	}
	return bits
}

// appendMedia appends the fields of a media seal.
func (s Seal) appendMedia(b []byte) []byte {
	bits := s.fields()
	b = binary.AppendUvarint(b, bits)
	b = append(b, s.InitDigest[:]...)
	b = append(b, s.KeyDigest[:]...)
	if bits&hasRange != 0 {
		b = appendRange(b, s.Range)
	}
	if bits&hasInitRange != 0 {
		b = appendRange(b, s.InitRange)
	}
	if bits&hasIndex != 0 {
		b = appendRange(b, s.Index)
		b = append(b, s.IndexDigest[:]...)
	}
	if bits&hasSequence != 0 {
		b = binary.AppendUvarint(b, s.Sequence)
	}
	if bits&hasLead != 0 {
		b = s.appendLead(b)
	}
	if bits&hasClock != 0 {
		b = binary.AppendUvarint(binary.AppendVarint(b, s.Clock.Origin), s.Clock.Length)
	}
	if bits&hasClearUntil != 0 {
		b = binary.AppendUvarint(b, s.ClearUntil)
	}
	return b
}

func (s Seal) appendLead(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s.Lead)))
	for _, part := range s.Lead {
		path := s.shorten(string(part.Path))
		b = binary.AppendUvarint(b, uint64(len(path)))
		b = append(b, path...)
		b = appendRange(b, part.Range)
	}
	return b
}

func appendRange(b []byte, r Range) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, r.Offset), r.Length)
}

// shorten leaves out the asset that a path begins with; a full path begins with a slash and so stays apart.
func (s Seal) shorten(p string) string {
	if rest, ok := strings.CutPrefix(p, string(s.Asset)); ok && s.Asset.IsDir() && rest != "" && rest[0] != '/' {
		return rest
	}
	return p
}
