package segcrypt

import (
	"encoding/binary"
	"errors"
)

var errPartial = errors.New("the range ends inside of a box that is no mdat")

// MissingBytes returns how many bytes of the last mdat lie behind the end of b, 0 if b ends with a box. b begins with a box and
// may be cut inside of an mdat, as the ranges of an I-frame playlist are (8216bis, 4.4.3.6). Whoever wants its protected form
// reads what is missing too, since a chunk is encrypted as a whole, and truncates the result.
func MissingBytes(b Clear) (uint64, error) {
	for off := 0; off < len(b); {
		x, err := nextBox(b, off, len(b))
		if err == nil {
			off = x.end
			continue
		}
		if !errors.Is(err, errBoxTruncated) || fourCC(be32(b, off+4)) != typMdat {
			return 0, formatErrorf("segment", off, "%w", errPartial)
		}
		size := uint64(be32(b, off))
		if size == 1 {
			size = binary.BigEndian.Uint64(b[off+8:])
		}
		return size - uint64(len(b)-off), nil // nextBox has found it larger
	}
	return 0, nil
}
