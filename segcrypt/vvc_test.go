package segcrypt

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// vvcFile returns a VVC file of a real encoder: 50 pictures with B slices, dual trees, ALF, LMCS and many reference lists. It is
// one of the test files of mp4ff, a module that this one depends on, so it is in the module cache wherever the tests run.
func vvcFile(t testing.TB) (init Clear, fragments []Clear) {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/Eyevinn/mp4ff").Output()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "mp4", "testdata", "vvc_400kbps_2s.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	return cutFile(t, b)
}

func newVVCProtector(t testing.TB, init Clear, scheme drm.ProtectionScheme) *Protector {
	t.Helper()
	in, err := ParseInitWith(init, ParseOptions{VVC: true})
	if err != nil {
		t.Fatal(err)
	}
	pr, err := NewProtector(in, testProtection(scheme))
	if err != nil {
		t.Fatal(err)
	}
	return pr
}

// TestVVC: every slice header of a real stream ends in its alignment bits, so it was measured to the bit; what is behind it is
// protected, and decrypts.
func TestVVC(t *testing.T) {
	init, fragments := vvcFile(t)
	if _, err := ParseInit(init); !errors.Is(err, ErrUnsupportedSampleEntry) {
		t.Errorf("not switched on: %v", err)
	}
	for _, scheme := range drm.Schemes {
		pr := newVVCProtector(t, init, scheme)
		n := 0
		for _, f := range fragments {
			clear, samples, err := decryptSegment(mustProtect(t, pr, f), scheme, 0)
			if err != nil || !bytes.Equal(clear, mdatPayload(f)) {
				t.Fatalf("%s: %v", scheme, err)
			}
			n += countProtected(samples)
			for _, s := range samples {
				if len(s.subs) != 1 || s.subs[0].clear > 400 {
					t.Errorf("%s: %v", scheme, s.subs)
				}
			}
		}
		if n < 45 {
			t.Errorf("%s: %d samples protected", scheme, n)
		}
	}
}

// vvcPartitions writes a synthetic PPS for pictures of 640 by 384 samples in CTUs of 64, so ten columns and six rows of them, up to
// the slices; the rest switches everything off.
func vvcPartitions(tiles func(w *bitWriter)) []byte {
	w := new(bitWriter)
	w.u(16, vvcPPSType<<3|1).u(6, 0).u(4, 0).flags(0).ue(640, 384).flags(0, 0).flags(0, 0, 0)
	w.u(2, 1)
	tiles(w)
	w.flags(0).ue(0, 0).flags(0, 0, 0, 0).ue(0).flags(0, 0).flags(0)
	w.flags(0, 0, 0, 0) // reference lists, SAO, ALF, quantizers in the picture header
	w.flags(0, 0, 0)
	return w.stop()
}

// TestVVCSlices: how many substreams a slice has decides how long its header is (H.266, 7.3.2.5 and 7.4.8). Synthetic.
func TestVVCSlices(t *testing.T) {
	for name, tc := range map[string]struct {
		tiles   func(w *bitWriter)
		columns uint32
		rows    []uint32
		want    []vvcSubstreams
		is      error
	}{
		"one tile, one slice": {func(w *bitWriter) { w.ue(0, 0, 9, 5).flags(1).flags(0) }, 1, []uint32{6}, []vvcSubstreams{{1, 6}}, nil},
		"tiles of even width, raster slices": {
			func(w *bitWriter) { w.ue(0, 0, 3, 2).flags(0, 0).flags(0) }, 3, []uint32{3, 3}, nil, nil,
		},
		"one slice of all tiles": {
			func(w *bitWriter) { w.ue(0, 0, 4, 2).flags(0, 1, 1).flags(0) }, 2, []uint32{3, 3}, []vvcSubstreams{{4, 12}}, nil,
		},
		"one slice for each row of tiles": {
			func(w *bitWriter) { w.ue(0, 0, 4, 2).flags(0, 1, 0).ue(1).ue(1, 0).flags(0) }, 2, []uint32{3, 3},
			[]vvcSubstreams{{2, 6}, {2, 6}}, nil,
		},
		"a tile in three slices, a whole one, and the row below": {
			func(w *bitWriter) { w.ue(0, 0, 4, 2).flags(0, 1, 0).ue(4).flags(0).ue(0, 0, 1, 0).ue(0).flags(0) }, 2, []uint32{3, 3},
			[]vvcSubstreams{{1, 1}, {1, 1}, {1, 1}, {1, 3}, {2, 6}}, nil,
		},
		"a tile in four slices of two explicit heights, the other whole": {
			func(w *bitWriter) { w.ue(0, 0, 4, 5).flags(0, 1, 0).ue(4).flags(0).ue(0, 2, 0, 1).flags(0) }, 2, []uint32{6},
			[]vvcSubstreams{{1, 1}, {1, 2}, {1, 2}, {1, 1}, {1, 6}}, nil,
		},
		"slices that say where the next begins": {
			func(w *bitWriter) { w.ue(0, 0, 4, 2).flags(0, 1, 0).ue(2).flags(1).ue(0, 0, 0, 1).ue(0, 0, 1).flags(0) }, 2, []uint32{3, 3},
			[]vvcSubstreams{{1, 3}, {1, 3}, {2, 6}}, nil,
		},
		"a next slice in front of the picture": {
			func(w *bitWriter) { w.ue(0, 0, 4, 2).flags(0, 1, 0).ue(2).flags(1).ue(0, 0, 0, 2).ue(0, 0, 1).flags(0) }, 0, nil, nil, errVVCParam,
		},
		"a tile wider than the picture": {func(w *bitWriter) { w.ue(0, 0, 10, 5) }, 0, nil, nil, errVVCParam},
	} {
		t.Run(name, func(t *testing.T) {
			var p vvcParams
			err := p.addPPS(vvcPartitions(tc.tiles))
			if !errors.Is(err, tc.is) {
				t.Fatal(err)
			}
			if err != nil {
				return
			}
			q := p.pps[0]
			if q.columns != tc.columns || !slices.Equal(q.rowHeights, tc.rows) || !slices.Equal(q.slices, tc.want) {
				t.Errorf("%d columns, rows %v, slices %v", q.columns, q.rowHeights, q.slices)
			}
		})
	}
}

// TestVVCRefused: slices without what they depend on, of layers and types without rules.
func TestVVCRefused(t *testing.T) {
	init, fragments := vvcFile(t)
	first := fragments[0]
	for name, tc := range map[string]struct {
		sample []byte
		is     error
	}{
		"a slice without a picture header": {nal(0, 0<<3|1, 0, 0, 0), errVVCPicture},
		"a slice of another layer":         {nal(1, 0<<3|1, 0x80, 0), errVVCLayer},
		"a slice of a reserved type":       {nal(0, 5<<3|1, 0x80, 0), errVVCType},
		"a PPS that nobody sent":           {nal(0, 0<<3|1, 0b1001_0000, 0b0111_1110, 0), errVVCNoParam},
		"a picture header that ends":       {nal(0, 19<<3|1), errBitsExhausted},
	} {
		pr := newVVCProtector(t, init, drm.SchemeCenc)
		if out, err := pr.ProtectSegment(nil, videoChunk(tc.sample)); out != nil || !errors.Is(err, tc.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(first) == 0 || !errors.Is(errVVCNoParam, ErrParameterSets) {
		t.Error("a missing parameter set does not say so")
	}
}
