package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var errIndex = errors.New("the segment index breaks off, or is none")

// readIndex reads a sidx that stands at offset of a file (14496-12, 8.16.3), into the segments that it lists.
func readIndex(b []byte, offset int64, url string) ([]segment, error) {
	if len(b) < 12 || string(b[4:8]) != "sidx" {
		return nil, errIndex
	}
	size := int64(binary.BigEndian.Uint32(b))
	if size > int64(len(b)) || size < 32 {
		return nil, errIndex
	}
	version, b := b[8], b[12:size]
	timescale := uint64(binary.BigEndian.Uint32(b[4:]))
	var start, first uint64
	if b = b[8:]; version == 0 {
		start, first, b = uint64(binary.BigEndian.Uint32(b)), uint64(binary.BigEndian.Uint32(b[4:])), b[8:]
	} else if len(b) >= 20 {
		start, first, b = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), b[16:]
	} else {
		return nil, errIndex
	}
	if len(b) < 4 {
		return nil, errIndex
	}
	count := int(binary.BigEndian.Uint16(b[2:]))
	if b = b[4:]; timescale == 0 || len(b) < 12*count || first > 1<<60 || start > 1<<62 {
		return nil, errIndex
	}
	at, time := offset+size+int64(first), int64(start)
	var all []segment
	for i := range count {
		entry := b[12*i:]
		reference, duration := binary.BigEndian.Uint32(entry), int64(binary.BigEndian.Uint32(entry[4:]))
		if reference>>31 != 0 {
			return nil, errors.New("an index of indexes, which is not followed")
		}
		length := int64(reference)
		if length == 0 {
			return nil, errIndex
		}
		all = append(all, segment{
			ref: ref{url, fmt.Sprintf("bytes=%d-%d", at, at+length-1)}, number: int64(i + 1), start: ticks(time, timescale), duration: ticks(duration, timescale),
		})
		at, time = at+length, time+duration
	}
	return all, nil
}
