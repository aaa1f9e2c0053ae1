package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// madeMedia is the folder of the titles that are made of the first twelve seconds of the demo, once for all tests. Each lies in
// a folder of its own:
//
//	single/                       a file per track with a segment index, MPD and playlists, by shaka-packager
//	ranges/                       the picture in one file with EXT-X-BYTERANGE, by ffmpeg
//	avc3/                         AVC with its parameter sets in the samples, and AAC, by shaka-packager
//	hevc/ hev1/ ac3/ eac3/ alac/  one track in fragmented MP4, by ffmpeg; hev1 has its parameter sets in the samples
//	tsfile/                       picture and sound in one transport stream with EXT-X-BYTERANGE, by ffmpeg
//	tsac3/                        AC-3 in transport streams, by ffmpeg
//	tsiframes/                    transport streams with an I-frame playlist, by shaka-packager
//	text/                         the demo's WebVTT in one segment
//
// The picture has neither B-frames, which players show late in transport streams, nor SEI, which stays clear.
var madeMedia = sync.OnceValues(makeMedia)

// clearMedia returns the folder of madeMedia.
func clearMedia(t *testing.T) string {
	t.Helper()
	long(t)
	dir, err := madeMedia()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func makeMedia() (string, error) {
	dir := filepath.Join(scratch, "media")
	for _, name := range []string{"single", "ranges", "avc3", "hevc", "hev1", "ac3", "eac3", "alac", "tsfile", "tsac3", "tsiframes", "text"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return "", err
		}
	}
	for name, folder := range map[string]string{"source.mp4": "video/360p", "a.mp4": "audio/en"} {
		if err := joinDemo(filepath.Join(dir, name), folder); err != nil {
			return "", err
		}
	}
	for _, args := range ffmpegTitles() {
		if err := runTool(dir, testtools.FFmpeg, "-v error -nostdin -y "+args); err != nil {
			return "", err
		}
	}
	for _, args := range packagerTitles() {
		if err := runTool(dir, testtools.Packager, "--quiet --segment_duration 2 "+args); err != nil {
			return "", err
		}
	}
	return dir, makeText(filepath.Join(dir, "text"))
}

func ffmpegTitles() []string {
	const (
		hls  = " -f hls -hls_time 2 -hls_playlist_type vod"
		fmp4 = hls + " -hls_segment_type fmp4 -hls_fmp4_init_filename init.mp4"
		h265 = "-i v.mp4 -c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=50:min-keyint=50:bframes=0:info=0 "
	)
	args := []string{
		"-i source.mp4 -c:v libx264 -preset veryfast -bf 0 -g 50 -keyint_min 50 -sc_threshold 0 -bsf:v filter_units=remove_types=6 v.mp4",
		"-i v.mp4 -c copy -muxdelay 0 -muxpreload 0 v.ts",
		"-i v.mp4 -c copy" + fmp4 + " -hls_flags single_file -hls_segment_filename ranges/v.mp4 ranges/m.m3u8",
		h265 + "-tag:v hvc1" + fmp4 + " -hls_segment_filename hevc/s_%d.m4s hevc/m.m3u8",
		h265 + "-tag:v hev1" + fmp4 + " -hls_segment_filename hev1/s_%d.m4s hev1/m.m3u8",
		"-i v.mp4 -i a.mp4 -map 0:v -map 1:a -c copy" + hls + " -hls_flags single_file -hls_segment_filename tsfile/all.ts tsfile/m.m3u8",
		"-i a.mp4 -c:a ac3" + hls + " -hls_segment_filename tsac3/s_%d.ts tsac3/m.m3u8",
	}
	for _, codec := range []string{"ac3", "eac3", "alac"} {
		args = append(args, fmt.Sprintf("-i a.mp4 -c:a %[1]s%[2]s -hls_segment_filename %[1]s/s_%%d.m4s %[1]s/m.m3u8", codec, fmp4))
	}
	return args
}

func packagerTitles() []string {
	return []string{
		"in=v.mp4,stream=video,output=single/v.mp4,playlist_name=v.m3u8 " +
			"in=a.mp4,stream=audio,output=single/a.mp4,playlist_name=a.m3u8,hls_group_id=aud,hls_name=en " +
			"--mpd_output single/m.mpd --hls_master_playlist_output single/m.m3u8",
		"in=v.ts,stream=video,init_segment=avc3/init.mp4,segment_template=avc3/v_$Number$.m4s,playlist_name=v.m3u8 " +
			"in=a.mp4,stream=audio,init_segment=avc3/a.mp4,segment_template=avc3/a_$Number$.m4s,playlist_name=a.m3u8,hls_group_id=aud,hls_name=en " +
			"--strip_parameter_set_nalus=false --generate_static_live_mpd --mpd_output avc3/m.mpd --hls_master_playlist_output avc3/m.m3u8",
		"in=v.mp4,stream=video,segment_template=tsiframes/v_$Number$.ts,playlist_name=v.m3u8,iframe_playlist_name=i.m3u8 " +
			"--hls_master_playlist_output tsiframes/m.m3u8",
	}
}

// joinDemo writes the first twelve seconds of a track of the demo into one file.
func joinDemo(file, folder string) error {
	var joined []byte
	for _, name := range []string{"init.mp4", "seg_1.m4s", "seg_2.m4s", "seg_3.m4s", "seg_4.m4s", "seg_5.m4s", "seg_6.m4s"} {
		path, err := testtools.Testdata("demo", folder, name)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		joined = append(joined, data...)
	}
	return os.WriteFile(file, joined, 0o600)
}

func makeText(dir string) error {
	path, err := testtools.Testdata("demo", "subs", "en.vtt")
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	playlist := "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-TARGETDURATION:40\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:40,\nen.vtt\n#EXT-X-ENDLIST\n"
	if err := os.WriteFile(filepath.Join(dir, "m.m3u8"), []byte(playlist), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "en.vtt"), data, 0o600)
}

func runTool(dir string, tool func() (string, error), args string) error {
	path, err := tool()
	if err != nil {
		return err
	}
	cmd := exec.Command(path, strings.Fields(args)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(path), args, err, out)
	}
	return nil
}

func readMedia(t *testing.T, elem ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{clearMedia(t)}, elem...)...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// mediaGateway puts a gateway in front of an origin. Secret and tenant are given, so that all such gateways agree. Below /whole every
// segment is encrypted whole, below /sample transport streams with SAMPLE-AES.
func mediaGateway(t *testing.T, origin string) string {
	t.Helper()
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	site := func(path, option string) string {
		return fmt.Sprintf("\thandle_path %s/* {\n\t\tdrm {\n\t\t\tsecret {env.DRM_SECRET}\n\t\t\ttenant media\n\t\t\tlicense_server clearkey\n%s\t\t}\n\t\treverse_proxy %s\n\t}\n",
			path, option, strings.TrimPrefix(origin, "http://"))
	}
	newGateway(t, localhost(port)+" {\n"+site("/whole", "\t\t\tscheme aes-128\n")+site("/sample", "\t\t\ttransport_stream sample-aes\n")+
		site("/auto", "")+"}\n")
	return localhost(port)
}

// clearRuns knows the media of a clear file, box headers left out, by runs of bytes that are longer than any that protection
// leaves clear: 9 of 10 blocks of cbcs, and slice headers.
type clearRuns map[string]bool

const clearRun = 192

func newClearRuns(file []byte) clearRuns {
	runs := clearRuns{}
	for _, mdat := range mediaData(file) {
		for at := 0; at+clearRun <= len(mdat); at += clearRun {
			runs[string(mdat[at:at+clearRun])] = true
		}
	}
	return runs
}

// in reports whether a body holds any of the runs, wherever they stand in it.
func (c clearRuns) in(body []byte) bool {
	for at := 0; at+clearRun <= len(body); at++ {
		if c[string(body[at:at+clearRun])] {
			return true
		}
	}
	return false
}

// mediaData returns the contents of the mdat boxes of a file whose sizes have 32 bits.
func mediaData(file []byte) (all [][]byte) {
	for len(file) >= 8 {
		size := int(file[0])<<24 | int(file[1])<<16 | int(file[2])<<8 | int(file[3])
		if size < 8 || size > len(file) {
			return all
		}
		if bytes.Equal(file[4:8], []byte("mdat")) {
			all = append(all, file[8:size])
		}
		file = file[size:]
	}
	return all
}
