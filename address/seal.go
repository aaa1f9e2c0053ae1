package address

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"

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
//	group asset init template(each uvarint length, bytes)  initDigest(16, media only)  MAC(16)
//
// where init and template leave out the asset that they begin with. The MAC is HMAC-SHA-256, cut to 128 bits, under a
// key that belongs to one tenant, over everything before it and the clean path, or the template that the path matches.
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
	// Init is the clean path of the init segment, InitDigest the first 128 bits of the SHA-256 of its clear bytes.
	Init       Path
	InitDigest [16]byte
	// Template is set in DASH: the pattern that the clean path of a media segment must match. Without it the seal is
	// for exactly one path.
	Template Template
}

const (
	// sealLayout is the version of the text form. A change of meaning, however small, takes a new number.
	sealLayout = 1
	sealMAC    = 16
	// maxSeal bounds the text of a seal; players were measured to cope with path elements far above it.
	maxSeal = 1400
)

// ErrSeal is returned for a seal that is damaged, forged, of another kind, tenant or path. It says no more, because the
// caller answers 404 to all of them.
var ErrSeal = errors.New("seal does not fit")

// Sealer makes and opens the seals of one tenant. It is safe for concurrent use.
type Sealer struct{ key [32]byte }

// NewSealer returns a Sealer for a key that was derived for one tenant and for nothing but seals.
func NewSealer(key [32]byte) *Sealer { return &Sealer{key: key} }

// Seal returns the text of s, bound to the clean path p. With a Template, p is not used: each path that matches opens it,
// and so does the path of the init segment.
func (k *Sealer) Seal(s Seal, p Path) string {
	b := s.append(make([]byte, 0, 192))
	b = append(b, k.mac(b, s.bound(p))...)
	return base64.RawURLEncoding.EncodeToString(b)
}

// Open returns the seal in text if it was made with the same key, is of the wanted kind and is for the clean path p.
// It returns ErrSeal and the zero Seal otherwise.
func (k *Sealer) Open(text string, kind SealKind, p Path) (Seal, error) {
	if len(text) > maxSeal {
		return Seal{}, ErrSeal
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) <= sealMAC {
		return Seal{}, ErrSeal
	}
	payload, mac := b[:len(b)-sealMAC], b[len(b)-sealMAC:]
	s, ok := parseSeal(payload)
	if !ok || s.Kind != kind || !hmac.Equal(mac, k.mac(payload, s.bound(p))) {
		return Seal{}, ErrSeal
	}
	if !s.Template.IsZero() && p != s.Init {
		if _, ok := s.Template.Match(p); !ok {
			return Seal{}, ErrSeal
		}
	}
	return s, nil
}

// bound returns what the MAC covers besides the payload. The template is in the payload, but the marker keeps a seal for
// a template apart from one for a path that happens to be spelled like it.
func (s Seal) bound(p Path) string {
	if s.Template.IsZero() {
		return string(p)
	}
	return "template"
}

func (k *Sealer) mac(payload []byte, bound string) []byte {
	h := hmac.New(sha256.New, k.key[:])
	h.Write(payload)
	h.Write([]byte{0}) // no field ends open: payload lengths are inside, and a path holds no zero byte
	h.Write([]byte(bound))
	return h.Sum(nil)[:sealMAC]
}

func (s Seal) append(b []byte) []byte {
	b = append(b, sealLayout, byte(s.Kind), byte(s.Scheme), byte(s.Class), s.KeyFormats)
	b = binary.AppendUvarint(b, uint64(s.Period))
	b = binary.AppendUvarint(b, uint64(s.Generation))
	for _, field := range []string{s.Group, string(s.Asset), s.shorten(string(s.Init)), s.shorten(s.Template.String())} {
		b = binary.AppendUvarint(b, uint64(len(field)))
		b = append(b, field...)
	}
	if s.Kind == SealMedia {
		b = append(b, s.InitDigest[:]...)
	}
	return b
}

// shorten leaves out the asset that a path begins with; a full path begins with a slash and so stays apart.
func (s Seal) shorten(p string) string {
	if rest, ok := strings.CutPrefix(p, string(s.Asset)); ok && s.Asset.IsDir() && rest != "" && rest[0] != '/' {
		return rest
	}
	return p
}

func (s Seal) lengthen(p string) string {
	if p == "" || p[0] == '/' {
		return p
	}
	return string(s.Asset) + p
}

func parseSeal(b []byte) (Seal, bool) {
	if len(b) < 5 || b[0] != sealLayout {
		return Seal{}, false
	}
	s := Seal{Kind: SealKind(b[1]), Scheme: drm.ProtectionScheme(b[2]), Class: drm.TrackClass(b[3]), KeyFormats: b[4]}
	r := sealReader{b: b[5:], ok: true}
	s.Period, s.Generation = r.uint32(), r.uint32()
	s.Group, s.Asset = r.text(), Path(r.text())
	s.Init = Path(s.lengthen(r.text()))
	if text := s.lengthen(r.text()); text != "" && r.ok {
		t, err := ParseTemplate(text)
		s.Template, r.ok = t, err == nil
	}
	if s.Kind == SealMedia {
		copy(s.InitDigest[:], r.bytes(len(s.InitDigest)))
	}
	if !r.ok || len(r.b) != 0 {
		return Seal{}, false
	}
	return s, true
}

// sealReader reads fields until one does not fit; then ok is false and every further field is empty.
type sealReader struct {
	b  []byte
	ok bool
}

func (r *sealReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.ok = nil, false
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *sealReader) uint32() uint32 {
	v := r.uvarint()
	if v > 1<<32-1 {
		r.ok = false
	}
	return uint32(v)
}

func (r *sealReader) text() string {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.ok = false
		return ""
	}
	return string(r.bytes(int(n)))
}

func (r *sealReader) bytes(n int) []byte {
	if n > len(r.b) {
		r.b, r.ok = nil, false
		return nil
	}
	field := r.b[:n]
	r.b = r.b[n:]
	return field
}
