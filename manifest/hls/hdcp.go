package hls

import "github.com/caddy-drm/caddy-drm/drm"

// HDCPLevel is the value of HDCP-LEVEL (8216bis, 4.4.6.2), ordered by strictness. The zero value needs no protected output,
// and is not written.
type HDCPLevel uint8

// The levels.
const (
	HDCPLevelNone HDCPLevel = iota
	HDCPType0
	HDCPType1
)

var hdcpLevelNames = [...]string{HDCPLevelNone: "NONE", HDCPType0: "TYPE-0", HDCPType1: "TYPE-1"}

// HDCPLevelFor returns the level that asks for a version of HDCP. HDCP has content of two types: that of type 1 is for outputs
// of version 2.2 and later alone, so that 2.0 and 2.1 cannot be told from any other version.
func HDCPLevelFor(version drm.HDCP) HDCPLevel {
	switch {
	case version == drm.HDCPNone:
		return HDCPLevelNone
	case version < drm.HDCP22:
		return HDCPType0
	default:
		return HDCPType1
	}
}

// String returns the value of HDCP-LEVEL.
func (l HDCPLevel) String() string { return hdcpLevelNames[l] }

// parseHDCPLevel reads HDCP-LEVEL; nothing is stricter than what it does not know.
func parseHDCPLevel(s string) HDCPLevel {
	for level, name := range hdcpLevelNames {
		if s == name {
			return HDCPLevel(level)
		}
	}
	if s == "" {
		return HDCPLevelNone
	}
	return HDCPType1
}
