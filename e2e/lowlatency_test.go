package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// maxChunkDelay is how much later than from a plain proxy a chunk may come. It is loose, for machines that do other things
// as well; what is measured is printed.
const maxChunkDelay = 50 * time.Millisecond

// cacheWords are the two ways to run: with the cache of protected segments, which is the default, and without.
var cacheWords = []string{"256MiB", "off"}

// chunkGateway starts a gateway and, at another port, a proxy of the same origin that protects nothing.
func chunkGateway(t *testing.T, origin *chunkedOrigin, global, site string) (address, plain string) {
	t.Helper()
	ports, err := testtools.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	newGateway(t, fmt.Sprintf(`{
	drm {
		%[1]s
	}
}
http://localhost:%[2]d {
	drm {
		secret {env.DRM_SECRET}
		tenant test
		license_server clearkey
		asset /*
		%[5]s
	}
	reverse_proxy %[4]s
}
http://localhost:%[3]d {
	reverse_proxy %[4]s
}
`, global, ports[0], ports[1], origin.host(), site))
	return localhost(ports[0]), localhost(ports[1])
}

// arrival is a chunk as a client got it.
type arrival struct {
	end  int // offset behind the chunk
	time time.Time
}

// chunkStream is an answer that is read as it comes.
type chunkStream struct {
	status int
	header http.Header
	body   []byte
	chunks []arrival
	err    error // how the body ended; nil if it ended well
}

// openStream sends the request; the rest happens in the background, until the stream comes out of the channel.
func openStream(t *testing.T, target string) <-chan chunkStream {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan chunkStream, 1)
	go func() {
		var s chunkStream
		defer func() { done <- s }()
		response, err := client.Do(request)
		if err != nil {
			s.err = err
			return
		}
		defer response.Body.Close()
		s.status, s.header = response.StatusCode, response.Header
		s.err = s.read(bufio.NewReaderSize(response.Body, 1<<20))
	}()
	return done
}

// read notes when the last byte of each mdat is there.
func (s *chunkStream) read(r io.Reader) error {
	for {
		var header [8]byte
		n, err := io.ReadFull(r, header[:])
		s.body = append(s.body, header[:n]...)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		at, size := len(s.body), int64(binary.BigEndian.Uint32(header[:]))-8
		if size < 0 {
			return errors.New("not a box")
		}
		data, err := io.ReadAll(io.LimitReader(r, size))
		s.body = append(s.body, data...)
		switch {
		case err != nil:
			return err
		case int64(len(data)) < size:
			return io.ErrUnexpectedEOF
		}
		if string(header[4:]) == "mdat" {
			s.chunks = append(s.chunks, arrival{at + len(data), time.Now()})
		}
	}
}

// Each chunk leaves as soon as it is whole: it comes to the client little later than through a proxy that does nothing.
func TestChunksLeaveAsSoonAsTheyAreWhole(t *testing.T) {
	long(t)
	video := newChunkedTrack(t, "video/360p")
	origin := newChunkedOrigin(t)
	origin.put("/live/manifest.mpd", []byte(simpleMPD("video/360p", "audio/en")))
	origin.putTrack("live", "video/360p", video)
	origin.putTrack("live", "audio/en", newChunkedTrack(t, "audio/en"))
	for _, cache := range cacheWords {
		for _, scheme := range drm.Schemes {
			t.Run("cache "+cache+" "+scheme.String(), func(t *testing.T) {
				address, plain := chunkGateway(t, origin, "segment_cache "+cache, "")
				tracks, _ := dashTracks(t, address+"/live/manifest.mpd?drm="+scheme.String())
				mustGet(t, tracks[0].segments[5]) // connections and keys are there
				mustGet(t, plain+"/live/video/360p/seg_6.m4s")
				path := "/live/video/360p/seg_1.m4s"
				before := origin.asked(path)
				file := origin.grow(path, video.segments[0])
				protected, clear := openStream(t, tracks[0].segments[0]), openStream(t, plain+path)
				origin.waitAsked(t, path, before+2)
				file.write(100 * time.Millisecond)
				got, want := <-protected, <-clear
				if got.err != nil || want.err != nil || len(got.chunks) != len(file.chunks) || len(want.chunks) != len(file.chunks) {
					t.Fatalf("%d and %d chunks of %d, %v, %v", len(got.chunks), len(want.chunks), len(file.chunks), got.err, want.err)
				}
				var delays []time.Duration
				for i := range got.chunks {
					delays = append(delays, got.chunks[i].time.Sub(want.chunks[i].time))
				}
				slices.Sort(delays)
				median, worst := delays[len(delays)/2], delays[len(delays)-1]
				t.Logf("added delay per chunk: median %s, worst %s", median, worst)
				if median > maxChunkDelay {
					t.Errorf("the median chunk comes %s later than from a plain proxy", median)
				}
				// Written chunk by chunk or in one piece, it is the same segment.
				if whole := askWith(t, http.MethodGet, tracks[0].segments[0], "", "", http.Header{"Range": {"bytes=0-"}}); !bytes.Equal(whole.body, got.body) {
					t.Errorf("in chunks %d bytes, whole %s", len(got.body), whole)
				}
				checkSameAsFile(t, address, origin, path, video.segment(1), tracks[0].segments[0], got.body)
			})
		}
	}
}

// checkSameAsFile lets the origin have the segment as a file, and compares what another process makes of that.
func checkSameAsFile(t *testing.T, address string, origin *chunkedOrigin, path string, clear []byte, target string, want []byte) {
	t.Helper()
	origin.mu.Lock()
	delete(origin.growing, path)
	origin.mu.Unlock()
	origin.put(path, clear)
	other, _ := chunkGateway(t, origin, "segment_cache off", "")
	if got := mustGet(t, strings.Replace(target, address, other, 1)); !bytes.Equal(got.body, want) {
		t.Errorf("in chunks %d bytes, as a file %s", len(want), got)
	}
}

// All who watch a segment while it is written, from whatever moment on, get the same, for one fetch.
func TestManyViewersOfAGrowingSegmentCostOneFetch(t *testing.T) {
	long(t)
	video := newChunkedTrack(t, "video/360p")
	origin := newChunkedOrigin(t)
	origin.put("/live/manifest.mpd", []byte(simpleMPD("video/360p", "audio/en")))
	origin.putTrack("live", "video/360p", video)
	origin.putTrack("live", "audio/en", newChunkedTrack(t, "audio/en"))
	address, _ := chunkGateway(t, origin, "", "")
	tracks, _ := dashTracks(t, address+"/live/manifest.mpd?drm=cenc")
	path := "/live/video/360p/seg_1.m4s"
	file := origin.grow(path, video.segments[0])
	var viewers []<-chan chunkStream
	join := func() {
		for range 20 {
			viewers = append(viewers, openStream(t, tracks[0].segments[0]))
		}
	}
	join()
	origin.waitAsked(t, path, 1)
	var late sync.WaitGroup
	late.Go(func() { file.write(50 * time.Millisecond) })
	time.Sleep(300 * time.Millisecond)
	join()
	late.Wait()
	first := <-viewers[0]
	for i, viewer := range viewers[1:] {
		if s := <-viewer; s.err != nil || s.status != http.StatusOK || !bytes.Equal(s.body, first.body) {
			t.Errorf("viewer %d: status %d, %d bytes, want %d: %v", i+1, s.status, len(s.body), len(first.body), s.err)
		}
	}
	after := mustGet(t, tracks[0].segments[0])
	if !bytes.Equal(after.body, first.body) || after.header.Get("ETag") == "" {
		t.Errorf("afterwards: %s, ETag %q", after, after.header.Get("ETag"))
	}
	if n := origin.asked(path); n != 1 {
		t.Errorf("the origin was asked %d times", n)
	}
	key := contentKey(t, tracks[0].license, tracks[0].kid)
	got := packetHashes(t, append(mustGet(t, tracks[0].init).body, first.body...), key)
	if want := packetHashes(t, append(bytes.Clone(video.init), video.segment(1)...), ""); !slices.Equal(got, want) {
		t.Error(compare(got, want))
	}
}

// Where the origin breaks off, so does the gateway: what a client got is whole chunks, it learns that there should have been
// more, and nobody gets that answer again.
func TestAnOriginThatBreaksInAChunk(t *testing.T) {
	long(t)
	video := newChunkedTrack(t, "video/360p")
	origin := newChunkedOrigin(t)
	origin.put("/live/manifest.mpd", []byte(simpleMPD("video/360p", "audio/en")))
	origin.putTrack("live", "video/360p", video)
	origin.putTrack("live", "audio/en", newChunkedTrack(t, "audio/en"))
	for _, cache := range cacheWords {
		t.Run("cache "+cache, func(t *testing.T) {
			address, _ := chunkGateway(t, origin, "segment_cache "+cache, "")
			tracks, _ := dashTracks(t, address+"/live/manifest.mpd?drm=cenc")
			path := "/live/video/360p/seg_1.m4s"
			for at := range 4 {
				before := origin.asked(path)
				file := origin.grow(path, video.segments[0])
				file.breakAt = at
				stream := openStream(t, tracks[0].segments[0])
				origin.waitAsked(t, path, before+1)
				file.write(20 * time.Millisecond)
				s := <-stream
				if at == 0 {
					if s.status != http.StatusBadGateway {
						t.Errorf("broken in the first chunk: status %d, %d bytes, %v", s.status, len(s.body), s.err)
					}
					continue
				}
				if s.err == nil || len(s.chunks) != at || s.chunks[at-1].end != len(s.body) {
					t.Errorf("broken in chunk %d: %d whole chunks, %d bytes, %v", at+1, len(s.chunks), len(s.body), s.err)
				}
				checkNoClear(t, s.body, video.segment(1))
			}
			file := origin.grow(path, video.segments[0])
			go file.write(0)
			if a := mustGet(t, tracks[0].segments[0]); len(a.body) < len(video.segment(1)) {
				t.Errorf("after the fault: %s", a)
			}
		})
	}
}

// checkNoClear looks for pieces of the clear samples' second halves, where no scheme leaves anything clear for so long.
func checkNoClear(t *testing.T, body, clear []byte) {
	t.Helper()
	for _, b := range topBoxes(t, clear) {
		if b.kind != "mdat" {
			continue
		}
		for at := len(b.data) / 2; at+200 <= len(b.data); at += 400 {
			if bytes.Contains(body, b.data[at:at+200]) { // longer than what cbcs leaves clear between two encrypted blocks
				t.Fatal("the answer holds clear media")
			}
		}
	}
}

// llPlaylist lists each segment with its parts, which are its chunks.
func llPlaylist(track chunkedTrack, last int) string {
	var b strings.Builder
	b.WriteString("#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.12\n" +
		"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.36\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-MAP:URI=\"init.mp4\"\n")
	for n := 1; n <= last; n++ {
		for k := range track.segments[n-1] {
			independent := ""
			if k == 0 {
				independent = ",INDEPENDENT=YES"
			}
			fmt.Fprintf(&b, "#EXT-X-PART:DURATION=0.12,URI=\"part_%d.%d.m4s\"%s\n", n, k, independent)
		}
		fmt.Fprintf(&b, "#EXTINF:2,\nseg_%d.m4s\n", n)
	}
	return b.String()
}

// putParts puts a track with its parts and its playlist.
func (o *chunkedOrigin) putParts(title, folder string, track chunkedTrack) {
	o.putTrack(title, folder, track)
	for n, chunks := range track.segments {
		for k, chunk := range chunks {
			o.put(fmt.Sprintf("/%s/%s/part_%d.%d.m4s", title, folder, n+1, k), chunk)
		}
	}
	o.put("/"+title+"/"+folder+"/ll.m3u8", []byte(llPlaylist(track, 3)))
	o.put("/"+title+"/master.m3u8", []byte("#EXTM3U\n#EXT-X-VERSION:9\n"+
		"#EXT-X-STREAM-INF:BANDWIDTH=325476,CODECS=\"avc1.4D401E\",RESOLUTION=640x360\n"+folder+"/ll.m3u8\n"))
}

// llTrack reads the playlist behind a master, and returns the parts of each segment.
func llTrack(t *testing.T, master string) (tr track, parts [][]string) {
	t.Helper()
	media, _ := playlists(t, master, mustGet(t, master).body)
	body := mustGet(t, media[0]).body
	tr = parsePlaylist(t, master, media[0], body)
	var some []string
	for line := range strings.Lines(string(body)) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "#EXT-X-PART:"):
			some = append(some, resolve(t, media[0], uriAttribute.FindStringSubmatch(line)[1]))
		case line != "" && line[0] != '#':
			parts, some = append(parts, some), nil
		}
	}
	return tr, parts
}

// join fetches all and joins it.
func join(t *testing.T, targets ...string) (joined []byte) {
	t.Helper()
	for _, target := range targets {
		joined = append(joined, mustGet(t, target).body...)
	}
	return joined
}

// The parts of a segment are the segment, and decrypt to its packets.
func TestPartsDecryptAsTheirSegment(t *testing.T) {
	long(t)
	video := newChunkedTrack(t, "video/360p")
	origin := newChunkedOrigin(t)
	origin.putParts("live", "video/360p", video)
	address, _ := chunkGateway(t, origin, "", "")
	want := packetHashes(t, append(bytes.Clone(video.init), video.segment(2)...), "")
	for _, scheme := range drm.Schemes {
		t.Run(scheme.String(), func(t *testing.T) {
			tr, parts := llTrack(t, address+"/live/master.m3u8?keyformat=identity&drm="+scheme.String())
			key := fmt.Sprintf("%x", mustGet(t, tr.rawKey).body)
			init, segment, joined := mustGet(t, tr.init).body, join(t, tr.segments[1]), join(t, parts[1]...)
			for name, media := range map[string][]byte{"segment": segment, "parts": joined} {
				if got := packetHashes(t, append(bytes.Clone(init), media...), key); !slices.Equal(got, want) {
					t.Errorf("%s: %s", name, compare(got, want))
				}
			}
			if !bytes.Equal(segment, joined) {
				t.Errorf("the parts are %d bytes, the segment has %d", len(joined), len(segment))
			}
		})
	}
}

// With the parameter sets in the media (avc3), a part in the middle depends on the parts in front of it: they are fetched, and
// where they cannot be had, the part is refused.
func TestPartsWithoutParameterSets(t *testing.T) {
	long(t)
	video := withoutParameterSets(t, newChunkedTrack(t, "video/360p", "-bsf:v", "h264_mp4toannexb", "-tag:v", "avc3"))
	origin := newChunkedOrigin(t)
	origin.putParts("live", "video/360p", video)
	want := packetHashes(t, append(bytes.Clone(video.init), video.segment(2)...), "")
	for _, cache := range cacheWords {
		t.Run("cache "+cache, func(t *testing.T) {
			for _, scheme := range drm.Schemes {
				address, _ := chunkGateway(t, origin, "segment_cache "+cache, "")
				tr, parts := llTrack(t, address+"/live/master.m3u8?keyformat=identity&drm="+scheme.String())
				key := fmt.Sprintf("%x", mustGet(t, tr.rawKey).body)
				last := len(parts[1]) - 1
				lead := "/live/video/360p/part_2.0.m4s"
				clear := origin.take(lead)
				if scheme == drm.SchemeCbcs { // cenc needs no slice header's exact length
					if a := get(t, parts[1][last]); a.status != http.StatusBadGateway {
						t.Errorf("%s, without its lead: %s", scheme, a)
					}
				}
				origin.put(lead, clear)
				tail := mustGet(t, parts[1][last]).body // first of all, in a process that has seen no other part
				joined := append(join(t, parts[1][:last]...), tail...)
				if got := packetHashes(t, append(mustGet(t, tr.init).body, joined...), key); !slices.Equal(got, want) {
					t.Errorf("%s: %s", scheme, compare(got, want))
				}
			}
		})
	}
}

// take removes a file and returns it.
func (o *chunkedOrigin) take(path string) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	data := o.files[path]
	delete(o.files, path)
	return data
}

// withoutParameterSets takes the parameter sets out of the init segment.
func withoutParameterSets(t *testing.T, track chunkedTrack) chunkedTrack {
	t.Helper()
	file, err := mp4.DecodeFile(bytes.NewReader(track.init))
	if err != nil {
		t.Fatal(err)
	}
	entry := file.Init.Moov.Trak.Mdia.Minf.Stbl.Stsd.AvcX
	if entry == nil || entry.Type() != "avc3" {
		t.Fatal("the sample entry is not avc3")
	}
	entry.AvcC.SPSnalus, entry.AvcC.PPSnalus = nil, nil
	var b bytes.Buffer
	if err := file.Init.Encode(&b); err != nil {
		t.Fatal(err)
	}
	track.init = b.Bytes()
	return track
}
