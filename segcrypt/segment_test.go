package segcrypt

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// defaultChunk is two samples of 100 and 60 bytes.
func defaultChunk() chunkParts {
	return chunkParts{tfhdFlags: tfhdBaseIsMoof, runs: simpleRun(100, 60), data: pattern(160, 1)}
}

func with(change func(c *chunkParts)) []byte {
	c := defaultChunk()
	change(&c)
	return c.build()
}

// TestProtectShapes: every legal way to place samples gives output that decrypts to the same samples.
func TestProtectShapes(t *testing.T) {
	base, wholeFileBase := uint64(0), uint64(123456)
	for name, tc := range map[string]struct {
		init initParts
		seg  []byte
	}{
		"plain":                {seg: defaultChunk().build()},
		"two chunks":           {seg: slices.Concat(defaultChunk().build(), with(func(c *chunkParts) { c.data = pattern(160, 2) }))},
		"default size in trex": {init: initParts{trexSize: 40}, seg: with(func(c *chunkParts) { c.runs = []runParts{{sizes: []uint32{40, 40, 40, 40}}} })},
		"default size in tfhd": {init: initParts{trexSize: 7}, seg: with(func(c *chunkParts) {
			c.tfhdFlags |= tfhdSize
			c.size = 80
			c.runs = []runParts{{sizes: []uint32{80, 80}}}
		})},
		"description in tfhd":    {seg: with(func(c *chunkParts) { c.tfhdFlags |= tfhdDescription; c.desc = 1 })},
		"base is moof is absent": {seg: with(func(c *chunkParts) { c.tfhdFlags = 0 })},
		"base of this segment":   {seg: with(func(c *chunkParts) { c.tfhdFlags = tfhdBaseOffset; c.base = &base })},
		"base of a whole file":   {seg: with(func(c *chunkParts) { c.tfhdFlags = tfhdBaseOffset; c.base = &wholeFileBase })},
		"no data offset":         {seg: with(func(c *chunkParts) { c.runs[0].noOffset = true })},
		"two runs":               {seg: with(func(c *chunkParts) { c.runs = append(simpleRun(100), simpleRun(60)...) })},
		"second run has no offset": {seg: with(func(c *chunkParts) {
			c.runs = append(simpleRun(100), runParts{flags: trunSize, sizes: []uint32{60}, noOffset: true})
		})},
		"64-bit mdat":         {seg: with(func(c *chunkParts) { c.largeMdat = true })},
		"samples of no bytes": {seg: with(func(c *chunkParts) { c.runs = simpleRun(0, 100, 0, 0, 60, 0) })},
		"no samples":          {seg: with(func(c *chunkParts) { c.runs, c.data = nil, nil })},
		"free in moof":        {seg: with(func(c *chunkParts) { c.moof, c.traf = mk("free", pattern(50, 3)), mk("skip", pattern(9, 4)) })},
		"sample groups":       {seg: with(func(c *chunkParts) { c.traf = mk("sbgp", n32(0), []byte("roll"), n32(1, 2, 1)) })},
	} {
		for _, scheme := range drm.Schemes {
			t.Run(name+"/"+scheme.String(), func(t *testing.T) {
				pr := newTestProtector(t, tc.init.build(), testProtection(scheme))
				before := bytes.Clone(tc.seg)
				out := mustProtect(t, pr, tc.seg)
				if !bytes.Equal(before, tc.seg) {
					t.Error("the input was changed")
				}
				clear, samples, err := decryptSegment(out, scheme, tc.init.trexSize)
				if err != nil || !bytes.Equal(clear, mdatPayload(tc.seg)) {
					t.Fatalf("the samples differ after decryption (%v)", err)
				}
				for i, s := range samples {
					if scheme == drm.SchemeCenc && i > 0 && name != "two chunks" && s.iv != samples[i-1].iv+1 {
						t.Errorf("sample %d has IV %x after %x", i, s.iv, samples[i-1].iv)
					}
				}
				again, err := pr.ProtectSegment([]byte("prefix"), tc.seg)
				if err != nil || !bytes.Equal(again, append([]byte("prefix"), out...)) {
					t.Errorf("a second run, appended to other bytes, differs (%v)", err)
				}
			})
		}
	}
}

// TestProtectRefuses: what could leave in clear, or cannot be described, is an error that says where.
func TestProtectRefuses(t *testing.T) {
	clearCopy := pattern(160, 1)
	huge := append(putHeader(nil, 1, typMdat), 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	for name, tc := range map[string]struct {
		seg  []byte
		path string
		is   error
	}{
		"nothing":                       {nil, "segment", errNoFragment},
		"HTML":                          {[]byte("<html>not found</html>"), "segment", errBoxTruncated},
		"a clear copy in a second mdat": {slices.Concat(defaultChunk().build(), mk("mdat", clearCopy)), "mdat", errStrayMdat},
		"mdat first":                    {slices.Concat(mk("mdat", clearCopy), defaultChunk().build()), "mdat", errStrayMdat},
		"an unknown box":                {slices.Concat(mk("abcd", clearCopy), defaultChunk().build()), "abcd", errTopLevel},
		"a uuid box":                    {slices.Concat(defaultChunk().build(), mk("uuid", clearCopy)), "uuid", errTopLevel},
		"moov":                          {slices.Concat(initParts{}.build(), defaultChunk().build()), "ftyp", errTopLevel},
		"moof without mdat":             {with(func(c *chunkParts) { c.noMdat = true }), "moof[1]", errNoMdat},
		"moof before another box":       {slices.Concat(with(func(c *chunkParts) { c.noMdat = true }), mk("free"), mk("mdat", clearCopy)), "moof[1]", errNoMdat},
		"mdat cut":                      {defaultChunk().build()[:200], "mdat", errBoxTruncated},
		"bytes behind the samples":      {with(func(c *chunkParts) { c.tail = []byte{1} }), "mdat", errDataUnused},
		"samples behind mdat":           {with(func(c *chunkParts) { c.runs = simpleRun(100, 61) }), "moof[1]/traf/trun", errDataPast},
		"data offset into moof":         {with(func(c *chunkParts) { c.runs[0].shift = -20 }), "moof[1]/traf/trun", errDataPlace},
		"negative data offset":          {with(func(c *chunkParts) { c.runs[0].shift = -1 << 30 }), "moof[1]/traf/trun", errDataPlace},
		"data offset past the first":    {with(func(c *chunkParts) { c.runs[0].shift = 1 }), "mdat", errDataUnused},
		"overlapping runs": {with(func(c *chunkParts) {
			c.runs = append(simpleRun(100), runParts{flags: trunSize, sizes: []uint32{60}, shift: -100})
		}), "moof[1]/traf/trun", errDataPlace},
		"a gap between runs": {with(func(c *chunkParts) {
			c.runs = append(simpleRun(50), runParts{flags: trunSize, sizes: []uint32{60}, shift: 50})
		}), "mdat", errDataUnused},
		"sample count 2^32-1":            {with(func(c *chunkParts) { c.runs[0].count = 1<<32 - 1 }), "moof[1]/traf/trun", errBoxLength},
		"sample count 2^32-1 of nothing": {with(func(c *chunkParts) { c.runs = []runParts{{count: 1<<32 - 1}} }), "moof[1]/traf/trun", errSampleCount},
		"another track":                  {with(func(c *chunkParts) { c.trackID = 2 }), "moof[1]/traf/tfhd", ErrTrackMismatch},
		"a description that is not":      {with(func(c *chunkParts) { c.tfhdFlags |= tfhdDescription; c.desc = 2 }), "moof[1]/traf/tfhd", errDescriptions},
		"a box hidden in moof":           {with(func(c *chunkParts) { c.moof = mk("meta", clearCopy) }), "moof[1]/meta", errMoofBox},
		"a box hidden in traf":           {with(func(c *chunkParts) { c.traf = mk("udta", clearCopy) }), "moof[1]/traf/udta", errTrafBox},
		"bytes hidden in sdtp":           {with(func(c *chunkParts) { c.traf = mk("sdtp", n32(0), clearCopy) }), "moof[1]/traf/sdtp", errBoxLength},
		"PIFF senc":                      {with(func(c *chunkParts) { c.traf = mk("uuid", piffTypes[0][:], n32(0, 0)) }), "moof[1]/traf/uuid", ErrAlreadyProtected},
		"seig":                           {with(func(c *chunkParts) { c.traf = mk("sgpd", n32(0), []byte("seig"), n32(0, 0)) }), "moof[1]/traf/sgpd", ErrAlreadyProtected},
		"pssh in moof":                   {with(func(c *chunkParts) { c.moof = mk("pssh", n32(0, 0, 0, 0, 0, 0)) }), "moof[1]/pssh", ErrAlreadyProtected},
		"box of size 0":                  {slices.Concat(defaultChunk().build(), putHeader(nil, 0, typFree)), "segment", errBoxOpenEnded},
		"box of size 4":                  {slices.Concat(putHeader(nil, 4, typFree), defaultChunk().build()), "segment", errBoxSize},
		"mdat of size 2^63-1":            {slices.Concat(with(func(c *chunkParts) { c.noMdat = true }), huge), "mdat", errBoxTruncated},
		"the second chunk":               {slices.Concat(defaultChunk().build(), with(func(c *chunkParts) { c.trackID = 9 })), "moof[2]/traf/tfhd", ErrTrackMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			pr := newTestProtector(t, initParts{}.build(), testProtection(drm.SchemeCenc))
			out, err := pr.ProtectSegment(make([]byte, 0, 1<<16), tc.seg)
			var fe *FormatError
			if !errors.As(err, &fe) || !errors.Is(err, tc.is) || fe.Path != tc.path || out != nil {
				t.Fatalf("got %v (path %q), want %q at %q", err, fe, tc.is, tc.path)
			}
			if fe.Offset < 0 || fe.Offset > int64(len(tc.seg)) {
				t.Errorf("offset %d of %d", fe.Offset, len(tc.seg))
			}
		})
	}
}

// TestProtectDeepBoxes: nesting costs no stack and no time.
func TestProtectDeepBoxes(t *testing.T) {
	deep := mk("free")
	for range 20000 {
		deep = append(putHeader(nil, 8+len(deep), typTraf), deep...)
		if len(deep) > 1<<16 {
			break
		}
	}
	pr := newTestProtector(t, initParts{}.build(), testProtection(drm.SchemeCenc))
	if _, err := pr.ProtectSegment(nil, with(func(c *chunkParts) { c.traf = deep })); err == nil {
		t.Error("nested traf boxes were accepted")
	}
}

func topLevelTypes(t *testing.T, seg []byte) string {
	t.Helper()
	var types []string
	if err := eachBox(seg, 0, len(seg), "seg", func(b box) error {
		types = append(types, b.typ.String())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(types, " ")
}

func TestTopLevelBoxes(t *testing.T) {
	styp, prft, emsg := mk("styp", []byte("msdh"), n32(0)), mk("prft", pattern(20, 1)), mk("emsg", pattern(40, 2))
	seg := slices.Concat(styp, prft, emsg, mk("free", pattern(64, 1)), mk("ssix", n32(0, 0)), defaultChunk().build(), mk("mfra", n32(0)))
	out := mustProtect(t, newTestProtector(t, initParts{}.build(), testProtection(drm.SchemeCenc)), seg)
	if got := topLevelTypes(t, out); got != "styp prft emsg free moof mdat" {
		t.Errorf("got %s", got)
	}
	if !bytes.HasPrefix(out, slices.Concat(styp, prft, emsg, mk("free", make([]byte, 64)))) {
		t.Error("styp, prft or emsg changed, or free kept its contents")
	}
}

// sidxBox builds a sidx; each reference is a size and a duration.
func sidxBox(version, firstOffset uint32, sizes ...uint32) []byte {
	b := n32(version<<24, 1, 48000)
	if version == 0 {
		b = append(b, n32(77, firstOffset)...)
	} else {
		b = append(b, n32(0, 77, 0, firstOffset)...)
	}
	b = append(b, n32(uint32(len(sizes)))...)
	for _, s := range sizes {
		b = append(b, n32(s, 2048, 0x90000000)...)
	}
	return mk("sidx", b)
}

// TestSidx: referenced sizes follow the moof that grew; an index of something else is left out.
func TestSidx(t *testing.T) {
	one, two := defaultChunk().build(), with(func(c *chunkParts) { c.runs = simpleRun(10, 10, 140) })
	size := func(b []byte) uint32 { return uint32(len(b)) }
	growth := func(samples uint32) uint32 { return 53 + 8*samples } // senc 16+8N, saiz 17, saio 20
	free := mk("free", make([]byte, 10))
	for name, tc := range map[string]struct {
		in, want []byte
	}{
		"one reference over both": {sidxBox(0, 0, size(one)+size(two)), sidxBox(0, 0, size(one)+size(two)+growth(2)+growth(3))},
		"two references":          {sidxBox(0, 0, size(one), size(two)), sidxBox(0, 0, size(one)+growth(2), size(two)+growth(3))},
		"version 1":               {sidxBox(1, 0, size(one), size(two)), sidxBox(1, 0, size(one)+growth(2), size(two)+growth(3))},
		"a reference to an index": {sidxBox(0, 0, 1<<31|size(one)), sidxBox(0, 0, 1<<31|(size(one)+growth(2)))},
		"only the second":         {sidxBox(0, size(one), size(two)), sidxBox(0, size(one)+growth(2), size(two)+growth(3))},
		"past the end":            {sidxBox(0, 0, size(one), size(two)+1), nil},
		"inside a box":            {sidxBox(0, 0, 100), nil},
		"huge":                    {sidxBox(0, 0, 0x7fffffff, 0x7fffffff), nil},
		"before a dropped box":    {slices.Concat(sidxBox(0, 12, size(one)), mk("ssix", n32(0))), sidxBox(0, 0, size(one)+growth(2))},
		"before a free box":       {slices.Concat(sidxBox(0, size(free), size(one)), free), slices.Concat(sidxBox(0, size(free), size(one)+growth(2)), free)},
		"over a dropped sidx":     {slices.Concat(sidxBox(0, 44, size(one)), sidxBox(0, 0, 1)), sidxBox(0, 0, size(one)+growth(2))},
		"too short":               {mk("sidx", n32(0, 1)), nil},
	} {
		t.Run(name, func(t *testing.T) {
			pr := newTestProtector(t, initParts{}.build(), testProtection(drm.SchemeCenc))
			out := mustProtect(t, pr, slices.Concat(tc.in, one, two))
			media := mustProtect(t, pr, slices.Concat(one, two))
			if !bytes.Equal(out, slices.Concat(tc.want, media)) {
				t.Errorf("got  %x\nwant %x", out[:len(out)-len(media)], tc.want)
			}
		})
	}
}

// TestProtectBounded: a megabyte of the smallest boxes, NAL units or index entries costs time and memory in proportion.
func TestProtectBounded(t *testing.T) {
	audio := newTestProtector(t, initParts{}.build(), testProtection(drm.SchemeCenc))
	video := newTestProtector(t, readTestdata(t, "avc-init.mp4"), testProtection(drm.SchemeCenc))
	index := make([]uint32, 65535)
	var sidxs []byte
	for range 20000 {
		sidxs = append(sidxs, sidxBox(0, 0, 1)...)
	}
	for name, tc := range map[string]struct {
		pr  *Protector
		seg []byte
	}{
		"boxes":       {audio, append(bytes.Repeat(mk("free"), 1<<17), defaultChunk().build()...)},
		"chunks":      {audio, bytes.Repeat(defaultChunk().build(), 3000)},
		"NAL units":   {video, videoChunk(bytes.Repeat(nal(9), 200_000))},
		"references":  {audio, append(sidxBox(0, 0, index...), defaultChunk().build()...)},
		"sidx":        {audio, append(sidxs, defaultChunk().build()...)},
		"empty runs":  {audio, with(func(c *chunkParts) { c.runs = append(make([]runParts, 60_000), simpleRun(160)...) })},
		"tiny slices": {video, videoChunk(bytes.Repeat(nal(6, 0), 150_000))},
	} {
		start := time.Now()
		out, err := tc.pr.ProtectSegment(nil, tc.seg)
		if elapsed := time.Since(start); elapsed > 10*time.Second {
			t.Errorf("%s: %v for %d bytes", name, elapsed, len(tc.seg))
		}
		if len(out) > 3*len(tc.seg) {
			t.Errorf("%s: %d bytes of %d", name, len(out), len(tc.seg))
		}
		t.Logf("%s: %d bytes, %v", name, len(tc.seg), err)
	}
}
