package dash

import (
	"io"
	"strings"
)

// byteReader feeds the decoder one byte at a time, so that it never holds bytes that skip could still take away.
type byteReader struct {
	b  []byte
	at int
}

// ReadByte returns the next byte, or io.EOF.
func (r *byteReader) ReadByte() (byte, error) {
	if r.at >= len(r.b) {
		return 0, io.EOF
	}
	r.at++
	return r.b[r.at-1], nil
}

// Read is there for the interface: a decoder that is given a ByteReader reads by ReadByte alone.
func (r *byteReader) Read(b []byte) (int, error) {
	n := copy(b, r.b[r.at:])
	if r.at += n; n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// skipTimeline moves past the S elements behind the start tag of a SegmentTimeline and returns how many there were. They
// are most of a live MPD, have nothing to rewrite and take a decoder ten times as long. It stops at the first byte that
// is not the plainest form of an S element, and leaves everything else to the decoder.
func (r *byteReader) skipTimeline(prefix string) (elements int) {
	name := "<S"
	if prefix != "" {
		name = "<" + prefix + ":S"
	}
	for {
		length := plainSegment(r.b[r.at:], name)
		if length == 0 {
			return elements
		}
		r.at += length
		elements++
	}
}

// segmentAttributes are the attributes of S (5.3.9.6), each of one letter and with a number for its value.
const segmentAttributes = "tdrnk"

// plainSegment returns the length of white space and an S element at the start of b, or 0.
func plainSegment(b []byte, name string) int {
	i := spaces(b, 0)
	if len(b)-i < len(name) || string(b[i:i+len(name)]) != name {
		return 0
	}
	i += len(name)
	seen := 0
	for {
		next := spaces(b, i)
		if len(b)-next < len("/>") {
			return 0
		}
		if b[next] == '/' && b[next+1] == '>' {
			return next + len("/>")
		}
		attribute := strings.IndexByte(segmentAttributes, b[next])
		if next == i || attribute < 0 || seen&(1<<attribute) != 0 {
			return 0
		}
		seen |= 1 << attribute
		if i = plainNumber(b, next+1); i == 0 {
			return 0
		}
	}
}

// plainNumber returns the offset behind ="123" at offset i, or 0.
func plainNumber(b []byte, i int) int {
	if len(b)-i < len(`=""`) || b[i] != '=' || b[i+1] != '"' {
		return 0
	}
	i += len(`="`)
	for i < len(b) && (b[i] >= '0' && b[i] <= '9' || b[i] == '-') {
		i++
	}
	if i == len(b) || b[i] != '"' {
		return 0
	}
	return i + 1
}

func spaces(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}
