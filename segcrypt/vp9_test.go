package segcrypt

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// vp9Frame writes an uncompressed header (VP9, 6.2) of profile 0 and n bytes behind it. Key frames have a width; others take the
// size of their first reference, slot 0.
func vp9Frame(key bool, width uint64, n int) (frame []byte, header int) {
	w := new(bitWriter)
	w.u(2, 2).u(2, 0).flags(0)
	if key {
		w.flags(0, 1, 0).u(24, vp9SyncCode).u(3, 1).flags(0).u(16, width-1).u(16, 127).flags(0)
	} else {
		w.flags(1, 1, 0).u(2, 0).u(8, 1).u(12, 0).flags(1).flags(0).flags(0, 1)
	}
	w.flags(1, 0).u(2, 0)              // refresh_frame_context, frame_parallel_decoding_mode, frame_context_idx
	w.u(9, 8).flags(0)                 // loop filter
	w.u(8, 40).flags(0, 0, 0)          // quantization
	w.flags(0)                         // segmentation
	for i := width; i >= 512; i /= 2 { // increment_tile_cols_log2: as many ones as there may be
		w.flags(1)
	}
	w.flags(0)
	w.u(16, 9)
	return w.padded(n), len(w.b)
}

// superframe puts frames and their index together, with sizes of two bytes.
func superframe(frames ...[]byte) []byte {
	marker := byte(0xc0 | 1<<3 | len(frames) - 1)
	index := []byte{marker}
	for _, f := range frames {
		index = append(index, byte(len(f)), byte(len(f)>>8))
	}
	return slices.Concat(slices.Concat(frames...), append(index, marker))
}

func vp9Init() Clear {
	return initParts{handler: "vide", entries: [][]byte{entryVideo("vp09", mk("vpcC", n32(1<<24, 0, 0)))}}.build()
}

// TestVP9: headers and the superframe index stay clear, and the protected runs are whole blocks under either scheme: the binding
// wants the state of the counter to be known at each frame, and shaka-packager aligns in cbcs too.
func TestVP9(t *testing.T) {
	key, header := vp9Frame(true, 192, 40)
	inter, interHeader := vp9Frame(false, 192, 33)
	wide, wideHeader := vp9Frame(true, 1280, 32)
	existing := []byte{0b1000_1_000}
	for name, tc := range map[string]struct {
		sample []byte
		want   []subsample
	}{
		"a frame":                  {key, []subsample{{uint16(header) + 8, 32}}},
		"more columns of tiles":    {wide, []subsample{{uint16(wideHeader), 32}}},
		"a hidden frame":           {superframe(key, inter), []subsample{{uint16(header) + 8, 32}, {uint16(interHeader) + 1, 32}, {6, 0}}},
		"one that is shown again":  {existing, []subsample{{1, 0}}},
		"the same in a superframe": {superframe(key, existing), []subsample{{uint16(header) + 8, 32}, {7, 0}}},
		"nothing":                  {nil, []subsample{{0, 0}}},
	} {
		for _, scheme := range drm.Schemes {
			pr := newTestProtector(t, vp9Init(), testProtection(scheme))
			seg := videoChunk(tc.sample)
			clear, read, err := decryptSegment(mustProtect(t, pr, seg), scheme, 0)
			if err != nil || !bytes.Equal(clear, tc.sample) || !slices.Equal(read[0].subs, tc.want) {
				t.Errorf("%s, %s: %v, %v, want %v", name, scheme, read, err, tc.want)
			}
		}
	}
}

// TestVP9Refused: what cannot be measured, and frames whose size depends on a frame that was not read.
func TestVP9Refused(t *testing.T) {
	key, header := vp9Frame(true, 192, 20)
	inter, _ := vp9Frame(false, 192, 20)
	broken := superframe(key, inter)
	broken[len(broken)-2]++
	for name, tc := range map[string]struct {
		sample []byte
		is     error
	}{
		"no frame marker":               {[]byte{0x40, 0, 0}, errVP9Value},
		"no sync code":                  {[]byte{0x82, 1, 2, 3, 4}, errVP9Value},
		"a header that ends":            {key[:header-2], errBitsExhausted},
		"frames that do not add up":     {broken, errVP9Superframe},
		"a frame without its reference": {inter, errVP9Reference},
	} {
		pr := newTestProtector(t, vp9Init(), testProtection(drm.SchemeCenc))
		if out, err := pr.ProtectSegment(nil, videoChunk(tc.sample)); out != nil || !errors.Is(err, tc.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !errors.Is(errVP9Reference, ErrParameterSets) {
		t.Error("a missing reference does not say that an earlier chunk would help")
	}
}

// TestVP9Superframes: the fixture has them, or the comparison with packager would prove little.
func TestVP9Superframes(t *testing.T) {
	m := loadMedia(t, "vp9-hidden")
	pr := newTestProtector(t, m.init, testProtection(drm.SchemeCenc))
	samples, err := readProtected(mustProtect(t, pr, m.all()), drm.SchemeCenc, 0)
	if err != nil {
		t.Fatal(err)
	}
	hidden := 0
	for _, s := range samples {
		if len(s.subs) >= 3 {
			hidden++
		}
	}
	if hidden == 0 {
		t.Errorf("no superframe with two protected frames among %d samples", len(samples))
	}
}
