package speke

import (
	"slices"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

func TestContracts(t *testing.T) {
	for video, want := range map[string][]string{
		"VIDEO-1": {"AUDIO", "VIDEO"}, "PRESET-VIDEO-2": {"AUDIO", "SD", "HD"}, "VIDEO-3": {"AUDIO", "SD", "HD", "UHD"}, "VIDEO-4": {"AUDIO", "SD", "HD", "UHD1", "UHD2"},
		"VIDEO-5": {"AUDIO", "SD", "HD2", "UHD1", "UHD2"}, "VIDEO-6": {"AUDIO", "SD", "HD2", "UHD"}, "VIDEO-7": {"AUDIO", "SD+HD1", "HD2", "UHD"},
		"VIDEO-8": {"AUDIO", "SD+HD1", "HD2", "UHD1", "UHD2"},
	} {
		c := testContract(t, video, "AUDIO-1")
		var types []string
		var classes []drm.TrackClass
		for _, p := range c.parts {
			types = append(types, p.trackType)
			classes = append(classes, p.classes...)
		}
		slices.Sort(classes)
		if !slices.Equal(types, want) || !slices.Equal(classes, drm.SplitClasses[:]) {
			t.Errorf("%s: %v for %v", video, types, classes)
		}
	}
	for _, presets := range [][2]string{{"VIDEO-9", "AUDIO-1"}, {"VIDEO-1", "AUDIO-2"}, {"SHARED", "AUDIO-1"}, {"VIDEO-1", "SHARED"}, {"UNENCRYPTED", "AUDIO-1"}, {"VIDEO-1", "UNENCRYPTED"}, {"", ""}} {
		if _, err := ParseContract(presets[0], presets[1]); err == nil {
			t.Errorf("%v accepted", presets)
		}
	}
}
