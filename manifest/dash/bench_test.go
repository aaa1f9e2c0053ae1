package dash_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

// BenchmarkRewrite measures a live window of 25 Periods with five Representations each and a long timeline per set, about
// 1 MB. Seals are the protector's own work and not part of it.
func BenchmarkRewrite(b *testing.B) {
	var mpd strings.Builder
	mpd.WriteString(`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic">` + "\n")
	for p := range 25 {
		fmt.Fprintf(&mpd, "  <Period id=\"%d\">\n", p)
		for _, kind := range []string{"video", "audio"} {
			fmt.Fprintf(&mpd, `    <AdaptationSet contentType="%s" mimeType="%[1]s/mp4">`+"\n", kind)
			fmt.Fprintf(&mpd, `      <SegmentTemplate timescale="90000" initialization="p%d/$RepresentationID$/init.mp4" media="p%[1]d/$RepresentationID$/$Time$.m4s"><SegmentTimeline>`+"\n", p)
			for s := range 450 {
				fmt.Fprintf(&mpd, "        <S t=\"%d\" d=\"180000\"/>\n", s*180000)
			}
			mpd.WriteString("      </SegmentTimeline></SegmentTemplate>\n")
			for r := range 5 {
				fmt.Fprintf(&mpd, `      <Representation id="%s%d" bandwidth="%d" codecs="avc1.64001f"/>`+"\n", kind, r, r+1)
			}
			mpd.WriteString("    </AdaptationSet>\n")
		}
		mpd.WriteString("  </Period>\n")
	}
	mpd.WriteString("</MPD>\n")
	benchmarkRewrite(b, mpd.String(), dash.Rotation{})
}

// benchmarkRewrite rewrites a document whose sets have five Representations each.
func benchmarkRewrite(b *testing.B, mpd string, rotation dash.Rotation) {
	doc := []byte(mpd)
	p := fixed{Protection: dash.Protection{Scheme: 1, KID: testKID, Systems: clearKeyAt("/l")}}
	for range 5 {
		p.Tracks = append(p.Tracks, dash.TrackProtection{Elements: []string{"~" + strings.Repeat("s", 150)}})
	}
	o := dash.Options{Base: address.NewBase(testPath, nil), From: testPath, Protector: p, Rotation: rotation}
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	written := 0
	for b.Loop() {
		out, err := dash.Rewrite(b.Context(), doc, o)
		if err != nil {
			b.Fatal(err)
		}
		written = len(out)
	}
	b.ReportMetric(float64(written), "bytes-out")
}

// BenchmarkRotate measures a static MPD of about 1 MB: 13 hours in segments of four seconds, one S for each, five Representations in two
// sets, without rotation and with a new key every hour and every minute.
func BenchmarkRotate(b *testing.B) {
	var mpd strings.Builder
	mpd.WriteString(`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period id="1">` + "\n")
	for _, kind := range []string{"video", "audio"} {
		fmt.Fprintf(&mpd, `  <AdaptationSet contentType="%s" mimeType="%[1]s/mp4">`+"\n", kind)
		mpd.WriteString(`    <SegmentTemplate timescale="90000" initialization="$RepresentationID$/init.mp4" media="$RepresentationID$/$Time$.m4s"><SegmentTimeline>` + "\n")
		for s := range 12_000 {
			fmt.Fprintf(&mpd, "      <S t=\"%d\" d=\"%d\"/>\n", s*360000, 360000-s%2) // no two in a row are of one duration
		}
		mpd.WriteString("    </SegmentTimeline></SegmentTemplate>\n")
		for r := range 5 {
			fmt.Fprintf(&mpd, `    <Representation id="%s%d" bandwidth="%d" codecs="avc1.64001f"/>`+"\n", kind, r, r+1)
		}
		mpd.WriteString("  </AdaptationSet>\n")
	}
	mpd.WriteString("</Period></MPD>\n")
	for _, length := range []time.Duration{0, time.Hour, time.Minute} {
		b.Run(fmt.Sprint("every ", length), func(b *testing.B) {
			benchmarkRewrite(b, mpd.String(), dash.Rotation{Length: length})
		})
	}
}
