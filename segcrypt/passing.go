package segcrypt

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// Tracks of text, captions and metadata leave in clear, byte for byte. So that media of another kind cannot leave with them
// under the wrong init segment, each sample must look like what its sample entry says, as far as that has a form.

var errText = errors.New("a sample of a text, caption or metadata track does not look like one")

// Largest samples of tracks whose contents have little or no form. A second of captions has about 2 kB, and metadata that a
// player acts on comes in a few kB; pictures and sound of a sample or two would pass for neither.
const (
	maxCaptionSample = 8 << 10
	maxOpaqueSample  = 64 << 10
)

// passingChecks are the sample entries that pass, with what a sample must look like.
var passingChecks = map[fourCC]func(b []byte) error{
	cc("wvtt"): boxesOnly(cc("vttc"), cc("vtte"), cc("vtta")), // 14496-30, 7.5
	cc("stpp"): checkXML,                                      // 14496-30, 6.4; images may follow the document
	cc("sbtt"): checkPlainText, cc("stxt"): checkPlainText,    // 14496-12, 12.5.4 and 12.6.3
	cc("tx3g"): checkTimedText,                                 // 3GPP TS 26.245, 5.17
	cc("c608"): checkCaptions608, cc("c708"): checkCaptions708, // QuickTime File Format, Closed Captioning Media
	cc("evte"): boxesOnly(cc("emib"), cc("emeb"), cc("emsg")),                 // 23001-18, 7
	cc("metx"): checkXML, cc("mett"): checkPlainText, cc("urim"): checkOpaque, // 14496-12, 12.3.3
}

// boxesOnly accepts samples that are boxes of the given types one behind the other.
func boxesOnly(types ...fourCC) func(b []byte) error {
	return func(b []byte) error {
		for off := 0; off < len(b); {
			x, err := nextBox(b, off, len(b))
			if err != nil {
				return errText
			}
			known := false
			for _, typ := range types {
				known = known || x.typ == typ
			}
			if !known {
				return errText
			}
			off = x.end
		}
		return nil
	}
}

// checkXML wants a document: an optional byte order mark and white space, then an angle bracket.
func checkXML(b []byte) error {
	for i, c := range b {
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || i < 3 && c == "\xef\xbb\xbf"[i]:
		case c == '<':
			return nil
		default:
			return errText
		}
	}
	return nil
}

// checkPlainText wants UTF-8 without control characters other than white space. Compressed media is never that for long.
func checkPlainText(b []byte) error {
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f {
			return errText
		}
	}
	if !utf8.Valid(b) {
		return errText
	}
	return nil
}

var timedTextModifiers = boxesOnly(cc("styl"), cc("hlit"), cc("hclr"), cc("krok"), cc("dlay"), cc("href"), cc("tbox"),
	cc("blnk"), cc("twrp"))

// checkTimedText wants a text of a 16-bit length and modifier boxes behind it.
func checkTimedText(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if len(b) < 2 || int(binary.BigEndian.Uint16(b)) > len(b)-2 {
		return errText
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	if err := checkPlainText(b[2:n]); err != nil {
		return err
	}
	return timedTextModifiers(b[n:])
}

// checkCaptions608 wants the byte pairs of either field in boxes.
func checkCaptions608(b []byte) error {
	if len(b) > maxCaptionSample {
		return errText
	}
	for off := 0; off < len(b); {
		x, err := nextBox(b, off, len(b))
		if err != nil || x.typ != cc("cdat") && x.typ != cc("cdt2") && x.typ != cc("cdt3") || (x.end-x.payload())%2 != 0 {
			return errText
		}
		off = x.end
	}
	return nil
}

// checkCaptions708 wants caption distribution packets in boxes: each begins with 96 69 and its own length (SMPTE ST 334-2, 5).
func checkCaptions708(b []byte) error {
	if len(b) > maxCaptionSample {
		return errText
	}
	for off := 0; off < len(b); {
		x, err := nextBox(b, off, len(b))
		if err != nil || x.typ != cc("ccdp") {
			return errText
		}
		for at := x.payload(); at < x.end; {
			if x.end-at < 3 || b[at] != 0x96 || b[at+1] != 0x69 || b[at+2] < 3 || int(b[at+2]) > x.end-at {
				return errText
			}
			at += int(b[at+2])
		}
		off = x.end
	}
	return nil
}

// checkOpaque bounds a sample whose form only the URI in its sample entry defines, and refuses what is built like video:
// NAL units behind their lengths up to the last byte, or OBUs from a temporal delimiter on.
func checkOpaque(b []byte) error {
	if len(b) > maxOpaqueSample || len(b) > 2 && b[0] == 0x12 && b[1] == 0 {
		return errText
	}
	off := 0
	for len(b)-off > 4 {
		n := uint64(be32(b, off))
		if n == 0 || n > uint64(len(b)-off-4) {
			return nil
		}
		off += 4 + int(n)
	}
	if off == len(b) && off > 0 {
		return errText
	}
	return nil
}
