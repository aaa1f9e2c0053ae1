package segcrypt

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// leadOf is pr, in whose lead everything lies.
func leadOf(pr *Protector) *Protector {
	lead := *pr
	lead.clearUntil = ClearAlways
	return &lead
}

// withLead is the Protection of the tests with a lead.
func withLead(scheme drm.ProtectionScheme, until uint64) Protection {
	p := testProtection(scheme)
	p.ClearUntil = until
	return p
}

// checkClearLead plans seg, which can be protected, as one of a lead: its samples are where its boxes say and as they were, nothing
// describes them as encrypted, and all ways to write it give the same bytes.
func checkClearLead(t testing.TB, pr *Protector, seg Clear) []byte {
	t.Helper()
	out := mustProtect(t, pr, seg)
	checkWriteTo(t, pr, seg, out)
	if !bytes.Equal(mdatPayload(out), mdatPayload(seg)) {
		t.Fatal("the samples are not those of the source")
	}
	samples, err := readProtected(out, pr.scheme, 0)
	if err != nil {
		t.Fatal(err)
	}
	covered := 0
	for _, s := range samples {
		if s.subs != nil || s.iv != 0 {
			t.Fatal("a clear sample has auxiliary information")
		}
		covered += len(s.data)
	}
	if payload := len(mdatPayload(out)); covered != payload {
		t.Fatalf("samples cover %d of %d bytes", covered, payload)
	}
	eachTraf(t, out, func(traf map[fourCC]box) {
		for _, typ := range []fourCC{typSenc, typSaiz, typSaio} {
			if _, ok := traf[typ]; ok {
				t.Fatalf("a clear traf with %s", typ)
			}
		}
	})
	if !bytes.Contains(seg, []byte("sidx")) && !bytes.Contains(seg, []byte("ssix")) {
		if got := streamed(t, pr.NewStream(), seg); !bytes.Equal(got, out) {
			t.Fatal("chunk by chunk the bytes differ")
		}
	}
	return out
}

// eachTraf calls visit with the children of every traf.
func eachTraf(t testing.TB, seg []byte, visit func(traf map[fourCC]box)) {
	t.Helper()
	err := eachBox(seg, 0, len(seg), "seg", func(moof box) error {
		if moof.typ != typMoof {
			return nil
		}
		return eachBox(seg, moof.payload(), moof.end, "moof", func(traf box) error {
			if traf.typ != typTraf {
				return nil
			}
			boxes := map[fourCC]box{}
			defer visit(boxes)
			return eachBox(seg, traf.payload(), traf.end, "traf", func(b box) error {
				boxes[b.typ] = b
				return nil
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// descriptions returns the sample_description_index of every tfhd, 0 where it has none.
func descriptions(t testing.TB, seg []byte) (all []uint32) {
	t.Helper()
	eachTraf(t, seg, func(traf map[fourCC]box) {
		p, index := traf[typTfhd].payload(), uint32(0)
		if flags := be32(seg, p); flags&tfhdBaseOffset != 0 {
			t.Fatal("a tfhd with base_data_offset")
		} else if flags&tfhdDescription != 0 {
			index = be32(seg, p+8)
		}
		all = append(all, index)
	})
	return all
}

// sampleEntries returns the types of the sample entries of an init segment, and checks that they are counted right.
func sampleEntries(t testing.TB, init []byte) (types []string) {
	t.Helper()
	at := bytes.Index(init, []byte("stsd")) - 4
	stsd, err := nextBox(init, at, len(init))
	if err != nil {
		t.Fatal(err)
	}
	err = eachBox(init, stsd.payload()+8, stsd.end, "stsd", func(b box) error {
		types = append(types, b.typ.String())
		return nil
	})
	if n := be32(init, stsd.payload()+4); err != nil || int(n) != len(types) {
		t.Fatalf("entry_count is %d, sample entries are %d (%v)", n, len(types), err)
	}
	return types
}

// TestLeadInit: behind the protected entries come their clear twins, byte for byte; without a lead nothing is different.
func TestLeadInit(t *testing.T) {
	two := initParts{entries: [][]byte{entryAudio("mp4a", mk("esds", n32(0))), entryAudio("Opus", mk("dOps", n32(1, 2)))}}
	for name, tc := range map[string]struct {
		init Clear
		want []string
	}{
		"one":  {readTestdata(t, "avc-init.mp4"), []string{"encv", "avc1"}},
		"two":  {two.build(), []string{"enca", "enca", "mp4a", "Opus"}},
		"text": {initParts{handler: "text", entries: [][]byte{mk("wvtt", make([]byte, 8))}}.build(), []string{"wvtt"}},
	} {
		for _, scheme := range drm.Schemes {
			plain := newTestProtector(t, tc.init, testProtection(scheme)).Init()
			lead := newTestProtector(t, tc.init, withLead(scheme, 1)).Init()
			if got := sampleEntries(t, lead); !slices.Equal(got, tc.want) {
				t.Errorf("%s: %v, want %v", name, got, tc.want)
			}
			if err := eachBox(lead, 0, len(lead), "init", func(box) error { return nil }); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			from := bytes.Index(tc.init, []byte("stsd")) + 12
			stsd, _ := nextBox(tc.init, from-16, len(tc.init))
			if twins := tc.init[from:stsd.end]; name != "text" && (len(lead) != len(plain)+len(twins) || !bytes.Contains(lead, twins)) {
				t.Errorf("%s: %d bytes, without a lead %d, twins of %d", name, len(lead), len(plain), len(twins))
			}
			if name == "text" && !bytes.Equal(lead, plain) {
				t.Error("a text track has an other init segment with a lead")
			}
		}
	}
}

// TestLeadShapes: a tfhd of a lead names the twin of the entry that it named, in whatever form it came; indexes follow.
func TestLeadShapes(t *testing.T) {
	base := uint64(0)
	two := initParts{entries: [][]byte{entryAudio("mp4a", mk("esds", n32(0))), entryAudio("Opus")}}
	for name, tc := range map[string]struct {
		init initParts
		seg  []byte
		want []uint32
	}{
		"without an index":    {initParts{}, defaultChunk().build(), []uint32{2}},
		"of the first of two": {two, defaultChunk().build(), []uint32{3}},
		"of the second":       {two, with(func(c *chunkParts) { c.tfhdFlags, c.desc = tfhdBaseIsMoof|tfhdDescription, 2 }), []uint32{4}},
		"base_data_offset and sizes": {
			initParts{}, with(func(c *chunkParts) {
				c.tfhdFlags, c.base, c.size = tfhdBaseOffset|tfhdSize, &base, 80
				c.runs = []runParts{{sizes: []uint32{80, 80}}}
			}), []uint32{2},
		},
		"a run without offset": {initParts{}, with(func(c *chunkParts) { c.runs[0].noOffset = true }), []uint32{2}},
		"left over boxes":      {initParts{}, with(func(c *chunkParts) { c.traf = slices.Concat(mk("senc", n32(0, 0)), mk("saiz", n32(0, 0, 0))) }), []uint32{2}},
		"a large mdat":         {initParts{}, with(func(c *chunkParts) { c.largeMdat = true }), []uint32{2}},
		"two chunks":           {initParts{}, slices.Concat(defaultChunk().build(), mk("free", make([]byte, 4)), defaultChunk().build()), []uint32{2, 2}},
	} {
		for _, scheme := range drm.Schemes {
			pr := newTestProtector(t, tc.init.build(), withLead(scheme, ClearAlways))
			if name == "base_data_offset and sizes" {
				out := mustProtect(t, pr, tc.seg)
				if got := descriptions(t, out); !slices.Equal(got, tc.want) || !bytes.Equal(mdatPayload(out), mdatPayload(tc.seg)) {
					t.Errorf("%s: entries %v, want %v", name, got, tc.want)
				}
				continue
			}
			if got := descriptions(t, checkClearLead(t, pr, tc.seg)); !slices.Equal(got, tc.want) {
				t.Errorf("%s, %s: entries %v, want %v", name, scheme, got, tc.want)
			}
		}
	}
}

// TestLeadIndex: sidx and ssix say where things are in what leaves, whose tfhd has grown by 4 bytes.
func TestLeadIndex(t *testing.T) {
	chunk := defaultChunk().build()
	size := uint32(len(chunk))
	ranges := []uint32{level(0, size-60), level(1, 60)}
	in := slices.Concat(sidxBox(0, uint32(len(ssixBox(ranges))), size), ssixBox(ranges), chunk)
	ranges = []uint32{level(0, size+4-60), level(1, 60)}
	want := slices.Concat(sidxBox(0, uint32(len(ssixBox(ranges))), size+4), ssixBox(ranges))
	out := checkClearLead(t, newTestProtector(t, initParts{}.build(), withLead(drm.SchemeCenc, ClearAlways)), in)
	if !bytes.HasPrefix(out, want) || len(out) != len(want)+int(size)+4 {
		t.Errorf("%x\nwant %x and %d bytes", out[:len(want)], want, size+4)
	}
}

// at is a chunk that begins at a decode time.
func at(ticks uint64) []byte {
	c := defaultChunk().build()
	i := bytes.Index(c, []byte("tfdt"))
	binary.BigEndian.PutUint32(c[i+8:], uint32(ticks))
	return c
}

// TestLeadBoundary: what begins before the tick leaves clear, and nothing else: not the tick itself, not what does not say when it
// begins. The first fragment decides for a segment, and for a stream.
func TestLeadBoundary(t *testing.T) {
	untimed := bytes.Replace(at(0), append(n32(16), "tfdt"...), append(n32(16), "free"...), 1)
	for name, tc := range map[string]struct {
		until uint64
		seg   []byte
		want  []uint32
	}{
		"the beginning":             {96_000, at(0), []uint32{2}},
		"the last tick":             {96_000, at(95_999), []uint32{2}},
		"the boundary":              {96_000, at(96_000), []uint32{0}},
		"behind it":                 {96_000, at(96_001), []uint32{0}},
		"no lead":                   {0, at(0), []uint32{0}},
		"no decode time":            {96_000, untimed, []uint32{0}},
		"always, no decode time":    {ClearAlways, untimed, []uint32{2}},
		"the first one decides":     {96_000, slices.Concat(at(95_999), at(96_000)), []uint32{2, 2}},
		"the first one decides too": {96_000, slices.Concat(at(96_000), at(0)), []uint32{0, 0}},
	} {
		pr := newTestProtector(t, initParts{}.build(), withLead(drm.SchemeCbcs, tc.until))
		out := mustProtect(t, pr, tc.seg)
		if got := descriptions(t, out); !slices.Equal(got, tc.want) {
			t.Errorf("%s: entries %v, want %v", name, got, tc.want)
		}
		if clear := bytes.Equal(mdatPayload(out), mdatPayload(tc.seg)); clear != (tc.want[0] != 0) {
			t.Errorf("%s: clear is %t", name, clear)
		}
		if got := streamed(t, pr.NewStream(), tc.seg); !bytes.Equal(got, out) {
			t.Errorf("%s: chunk by chunk the bytes differ", name)
		}
	}
}

// TestLeadOfSeveralTracks: the tick is one of the first track, whatever track a segment begins with; text stays as it is, and keeps
// its own sample entry.
func TestLeadOfSeveralTracks(t *testing.T) {
	p := withLead(drm.SchemeCenc, 96_000)
	init := muxedInit(initParts{}, initParts{}, textParts)
	second := bytes.LastIndex(init[:bytes.LastIndex(init, []byte("mdhd"))], []byte("mdhd"))
	binary.BigEndian.PutUint32(init[second+16:], 1000)
	pr := newTestProtector(t, init, p)
	for ticks, clear := range map[uint32]bool{0: true, 1999: true, 2000: false, 95_999: false} {
		seg := muxedChunk(muxedData(),
			trafParts{2, tfhdBaseIsMoof, 0, []placedRun{{0, []uint32{100}, false}}, mk("tfdt", n32(0, ticks))},
			trafParts{3, tfhdBaseIsMoof, 0, []placedRun{{160, []uint32{8}, false}}, nil},
			trafParts{1, tfhdBaseIsMoof, 0, []placedRun{{100, []uint32{60}, false}, {168, []uint32{40}, false}}, nil})
		want := []uint32{0, 0, 0}
		if clear {
			want = []uint32{2, 0, 2}
			checkClearLead(t, pr, seg)
		}
		if got := descriptions(t, mustProtect(t, pr, seg)); !slices.Equal(got, want) {
			t.Errorf("at %d: entries %v, want %v", ticks, got, want)
		}
	}
}

// TestLeadProperty: segments of any layout leave with their samples as they were.
func TestLeadProperty(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	pr := leadOf(twoAndText(t, drm.SchemeCenc))
	for range 300 {
		seg, _ := randomMuxed(r)
		checkClearLead(t, pr, seg)
	}
}

// TestLeadTruncate: a cut segment is the start of the whole one.
func TestLeadTruncate(t *testing.T) {
	seg := at(0)
	pr := newTestProtector(t, initParts{}.build(), withLead(drm.SchemeCenc, ClearAlways))
	whole := mustProtect(t, pr, seg)
	s, err := pr.Plan(bytes.Clone(seg))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	if err := s.Truncate(len(seg) - 60); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil || !bytes.Equal(b.Bytes(), whole[:len(whole)-60]) {
		t.Errorf("%d bytes of %d, %v", b.Len(), len(whole), err)
	}
}

// TestLeadInterop: of a title whose first segment is clear, ffmpeg and shaka-packager read the whole; without the key nothing but the
// lead.
func TestLeadInterop(t *testing.T) {
	for structure, write := range structures {
		for _, name := range []string{"avc", "hevc", "av1-tiles", "vp9-hidden", "aac", "opus", "ec-3"} {
			t.Run(structure+"/"+name, func(t *testing.T) {
				t.Parallel()
				m, dir := loadMedia(t, name), t.TempDir()
				write(t, m, dir)
				init, segments := readStructure(t, dir)
				want := packetHashes(t, slices.Concat(init, slices.Concat(segments...)))
				lead := len(packetHashes(t, slices.Concat(init, segments[0])))
				for _, scheme := range drm.Schemes {
					checkLeadTitle(t, scheme, m, init, segments, want, lead)
				}
			})
		}
	}
}

func checkLeadTitle(t *testing.T, scheme drm.ProtectionScheme, m *media, init Clear, segments []Clear, want []string, lead int) {
	t.Helper()
	second, err := newTestProtector(t, init, testProtection(scheme)).Plan(bytes.Clone(segments[1]))
	if err != nil {
		t.Fatal(err)
	}
	boundary, ok := second.DecodeTime()
	second.Release()
	if !ok || boundary == 0 {
		t.Fatalf("the second segment begins at %d", boundary)
	}
	pr := newTestProtector(t, init, withLead(scheme, boundary))
	title, encrypted := slices.Clone([]byte(pr.Init())), slices.Clone([]byte(pr.Init()))
	for i, seg := range segments {
		if i == 0 {
			title = append(title, checkClearLead(t, pr, seg)...)
			continue
		}
		part := mustProtect(t, pr, seg)
		title, encrypted = append(title, part...), append(encrypted, part...)
	}
	if got := packetHashes(t, title, "-decryption_key", testKeyHex); !slices.Equal(got, want) {
		t.Errorf("%s: ffmpeg: %d of %d packets differ", scheme, countDiffer(got, want), len(want))
	}
	if got := packetHashes(t, decryptByPackager(t, title, m.stream)); !slices.Equal(got, want) {
		t.Errorf("%s: packager: %d of %d packets differ", scheme, countDiffer(got, want), len(want))
	}
	without := packetHashes(t, title)
	if m.name == "ec-3" { // where a packet ends, ffmpeg finds by the frame behind it, which is encrypted
		without[lead-1] = want[lead-1]
	}
	if !slices.Equal(without[:lead], want[:lead]) {
		t.Errorf("%s: without the key %d of %d packets of the lead differ", scheme, countDiffer(without[:lead], want[:lead]), lead)
	}
	_, samples, err := decryptSegment(encrypted, scheme, 0)
	if err != nil || countDiffer(without[lead:], want[lead:]) != countProtected(samples) {
		t.Errorf("%s: without the key %d packets behind the lead differ, want %d (%v)", scheme, countDiffer(without[lead:], want[lead:]),
			countProtected(samples), err)
	}
	if strings.Count(string(title), "senc") == 0 && countProtected(samples) == 0 {
		t.Errorf("%s: nothing is encrypted", scheme)
	}
}
