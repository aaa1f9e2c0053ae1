package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/e2e/player"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// containers makes the demo in the forms that origins hold besides CMAF segments, and returns the folder:
//
//	single/  one file per track with a segment index (MPD, byte ranges, an I-frame playlist), by shaka-packager
//	list/    one file per track, its ranges in a SegmentList, by ffmpeg
//	ts/      transport streams for the picture, packed AAC for the sound, by shaka-packager
//	vp9/     VP9 and Opus, flac/ AVC and FLAC, in segments, by ffmpeg
//	muxed/   picture and sound in one fMP4, by ffmpeg
//
// The picture is encoded again without B-frames: a transport stream has no edit list, and players show it two frames off.
func containers(t *testing.T) string {
	t.Helper()
	long(t)
	picture, sound := clearTrack(t, titles[0], "video/360p"), clearTrack(t, titles[0], "audio/en")
	containersMade.Do(func() { containersMade.dir, containersMade.err = makeContainers(picture, sound) })
	if containersMade.err != nil {
		t.Fatal(containersMade.err)
	}
	return containersMade.dir
}

// containersMade is the folder of containers, made once.
var containersMade struct {
	sync.Once
	dir string
	err error
}

func makeContainers(picture, sound []byte) (string, error) {
	dir, err := os.MkdirTemp(scratch, "containers-")
	for _, name := range []string{"single", "list", "ts", "vp9", "flac", "muxed"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "b.mp4"), picture, 0o600), os.WriteFile(filepath.Join(dir, "a.mp4"), sound, 0o600))
	if err != nil {
		return "", err
	}
	const inputs, dash = "-i v.mp4 -i a.mp4 -map 0:v -map 1:a ", " -f dash -dash_segment_type mp4 -seg_duration 2 -use_template 1 -use_timeline 1 -hls_playlist 1 "
	for _, step := range []struct {
		tool func() (string, error)
		args string
	}{
		{testtools.FFmpeg, "-i b.mp4 -c:v libx264 -preset veryfast -bf 0 -g 50 -keyint_min 50 -sc_threshold 0 v.mp4"},
		{testtools.Packager, "in=v.mp4,stream=video,output=single/v.mp4,playlist_name=v.m3u8,iframe_playlist_name=i.m3u8 " +
			"in=a.mp4,stream=audio,output=single/a.mp4,playlist_name=a.m3u8,hls_group_id=aud,hls_name=en " +
			"--mpd_output single/m.mpd --hls_master_playlist_output single/m.m3u8 --segment_duration 2"},
		{testtools.Packager, "in=v.mp4,stream=video,segment_template=ts/v_$Number$.ts,playlist_name=v.m3u8 " +
			"in=a.mp4,stream=audio,segment_template=ts/a_$Number$.aac,playlist_name=a.m3u8,hls_group_id=aud,hls_name=en " +
			"--hls_master_playlist_output ts/m.m3u8 --segment_duration 2"},
		{testtools.FFmpeg, inputs + "-c copy -f dash -seg_duration 2 -single_file 1 list/m.mpd"},
		{testtools.FFmpeg, inputs + "-t 12 -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 400k -g 50 -keyint_min 50 -c:a libopus" + dash + "vp9/m.mpd"},
		{testtools.FFmpeg, inputs + "-t 12 -c:v copy -c:a flac -strict -2" + dash + "flac/m.mpd"},
		{testtools.FFmpeg, inputs + "-c copy -f hls -hls_time 2 -hls_playlist_type vod -hls_segment_type fmp4 -hls_fmp4_init_filename init.mp4 " +
			"-hls_segment_filename muxed/s_%d.m4s muxed/m.m3u8"},
	} {
		path, err := step.tool()
		if err != nil {
			return "", err
		}
		args := strings.Fields(step.args)
		if step.args[0] == '-' {
			args = append([]string{"-v", "error", "-nostdin", "-y"}, args...)
		} else {
			args = append([]string{"--quiet"}, args...)
		}
		cmd := exec.Command(path, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", step.args, err, out)
		}
	}
	return dir, nil
}

// containersGateway serves the folder by itself, in /sample with SAMPLE-AES for transport streams, and in /whole with every
// segment encrypted whole.
func containersGateway(t *testing.T, dir string) (address string) {
	t.Helper()
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	site := func(path, options string) string {
		return fmt.Sprintf("\thandle_path %s/* {\n\t\troot %s\n\t\tdrm {\n\t\t\tlicense_server clearkey\n%s\t\t}\n\t\tfile_server\n\t}\n", path, dir, options)
	}
	newGateway(t, localhost(port)+" {\n"+site("/auto", "")+site("/sample", "\t\t\ttransport_stream sample-aes\n")+
		site("/whole", "\t\t\tscheme aes-128\n")+"}\n")
	return localhost(port)
}

// TestContainersPlay: what origins hold plays frame by frame, whatever its container, addressing and codec.
func TestContainersPlay(t *testing.T) {
	browser := startBrowser(t)
	dir := containers(t)
	address := containersGateway(t, dir)
	long, short := map[float64]int{5.6: 140, 33.2: 830, 4: 100}, map[float64]int{1.96: 49, 8.6: 215}
	dash, hls := []player.Player{player.Shaka, player.DashJS}, []player.Player{player.Shaka, player.HlsJS}
	for _, c := range []struct {
		path    string
		players []player.Player
		frames  map[float64]int
	}{
		{"/auto/single/m.mpd?drm=cenc", dash, long}, {"/auto/single/m.mpd?drm=cbcs", dash, long},
		{"/auto/single/m.m3u8?drm=cenc", hls, long}, {"/auto/single/m.m3u8?drm=cbcs&keyformat=clearkey", hls[1:], long},
		{"/auto/single/m.m3u8?drm=cbcs&keyformat=identity", hls[:1], long},
		{"/auto/list/m.mpd?drm=cenc", dash, long},
		{"/auto/ts/m.m3u8", hls, long}, {"/sample/ts/m.m3u8", hls[1:], long},
		{"/whole/single/m.m3u8", hls, long}, {"/whole/ts/m.m3u8", hls[1:], long},
		{"/auto/vp9/m.mpd?drm=cenc", dash, short}, {"/auto/vp9/m.mpd?drm=cbcs", dash[:1], short}, {"/auto/vp9/master.m3u8?drm=cenc", hls, short},
		{"/auto/flac/m.mpd?drm=cenc", dash[:1], short}, {"/auto/flac/m.mpd?drm=cbcs", dash, short},
		{"/auto/muxed/m.m3u8?drm=cenc", hls, long}, {"/auto/muxed/m.m3u8?drm=cbcs&keyformat=clearkey", hls[1:], long},
	} {
		for _, p := range c.players {
			t.Run(string(p)+" "+c.path, func(t *testing.T) { parallel(t); playForm(t, browser, p, address+c.path, c.frames) })
		}
	}
}

// TestFFmpegPlaysContainers: ffmpeg's demuxer gets every packet as it is in the clear playlist.
func TestFFmpegPlaysContainers(t *testing.T) {
	dir := containers(t)
	address := containersGateway(t, dir)
	for _, c := range []struct {
		site, playlist string
		cut            int // packets at the end that the demuxer leaves as they are, having closed the segment
	}{
		{"auto", "single/v.m3u8?drm=cenc", 0}, {"auto", "single/v.m3u8?drm=cbcs", 0}, {"auto", "single/a.m3u8?drm=cenc", 0},
		{"auto", "single/a.m3u8?drm=cbcs", 0}, {"auto", "muxed/m.m3u8?drm=cenc", 0},
		{"auto", "ts/v.m3u8", 0}, {"auto", "ts/a.m3u8", 0}, {"sample", "ts/v.m3u8", 4}, {"sample", "ts/a.m3u8", 4},
		{"whole", "single/v.m3u8", 0}, {"whole", "ts/v.m3u8", 0}, {"whole", "muxed/m.m3u8", 0},
	} {
		t.Run(c.site+" "+c.playlist, func(t *testing.T) {
			path, query, _ := strings.Cut(c.playlist, "?")
			input := []string{"-v", "error", "-allowed_extensions", "ALL", "-i"}
			want := framemd5(t, nil, append(slices.Clone(input), filepath.Join(dir, path))...)
			got := framemd5(t, nil, append(slices.Clone(input), address+"/"+c.site+"/"+path+"?keyformat=identity&"+query)...)
			if len(want) < 100 || len(got) != len(want) {
				t.Fatalf("%d packets, the clear playlist has %d", len(got), len(want))
			}
			if end := len(want) - c.cut; !slices.Equal(got[:end], want[:end]) {
				t.Errorf("other packets: %s", compare(got[:end], want[:end]))
			}
		})
	}
}

// TestIFrames: each range of an I-frame playlist is the key frame of its chunk, under the IVs of the whole chunk.
func TestIFrames(t *testing.T) {
	dir := containers(t)
	address := containersGateway(t, dir)
	for _, scheme := range drm.Schemes {
		t.Run(scheme.String(), func(t *testing.T) {
			manifest := address + "/auto/single/i.m3u8?keyformat=identity&drm=" + scheme.String()
			var init, key string
			var frames []string
			for line := range strings.Lines(string(mustGet(t, manifest).body)) {
				line = strings.TrimSpace(line)
				_, uri, _ := strings.Cut(line, `URI="`)
				uri, _, _ = strings.Cut(uri, `"`)
				switch {
				case strings.HasPrefix(line, "#EXT-X-MAP:"):
					init = resolve(t, manifest, uri)
				case strings.HasPrefix(line, "#EXT-X-KEY:"):
					key = fmt.Sprintf("%x", mustGet(t, resolve(t, manifest, uri)).body)
				case line != "" && line[0] != '#':
					frames = append(frames, resolve(t, manifest, line))
				}
			}
			all := framemd5(t, nil, "-v", "error", "-i", filepath.Join(dir, "single", "v.mp4"))
			if len(frames) != 20 {
				t.Fatalf("%d I-frames", len(frames))
			}
			for i, frame := range frames {
				media := slices.Concat(mustGet(t, init).body, mustGet(t, frame).body)
				got := firstPacket(t, media, key)
				if want := all[50*i]; got != want {
					t.Errorf("I-frame %d is %v, want %v", i, got, want)
				}
			}
		})
	}
}

// firstPacket is the first packet of a file that breaks off behind it.
func firstPacket(t *testing.T, media []byte, key string) packet {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ffmpeg, err := testtools.FFmpeg()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, ffmpeg, "-v", "quiet", "-decryption_key", key, "-i", "pipe:0", "-frames:v", "1", "-c", "copy", "-f", "framemd5", "pipe:1")
	cmd.Stdin = strings.NewReader(string(media))
	out, _ := cmd.Output() // what is missing at the end is an error to ffmpeg
	for line := range strings.Lines(string(out)) {
		var size int
		if fields := strings.Split(line, ","); line[0] != '#' && len(fields) >= 6 {
			if _, err := fmt.Sscan(strings.TrimSpace(fields[4]), &size); err == nil {
				return packet{size, strings.TrimSpace(fields[5])}
			}
		}
	}
	return packet{}
}
