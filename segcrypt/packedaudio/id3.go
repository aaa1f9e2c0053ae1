package packedaudio

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/caddy-drm/caddy-drm/segcrypt"
	"github.com/caddy-drm/caddy-drm/segcrypt/internal/audioframe"
)

// Owners of PRIV frames (RFC 8216, 3.4; SAMPLE-AES, 2.4).
const (
	timestampOwner   = "com.apple.streaming.transportStreamTimestamp"
	descriptionOwner = "com.apple.streaming.audioDescription"
)

var (
	errTag       = errors.New("an ID3 tag has a value out of range")
	errTagForm   = errors.New("only ID3 tags of version 2.3 or 2.4 without extensions are supported")
	errTimestamp = errors.New("the segment does not begin with an ID3 tag that says when")
)

// id3Frame is the size of the header of a frame (ID3v2.4 structure, 4): id, 4 bytes; size, 4 bytes; flags, 2 bytes.
const id3Frame = 10

// tag is the first ID3 tag of a segment.
type tag struct {
	version byte // the major one, 3 or 4
	frames  []byte
}

// parseTag reads a tag with its frames, one of which is the timestamp.
func parseTag(b []byte) (tag, error) {
	t := tag{version: b[3], frames: b[audioframe.TagHeader:]}
	if t.version != 3 && t.version != 4 || b[5] != 0 { // unsynchronization, extended header, footer
		return tag{}, errTagForm
	}
	hasTimestamp := false
	used := 0
	for rest := t.frames; len(rest) >= id3Frame && rest[0] != 0; rest = t.frames[used:] { // zeros are padding
		size, ok := frameSize(t.version, rest[4:])
		if !ok || size > len(rest)-id3Frame {
			return tag{}, errTag
		}
		if body := rest[id3Frame : id3Frame+size]; string(rest[:4]) == "PRIV" {
			owner, data, _ := bytes.Cut(body, []byte{0})
			switch string(owner) {
			case timestampOwner:
				if len(data) != 8 {
					return tag{}, errTag
				}
				hasTimestamp = true
			case descriptionOwner:
				return tag{}, segcrypt.ErrAlreadyProtected
			}
		}
		used += id3Frame + size
	}
	if len(bytes.TrimLeft(t.frames[used:], "\x00")) > 0 {
		return tag{}, errTag
	}
	if !hasTimestamp {
		return tag{}, errTimestamp
	}
	t.frames = t.frames[:used]
	return t, nil
}

// frameSize reads the size of a frame, which version 2.3 writes as a plain number.
func frameSize(version byte, b []byte) (int, bool) {
	if version == 4 {
		return audioframe.Synchsafe(b)
	}
	size := binary.BigEndian.Uint32(b)
	return int(size), size < 1<<28
}

// appendTag appends t with one more PRIV frame that holds a description of the audio.
func appendTag(dst []byte, t tag, description []byte) []byte {
	size := len(descriptionOwner) + 1 + len(description)
	dst = append(dst, 'I', 'D', '3', t.version, 0, 0)
	dst = audioframe.AppendSynchsafe(dst, len(t.frames)+id3Frame+size)
	dst = append(dst, t.frames...)
	dst = append(dst, "PRIV"...)
	dst = audioframe.AppendSynchsafe(dst, size) // below 128, so it reads the same in version 2.3
	dst = append(dst, 0, 0)
	dst = append(dst, descriptionOwner...)
	dst = append(dst, 0)
	return append(dst, description...)
}
