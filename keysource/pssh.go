package keysource

import (
	"encoding/binary"

	"github.com/caddy-drm/caddy-drm/drm"
)

// psshHead is the size of a pssh box before its data or KIDs, and of the length in front of them:
//
//	size(4) 'pssh' version(1) flags(3) SystemID(16) DataSize or KID_count(4)
const psshHead = 4 + 4 + 4 + 16 + 4

// IsPsshOf reports whether b is one whole pssh box of a system (23001-7, 8.1).
func IsPsshOf(b []byte, system drm.SystemID) bool {
	return len(b) >= psshHead && uint64(binary.BigEndian.Uint32(b)) == uint64(len(b)) && string(b[4:8]) == "pssh" &&
		drm.SystemID(b[12:28]) == system
}

// AppendPssh puts data into a pssh box of version 0 (23001-7, 8.1).
func AppendPssh(dst []byte, d SystemData) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(psshHead+len(d.Data)))
	dst = append(dst, 'p', 's', 's', 'h', 0, 0, 0, 0)
	dst = append(dst, d.System[:]...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(d.Data)))
	return append(dst, d.Data...)
}
