package hls

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// BenchmarkRewrite shows that time grows with the number of segments, and no faster, and what crypto periods cost that last for
// fifteen segments or one.
func BenchmarkRewrite(b *testing.B) {
	shapes := []struct{ name, top, segment string }{
		{"mapped", mapIn, "#EXTINF:4.000,\nvideo_%d.m4s\n"},
		{"ranges", mapIn, "#EXTINF:4.000,\n#EXT-X-BYTERANGE:1000@%d\nvideo.mp4\n"},
		{"bare", "", "#EXTINF:4.000,\nvideo_%d.ts\n"},
		{"parts", mapIn, "#EXT-X-PART:DURATION=2,URI=\"video_%[1]d.0.m4s\",INDEPENDENT=YES\n#EXT-X-PART:DURATION=2,URI=\"video_%[1]d.1.m4s\"\n#EXTINF:4.000,\nvideo_%[1]d.m4s\n"},
	}
	for _, shape := range shapes {
		for _, size := range []struct {
			count  int
			rotate time.Duration
		}{{1_000, 0}, {10_000, 0}, {10_000, time.Minute}, {10_000, 4 * time.Second}} {
			b.Run(fmt.Sprintf("%s/%d/rotate=%v", shape.name, size.count, size.rotate), func(b *testing.B) {
				var playlist strings.Builder
				playlist.WriteString(mediaTop + "#EXT-X-PLAYLIST-TYPE:VOD\n" + shape.top)
				for i := range size.count {
					fmt.Fprintf(&playlist, shape.segment, i)
				}
				playlist.WriteString("#EXT-X-ENDLIST\n")
				in := []byte(playlist.String())
				o, _ := testOptions()
				o.Rotation.Length = size.rotate
				o.Protector = fixedProtector{[]string{"~" + strings.Repeat("a", 120)}, []Key{{Method: "SAMPLE-AES", URI: "k"}}}
				b.SetBytes(int64(len(in)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Rewrite(b.Context(), in, o); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
