package wholesegment

import (
	"bytes"
	"encoding/binary"

	"github.com/caddy-drm/caddy-drm/segcrypt/internal/audioframe"
)

// Container is a format of clear segments (RFC 8216, 3).
type Container uint8

// The formats that Sniff knows.
const (
	Unknown   Container = iota
	TS                  // MPEG-2 transport stream
	PackedAAC           // ADTS frames, behind ID3 tags if there are any
	PackedAC3           // syncframes of AC-3, likewise
	PackedEC3           // syncframes of E-AC-3, likewise
	FMP4                // fragmented MP4 without an init segment
	WebVTT
	PackedMP3 // frames of MPEG audio, layer III, behind ID3 tags if there are any
)

// String returns the name of the container.
func (c Container) String() string {
	switch c {
	case TS:
		return "MPEG-2 transport stream"
	case PackedAAC:
		return "packed AAC"
	case PackedAC3:
		return "packed AC-3"
	case PackedEC3:
		return "packed E-AC-3"
	case FMP4:
		return "fragmented MP4"
	case WebVTT:
		return "WebVTT"
	case PackedMP3:
		return "packed MP3"
	default:
		return "unknown"
	}
}

// Sniff returns the format of a clear segment, all of it. What does not hold to its format from the first byte to the last is
// Unknown: an error page, an encrypted segment, a truncated one. Only a WebVTT segment is told by its first line alone.
func Sniff(b []byte) Container {
	switch {
	case isTS(b):
		return TS
	case isFMP4(b):
		return FMP4
	case isWebVTT(b):
		return WebVTT
	}
	return sniffAudio(b)
}

const tsPacket, tsSync = 188, 0x47

func isTS(b []byte) bool {
	if len(b) == 0 || len(b)%tsPacket != 0 {
		return false
	}
	for i := 0; i < len(b); i += tsPacket {
		if b[i] != tsSync || b[i+3]&0xC0 != 0 { // scrambled packets are not clear
			return false
		}
	}
	return true
}

// isFMP4 reports whether b is a row of boxes that fill it, begins like a media segment (ISO/IEC 14496-12, 8.16.2), and has a moof.
func isFMP4(b []byte) bool {
	const header, largeHeader = 8, 16
	hasMoof := false
	for first := true; len(b) > 0; first = false {
		if len(b) < header {
			return false
		}
		size, name := uint64(binary.BigEndian.Uint32(b)), string(b[4:header])
		switch {
		case size == 0: // to the end
			size = uint64(len(b))
		case size == 1 && len(b) >= largeHeader:
			if size = binary.BigEndian.Uint64(b[header:]); size < largeHeader {
				return false
			}
		}
		if size < header || size > uint64(len(b)) {
			return false
		}
		switch name {
		case "moof":
			hasMoof = true
		case "styp", "sidx", "emsg", "prft":
		default:
			if first {
				return false
			}
		}
		b = b[size:]
	}
	return hasMoof
}

// isWebVTT looks for the signature of a WebVTT file (W3C WebVTT, 4.1).
func isWebVTT(b []byte) bool {
	b = bytes.TrimPrefix(b, []byte("\xEF\xBB\xBF"))
	rest, ok := bytes.CutPrefix(b, []byte("WEBVTT"))
	return ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

func sniffAudio(b []byte) Container {
	for {
		n, err := audioframe.TagSize(b)
		if err != nil {
			return Unknown
		}
		if n == 0 {
			break
		}
		b = b[n:]
	}
	switch codec := audioframe.Detect(b); codec {
	case audioframe.AAC:
		return wholeFrames(PackedAAC, codec, b)
	case audioframe.AC3:
		return wholeFrames(PackedAC3, codec, b)
	case audioframe.EAC3:
		return wholeFrames(PackedEC3, codec, b)
	}
	if isMP3(b) {
		return PackedMP3
	}
	return Unknown
}

// wholeFrames returns c if b consists of frames of the codec.
func wholeFrames(c Container, codec audioframe.Codec, b []byte) Container {
	for len(b) > 0 {
		f, err := audioframe.Next(codec, b)
		if err != nil {
			return Unknown
		}
		b = b[f.Size:]
	}
	return c
}
