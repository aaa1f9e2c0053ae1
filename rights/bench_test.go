package rights

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/geo"
)

// manyTitles is a catalog of n titles of two windows each, a tenth of them patterns.
func manyTitles(n int) string {
	var b strings.Builder
	b.WriteString(`{"defaults": {"territories": ["eu", "CH"], "model": "subscription", "plans": ["basic", "premium"]}, "titles": [`)
	for i := range n {
		path := fmt.Sprintf("/vod/title-%06d/", i)
		if i%10 == 0 {
			path = fmt.Sprintf("/series/*/episode-%06d/", i)
		}
		fmt.Fprintf(&b, `{"id": "t%d", "path": %q, "windows": [{"start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"},
			{"model": "purchase", "start": "2026-06-01T00:00:00Z"}]},`, i, path)
	}
	return strings.TrimSuffix(b.String(), ",") + "]}"
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		c := mustParse(b, manyTitles(n))
		paths := make([]string, 1024)
		for i := range paths {
			paths[i] = fmt.Sprintf("/vod/title-%06d/video/720p/seg_%d.m4s", i*7919%n/10*10+1, i)
		}
		at, _ := geo.ParseCountry("AT")
		q := Query{Now: time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC), Country: at, Plans: []string{"premium"}}
		b.Run(fmt.Sprintf("titles=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				q.Path = paths[i%len(paths)]
				if i++; !c.Decide(q).Verdict.Admits() {
					b.Fatal("refused")
				}
			}
		})
		b.Run(fmt.Sprintf("lookup/titles=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if c.Lookup(paths[i%len(paths)]) == nil {
					b.Fatal("not found")
				}
				i++
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	text := manyTitles(100_000)
	c := mustParse(b, text)
	for name, text := range map[string]string{"json": text, "yaml": string(c.AppendYAML(nil))} {
		b.Run(name+"/titles=100000", func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				mustParse(b, text)
			}
		})
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	c := mustParse(t, testCatalog)
	at := country(t, "AT")
	for _, path := range []string{"/vod/summer/x", "/live/sports/x", "/vod/a/bonus/x", "/none"} {
		q := Query{Now: time.Date(2026, 11, 27, 18, 30, 0, 0, time.UTC), Path: path, Country: at, Plans: []string{"basic"}}
		if n := testing.AllocsPerRun(100, func() { c.Decide(q) }); n != 0 {
			t.Errorf("%s: %v allocations", path, n)
		}
	}
}
