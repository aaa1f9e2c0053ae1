//go:build unix

package dash_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		t.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// TestHostileSizesEndSoon holds documents that stay within every limit but one kind of work that could grow faster than
// they do. The bound is generous: each takes two seconds at most. It is CPU time, because test machines are shared.
func TestHostileSizesEndSoon(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	many := func(n int, s string) string { return strings.Repeat(s, n) }
	long := strings.Repeat("x", 1900)
	for name, mpd := range map[string]string{
		"elements in a template":   video(`<SegmentTemplate duration="2" initialization="i" media="$Number$">` + many(150_000, "<x/>") + `</SegmentTemplate>` + many(20_000, goodRep)),
		"alternatives":             many(150_000, "<BaseURL>https://x.example/</BaseURL>") + goodVideo(),
		"repeats":                  video(`<SegmentTemplate initialization="i" media="$Time$"><SegmentTimeline>` + many(190_000, `<S d="1" r="2147483647"/>`) + `</SegmentTimeline></SegmentTemplate>` + goodRep),
		"long templates inherited": video(segments("/"+long, "/"+long+"$Number$") + many(20_000, `<Representation id="1"/>`)),
		"a list inherited":         video(`<SegmentList><Initialization sourceURL="i"/>` + many(100_000, `<SegmentURL media="1"/>`) + `</SegmentList>` + many(20_000, `<Representation id="1"/>`)),
		"lists inside of a list":   video(`<SegmentList><Initialization sourceURL="i"/>` + many(100_000, `<SegmentURL media="1"/>`) + `</SegmentList>` + many(20_000, rep(`<SegmentList><SegmentURL media="2"/></SegmentList>`))),
		"repeats of a list":        video(`<SegmentList><Initialization sourceURL="i"/><SegmentTimeline>` + many(90_000, `<S d="1" r="2147483647"/>`) + `</SegmentTimeline>` + many(90_000, `<SegmentURL media="1"/>`) + `</SegmentList>` + goodRep),
		"one long line":            goodVideo() + "<!--" + many(1<<20, "0123456789") + "-->",
		"attributes":               goodVideo() + many(20_000, "<x"+manyAttributes(90)+"/>"),
	} {
		t.Run(name, func(t *testing.T) {
			g := fixed{Protection: dash.Protection{Scheme: drm.SchemeCenc, KID: testKID}}
			for range 20_000 {
				g.Tracks = append(g.Tracks, dash.TrackProtection{
					Elements: []string{"~seal"},
					Segment:  func(dash.Resource) ([]string, error) { return []string{"~seal"}, nil },
				})
			}
			if strings.Count(mpd, "<Representation ") == 1 {
				g.Tracks = g.Tracks[:1]
			}
			o := dash.Options{Base: address.NewBase(testPath, nil), From: testPath, Protector: g}
			start := cpuTime(t)
			out, err := dash.Rewrite(t.Context(), []byte(head+mpd+tail), o)
			took := cpuTime(t) - start
			t.Logf("%d bytes to %d in %v: %v", len(mpd), len(out), took, err)
			if strings.HasSuffix(name, " inherited") != errors.Is(err, dash.ErrLimit) {
				t.Error(err)
			}
			if took > 20*time.Second {
				t.Errorf("took %v of CPU time", took)
			}
		})
	}
}
