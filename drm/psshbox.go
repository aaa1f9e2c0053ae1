package drm

import (
	"encoding/binary"
	"errors"
)

// Pssh is one pssh box (23001-7, 8.1).
type Pssh struct {
	// Version is 0, or 1 for a box that lists KIDs.
	Version uint8
	System  SystemID
	// KIDs are listed in boxes of version 1 alone.
	KIDs []KID
	// Data is what the system makes of it; a view into what was parsed.
	Data []byte
}

// maxPsshBytes bounds one box. Real ones are below 20 kB; a PlayReady Object of 64 kB is the largest that its own length
// fields allow for.
const maxPsshBytes = 256 << 10

// ParsePssh reads the pssh box at the start of b and returns what follows it. The box keeps views into b.
//
// It returns a FormatError for anything else than a complete box of version 0 or 1, and for one of more than 256 KiB.
func ParsePssh(b []byte) (Pssh, []byte, error) {
	const header = 8 + 4 + 16 // up to the SystemID
	if len(b) < header {
		return Pssh{}, nil, formatErrorf("pssh", 0, "%d bytes are no pssh box", len(b))
	}
	size := uint64(binary.BigEndian.Uint32(b))
	switch {
	case string(b[4:8]) != "pssh":
		return Pssh{}, nil, formatErrorf("pssh/type", 4, "the box is no pssh")
	case size < header+4 || size > maxPsshBytes:
		return Pssh{}, nil, formatErrorf("pssh/size", 0, "a box of %d bytes", size)
	case size > uint64(len(b)):
		return Pssh{}, nil, formatErrorf("pssh/size", 0, "a box of %d bytes, of which %d are there", size, len(b))
	case b[8] > 1:
		return Pssh{}, nil, formatErrorf("pssh/version", 8, "version %d: want 0 or 1", b[8])
	}
	box, rest := b[:size], b[size:]
	p := Pssh{Version: box[8], System: SystemID(box[12:28])}
	at := header
	if p.Version == 1 {
		count := uint64(binary.BigEndian.Uint32(box[at:]))
		if at += 4; count > uint64(len(box)-at)/16 {
			return Pssh{}, nil, formatErrorf("pssh/KID_count", at-4, "%d KIDs do not fit into the box", count)
		}
		p.KIDs = make([]KID, count)
		for i := range p.KIDs {
			p.KIDs[i] = KID(box[at:])
			at += 16
		}
	}
	if len(box)-at < 4 {
		return Pssh{}, nil, formatErrorf("pssh/DataSize", at, "the box ends here")
	}
	data := uint64(binary.BigEndian.Uint32(box[at:]))
	if at += 4; data != uint64(len(box)-at) {
		return Pssh{}, nil, formatErrorf("pssh/DataSize", at-4, "%d bytes of data in a box that has room for %d", data, len(box)-at)
	}
	p.Data = box[at:]
	return p, rest, nil
}

// ParsePsshs reads boxes that stand one behind the other and nothing else, which is what EME calls initialization data of the type
// `cenc`. Offsets in errors are those in b.
func ParsePsshs(b []byte) ([]Pssh, error) {
	var all []Pssh
	for rest := b; len(rest) > 0; {
		p, next, err := ParsePssh(rest)
		if err != nil {
			var fe *FormatError
			if errors.As(err, &fe) {
				fe.Offset += len(b) - len(rest)
			}
			return nil, err
		}
		all, rest = append(all, p), next
	}
	return all, nil
}

// AppendPssh appends the box. KIDs of a box of version 0 are left out, since it has no place for them. The caller sees to it that
// data and KIDs stay below 4 GiB.
//
//	size(4) 'pssh' version(1) flags=0(3) SystemID(16) [KID_count(4) KID(16)…] DataSize(4) Data
func AppendPssh(dst []byte, p Pssh) []byte {
	size := 8 + 4 + 16 + 4 + len(p.Data)
	if p.Version > 0 {
		size += 4 + 16*len(p.KIDs)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(size))
	dst = append(dst, 'p', 's', 's', 'h', p.Version, 0, 0, 0)
	dst = append(dst, p.System[:]...)
	if p.Version > 0 {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(p.KIDs)))
		for _, kid := range p.KIDs {
			dst = append(dst, kid[:]...)
		}
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(p.Data)))
	return append(dst, p.Data...)
}
