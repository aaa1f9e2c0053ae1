package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// livePiece is what a live origin delivers at once, as soon as it is made: a part of LL-HLS, or a chunk.
type livePiece struct {
	data         []byte
	at, duration time.Duration // when it is whole, on the channel's clock; of its media
}

// livePieces is a track of a channel, cut into the pieces of each segment.
type livePieces struct {
	init     []byte
	segments [][]livePiece
}

// newLivePieces joins some chunks of a track of the demo to each piece.
func newLivePieces(t *testing.T, folder string, chunks int) (pieces livePieces) {
	t.Helper()
	track := newChunkedTrack(t, folder)
	pieces.init = track.init
	for _, all := range track.segments {
		var segment []livePiece
		for len(all) > 0 {
			n := min(chunks, len(all))
			begin := time.Duration(decodeTime(t, all[0])) * time.Second / time.Duration(timescales[folder])
			segment = append(segment, livePiece{data: bytes.Join(all[:n], nil), at: begin})
			all = all[n:]
		}
		pieces.segments = append(pieces.segments, segment)
	}
	end := liveLast * liveSegment
	for n := len(pieces.segments) - 1; n >= 0; n-- {
		for k := len(pieces.segments[n]) - 1; k >= 0; k-- {
			piece := &pieces.segments[n][k]
			end, piece.at, piece.duration = piece.at, end, end-piece.at
		}
	}
	return pieces
}

// find returns a piece; the segment is counted from 1. A piece behind the last of its segment is the first of the next.
func (p livePieces) find(segment, piece int) (livePiece, bool) {
	if segment >= 1 && segment <= len(p.segments) && piece == len(p.segments[segment-1]) {
		segment, piece = segment+1, 0
	}
	if segment < 1 || segment > len(p.segments) || piece < 0 || piece >= len(p.segments[segment-1]) {
		return livePiece{}, false
	}
	return p.segments[segment-1][piece], true
}

// published returns the segment that is being made at a time, counted from 1, and how many of its pieces there are.
func (p livePieces) published(now time.Duration) (segment, pieces int) {
	for n, all := range p.segments {
		for k, piece := range all {
			if piece.at > now {
				return n + 1, k
			}
		}
	}
	return len(p.segments) + 1, 0
}

// The tracks of the channel.
var lowLatencyFolders = []string{"video/360p", "audio/en"}

// lowLatencyOrigin serves the demo as a channel that is sent while it is made. Its clock starts with the first request, when
// liveAhead segments exist. It knows no protection.
type lowLatencyOrigin struct {
	*httptest.Server
	tracks map[string]livePieces
	begin  sync.Once
	start  time.Time

	mu    sync.Mutex
	seen  []string       // the requests' paths and queries
	early map[string]int // requests for a segment or a part that was not whole yet, by track
}

func newLowLatencyOrigin(t *testing.T, chunks int) *lowLatencyOrigin {
	t.Helper()
	o := &lowLatencyOrigin{tracks: map[string]livePieces{}, early: map[string]int{}}
	for _, folder := range lowLatencyFolders {
		o.tracks[folder] = newLivePieces(t, folder, chunks)
	}
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	return o
}

// started returns when the channel's clock was zero.
func (o *lowLatencyOrigin) started() time.Time {
	o.begin.Do(func() { o.start = time.Now().Add(-liveAhead * liveSegment) })
	return o.start
}

// now is the time on the channel's clock.
func (o *lowLatencyOrigin) now() time.Duration { return time.Since(o.started()) }

func (o *lowLatencyOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.started()
	o.mu.Lock()
	o.seen = append(o.seen, r.URL.RequestURI())
	o.mu.Unlock()
	w.Header().Set("Cache-Control", "no-cache")
	switch r.URL.Path {
	case "/live/manifest.mpd":
		_, _ = fmt.Fprint(w, o.mpd())
		return
	case "/live/master.m3u8":
		_, _ = fmt.Fprint(w, "#EXTM3U\n#EXT-X-VERSION:9\n"+
			`#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="en",DEFAULT=YES,AUTOSELECT=YES,URI="audio/en/ll.m3u8"`+"\n"+
			`#EXT-X-STREAM-INF:BANDWIDTH=394146,CODECS="avc1.4D401E,mp4a.40.2",RESOLUTION=640x360,AUDIO="a"`+"\nvideo/360p/ll.m3u8\n")
		return
	}
	for folder, track := range o.tracks {
		if file, ok := strings.CutPrefix(r.URL.Path, "/live/"+folder+"/"); ok {
			o.serveFile(w, r, folder, track, file)
			return
		}
	}
	http.NotFound(w, r)
}

// serveFile answers for a file of a track. What is about to be made is waited for.
func (o *lowLatencyOrigin) serveFile(w http.ResponseWriter, r *http.Request, folder string, track livePieces, file string) {
	var segment, part int
	switch {
	case file == "init.mp4":
		_, _ = w.Write(track.init)
	case file == "ll.m3u8":
		o.servePlaylist(w, r, folder, track)
	case scan(file, "seg_%d.m4s", &segment) && segment >= 1 && segment <= len(track.segments):
		o.send(w, r, folder, track.segments[segment-1])
	case scan(file, "part_%d.%d.m4s", &segment, &part):
		if piece, ok := track.find(segment, part); ok {
			o.send(w, r, folder, []livePiece{piece})
			return
		}
		http.NotFound(w, r)
	default:
		http.NotFound(w, r)
	}
}

func scan(text, format string, into ...any) bool {
	n, err := fmt.Sscanf(text, format, into...)
	return err == nil && n == len(into)
}

// send writes the pieces, each as soon as it is made.
func (o *lowLatencyOrigin) send(w http.ResponseWriter, r *http.Request, folder string, pieces []livePiece) {
	if pieces[0].at > o.now()+liveSegment {
		http.NotFound(w, r)
		return
	}
	if pieces[len(pieces)-1].at > o.now() {
		o.mu.Lock()
		o.early[folder]++
		o.mu.Unlock()
	}
	w.Header().Set("Content-Type", "video/mp4")
	control := http.NewResponseController(w)
	for _, piece := range pieces {
		if !o.wait(r, piece.at) {
			return
		}
		if _, err := w.Write(piece.data); err != nil {
			return
		}
		_ = control.Flush() // nobody is there to be told
	}
}

// wait returns at that time on the channel's clock, or false when the client has gone before.
func (o *lowLatencyOrigin) wait(r *http.Request, until time.Duration) bool {
	select {
	case <-time.After(until - o.now()):
		return true
	case <-r.Context().Done():
		return false
	}
}

// servePlaylist answers a blocking reload (8216bis, 6.2.5.2) once the part that it names is there.
func (o *lowLatencyOrigin) servePlaylist(w http.ResponseWriter, r *http.Request, folder string, track livePieces) {
	if query := r.URL.Query(); query.Has("_HLS_msn") {
		segment, err := strconv.Atoi(query.Get("_HLS_msn"))
		part, err2 := strconv.Atoi(query.Get("_HLS_part"))
		piece, ok := track.find(segment, part)
		if err != nil || err2 != nil || !ok || piece.at > o.now()+3*liveSegment {
			http.Error(w, "not a part of the near future", http.StatusBadRequest)
			return
		}
		if !o.wait(r, piece.at) {
			return
		}
	}
	_, _ = fmt.Fprint(w, o.playlist(folder, track))
}

// playlist lists all segments so far, the last ones with their parts, and what comes next.
func (o *lowLatencyOrigin) playlist(folder string, track livePieces) string {
	now := o.now()
	current, pieces := track.published(now)
	var target time.Duration
	for _, segment := range track.segments {
		for _, piece := range segment {
			target = max(target, piece.duration)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=%.5f\n"+
		"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,PART-HOLD-BACK=2.0\n"+
		"#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-MAP:URI=\"init.mp4\"\n", target.Seconds())
	fmt.Fprintf(&b, "#EXT-X-PROGRAM-DATE-TIME:%s\n", o.started().UTC().Format("2006-01-02T15:04:05.000Z"))
	for n := 1; n <= min(current, len(track.segments)); n++ {
		var duration time.Duration
		for k, piece := range track.segments[n-1] {
			duration += piece.duration
			if n < current-3 || n == current && k >= pieces {
				continue
			}
			fmt.Fprintf(&b, "#EXT-X-PART:DURATION=%.5f,URI=\"part_%d.%d.m4s\"", piece.duration.Seconds(), n, k)
			if k == 0 || folder != lowLatencyFolders[0] {
				b.WriteString(",INDEPENDENT=YES")
			}
			b.WriteString("\n")
		}
		if n < current {
			fmt.Fprintf(&b, "#EXTINF:%.5f,\nseg_%d.m4s\n", duration.Seconds(), n)
		}
	}
	fmt.Fprintf(&b, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part_%d.%d.m4s\"\n", current, pieces)
	for other, reported := range o.tracks {
		if other == folder {
			continue
		}
		segment, part := reported.published(now)
		if part == 0 {
			segment--
			part = len(reported.segments[segment-1])
		}
		fmt.Fprintf(&b, "#EXT-X-RENDITION-REPORT:URI=\"../../%s/ll.m3u8\",LAST-MSN=%d,LAST-PART=%d\n", other, segment, part-1)
	}
	return b.String()
}

// mpd says that a segment can be asked for when its first chunk is there.
func (o *lowLatencyOrigin) mpd() string {
	now := time.Now().UTC().Format(time.RFC3339Nano)
	template := `<SegmentTemplate timescale="1" duration="2" startNumber="1" availabilityTimeOffset="1.8" availabilityTimeComplete="false" ` +
		`initialization="%[1]s/$RepresentationID$/init.mp4" media="%[1]s/$RepresentationID$/seg_$Number$.m4s"/>`
	return `<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" profiles="urn:mpeg:dash:profile:isoff-live:2011,http://www.dashif.org/guidelines/low-latency-live-v5"
  availabilityStartTime="` + o.started().UTC().Format(time.RFC3339Nano) + `" publishTime="` + now + `"
  minimumUpdatePeriod="PT4S" timeShiftBufferDepth="PT20S" suggestedPresentationDelay="PT3S" minBufferTime="PT1S" maxSegmentDuration="PT2.1S">
 <ServiceDescription id="0"><Latency target="3000" min="1500" max="8000"/><PlaybackRate min="0.96" max="1.04"/></ServiceDescription>
 <Period id="1" start="PT0S">
  <AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true">` + fmt.Sprintf(template, "video") + `
   <Representation id="360p" bandwidth="325476" codecs="avc1.4D401E" width="640" height="360"/></AdaptationSet>
  <AdaptationSet id="2" contentType="audio" mimeType="audio/mp4" lang="en" segmentAlignment="true">` + fmt.Sprintf(template, "audio") + `
   <Representation id="en" bandwidth="68670" codecs="mp4a.40.2" audioSamplingRate="48000"/></AdaptationSet>
 </Period>
 <UTCTiming schemeIdUri="urn:mpeg:dash:utc:direct:2014" value="` + now + `"/>
</MPD>`
}

// requests counts the requests so far whose path and query hold all the words.
func (o *lowLatencyOrigin) requests(words ...string) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, request := range o.seen {
		if holdsAll(request, words) {
			n++
		}
	}
	return n
}

func holdsAll(text string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}
