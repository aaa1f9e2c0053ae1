package e2e_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/e2e/player"
)

// rangeOrigin serves a folder and remembers what of its media files was sent.
type rangeOrigin struct {
	*httptest.Server
	files http.Handler
	mu    sync.Mutex
	sent  []sentRange
}

type sentRange struct {
	path, asked string
	status      int
	bytes       int
}

// countingWriter counts the bytes of a body.
type countingWriter struct {
	http.ResponseWriter
	status, bytes int
}

func (w *countingWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.bytes += n
	return n, err
}

func newRangeOrigin(t *testing.T) *rangeOrigin {
	t.Helper()
	o := &rangeOrigin{files: http.FileServer(http.Dir(clearMedia(t)))}
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	return o
}

func (o *rangeOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	counted := &countingWriter{ResponseWriter: w, status: http.StatusOK}
	o.files.ServeHTTP(counted, r)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent = append(o.sent, sentRange{r.URL.Path, r.Header.Get("Range"), counted.status, counted.bytes})
}

// checkOnlyRanges checks that every request for media asked for a range and got just that, in pieces no larger than limit.
func (o *rangeOrigin) checkOnlyRanges(t *testing.T, limit int) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := 0
	for _, s := range o.sent {
		if path.Ext(s.path) == ".mpd" || path.Ext(s.path) == ".m3u8" {
			continue
		}
		seen++
		if s.asked == "" || s.status != http.StatusPartialContent || s.bytes > limit {
			t.Errorf("%s, Range %q, was answered %d with %d bytes", s.path, s.asked, s.status, s.bytes)
		}
	}
	if seen < 8 {
		t.Errorf("the origin was asked for %d ranges", seen)
	}
}

// Whatever a manifest of single files lists has nothing clear in it, is the same on another node, and costs the origin just the
// range that it stands for.
func TestSingleFilesAreFetchedByRange(t *testing.T) {
	origin := newRangeOrigin(t)
	first, second := mediaGateway(t, origin.URL), mediaGateway(t, origin.URL)
	clear := newClearRuns(slices.Concat(readMedia(t, "single", "v.mp4"), readMedia(t, "single", "a.mp4"), readMedia(t, "ranges", "v.mp4")))
	if len(clear) < 500 || !clear.in(readMedia(t, "single", "a.mp4")) {
		t.Fatal("clear media would not be noticed")
	}
	for _, scheme := range drm.Schemes {
		for _, manifest := range []string{"single/m.mpd", "single/m.m3u8", "ranges/m.m3u8"} {
			t.Run(manifest+" "+scheme.String(), func(t *testing.T) {
				listed := listedMedia(t, first+"/auto/"+manifest+"?drm="+scheme.String())
				if want := 14 - 7*strings.Count(manifest, "ranges"); len(listed) != want { // an init segment and six others per track
					t.Fatalf("%d URLs of media are listed, want %d", len(listed), want)
				}
				for _, target := range listed {
					body := mustGet(t, target).body
					if clear.in(body) {
						t.Errorf("clear media in %s", target)
					}
					if other := mustGet(t, strings.Replace(target, first, second, 1)); !bytes.Equal(body, other.body) {
						t.Errorf("another node answers %s with other bytes", target)
					}
				}
			})
		}
	}
	origin.checkOnlyRanges(t, 60_000)
}

// listedMedia returns the addresses of the init and media segments of a manifest and of the playlists below it.
func listedMedia(t *testing.T, manifest string) (all []string) {
	t.Helper()
	body := mustGet(t, manifest).body
	switch {
	case bytes.Contains(body, []byte("<MPD")):
		return listedDASH(t, manifest, body)
	case bytes.Contains(body, []byte("#EXTINF")):
		tr := parsePlaylist(t, manifest, manifest, body)
		return append([]string{tr.init}, tr.segments...)
	}
	media, _ := playlists(t, manifest, body)
	for _, playlist := range media {
		all = append(all, listedMedia(t, playlist)...)
	}
	return all
}

// listedDASH expands the templates of an MPD that has one per Representation, with numbers.
func listedDASH(t *testing.T, manifest string, body []byte) (all []string) {
	t.Helper()
	var doc struct {
		Representations []struct {
			ID       string          `xml:"id,attr"`
			BaseURL  string          `xml:"BaseURL"`
			Template segmentTemplate `xml:"SegmentTemplate"`
		} `xml:"Period>AdaptationSet>Representation"`
	}
	if err := xml.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	for _, r := range doc.Representations {
		base := resolve(t, manifest, r.BaseURL)
		all = append(all, resolve(t, base, strings.ReplaceAll(r.Template.Init, "$RepresentationID$", r.ID)))
		for i := range r.Template.segments(t, "") {
			number := strconv.Itoa(max(1, r.Template.StartNumber) + i)
			all = append(all, resolve(t, base, strings.NewReplacer("$RepresentationID$", r.ID, "$Number$", number).Replace(r.Template.Media)))
		}
	}
	return all
}

// The players seek in ranges that ffmpeg wrote, and ffmpeg reads them from beginning to end.
func TestByteRangesOfFFmpegPlay(t *testing.T) {
	address := mediaGateway(t, newRangeOrigin(t).URL)
	for _, c := range []struct {
		player player.Player
		query  string
	}{{player.Shaka, "drm=cenc&keyformat=identity"}, {player.HlsJS, "drm=cbcs&keyformat=clearkey"}} {
		t.Run(fmt.Sprintf("%s %s", c.player, c.query), func(t *testing.T) {
			parallel(t)
			s := mustPlay(t, player.Options{Player: c.player, URL: address + "/auto/ranges/m.m3u8?" + c.query, Silent: true})
			checkFrames(t, s, 5.6, 1.96, 9)
			checkEncrypted(t, resultOf(t, s))
		})
	}
	want := framemd5(t, nil, "-v", "error", "-i", filepath.Join(clearMedia(t), "ranges", "v.mp4"))
	for _, scheme := range drm.Schemes {
		t.Run("ffmpeg "+scheme.String(), func(t *testing.T) {
			got := framemd5(t, nil, "-v", "error", "-i", address+"/auto/ranges/m.m3u8?keyformat=identity&drm="+scheme.String())
			if !slices.Equal(got, want) {
				t.Error(compare(got, want))
			}
		})
	}
}
