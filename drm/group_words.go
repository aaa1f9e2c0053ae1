package drm

import "fmt"

var hdcpNames = [...]string{HDCPNone: "none", HDCP1: "1", HDCP20: "2.0", HDCP21: "2.1", HDCP22: "2.2", HDCP23: "2.3"}

// ParseHDCP reads `none`, `1`, `2.0`, `2.1`, `2.2` or `2.3`.
func ParseHDCP(s string) (HDCP, error) {
	for version, name := range hdcpNames {
		if s == name {
			return HDCP(version), nil
		}
	}
	return 0, fmt.Errorf("hdcp %q: want none, 1, 2.0, 2.1, 2.2 or 2.3", s)
}

// String returns the word of configurations.
func (h HDCP) String() string { return hdcpNames[h] }

var playReadyNames = [...]string{PlayReady40: "4.0", PlayReady41: "4.1", PlayReady42: "4.2", PlayReady43: "4.3"}

// ParsePlayReadyVersion reads `4.0`, `4.1`, `4.2` or `4.3`.
func ParsePlayReadyVersion(s string) (PlayReadyVersion, error) {
	for version := PlayReady40; version <= PlayReady43; version++ {
		if s == version.String() {
			return version, nil
		}
	}
	return 0, fmt.Errorf("playready_header %q: want 4.0, 4.1, 4.2 or 4.3", s)
}

// String returns the word of configurations, and nothing for zero.
func (v PlayReadyVersion) String() string { return playReadyNames[v] }
