package audioframe

import "errors"

var errTag = errors.New("an ID3 tag has a value out of range")

// TagHeader is the size of the header of an ID3 tag (ID3v2.4 structure, 3.1):
//
//	"ID3" | version 2 bytes | flags | size, 4 bytes of 7 bits each, without this header and without the footer
const TagHeader = 10

// tagFooter is the flag of a footer, which repeats the header at the end.
const tagFooter = 0x10

// TagSize returns the size of the ID3 tag at the start of b, header and footer included; 0 if none begins there. A tag longer than b
// is an error.
func TagSize(b []byte) (int, error) {
	if len(b) < 3 || string(b[:3]) != "ID3" {
		return 0, nil
	}
	if len(b) < TagHeader {
		return 0, errTag
	}
	size, ok := Synchsafe(b[6:TagHeader])
	if !ok || b[3] == 0xFF || b[4] == 0xFF {
		return 0, errTag
	}
	size += TagHeader
	if b[5]&tagFooter != 0 {
		size += TagHeader
	}
	if size > len(b) {
		return 0, errTag
	}
	return size, nil
}

// Synchsafe reads four bytes of 7 bits each (ID3v2.4 structure, 6.2). It is false if one of them has its high bit set.
func Synchsafe(b []byte) (int, bool) {
	v := 0
	for _, x := range b[:4] {
		if x&0x80 != 0 {
			return 0, false
		}
		v = v<<7 | int(x)
	}
	return v, true
}

// AppendSynchsafe appends v, which is below 1<<28, as Synchsafe reads it.
func AppendSynchsafe(dst []byte, v int) []byte {
	return append(dst, byte(v>>21&0x7F), byte(v>>14&0x7F), byte(v>>7&0x7F), byte(v&0x7F))
}

// Detect returns the codec whose frame begins at the start of b, 0 if none does.
func Detect(b []byte) Codec {
	if _, err := parseADTS(b); err == nil {
		return AAC
	}
	if _, err := parseSyncframe(EAC3, b); err != nil {
		return 0
	}
	if b[5]>>3 <= maxAC3 {
		return AC3
	}
	return EAC3
}
