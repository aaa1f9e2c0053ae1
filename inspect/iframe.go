package inspect

import (
	"encoding/binary"
	"errors"
	"slices"
)

var errNoMdat = errors.New("no mdat: it is no I-frame")

// completeMdat returns b with zeros in place of what is missing at the end of its last box, if that is an mdat, and how many bytes of
// that are there. b is not changed.
func completeMdat(b []byte) (whole []byte, payload int, err error) {
	for at := 0; at < len(b); {
		rest := b[at:]
		if len(rest) < 8 {
			break
		}
		size, header := uint64(binary.BigEndian.Uint32(rest)), 8
		if size == 1 && len(rest) >= 16 {
			size, header = binary.BigEndian.Uint64(rest[8:]), 16
		}
		isMdat := string(rest[4:8]) == "mdat"
		switch {
		case size < uint64(header) || size > MaxBytes:
			return b, 0, nil // what reads the boxes says what is wrong
		case isMdat && size >= uint64(len(rest)):
			missing := int(size) - len(rest)
			return append(slices.Clip(b), make([]byte, missing)...), len(rest) - header, nil
		case size > uint64(len(rest)):
			return b, 0, nil
		}
		at += int(size)
	}
	return nil, 0, errNoMdat
}
