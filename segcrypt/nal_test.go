package segcrypt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/Eyevinn/mp4ff/av1"
	"github.com/Eyevinn/mp4ff/avc"
	"github.com/Eyevinn/mp4ff/hevc"

	"github.com/caddy-drm/caddy-drm/drm"
)

// nal puts a four-byte length in front.
func nal(b ...byte) []byte { return append(put32(nil, uint32(len(b))), b...) }

// splitNALs returns the NAL units of a sample with four-byte lengths.
func splitNALs(b []byte) [][]byte {
	var nals [][]byte
	for len(b) >= 4 {
		n := int(binary.BigEndian.Uint32(b))
		nals = append(nals, b[4:4+n])
		b = b[4+n:]
	}
	return nals
}

// tinySamples returns the samples of the fixture in testdata.
func tinySamples(t testing.TB) (Clear, [][]byte) {
	t.Helper()
	seg := readTestdata(t, "avc-1.m4s")
	in, err := ParseInit(readTestdata(t, "avc-init.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	pl := new(plan)
	if err := pl.build(seg, in, drm.SchemeCenc); err != nil {
		t.Fatal(err)
	}
	var samples [][]byte
	at := pl.fragments[0].mdat.payload()
	for _, s := range pl.samples {
		samples = append(samples, seg[at:at+s.size])
		at += s.size
	}
	return seg, samples
}

func videoChunk(samples ...[]byte) Clear {
	c := chunkParts{tfhdFlags: tfhdBaseIsMoof, data: slices.Concat(samples...)}
	var sizes []uint32
	for _, s := range samples {
		sizes = append(sizes, uint32(len(s)))
	}
	c.runs = simpleRun(sizes...)
	return c.build()
}

// TestNALUnits: what cannot be walked or measured is refused, and a refused sample says which it is.
func TestNALUnits(t *testing.T) {
	_, samples := tinySamples(t)
	slice := splitNALs(samples[1])[0]
	for name, tc := range map[string]struct {
		sample []byte
		is     error
	}{
		"length 0":                      {slices.Concat(nal(9, 0x10), n32(0)), errNALLength},
		"length past the sample":        {slices.Concat(n32(100), []byte{9}), errNALLength},
		"length 2^32-1":                 {slices.Concat(n32(1<<32-1), []byte{9}), errNALLength},
		"bytes behind the last":         {append(nal(9, 0x10), 0, 0), errNALLength},
		"data partition A":              {nal(2, 0x80), errAVCPartition},
		"data partition C":              {nal(4, 0x80), errAVCPartition},
		"MVC slice":                     {nal(20, 0x80, 0, 0), errAVCExtension},
		"a slice that ends in the head": {nal(slice[:2]...), errBitsExhausted},
		"a slice of an unknown PPS":     {nal(0x41, 0b1001_1000, 0b1100_0000, 0xff, 0xff), errAVCNoParam},
		"an endless Exp-Golomb code":    {nal(append([]byte{0x41}, make([]byte, 40)...)...), errGolomb},
		"an SPS that ends":              {nal(0x67, 100), errBitsExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			pr := newTestProtector(t, readTestdata(t, "avc-init.mp4"), testProtection(drm.SchemeCenc))
			out, err := pr.ProtectSegment(nil, videoChunk(nal(9, 0x10), tc.sample))
			var fe *FormatError
			if out != nil || !errors.As(err, &fe) || !errors.Is(err, tc.is) || fe.Path != "moof[1]/traf/trun/sample[2]" {
				t.Errorf("got %v, want %q", err, tc.is)
			}
		})
	}
}

// TestInBandParameterSets: avc3 without sets in the init, with them in the first sample only. The sets that a segment brings
// do not reach the next one.
func TestInBandParameterSets(t *testing.T) {
	init := readTestdata(t, "avc-init.mp4")
	in, err := ParseInit(init)
	if err != nil {
		t.Fatal(err)
	}
	sps, pps := in.tracks[0].entries[0].avc.sps[0].raw, in.tracks[0].entries[0].avc.pps[0].raw
	copy(init[bytes.Index(init, []byte("avc1")):], "avc3")
	record := init[bytes.Index(init, []byte("avcC"))+4:]
	record[5], record[6] = 0xe0, 0
	pr := newTestProtector(t, init, testProtection(drm.SchemeCbcs))
	_, samples := tinySamples(t)
	first := slices.Concat(nal(sps...), nal(pps...), samples[0])
	seg := slices.Concat(videoChunk(first, samples[1]), videoChunk(samples[2]))
	clear, read, err := decryptSegment(mustProtect(t, pr, seg), drm.SchemeCbcs, 0)
	if err != nil || !bytes.Equal(clear, mdatPayload(seg)) || countProtected(read) != 3 {
		t.Errorf("%v, %d samples protected", err, countProtected(read))
	}
	if _, err := pr.ProtectSegment(nil, videoChunk(samples[2])); !errors.Is(err, errAVCNoParam) {
		t.Errorf("a segment without sets: %v", err)
	}
}

// TestManySlices: 60 slices in one sample need merging; everything is still described and decrypts.
func TestManySlices(t *testing.T) {
	_, samples := tinySamples(t)
	big := splitNALs(samples[0])
	sample := bytes.Repeat(nal(big[len(big)-1]...), 60)
	for _, scheme := range drm.Schemes {
		pr := newTestProtector(t, readTestdata(t, "avc-init.mp4"), testProtection(scheme))
		seg := videoChunk(sample)
		clear, read, err := decryptSegment(mustProtect(t, pr, seg), scheme, 0)
		if err != nil || !bytes.Equal(clear, mdatPayload(seg)) {
			t.Fatalf("%s: %v", scheme, err)
		}
		if n := len(read[0].subs); n < 38 || n > 42 {
			t.Errorf("%s: %d subsamples", scheme, n)
		}
	}
}

// TestSliceHeaderSizes compares the lengths of slice headers with another parser's, where that one is exact: streams
// without weighted prediction tables of odd sizes or predicted reference sets give the same length.
func TestSliceHeaderSizes(t *testing.T) {
	for _, name := range []string{"avc", "avc-slices-cavlc", "hevc-plain"} {
		m := loadMedia(t, name)
		in, err := ParseInit(m.init)
		if err != nil {
			t.Fatal(err)
		}
		e := &in.tracks[0].entries[0]
		avcSPSs, avcPPSs := map[uint32]*avc.SPS{}, map[uint32]*avc.PPS{}
		hevcSPSs, hevcPPSs := map[uint32]*hevc.SPS{}, map[uint32]*hevc.PPS{}
		if e.codec == codecAVC {
			avcSPSs[0], _ = avc.ParseSPSNALUnit(e.avc.sps[0].raw, false)
			avcPPSs[0], _ = avc.ParsePPSNALUnit(e.avc.pps[0].raw, avcSPSs)
		} else {
			hevcSPSs[0], _ = hevc.ParseSPSNALUnit(e.hevc.sps[0].raw)
			hevcPPSs[0], _ = hevc.ParsePPSNALUnit(e.hevc.pps[0].raw, hevcSPSs)
		}
		compared := 0
		for _, b := range splitNALs(mdatPayload(m.all())) {
			var ours int
			var theirs uint32
			switch {
			case e.codec == codecAVC && (b[0]&31 == avcSlice || b[0]&31 == avcIDR):
				ours, err = e.avc.sliceHeaderSize(b)
				if sh, theirErr := avc.ParseSliceHeader(b, avcSPSs, avcPPSs); theirErr == nil {
					theirs = sh.Size
				}
			case e.codec == codecHEVC && b[0]>>1&63 <= hevcCRA:
				ours, err = e.hevc.sliceHeaderSize(b)
				if sh, theirErr := hevc.ParseSliceHeader(b, hevcSPSs, hevcPPSs); theirErr == nil {
					theirs = sh.Size
				}
			default:
				continue
			}
			if compared++; err != nil || uint32(ours) != theirs {
				t.Errorf("%s: a slice header of %d bytes, %v; the other parser says %d", name, ours, err, theirs)
			}
		}
		if compared < 40 {
			t.Errorf("%s: only %d slices", name, compared)
		}
	}
}

func TestBitReader(t *testing.T) {
	r := bitReader{buf: []byte{0b1010_0110, 0b0100_0010, 0xff}}
	if a, b, c, d, e := r.ue(), r.ue(), r.se(), r.ue(), r.u(4); a != 0 || b != 1 || c != -1 || d != 3 || e != 0b0010 {
		t.Errorf("got %d %d %d %d %d", a, b, c, d, e)
	}
	escaped := bitReader{buf: []byte{0, 0, 3, 1, 0, 0, 3}, escaped: true}
	if got := escaped.u(24); got != 1 || escaped.bytesRead() != 4 {
		t.Errorf("got %d after %d bytes", got, escaped.bytesRead())
	}
	if escaped.u(16); escaped.err != nil {
		t.Error(escaped.err)
	}
	if escaped.u(1); escaped.err == nil {
		t.Error("read past the end")
	}
}

// TestPredictedReferenceSet derives a set by hand (H.265, 7.4.8): from -1 -3 +2, all moved by -1, and -1 itself.
func TestPredictedReferenceSet(t *testing.T) {
	earlier := []hevcRPS{{delta: [16]int32{-1, -3, 2}, used: [16]bool{true, true, true}, negative: 2, total: 3}}
	// inter_ref_pic_set_prediction_flag 1, delta_rps_sign 1, abs_delta_rps_minus1 0, then used_by_curr_pic_flag: 1 0(keep 1) 1 1
	r := bitReader{buf: []byte{0b1111_0111, 0b1000_0000}}
	var got hevcRPS
	got.read(&r, earlier, false)
	if r.err != nil || got.negative != 3 || !slices.Equal(got.delta[:got.total], []int32{-1, -2, -4, 1}) || got.numUsed() != 3 {
		t.Errorf("got %v, %d negative, %d used, %v", got.delta[:got.total], got.negative, got.numUsed(), r.err)
	}
}

// TestSkipMode: allowed with a reference on either side, or with two at different times in the past (AV1, 5.9.22).
func TestSkipMode(t *testing.T) {
	for name, tc := range map[string]struct {
		hints [av1RefsPerFrame]uint32
		want  bool
	}{
		"past and future":  {[7]uint32{4, 4, 4, 4, 6, 6, 6}, true},
		"only the future":  {[7]uint32{6, 6, 6, 6, 7, 7, 7}, false},
		"one past":         {[7]uint32{4, 4, 4, 4, 4, 4, 4}, false},
		"two past":         {[7]uint32{4, 4, 3, 4, 4, 4, 4}, true},
		"only the present": {[7]uint32{5, 5, 5, 5, 5, 5, 5}, false},
		"the hint wraps":   {[7]uint32{14, 14, 14, 14, 14, 14, 7}, true},
	} {
		p := av1Parser{st: &av1State{}, seq: &av1.SequenceHeader{EnableOrderHint: true, OrderHintBits: 4}, orderHint: 5}
		for i, hint := range tc.hints {
			p.refIdx[i] = uint32(i)
			p.st.refs[i] = av1Ref{filled: true, orderHint: hint}
		}
		if got := p.skipModeAllowed(); got != tc.want || p.err != nil {
			t.Errorf("%s: %v, %v", name, got, p.err)
		}
	}
	p := av1Parser{st: &av1State{}, seq: &av1.SequenceHeader{EnableOrderHint: true, OrderHintBits: 4}}
	if p.skipModeAllowed(); !errors.Is(p.err, errAV1Reference) {
		t.Errorf("references from before the segment: %v", p.err)
	}
}
