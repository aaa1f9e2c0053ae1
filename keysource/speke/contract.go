package speke

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource/cpix"
)

// Contract says which tracks share a key: a preset for video and one for audio.
type Contract struct {
	parts []part
	split bool
}

// part is one key of a contract.
type part struct {
	trackType string
	video     []cpix.VideoFilter
	audio     []cpix.AudioFilter
	// classes are those of ours that the key serves. The first one names the key.
	classes []drm.TrackClass
}

// Shared is the word for one key for everything.
const Shared = "SHARED"

const (
	pixelsSD  = 1024 * 576
	pixelsHD1 = 1280 * 720
	pixelsHD  = 1920 * 1080
	pixelsUHD = 4096 * 2160
)

// Parts of the presets for video, by track type.
var videoParts = map[string]part{
	"VIDEO": {classes: []drm.TrackClass{drm.ClassSD, drm.ClassHD, drm.ClassUHD1, drm.ClassUHD2}, video: []cpix.VideoFilter{{}}},
	"SD":    {classes: []drm.TrackClass{drm.ClassSD}, video: []cpix.VideoFilter{{MaxPixels: pixelsSD}}},
	// In VIDEO-2, HD is all that is not SD; HDAndUp is our name for it.
	hdAndUp: {classes: []drm.TrackClass{drm.ClassHD, drm.ClassUHD1, drm.ClassUHD2}, video: []cpix.VideoFilter{{MinPixels: pixelsSD + 1}}},
	"HD":    {classes: []drm.TrackClass{drm.ClassHD}, video: []cpix.VideoFilter{{MinPixels: pixelsSD + 1, MaxPixels: pixelsHD}}},
	// Our class HD reaches over HD1 and HD2: it takes the key of HD2, which is guarded at least as well.
	"HD1":  {video: []cpix.VideoFilter{{MinPixels: pixelsSD + 1, MaxPixels: pixelsHD1}}},
	"HD2":  {classes: []drm.TrackClass{drm.ClassHD}, video: []cpix.VideoFilter{{MinPixels: pixelsHD1 + 1, MaxPixels: pixelsHD}}},
	"UHD":  {classes: []drm.TrackClass{drm.ClassUHD1, drm.ClassUHD2}, video: []cpix.VideoFilter{{MinPixels: pixelsHD + 1}}},
	"UHD1": {classes: []drm.TrackClass{drm.ClassUHD1}, video: []cpix.VideoFilter{{MinPixels: pixelsHD + 1, MaxPixels: pixelsUHD}}},
	"UHD2": {classes: []drm.TrackClass{drm.ClassUHD2}, video: []cpix.VideoFilter{{MinPixels: pixelsUHD + 1}}},
	"SD+HD1": {
		classes: []drm.TrackClass{drm.ClassSD},
		video:   []cpix.VideoFilter{{MaxPixels: pixelsSD}, {MinPixels: pixelsSD + 1, MaxPixels: pixelsHD1}},
	},
}

const hdAndUp = "HD and above"

// videoPresets are the presets of SPEKE 2 by their number. Those that ask for HD1 alone have no use for that key here, and do
// not ask for it.
var videoPresets = map[string][]string{
	"VIDEO-1": {"VIDEO"},
	"VIDEO-2": {"SD", hdAndUp},
	"VIDEO-3": {"SD", "HD", "UHD"},
	"VIDEO-4": {"SD", "HD", "UHD1", "UHD2"},
	"VIDEO-5": {"SD", "HD1", "HD2", "UHD1", "UHD2"},
	"VIDEO-6": {"SD", "HD1", "HD2", "UHD"},
	"VIDEO-7": {"SD+HD1", "HD2", "UHD"},
	"VIDEO-8": {"SD+HD1", "HD2", "UHD1", "UHD2"},
}

// ParseContract reads the names of presets, VIDEO-1 to VIDEO-8 with AUDIO-1, or SHARED for both. In front of them PRESET- may stand. Audio
// is one class here, so that AUDIO-2 and AUDIO-3 are refused, and UNENCRYPTED is, since nothing leaves in clear.
func ParseContract(video, audio string) (Contract, error) {
	video, audio = strings.TrimPrefix(video, "PRESET-"), strings.TrimPrefix(audio, "PRESET-")
	if video == Shared && audio == Shared {
		return Contract{parts: []part{{
			trackType: "ALL", video: []cpix.VideoFilter{{}}, audio: []cpix.AudioFilter{{}}, classes: []drm.TrackClass{drm.ClassShared},
		}}}, nil
	}
	names, ok := videoPresets[video]
	if !ok {
		return Contract{}, fmt.Errorf("preset %q for video: want VIDEO-1 to VIDEO-8, or SHARED for video and audio", video)
	}
	if audio != "AUDIO-1" {
		return Contract{}, fmt.Errorf("preset %q for audio: want AUDIO-1, or SHARED for video and audio", audio)
	}
	c := Contract{split: true, parts: []part{{trackType: "AUDIO", audio: []cpix.AudioFilter{{}}, classes: []drm.TrackClass{drm.ClassAudio}}}}
	for _, name := range names {
		p := videoParts[name]
		if p.classes == nil {
			continue
		}
		p.trackType = name
		if name == hdAndUp {
			p.trackType = "HD"
		}
		c.parts = append(c.parts, p)
	}
	return c, nil
}

// system says what is asked of one DRM system.
type system struct {
	id      drm.SystemID
	schemes []drm.ProtectionScheme
	wants   []string // of SPEKE 2
	wants1  []string // of SPEKE 1
}

// The IDs under which key servers know HLS with AES-128; SPEKE 1 had another one in its samples.
var (
	systemAES128  = drm.SystemID{0x3e, 0xa8, 0x77, 0x8f, 0x77, 0x42, 0x4b, 0xf9, 0xb1, 0x8b, 0xe8, 0x34, 0xb2, 0xac, 0xbd, 0x47}
	systemAES1281 = drm.SystemID{0x81, 0x37, 0x68, 0x44, 0xf9, 0x76, 0x48, 0x1e, 0xa8, 0x4e, 0xcc, 0x25, 0xd3, 0x9b, 0x0b, 0x33}
)

// systems are those that can be asked for. FairPlay knows cbcs alone: key servers refuse it under cenc.
var systems = []system{
	{
		drm.SystemWidevine, drm.Schemes[:],
		[]string{cpix.WantPssh, cpix.WantContentProtection, cpix.WantHLSMultivariant, cpix.WantHLSMedia}, []string{cpix.WantPssh},
	},
	{
		drm.SystemPlayReady, drm.Schemes[:],
		[]string{cpix.WantPssh, cpix.WantContentProtection, cpix.WantHLSMultivariant, cpix.WantHLSMedia, cpix.WantSmoothHeader},
		[]string{cpix.WantPssh, cpix.WantSmoothHeader},
	},
	{drm.SystemFairPlay, []drm.ProtectionScheme{drm.SchemeCbcs}, []string{cpix.WantHLSMultivariant, cpix.WantHLSMedia}, []string{cpix.WantURIExtXKey}},
	{systemAES128, []drm.ProtectionScheme{drm.SchemeAES128}, []string{cpix.WantHLSMultivariant, cpix.WantHLSMedia}, nil},
	{systemAES1281, []drm.ProtectionScheme{drm.SchemeAES128}, nil, []string{cpix.WantURIExtXKey}},
}

// asks lists the elements to ask for, or nil if the system has no part in it.
func (s system) asks(v Version, scheme drm.ProtectionScheme) []string {
	switch {
	case !slices.Contains(s.schemes, scheme):
		return nil
	case v == V1:
		return s.wants1
	default:
		return s.wants
	}
}
