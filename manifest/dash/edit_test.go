package dash

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
)

// everything protects whatever it is asked for.
type everything struct{}

func (everything) AdaptationSet(_ context.Context, set AdaptationSet) (Protection, error) {
	p := Protection{Scheme: drm.SchemeCenc, KID: drm.KID{1}, Systems: []System{{ID: drm.SystemClearKey, LicenseURL: "/l"}}}
	for range set.Representations {
		p.Tracks = append(p.Tracks, TrackProtection{
			Elements: []string{"~seal"},
			Timeline: &Timeline{Timescale: 1, Segments: []TimelineSegment{{Duration: 2}}},
			Segment:  func(Resource) ([]string, error) { return []string{"~seal"}, nil },
		})
	}
	return p, nil
}

func (everything) Sidecar(context.Context, address.Target, string) ([]string, error) {
	return []string{"~seal"}, nil
}

func (everything) Thumbnails(context.Context, address.Template) ([]string, error) {
	return []string{"~seal"}, nil
}

// TestUndoingTheEditsGivesTheOriginal shows that the result is the document and the edits, and nothing besides.
func TestUndoingTheEditsGivesTheOriginal(t *testing.T) {
	names, err := filepath.Glob("testdata/*.mpd")
	if err != nil || len(names) == 0 {
		t.Fatal("no documents", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			mpd, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			o := Options{Base: address.NewBase("/vod/demo/m.mpd", nil), From: "/vod/demo/m.mpd", Protector: everything{}}
			mpd = bytes.ReplaceAll(mpd, []byte("https://origin.example/clear/"), []byte("/"))
			edits, err := rewrite(t.Context(), mpd, o)
			if err != nil {
				t.Fatal(err)
			}
			out, err := splice(mpd, edits)
			if err != nil {
				t.Fatal(err)
			}
			var undo []edit
			shift := 0
			for _, e := range edits { // splice has sorted them
				start := e.start + shift
				undo = append(undo, edit{start: start, end: start + len(e.text), text: string(mpd[e.start:e.end])})
				shift += len(e.text) - (e.end - e.start)
			}
			back, err := splice(out, undo)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(back, mpd) || bytes.Equal(out, mpd) {
				t.Errorf("undone:\n%s", back)
			}
		})
	}
}

func TestSpliceRefusesWhatOverlaps(t *testing.T) {
	for name, edits := range map[string][]edit{
		"overlap":          {{start: 0, end: 3}, {start: 2, end: 4}},
		"inside":           {{start: 0, end: 3}, {start: 1, end: 1, text: "x"}},
		"backwards":        {{start: 3, end: 2}},
		"behind the end":   {{start: 5, end: 6}},
		"before the start": {{start: -1, end: 0}},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := splice([]byte("12345"), edits); !errors.Is(err, ErrOptions) || out != nil {
				t.Errorf("%s, %v", out, err)
			}
		})
	}
	out, err := splice([]byte("12345"), []edit{{4, 5, ""}, {1, 1, "a"}, {1, 1, "b"}, {1, 2, "c"}})
	if err != nil || string(out) != "1abc34" {
		t.Errorf("%s, %v", out, err)
	}
}
