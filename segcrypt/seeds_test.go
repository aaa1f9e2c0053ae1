package segcrypt

import (
	"flag"
	"os"
	"slices"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

var update = flag.Bool("update", false, "write the samples that seed the fuzz targets")

// TestWriteSeeds writes, with -update, the first samples of an AV1 and of an HEVC fixture with their parameter sets in-band.
// The files in testdata are small enough to keep.
func TestWriteSeeds(t *testing.T) {
	if !*update {
		t.Skip("only with -update")
	}
	for name, fixture := range map[string]string{"av1-sample": "av1-tiles", "hevc-sample": "hevc-slices"} {
		m := loadMedia(t, fixture)
		in, err := ParseInit(m.init)
		if err != nil {
			t.Fatal(err)
		}
		pl := new(plan)
		if err := pl.build(m.fragments[0], in, drm.SchemeCenc); err != nil {
			t.Fatal(err)
		}
		at := pl.fragments[0].mdat.payload()
		b := slices.Clone(m.fragments[0][at : at+pl.samples[0].size])
		if e := in.tracks[0].entries[0]; e.codec == codecHEVC {
			small := at + pl.samples[0].size
			b = slices.Concat(nal(e.hevc.sps[0].raw...), nal(e.hevc.pps[0].raw...), m.fragments[0][small:small+pl.samples[1].size])
		}
		if err := os.WriteFile("testdata/"+name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
