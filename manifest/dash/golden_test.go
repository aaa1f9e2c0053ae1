package dash_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

var update = flag.Bool("update", false, "write the golden files anew")

func documents(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/*.mpd")
	if err != nil || len(names) == 0 {
		t.Fatal("no documents", err)
	}
	found := map[string][]byte{}
	for _, name := range names {
		mpd, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found[strings.TrimSuffix(filepath.Base(name), ".mpd")] = mpd
	}
	return found
}

func TestGolden(t *testing.T) {
	for name, mpd := range documents(t) {
		t.Run(name, func(t *testing.T) {
			g := newGateway()
			if name == "live" {
				g.session = "viewer"
			}
			o := options(g)
			out, err := dash.Rewrite(t.Context(), mpd, o)
			if err != nil {
				t.Fatal(err)
			}
			urls, _, err := play(out, o.From)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range urls {
				if _, err := g.open(u); err != nil {
					t.Error(err)
				}
			}
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, out, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(out)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// schemaOrder is the order of children in the schema of 23009-1:2022, as far as it concerns what is inserted.
var schemaOrder = map[string][]string{
	"AdaptationSet": {
		"FramePacking", "AudioChannelConfiguration", "ContentProtection", "OutputProtection", "EssentialProperty",
		"SupplementalProperty", "InbandEventStream", "Switching", "RandomAccess", "GroupLabel", "Label", "ProducerReferenceTime",
		"ContentPopularityRate", "Resync", "Accessibility", "Role", "Rating", "Viewpoint", "ContentComponent", "BaseURL",
		"SegmentBase", "SegmentList", "SegmentTemplate", "Representation",
	},
	"Representation": {
		"AudioChannelConfiguration", "ContentProtection", "Resync", "BaseURL", "ExtendedBandwidth", "SubRepresentation", "SegmentBase", "SegmentList", "SegmentTemplate",
	},
}

func TestChildrenKeepTheOrderOfTheSchema(t *testing.T) {
	for name, mpd := range documents(t) {
		t.Run(name, func(t *testing.T) {
			out, err := dash.Rewrite(t.Context(), mpd, options(newGateway()))
			if err != nil {
				t.Fatal(err)
			}
			for _, doc := range [][]byte{mpd, out} {
				if element, child := misordered(t, doc); element != "" {
					t.Errorf("%s out of order in %s", child, element)
				}
			}
		})
	}
}

// misordered returns the first child that stands behind one that should follow it.
func misordered(t *testing.T, doc []byte) (element, child string) {
	t.Helper()
	type level struct {
		name string
		at   int
	}
	stack := []*level{{}}
	d := xml.NewDecoder(bytes.NewReader(doc))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return "", ""
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			parent := stack[len(stack)-1]
			if order, ok := schemaOrder[parent.name]; ok {
				at := slices.Index(order, token.Name.Local)
				if at < parent.at {
					return parent.name, token.Name.Local
				}
				parent.at = at
			}
			stack = append(stack, &level{name: token.Name.Local})
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		}
	}
}
