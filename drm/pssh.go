package drm

import "encoding/binary"

// SystemID is the UUID of a DRM system, big-endian as in pssh and in urn:uuid.
type SystemID [16]byte

// The system IDs in use (DASH-IF content protection identifiers).
var (
	// SystemCommon is the W3C common system: a list of KIDs and nothing else.
	SystemCommon = SystemID{0x10, 0x77, 0xef, 0xec, 0xc0, 0xb2, 0x4d, 0x02, 0xac, 0xe3, 0x3c, 0x1e, 0x52, 0xe2, 0xfb, 0x4b}
	// SystemClearKey is the descriptor that DASH manifests use for W3C ClearKey. It never appears in a pssh box.
	SystemClearKey = SystemID{0xe2, 0x71, 0x9d, 0x58, 0xa9, 0x85, 0xb3, 0xc9, 0x78, 0x1a, 0xb0, 0x30, 0xaf, 0x78, 0xd3, 0x0e}
	// SystemWidevine, SystemPlayReady and SystemFairPlay are those with license servers of their own.
	SystemWidevine  = SystemID{0xed, 0xef, 0x8b, 0xa9, 0x79, 0xd6, 0x4a, 0xce, 0xa3, 0xc8, 0x27, 0xdc, 0xd5, 0x1d, 0x21, 0xed}
	SystemPlayReady = SystemID{0x9a, 0x04, 0xf0, 0x79, 0x98, 0x40, 0x42, 0x86, 0xab, 0x92, 0xe6, 0x5b, 0xe0, 0x88, 0x5f, 0x95}
	SystemFairPlay  = SystemID{0x94, 0xce, 0x86, 0xfb, 0x07, 0xff, 0x4f, 0x43, 0xad, 0xb8, 0x93, 0xd2, 0xfa, 0x96, 0x8c, 0xa2}
)

// String returns the lower-case UUID.
func (s SystemID) String() string { return KID(s).String() }

// AppendCommonPssh appends a version 1 pssh box of the common system that lists kids.
//
//	size(4) 'pssh' version=1(1) flags=0(3) SystemID(16) KID_count(4) KID(16)… DataSize=0(4)
//
// The box is 36+16·len(kids) bytes. Source: 23001-7, 8.1; EME, "cenc" initialization data.
func AppendCommonPssh(dst []byte, kids ...KID) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(36+16*len(kids)))
	dst = append(dst, 'p', 's', 's', 'h', 1, 0, 0, 0)
	dst = append(dst, SystemCommon[:]...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(kids)))
	for _, k := range kids {
		dst = append(dst, k[:]...)
	}
	return binary.BigEndian.AppendUint32(dst, 0)
}
