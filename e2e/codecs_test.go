package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/e2e/player"
)

// AVC with its parameter sets in the samples plays, in both schemes.
func TestParameterSetsInSamplesPlay(t *testing.T) {
	address := mediaGateway(t, newRangeOrigin(t).URL)
	for _, c := range []struct {
		player player.Player
		target string
	}{
		{player.Shaka, "m.mpd?drm=cenc"}, {player.DashJS, "m.mpd?drm=cbcs"},
		{player.HlsJS, "m.m3u8?drm=cenc&keyformat=clearkey"}, {player.Shaka, "m.m3u8?drm=cbcs&keyformat=identity"},
	} {
		t.Run(fmt.Sprintf("%s %s", c.player, c.target), func(t *testing.T) {
			parallel(t)
			s := mustPlay(t, player.Options{Player: c.player, URL: address + "/auto/avc3/" + c.target})
			checkFrames(t, s, 5.6, 1.96)
			checkEncrypted(t, resultOf(t, s))
		})
	}
}

// The codecs that Chromium does not play become the clear source again in the hands of ffmpeg and shaka-packager, and under a
// wrong key they do not.
func TestCodecsWithoutAPlayerDecrypt(t *testing.T) {
	address := mediaGateway(t, newRangeOrigin(t).URL)
	for _, codec := range []struct{ name, stream, entry string }{
		{"hevc", "video", "hvc1"}, {"hev1", "video", "hev1"}, {"ac3", "audio", "ac-3"}, {"eac3", "audio", "ec-3"}, {"alac", "audio", "alac"},
	} {
		for _, scheme := range drm.Schemes {
			t.Run(codec.name+" "+scheme.String(), func(t *testing.T) {
				playlist := fmt.Sprintf("%s/auto/%s/m.m3u8?keyformat=identity&drm=%s", address, codec.name, scheme)
				tr := parsePlaylist(t, playlist, playlist, mustGet(t, playlist).body)
				tr.folder = codec.stream
				checkDecryptsTo(t, tr, clearTitle(t, codec.name, len(tr.segments)), codec.entry)
			})
		}
	}
}

// clearTitle joins the init segment and the segments of a title.
func clearTitle(t *testing.T, name string, segments int) []byte {
	t.Helper()
	joined := readMedia(t, name, "init.mp4")
	for n := range segments {
		joined = append(joined, readMedia(t, name, fmt.Sprintf("s_%d.m4s", n))...)
	}
	return joined
}

// checkDecryptsTo decrypts a track with an identity key in two ways, and compares packets with those of the clear file, whose
// sample entry is given.
func checkDecryptsTo(t *testing.T, tr track, clear []byte, entry string) {
	t.Helper()
	if !strings.Contains(string(clear), entry) || len(tr.segments) < 6 {
		t.Fatalf("the clear title is no %s, or has only %d segments", entry, len(tr.segments))
	}
	key, protected := fmt.Sprintf("%x", mustGet(t, tr.rawKey).body), fetchTrack(t, tr)
	want := packetHashes(t, clear, "")
	if len(want) < 100 {
		t.Fatalf("the clear track has %d packets", len(want))
	}
	if got := packetHashes(t, protected, key); !slices.Equal(got, want) {
		t.Errorf("ffmpeg decrypts to other packets: %s", compare(got, want))
	}
	if got := packetHashes(t, unpackage(t, protected, tr, key), ""); !slices.Equal(got, want) {
		t.Errorf("shaka-packager decrypts to other packets: %s", compare(got, want))
	}
	for i, got := range packetHashes(t, protected, strings.Repeat("00", 16)) {
		if got.hash == want[i].hash && got.size > 64 {
			t.Errorf("wrong key: packet %d of %d bytes is the clear one", i, got.size)
		}
	}
}
