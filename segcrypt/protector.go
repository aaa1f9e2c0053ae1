package segcrypt

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"slices"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Protection says how one track is protected.
type Protection struct {
	Scheme drm.ProtectionScheme
	Key    drm.ContentKey
	// Pssh is zero or more whole pssh boxes, which become the last children of moov.
	Pssh []byte
	// IVSecret keys the derivation of `cenc` IVs. It must be the same on all nodes that serve the same media; `cbcs` does
	// not use it.
	IVSecret [32]byte
	// Variant tells copies of a track apart that share a key but not their bytes, such as watermark variants.
	Variant byte
}

// Format prints the scheme and the KID under every verb, so that neither the key nor the IV secret reaches a log.
func (p Protection) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "%s %s", p.Scheme, p.Key.KID())
}

// Protector protects the segments of one track under one key. It is immutable and safe for concurrent use.
type Protector struct {
	init       *Init
	scheme     drm.ProtectionScheme
	block      cipher.Block
	constantIV [aes.BlockSize]byte
	ivs        ivSource
	protected  []byte // the init segment
}

// Format prints the scheme and what kind of track it protects, and no secret.
func (p *Protector) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "%s %s", p.scheme, p.init.track.Kind)
}

// cbcsVideoStride is the distance of encrypted blocks under the pattern 1:9 (drm.ProtectionScheme.VideoPattern).
const cbcsVideoStride = (1 + 9) * aes.BlockSize

var errLayout = errors.New("the output is not as long as planned")

// NewProtector expands the key and writes the protected init segment, once for all segments of the track.
//
// It returns ErrProtection for an unknown scheme, a zero key, a zero IVSecret with `cenc`, or a Pssh that is not whole pssh
// boxes. A text track is not protected; of its Protection nothing is used.
func NewProtector(init *Init, p Protection) (*Protector, error) {
	if init == nil {
		return nil, fmt.Errorf("%w: no init segment", ErrProtection)
	}
	if init.track.Kind == KindText {
		return &Protector{init: init, protected: init.clear}, nil
	}
	switch {
	case !p.Scheme.Valid():
		return nil, fmt.Errorf("%w: no protection scheme", ErrProtection)
	case p.Key.IsZero():
		return nil, fmt.Errorf("%w: no content key", ErrProtection)
	case p.Scheme == drm.SchemeCenc && p.IVSecret == [32]byte{}:
		return nil, fmt.Errorf("%w: no IV secret", ErrProtection)
	}
	if err := checkPssh(p.Pssh); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProtection, err)
	}
	secret := p.Key.Secret()
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		return nil, fmt.Errorf("expanding the key: %w", err)
	}
	pr := &Protector{init: init, scheme: p.Scheme, block: block, constantIV: p.Key.ConstantIV()}
	if p.Scheme == drm.SchemeCenc {
		pr.ivs = newIVSource(p.IVSecret, p.Key.KID(), init.track.ID, p.Variant)
	}
	pr.protected = init.protect(p)
	return pr, nil
}

func checkPssh(b []byte) error {
	return eachBox(b, 0, len(b), "pssh", func(x box) error {
		if x.typ != typPssh || x.header != 8 || x.size() < 32 {
			return formatErrorf("pssh", x.off, "not a pssh box")
		}
		return nil
	})
}

// Init returns the protected init segment, or the clear one of a text track. The caller must not change it.
func (p *Protector) Init() Protected { return p.protected }

// ProtectSegment appends the protected form of one clear media segment to dst and returns the longer slice; without dst it
// allocates exactly what is needed. seg may hold several chunks (moof and mdat); it is not changed, and must not share
// memory with dst.
//
// Every box and every sample is checked before anything is written. On error, a *FormatError that wraps ErrAlreadyProtected,
// ErrMuxed or ErrTrackMismatch where they apply, the result is nil and nothing that was clear has been copied.
//
// Time and memory are proportional to len(seg), whatever sizes and counts it claims.
func (p *Protector) ProtectSegment(dst []byte, seg Clear) (Protected, error) {
	pl := plans.Get().(*plan)
	defer pl.release()
	if err := pl.build(seg, p.init, p.scheme); err != nil {
		return nil, err
	}
	start := len(dst)
	dst = p.write(slices.Grow(dst, pl.size), seg, pl)
	if len(dst)-start != pl.size {
		return nil, errLayout
	}
	return dst, nil
}
