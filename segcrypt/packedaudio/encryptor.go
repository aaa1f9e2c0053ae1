package packedaudio

import (
	"errors"
	"slices"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/segcrypt"
	"github.com/caddy-drm/caddy-drm/segcrypt/internal/aes128"
	"github.com/caddy-drm/caddy-drm/segcrypt/internal/audioframe"
)

var errCodec = errors.New("neither AAC in ADTS nor AC-3 nor E-AC-3 begins behind the ID3 tags")

// Encryptor protects the segments of a title under one content key. It is safe for concurrent use.
type Encryptor struct {
	key *aes128.Key
	iv  [aes128.BlockSize]byte
}

// New returns an Encryptor with the key and its constant IV, which EXT-X-KEY has to name.
func New(key drm.ContentKey) *Encryptor {
	return &Encryptor{key: aes128.NewKey(key.Secret()), iv: key.ConstantIV()}
}

// ProtectSegment appends the protected form of a clear segment to dst: ID3 tags, the first with a timestamp, and whole frames.
//
// An error is a *segcrypt.FormatError; it wraps segcrypt.ErrAlreadyProtected if the audio is described as encrypted. Then nothing is
// returned.
//
// Source: SAMPLE-AES, 2.3 and 2.4; RFC 8216, 3.4.
func (e *Encryptor) ProtectSegment(dst, seg []byte) ([]byte, error) {
	first, err := audioframe.TagSize(seg)
	if err != nil {
		return nil, formatError("id3", 0, err)
	}
	if first == 0 {
		return nil, formatError("id3", 0, errTimestamp)
	}
	t, err := parseTag(seg[:first])
	if err != nil {
		return nil, formatError("id3", 0, err)
	}
	start, err := skipTags(seg, first)
	if err != nil {
		return nil, err
	}
	codec := audioframe.Detect(seg[start:])
	if codec == 0 {
		return nil, formatError("frames", start, errCodec)
	}
	description, err := audioframe.Setup(nil, codec, seg[start:])
	if err != nil {
		return nil, formatError("frames", start, err)
	}
	dst = slices.Grow(dst, len(seg)+id3Frame+len(descriptionOwner)+1+len(description))
	dst = appendTag(dst, t, description)
	dst = append(dst, seg[first:]...)
	frames := dst[len(dst)-(len(seg)-start):]
	lanes := e.key.Lanes(frames, &e.iv, aes128.BlockSize)
	if offset, err := audioframe.Walk(codec, frames, lanes.Add); err != nil {
		return nil, formatError("frames", start+offset, err)
	}
	lanes.Finish()
	return dst, nil
}

// skipTags returns where the audio begins. The tags behind the first one leave as they came.
func skipTags(seg []byte, from int) (int, error) {
	for {
		n, err := audioframe.TagSize(seg[from:])
		if err != nil {
			return 0, formatError("id3", from, err)
		}
		if n == 0 {
			return from, nil
		}
		from += n
	}
}

func formatError(path string, offset int, err error) error {
	return &segcrypt.FormatError{Path: path, Offset: int64(offset), Err: err}
}
