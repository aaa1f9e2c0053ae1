package caddymodule

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// Titles as packagers write them, in an origin's folder of their own.

// packagedDir returns a folder with what packagers make of the demo: v.mp4 and a.mp4 are its tracks, t.vtt is text of six seconds. A step
// that begins with "-" is for ffmpeg, any other for shaka-packager.
func packagedDir(t *testing.T, steps ...string) string {
	t.Helper()
	dir := t.TempDir()
	forms := formsDir(t)
	for _, name := range []string{"v.mp4", "a.mp4"} {
		if err := os.Symlink(filepath.Join(forms, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	text := "WEBVTT\n\n00:00.000 --> 00:02.000\nOne\n\n00:03.000 --> 00:06.000\nTwo\n"
	if err := os.WriteFile(filepath.Join(dir, "t.vtt"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		tool, args := testtools.Packager, append([]string{"--quiet"}, strings.Fields(step)...)
		if step[0] == '-' {
			tool, args = testtools.FFmpeg, append([]string{"-v", "error", "-nostdin", "-y"}, strings.Fields(step)...)
		}
		path, err := tool()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(path, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", step, err, out)
		}
	}
	return dir
}

// packagedGateway serves a folder as formsSite does; the paths are those of the files.
func packagedGateway(t *testing.T, dir string) *gateway {
	t.Helper()
	origin := new(scriptedOrigin)
	origin.play(func(w http.ResponseWriter, r *http.Request) bool {
		http.FileServer(http.Dir(dir)).ServeHTTP(w, r)
		return true
	})
	return startGateway(t, formsSite, "ORIGIN", origin.start(t))
}

// TestTextInFragmentsUnderAES128: segments of text are encrypted whole like all others, and the playlist says with which key.
func TestTextInFragmentsUnderAES128(t *testing.T) {
	dir := packagedDir(t, "in=t.vtt,stream=text,init_segment=t/i.mp4,segment_template=t/$Number$.m4s,language=en,playlist_name=t.m3u8 "+
		"--hls_master_playlist_output m.m3u8 --segment_duration 2")
	g := packagedGateway(t, dir)
	report := mustProbe(t, "http://"+g.addr+"/whole/t.m3u8", "--all")
	if r := report.Renditions[0]; r.Decrypted != 3 || strings.Join(r.Schemes, "") != "AES-128" {
		t.Errorf("%s", report.Text())
	}
	if clear := g.mustGet(t, "/t.m3u8?drm=cbcs"); strings.Contains(string(clear.body), "EXT-X-KEY") {
		t.Errorf("cbcs leaves text clear, and the playlist says:\n%s", clear.body)
	}
}

// TestProbeOfIFrames: ranges of an I-frame playlist end within a chunk, and are right so.
func TestProbeOfIFrames(t *testing.T) {
	_, origin := newFormsOrigin(t)
	g := startGateway(t, formsSite, "ORIGIN", origin)
	for _, scheme := range []string{"cenc", "cbcs"} {
		report := mustProbe(t, "http://"+g.addr+"/x/single/m.m3u8", "--drm", scheme)
		if len(report.Renditions) != 3 {
			t.Errorf("%s", report.Text())
		}
	}
	for _, playlist := range []string{"/x/single/i.m3u8", "/whole/x/single/i.m3u8"} {
		report := mustProbe(t, "http://"+g.addr+playlist, "--all")
		if r := report.Renditions[0]; r.Decrypted != 20 {
			t.Errorf("%s", report.Text())
		}
	}
}

// TestIFramesUnderAES128: a player that asks for a range gets that range, and not the chunk that it is of.
func TestIFramesUnderAES128(t *testing.T) {
	o, origin := newFormsOrigin(t)
	g := startGateway(t, formsSite, "ORIGIN", origin)
	var lengths []int
	for line := range strings.Lines(string(o.read(t, "/x/single/i.m3u8"))) {
		var length, offset int
		if n, _ := fmt.Sscanf(line, "#EXT-X-BYTERANGE:%d@%d", &length, &offset); n == 2 {
			lengths = append(lengths, length)
		}
	}
	frames := 0
	for line := range strings.Lines(string(g.mustGet(t, "/whole/x/single/i.m3u8").body)) {
		if line[0] != '~' {
			continue
		}
		frame := g.mustGet(t, "/whole/x/single/"+strings.TrimSpace(line))
		if want := lengths[frames] + 16 - lengths[frames]%16; len(frame.body) != want {
			t.Errorf("I-frame %d has %d bytes encrypted, of a range of %d", frames, len(frame.body), lengths[frames])
		}
		frames++
	}
	if frames != 20 || len(lengths) != 20 {
		t.Errorf("%d I-frames of %d", frames, len(lengths))
	}
}

// TestProbeOfSilence: frames that are all the same are the same when they are encrypted under one IV, which does not make them clear.
func TestProbeOfSilence(t *testing.T) {
	dir := packagedDir(t, "-f lavfi -i anullsrc=r=48000:cl=stereo -t 6 -c:a aac s.mp4",
		"in=s.mp4,stream=audio,output=o.mp4,playlist_name=s.m3u8 --mpd_output s.mpd --segment_duration 2")
	g := packagedGateway(t, dir)
	for _, scheme := range []string{"cenc", "cbcs"} {
		mustProbe(t, "http://"+g.addr+"/s.mpd", "--all", "--drm", scheme)
	}
}

// TestNamesWithSpaces: packagers write the names of files into manifests as they are.
func TestNamesWithSpaces(t *testing.T) {
	const codecs = "-i v.mp4 -i a.mp4 -map 0:v -map 1:a -t 6 -c copy "
	dir := packagedDir(t)
	ffmpeg, err := testtools.FFmpeg()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-f", "dash", "-seg_duration", "2", "-init_seg_name", "it's $RepresentationID$ ü.m4s", "-media_seg_name", "it's $RepresentationID$ $Number$ ü.m4s", "-hls_playlist", "1", "m.mpd"},
		{"-f", "dash", "-seg_duration", "2", "-single_file", "1", "-single_file_name", "my film $RepresentationID$.mp4", "single.mpd"},
		{"-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "in it.mp4", "-hls_segment_filename", "s %d.m4s", "s.m3u8"},
	} {
		cmd := exec.Command(ffmpeg, append(strings.Fields("-v error -nostdin -y "+codecs), args...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	g := packagedGateway(t, dir)
	for _, manifest := range []string{"m.mpd", "single.mpd", "master.m3u8", "s.m3u8"} {
		report := mustProbe(t, "http://"+g.addr+"/"+manifest, "--all")
		for _, r := range report.Renditions {
			if r.Decrypted < 3 {
				t.Errorf("%s:\n%s", manifest, report.Text())
			}
		}
		if m := g.mustGet(t, "/"+manifest); strings.Contains(string(m.body), "it's") || strings.Contains(string(m.body), "my film") || strings.Contains(string(m.body), "s 1.") {
			t.Errorf("%s holds a name that is not escaped:\n%s", manifest, m.body)
		}
	}
}

// TestPackedMP3: packed audio is MP3 too (RFC 8216, 3.4); it goes with AES-128 alone.
func TestPackedMP3(t *testing.T) {
	dir := packagedDir(t, "-i a.mp4 -t 6 -c:a libmp3lame -b:a 128k -f segment -segment_time 2 -segment_format mp3 -segment_list m.m3u8 -segment_list_type m3u8 s_%d.mp3",
		"-i a.mp4 -t 6 -c:a copy -f segment -segment_time 2 -segment_format adts -segment_list a.m3u8 -segment_list_type m3u8 s_%d.aac")
	g := packagedGateway(t, dir)
	for _, playlist := range []string{"/m.m3u8", "/whole/m.m3u8", "/a.m3u8"} { // the last segment of AAC is one frame
		report := mustProbe(t, "http://"+g.addr+playlist, "--all")
		if r := report.Renditions[0]; r.Proven < 3 {
			t.Errorf("%s", report.Text())
		}
	}
	if r := g.get(t, "/sample/m.m3u8"); r.status != http.StatusBadGateway || r.reason() != "media_unsupported" {
		t.Errorf("SAMPLE-AES of MP3: %d %s", r.status, r.body)
	}
}

// TestOriginsOfOtherFormats: what is well formed and has no protected form is refused as such, by name.
func TestOriginsOfOtherFormats(t *testing.T) {
	dir := packagedDir(t, "-i v.mp4 -t 4 -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -f dash -dash_segment_type webm w.mpd",
		"-i v.mp4 -i a.mp4 -t 4 -c:v copy -c:a mp2 -f hls -hls_time 2 -hls_playlist_type vod h.m3u8")
	g := packagedGateway(t, dir)
	if r := g.get(t, "/w.mpd"); r.reason() != "media_unsupported" || !strings.Contains(string(r.body), "WebM") {
		t.Errorf("WebM: %d %s", r.status, r.body)
	}
	var segment string
	for line := range strings.Lines(string(g.mustGet(t, "/sample/h.m3u8").body)) {
		if line[0] == '~' {
			segment = strings.TrimSpace(line)
		}
	}
	if r := g.get(t, "/sample/"+segment); r.reason() != "media_unsupported" || !strings.Contains(string(r.body), "stream type 0x03") {
		t.Errorf("MP2 in a transport stream: %d %s", r.status, r.body)
	}
	mustProbe(t, "http://"+g.addr+"/h.m3u8", "--all") // AES-128 looks at no stream
}

// TestProbeOfOtherCodecsInMP4A: an mp4a that is no AAC has frames that begin otherwise.
func TestProbeOfOtherCodecsInMP4A(t *testing.T) {
	dir := packagedDir(t, "-i a.mp4 -t 6 -c:a vorbis -ac 2 -strict -2 -f hls -hls_time 2 -hls_playlist_type vod -hls_segment_type fmp4 o.m3u8")
	g := packagedGateway(t, dir)
	mustProbe(t, "http://"+g.addr+"/o.m3u8", "--all")
}

// TestTextFilesOfAnMPD: SubRip, and TTML by the name of XML. Other names are refused with those that are taken.
func TestTextFilesOfAnMPD(t *testing.T) {
	dir := packagedDir(t, "-i v.mp4 -i a.mp4 -map 0:v -map 1:a -t 6 -c copy -f dash -seg_duration 2 m.mpd")
	clear, err := os.ReadFile(filepath.Join(dir, "m.mpd"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set := func(mimeType, name string) string {
		return `<AdaptationSet contentType="text" lang="en" mimeType="` + mimeType + `"><Representation id="` + name + `" bandwidth="100"><BaseURL>` + name +
			`</BaseURL></Representation></AdaptationSet>`
	}
	mpd := func(sets ...string) string {
		return strings.Replace(string(clear), "</Period>", strings.Join(sets, "")+"</Period>", 1)
	}
	write("t.srt", "1\r\n00:00:01,000 --> 00:00:02,000\r\nOne\r\n")
	write("t.xml", `<?xml version="1.0"?><tt xmlns="http://www.w3.org/ns/ttml"><body/></tt>`)
	write("t.txt", "One")
	write("text.mpd", mpd(set("text/srt", "t.srt"), set("application/x-subrip", "t.srt?2"), set("application/ttml+xml", "t.xml")))
	write("other.mpd", mpd(set("text/plain", "t.txt")))
	g := packagedGateway(t, dir)
	report := mustProbe(t, "http://"+g.addr+"/text.mpd", "--all")
	if len(report.Renditions) != 5 {
		t.Errorf("%s", report.Text())
	}
	if r := g.get(t, "/other.mpd"); r.reason() != "sidecar_refused" || !strings.Contains(string(r.body), ".srt") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := g.get(t, "/t.xml"); r.status != http.StatusNotFound {
		t.Errorf("text without a seal: %d", r.status)
	}
}
