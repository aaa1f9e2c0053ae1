package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// chunkedTrack is a track of the demo title, cut anew into chunks of some 100 ms: each a moof with its mdat.
type chunkedTrack struct {
	init     []byte
	segments [][][]byte // the chunks of each segment of 2 s
}

// segment joins the chunks of a segment, which is counted from 1.
func (c chunkedTrack) segment(n int) []byte { return bytes.Join(c.segments[n-1], nil) }

// whole joins the init segment and everything else.
func (c chunkedTrack) whole() []byte {
	all := bytes.Clone(c.init)
	for n := range c.segments {
		all = append(all, c.segment(n+1)...)
	}
	return all
}

// timescales are those of the demo's tracks, by folder.
var timescales = map[string]uint64{"video/360p": 12800, "audio/en": 48000}

// newChunkedTrack lets ffmpeg cut a track of the demo. Options stand in front of its output.
func newChunkedTrack(t *testing.T, folder string, options ...string) (track chunkedTrack) {
	t.Helper()
	ffmpeg, err := testtools.FFmpeg()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.mp4"), filepath.Join(dir, "out.mp4")
	if err := os.WriteFile(in, clearTrack(t, titles[0], folder), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-v", "error", "-i", in, "-c", "copy", "-copyts"}, options...)
	args = append(args, "-f", "mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof", "-frag_duration", "100000", out)
	if text, err := exec.CommandContext(t.Context(), ffmpeg, args...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, text)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var chunk []byte
	at := uint64(0)
	for _, b := range topBoxes(t, data) {
		switch b.kind {
		case "ftyp", "moov":
			track.init = append(track.init, b.data...)
		case "moof":
			chunk, at = b.data, decodeTime(t, b.data)/(2*timescales[folder])
		case "mdat":
			for uint64(len(track.segments)) <= at {
				track.segments = append(track.segments, nil)
			}
			track.segments[at] = append(track.segments[at], append(bytes.Clone(chunk), b.data...))
		}
	}
	if len(track.segments) != liveLast || len(track.segments[0]) < 15 {
		t.Fatalf("%s was cut into %d segments", folder, len(track.segments))
	}
	return track
}

// topBox is a box at the top of a file, header included.
type topBox struct {
	kind string
	data []byte
}

// topBoxes cuts a file into its boxes.
func topBoxes(t *testing.T, data []byte) (boxes []topBox) {
	t.Helper()
	for len(data) >= 8 {
		size := int(binary.BigEndian.Uint32(data))
		if size < 8 || size > len(data) {
			t.Fatalf("a box of %d bytes where %d are left", size, len(data))
		}
		boxes = append(boxes, topBox{string(data[4:8]), data[:size]})
		data = data[size:]
	}
	return boxes
}

// decodeTime reads the tfdt of a moof (ISO/IEC 14496-12, 8.8.12).
func decodeTime(t *testing.T, moof []byte) uint64 {
	t.Helper()
	i := bytes.Index(moof, []byte("tfdt"))
	if i < 0 || len(moof) < i+16 {
		t.Fatal("a moof without tfdt")
	}
	if moof[i+4] == 1 {
		return binary.BigEndian.Uint64(moof[i+8:])
	}
	return uint64(binary.BigEndian.Uint32(moof[i+8:]))
}

// chunkedOrigin serves files, some of them as an encoder's origin does: chunk by chunk, without a length. It counts what it
// is asked for.
type chunkedOrigin struct {
	*httptest.Server
	mu       sync.Mutex
	files    map[string][]byte
	growing  map[string]*growingFile
	requests map[string]int
	delay    time.Duration // of each answer
}

// growingFile is a file that is still being written.
type growingFile struct {
	chunks  [][]byte
	ready   []chan struct{} // closed when the chunk with this index is there
	breakAt int             // the chunk in the middle of which the connection breaks; -1 for never
}

func newChunkedOrigin(t *testing.T) *chunkedOrigin {
	t.Helper()
	o := &chunkedOrigin{files: map[string][]byte{}, growing: map[string]*growingFile{}, requests: map[string]int{}}
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	return o
}

// host is the origin's address as reverse_proxy takes it.
func (o *chunkedOrigin) host() string { return strings.TrimPrefix(o.URL, "http://") }

func (o *chunkedOrigin) put(path string, data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.files[path] = data
}

// putTrack puts init and segments of a track below a title.
func (o *chunkedOrigin) putTrack(title, folder string, track chunkedTrack) {
	o.put("/"+title+"/"+folder+"/init.mp4", track.init)
	for n := range track.segments {
		o.put(fmt.Sprintf("/%s/%s/seg_%d.m4s", title, folder, n+1), track.segment(n+1))
	}
}

// grow puts a file whose chunks are not there yet.
func (o *chunkedOrigin) grow(path string, chunks [][]byte) *growingFile {
	f := &growingFile{chunks: chunks, breakAt: -1}
	for range chunks {
		f.ready = append(f.ready, make(chan struct{}))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.growing[path] = f
	return f
}

// write lets the chunks appear, one each pace, and returns when all are there.
func (f *growingFile) write(pace time.Duration) {
	for _, ready := range f.ready {
		close(ready)
		time.Sleep(pace)
	}
}

// asked returns how often a path was asked for.
func (o *chunkedOrigin) asked(path string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.requests[path]
}

// waitAsked waits until a path was asked for n times.
func (o *chunkedOrigin) waitAsked(t *testing.T, path string, n int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); o.asked(path) < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the origin was asked %d times, want %d", o.asked(path), n)
		}
	}
}

func (o *chunkedOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.requests[r.URL.Path]++
	data, known := o.files[r.URL.Path]
	file, delay := o.growing[r.URL.Path], o.delay
	o.mu.Unlock()
	time.Sleep(delay)
	switch {
	case file != nil:
		file.serve(w, r)
	case known:
		if strings.HasSuffix(r.URL.Path, "/init.mp4") || strings.Contains(r.URL.Path, "seg_") {
			w.Header().Set("ETag", clearTagOf(data))
		}
		http.ServeContent(w, r, r.URL.Path, time.Time{}, bytes.NewReader(data))
	default:
		http.NotFound(w, r)
	}
}

func (f *growingFile) serve(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	_ = control.Flush() // nobody is there to be told
	for i, chunk := range f.chunks {
		select {
		case <-f.ready[i]:
		case <-r.Context().Done():
			return
		}
		if i == f.breakAt {
			_, _ = w.Write(chunk[:len(chunk)/2]) // the test sees what arrived
			_ = control.Flush()
			panic(http.ErrAbortHandler)
		}
		if _, err := w.Write(chunk); err != nil {
			return
		}
		_ = control.Flush()
	}
}

// clearTagOf is the ETag that a chunkedOrigin gives a file of media.
func clearTagOf(data []byte) string { return fmt.Sprintf(`"%x"`, sha256.Sum256(data)) }

// clearTag is the ETag of the file at path.
func (o *chunkedOrigin) clearTag(path string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return clearTagOf(o.files[path])
}

// clearSegment reads a segment of the demo title.
func clearSegment(t *testing.T, folder string, n int) []byte {
	t.Helper()
	file, err := testtools.Testdata("demo", folder, fmt.Sprintf("seg_%d.m4s", n))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// newTransportStream lets ffmpeg make a transport stream of the first seconds of the demo.
func newTransportStream(t *testing.T) []byte {
	t.Helper()
	ffmpeg, err := testtools.FFmpeg()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args, out := []string{"-v", "error"}, filepath.Join(dir, "out.ts")
	for _, folder := range []string{"video/360p", "audio/en"} {
		in := filepath.Join(dir, strings.ReplaceAll(folder, "/", "-"))
		if err := os.WriteFile(in, clearTrack(t, titles[0], folder), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-i", in)
	}
	args = append(args, "-t", "2", "-map", "0:v", "-map", "1:a", "-c", "copy", out)
	if text, err := exec.CommandContext(t.Context(), ffmpeg, args...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, text)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// transportPlaylist lists n segments of transport stream.
func transportPlaylist(n int) string {
	var b strings.Builder
	b.WriteString("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n#EXT-X-PLAYLIST-TYPE:VOD\n")
	for i := range n {
		fmt.Fprintf(&b, "#EXTINF:2,\nseg_%d.ts\n", i+1)
	}
	return b.String() + "#EXT-X-ENDLIST\n"
}
