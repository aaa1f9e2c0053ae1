package hls

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkRewrite(b *testing.B) {
	var playlist strings.Builder
	playlist.WriteString(mediaTop + mapIn)
	for i := range 10_000 {
		fmt.Fprintf(&playlist, "#EXTINF:4.000,\nvideo_%d.m4s\n", i)
	}
	playlist.WriteString("#EXT-X-ENDLIST\n")
	in := []byte(playlist.String())
	o, _ := testOptions()
	o.Protector = fixedProtector{[]string{"~" + strings.Repeat("a", 120)}, []Key{{Method: "SAMPLE-AES", URI: "k"}}}
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Rewrite(b.Context(), in, o); err != nil {
			b.Fatal(err)
		}
	}
}
