package probe

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// parrot answers everything with one body.
type parrot struct {
	body  []byte
	asked int
}

// Fetch implements Fetcher.
func (p *parrot) Fetch(ctx context.Context, r Request) (Response, error) {
	p.asked++
	return Response{Status: 200, URL: r.URL, ContentType: "video/mp4", Body: p.body}, ctx.Err()
}

// FuzzRun: whatever a server sends, the probe ends, and says nothing of the query.
func FuzzRun(f *testing.F) {
	s := newServer(&testing.T{}, drm.SchemeCenc)
	for _, path := range []string{"/a.mpd", "/main.m3u8", "/audio/en/list.m3u8"} {
		f.Add(s.files[path].Body)
	}
	f.Add([]byte("#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-BYTERANGE:5@7\n#EXTINF:2,\na\n#EXT-X-STREAM-INF:\nb\n"))
	f.Add([]byte(`<MPD type="dynamic" availabilityStartTime="1970-01-01T00:00:00Z"><Period><AdaptationSet><SegmentTemplate duration="1" media="$Number%09d$"/><Representation id="a"/></AdaptationSet></Period></MPD>`))
	f.Add([]byte(`<MPD><Period><AdaptationSet><SegmentBase indexRange="0-9"><Initialization range="1-2"/></SegmentBase><Representation/></AdaptationSet></Period></MPD>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		defer func() {
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		}()
		report, err := Run(ctx, &parrot{body: body}, Options{
			URL: "https://media.example.com/a?token=verysecret", Now: func() time.Time { return time.Unix(1_800_000_000, 0) },
		})
		if (err == nil) == (report == nil) {
			t.Fatalf("%v, %v", err, report)
		}
		if report != nil && strings.Contains(report.Text(), "verysecret") {
			t.Fatal(report.Text())
		}
	})
}

// FuzzIndex: whatever an index says, its segments come one after the other.
func FuzzIndex(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x2csidx\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x03\xe8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x64\x00\x00\x07\xd0\x90\x00\x00\x00"), int64(100))
	f.Fuzz(func(t *testing.T, b []byte, offset int64) {
		segments, err := readIndex(b, offset&0xffffffff, "https://media.example.com/a")
		if err != nil {
			return
		}
		for i := 1; i < len(segments); i++ {
			if segments[i].start < segments[i-1].start {
				t.Fatalf("%v", segments)
			}
		}
	})
}
