package drm

import "fmt"

// TrackClass is the part of a title that one content key covers.
type TrackClass uint8

// ClassShared is the class of every track when a title has one key; the others split a title by what is at stake.
const (
	ClassShared TrackClass = iota + 1
	ClassAudio
	ClassSD
	ClassHD
	ClassUHD1
	ClassUHD2
)

// SplitClasses lists the classes of a title whose keys are split per class.
var SplitClasses = [...]TrackClass{ClassAudio, ClassSD, ClassHD, ClassUHD1, ClassUHD2}

// Largest luma picture of each video class, in pixels: 1024×576, 1920×1080 and 4096×2160, the limits that key servers use.
const (
	maxPixelsSD   = 1024 * 576
	maxPixelsHD   = 1920 * 1080
	maxPixelsUHD1 = 4096 * 2160
)

// VideoClass returns the class of a picture of width × height luma samples.
func VideoClass(width, height uint32) TrackClass {
	switch pixels := uint64(width) * uint64(height); {
	case pixels <= maxPixelsSD:
		return ClassSD
	case pixels <= maxPixelsHD:
		return ClassHD
	case pixels <= maxPixelsUHD1:
		return ClassUHD1
	default:
		return ClassUHD2
	}
}

// Valid reports whether c is a known class.
func (c TrackClass) Valid() bool { return c >= ClassShared && c <= ClassUHD2 }

// String returns the name that key servers use, and ALL for a shared key.
func (c TrackClass) String() string {
	switch c {
	case ClassShared:
		return "ALL"
	case ClassAudio:
		return "AUDIO"
	case ClassSD:
		return "SD"
	case ClassHD:
		return "HD"
	case ClassUHD1:
		return "UHD1"
	case ClassUHD2:
		return "UHD2"
	default:
		return fmt.Sprintf("TrackClass(%d)", uint8(c))
	}
}

// ParseTrackClass reads the name that String writes.
func ParseTrackClass(s string) (TrackClass, error) {
	for c := ClassShared; c <= ClassUHD2; c++ {
		if s == c.String() {
			return c, nil
		}
	}
	return 0, fmt.Errorf("track class %q: want ALL, AUDIO, SD, HD, UHD1 or UHD2", s)
}
