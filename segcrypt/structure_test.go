package segcrypt

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// textParts is a track of WebVTT.
var textParts = initParts{handler: "text", entries: [][]byte{mk("wvtt", make([]byte, 8))}}

// otherKey is a second key.
func otherKey(t testing.TB) drm.ContentKey {
	k, err := drm.NewContentKey(drm.KID{9}, bytes.Repeat([]byte{7}, 16), mustHex(testIVHex))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// twoAndText is an init segment of two sound tracks and one of text, with a key of its own for the second.
func twoAndText(t testing.TB, scheme drm.ProtectionScheme) *Protector {
	p := testProtection(scheme)
	p.TrackKeys = map[uint32]drm.ContentKey{2: otherKey(t)}
	return newTestProtector(t, muxedInit(initParts{}, initParts{}, textParts), p)
}

// keysOfTwo are the keys of twoAndText.
func keysOfTwo(track uint32) []byte {
	return map[uint32][]byte{1: mustHex(testKeyHex), 2: bytes.Repeat([]byte{7}, 16)}[track]
}

// muxedData is the contents of an mdat for twoAndText: 100 and 60 bytes of sound, a cue of 8 bytes, 40 bytes of sound.
func muxedData() []byte { return slices.Concat(pattern(160, 1), mk("vtte"), pattern(40, 2)) }

// TestSeveralTrafs: tracks with a key each, with their data in any order and counted from any base, and text in clear.
func TestSeveralTrafs(t *testing.T) {
	data := muxedData()
	const isMoof = tfhdBaseIsMoof
	for name, trafs := range map[string][]trafParts{
		"in order": {
			{1, isMoof, 0, []placedRun{{0, []uint32{100, 60}, false}}, nil},
			{3, isMoof, 0, []placedRun{{160, []uint32{8}, false}}, nil},
			{2, isMoof, 0, []placedRun{{168, []uint32{40}, false}}, nil},
		},
		"interleaved": {
			{2, isMoof, 0, []placedRun{{100, []uint32{60}, false}}, nil},
			{1, isMoof, 0, []placedRun{{0, []uint32{100}, false}, {168, []uint32{20, 20}, false}}, nil},
			{3, isMoof, 0, []placedRun{{160, []uint32{8}, false}}, nil},
		},
		"backwards in one track": {
			{1, isMoof, 0, []placedRun{{168, []uint32{40}, false}, {0, []uint32{160}, false}}, nil},
			{3, isMoof, 0, []placedRun{{160, []uint32{8}, false}}, nil},
		},
		"one after the other": {
			{1, 0, 0, []placedRun{{0, []uint32{100}, true}, {100, []uint32{60}, true}}, nil},
			{3, 0, 0, []placedRun{{160, []uint32{8}, true}}, nil},
			{2, 0, 0, []placedRun{{168, []uint32{40}, true}}, nil},
		},
		"from the end of the data before": {
			{2, 0, 0, []placedRun{{0, []uint32{160}, false}}, nil},
			{1, 0, 0, []placedRun{{168, []uint32{40}, false}}, nil},
			{3, 0, 0, []placedRun{{160, []uint32{8}, false}}, nil},
		},
		"base of a file": {
			{1, tfhdBaseOffset, 1 << 33, []placedRun{{0, []uint32{160}, false}}, nil},
			{3, tfhdBaseOffset, 1 << 33, []placedRun{{160, []uint32{8}, false}}, nil},
			{2, tfhdBaseOffset, 1 << 33, []placedRun{{168, []uint32{40}, false}}, nil},
		},
		"one track in two trafs": {
			{1, isMoof, 0, []placedRun{{0, []uint32{80}, false}}, nil},
			{1, isMoof, 0, []placedRun{{80, []uint32{80}, false}}, nil},
			{3, isMoof, 0, []placedRun{{160, []uint32{8}, false}}, nil},
			{1, isMoof, 0, []placedRun{{168, []uint32{40}, false}}, nil},
		},
		"a traf and runs of nothing": {
			{2, isMoof | 0x10000, 0, nil, nil},
			{1, isMoof, 0, []placedRun{{0, nil, false}, {0, []uint32{160}, false}, {50, nil, false}, {208, []uint32{0, 0}, false}}, nil},
			{3, isMoof, 0, []placedRun{{160, []uint32{8}, false}}, nil},
			{2, isMoof, 0, []placedRun{{168, []uint32{40}, false}}, nil},
		},
	} {
		for _, scheme := range drm.Schemes {
			t.Run(name+"/"+scheme.String(), func(t *testing.T) {
				pr, seg := twoAndText(t, scheme), muxedChunk(data, trafs...)
				out := mustProtect(t, pr, seg)
				checkWriteTo(t, pr, seg, out)
				clear, samples, err := decryptTracks(out, scheme, 0, keysOfTwo)
				if err != nil || !bytes.Equal(clear, data) {
					t.Fatalf("the samples differ after decryption (%v)", err)
				}
				for _, s := range samples {
					if cue := s.track == 3; len(s.data) > 0 && bytes.Contains(seg, s.data) != cue {
						t.Errorf("a sample of track %d, text %v, is as it was: %v", s.track, cue, !cue)
					}
				}
			})
		}
	}
}

// TestSeveralTrafsRefused: what no sample holds, or two do, has no place in an mdat.
func TestSeveralTrafsRefused(t *testing.T) {
	const isMoof = tfhdBaseIsMoof
	whole := trafParts{1, isMoof, 0, []placedRun{{0, []uint32{160}, false}}, nil}
	for name, tc := range map[string]struct {
		trafs []trafParts
		path  string
		is    error
	}{
		"a gap":             {[]trafParts{whole, {2, isMoof, 0, []placedRun{{168, []uint32{40}, false}}, nil}}, "mdat", errDataUnused},
		"a gap in front":    {[]trafParts{{2, isMoof, 0, []placedRun{{1, []uint32{207}, false}}, nil}}, "mdat", errDataUnused},
		"bytes at the end":  {[]trafParts{whole, {2, isMoof, 0, []placedRun{{160, []uint32{47}, false}}, nil}}, "mdat", errDataUnused},
		"the same twice":    {[]trafParts{whole, {2, isMoof, 0, []placedRun{{0, []uint32{160}, false}}, nil}}, "moof[1]/traf[2]/trun", errDataPlace},
		"one byte shared":   {[]trafParts{whole, {2, isMoof, 0, []placedRun{{159, []uint32{49}, false}}, nil}}, "moof[1]/traf[2]/trun", errDataPlace},
		"past the end":      {[]trafParts{whole, {2, isMoof, 0, []placedRun{{160, []uint32{49}, false}}, nil}}, "moof[1]/traf[2]/trun", errDataPast},
		"nothing, far away": {[]trafParts{whole, {2, isMoof, 0, []placedRun{{160, []uint32{48}, false}, {209, nil, false}}, nil}}, "moof[1]/traf[2]/trun", errDataPlace},
		"no such track":     {[]trafParts{whole, {7, isMoof, 0, []placedRun{{160, []uint32{48}, false}}, nil}}, "moof[1]/traf[2]/tfhd", ErrTrackMismatch},
		"base at the end of all files": {
			[]trafParts{{1, tfhdBaseOffset, 1 << 63, []placedRun{{0, []uint32{208}, false}}, nil}}, "moof[1]/traf/tfhd", errDataBase,
		},
		"sound in a track of text": {
			[]trafParts{whole, {3, isMoof, 0, []placedRun{{160, []uint32{48}, false}}, nil}}, "moof[1]/traf[2]/trun/sample[1]", errText,
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := twoAndText(t, drm.SchemeCenc).ProtectSegment(nil, muxedChunk(muxedData(), tc.trafs...))
			var fe *FormatError
			if out != nil || !errors.As(err, &fe) || !errors.Is(err, tc.is) || fe.Path != tc.path {
				t.Errorf("got %v, want %q at %q", err, tc.is, tc.path)
			}
		})
	}
}

// TestTrafsDoNotShareIVs: track fragments with one key, one track_ID and one plan have counter ranges of their own.
func TestTrafsDoNotShareIVs(t *testing.T) {
	data := slices.Concat(pattern(160, 1), pattern(160, 2), pattern(160, 3))
	for name, ids := range map[string][3]uint32{"one track": {1, 1, 1}, "tracks with one key": {1, 2, 1}} {
		var trafs []trafParts
		for i, id := range ids {
			trafs = append(trafs, trafParts{trackID: id, flags: tfhdBaseIsMoof, runs: []placedRun{{160 * i, []uint32{80, 80}, false}}})
		}
		seg := muxedChunk(data, trafs...)
		out := mustProtect(t, newTestProtector(t, muxedInit(initParts{}, initParts{}), testProtection(drm.SchemeCenc)), seg)
		if err := (counterBlocks{}).add(name, out, data); err != nil {
			t.Error(err)
		}
	}
}

// TestMuxedLayouts: random layouts of samples over tracks, runs and trafs decrypt to what they were.
func TestMuxedLayouts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		seg, data := randomMuxed(r)
		for _, scheme := range drm.Schemes {
			pr := twoAndText(t, scheme)
			out := mustProtect(t, pr, seg)
			checkWriteTo(t, pr, seg, out)
			if clear, _, err := decryptTracks(out, scheme, 0, keysOfTwo); err != nil || !bytes.Equal(clear, data) {
				t.Fatalf("%s: %v of %x", scheme, err, seg)
			}
		}
	}
}

// randomMuxed is a chunk of tracks 1 and 2 whose runs lie in a random order.
func randomMuxed(r *rand.Rand) (seg, data []byte) {
	trafs := make([]trafParts, 1+r.IntN(5))
	for i := range trafs {
		trafs[i] = trafParts{trackID: uint32(1 + r.IntN(2)), flags: tfhdBaseIsMoof * uint32(r.IntN(2))}
	}
	size := 0
	for range 1 + r.IntN(12) {
		run := placedRun{at: size}
		for range r.IntN(4) {
			n := r.IntN(50)
			run.sizes = append(run.sizes, uint32(n))
			size += n
		}
		p := &trafs[r.IntN(len(trafs))]
		p.runs = append(p.runs, run)
	}
	for _, p := range trafs {
		r.Shuffle(len(p.runs), func(i, j int) { p.runs[i], p.runs[j] = p.runs[j], p.runs[i] })
	}
	// Without default-base-is-moof a traf counts from the end of the one before, which a traf without runs would hide.
	if slices.ContainsFunc(trafs, func(p trafParts) bool { return len(p.runs) == 0 }) {
		for i := range trafs {
			trafs[i].flags = tfhdBaseIsMoof
		}
	}
	data = pattern(size, byte(r.IntN(256)))
	return muxedChunk(data, trafs...), data
}

// TestStaleBoxes: what protection of another life left behind is replaced, and the timing boxes of Smooth Streaming dropped.
func TestStaleBoxes(t *testing.T) {
	stale := slices.Concat(mk("senc", n32(0, 0)), mk("saiz", n32(0, 0, 0)), mk("saio", n32(0, 1, 99)))
	tfxd, tfrf := mk("uuid", timingTypes[0][:], pattern(20, 1)), mk("uuid", timingTypes[1][:], pattern(64, 2))
	for _, scheme := range drm.Schemes {
		pr := newTestProtector(t, initParts{}.build(), testProtection(scheme))
		seg := with(func(c *chunkParts) { c.traf, c.moof = slices.Concat(stale, tfxd, tfrf), tfxd })
		out := mustProtect(t, pr, slices.Concat(tfrf, seg))
		clear, _, err := decryptSegment(out, scheme, 0)
		if err != nil || !bytes.Equal(clear, mdatPayload(seg)) {
			t.Errorf("%s: %v", scheme, err)
		}
		if got, want := len(out), len(mustProtect(t, pr, defaultChunk().build())); got != want {
			t.Errorf("%s: %d bytes, without those boxes %d", scheme, got, want)
		}
	}
}

// TestMuxedInit: every track is described, protected by its key, and text stays.
func TestMuxedInit(t *testing.T) {
	pr := twoAndText(t, drm.SchemeCbcs)
	var kinds []TrackKind
	for i, track := range pr.init.Tracks() {
		if track.ID != uint32(i+1) {
			t.Errorf("track %d has ID %d", i, track.ID)
		}
		kinds = append(kinds, track.Kind)
	}
	if !slices.Equal(kinds, []TrackKind{KindAudio, KindAudio, KindText}) {
		t.Errorf("kinds %v", kinds)
	}
	moov := findBox(t, pr.Init(), "moov")
	var entries []string
	if err := eachBox(moov, 0, len(moov), "moov", func(x box) error {
		if x.typ != cc("trak") {
			return nil
		}
		stsd := findBox(t, moov[x.payload():x.end], "mdia", "minf", "stbl", "stsd")
		entries = append(entries, fourCC(be32(stsd, 4)).String())
		if len(entries) < 3 {
			key := testKey()
			if len(entries) == 2 {
				key = otherKey(t)
			}
			kid := key.KID()
			if tenc := findBox(t, stsd, "enca", "sinf", "schi", "tenc"); !bytes.Equal(tenc[8:24], kid[:]) {
				t.Errorf("track %d has KID %x", len(entries), tenc[8:24])
			}
		}
		return nil
	}); err != nil || !slices.Equal(entries, []string{"enca", "enca", "wvtt"}) {
		t.Errorf("entries %v, %v", entries, err)
	}
	for name, keys := range map[string]map[uint32]drm.ContentKey{
		"a key for text": {3: otherKey(t)}, "a key for nobody": {4: otherKey(t)}, "a zero key": {2: {}},
	} {
		p := testProtection(drm.SchemeCenc)
		p.TrackKeys = keys
		if _, err := NewProtector(pr.init, p); !errors.Is(err, ErrProtection) {
			t.Errorf("%s: %v", name, err)
		}
	}
	many := make([]initParts, maxTracks+1)
	if _, err := ParseInit(muxedInit(many...)); !errors.Is(err, errTrackCount) {
		t.Errorf("%d tracks: %v", len(many), err)
	}
	p := testProtection(drm.SchemeAES128)
	if _, err := NewProtector(pr.init, p); !errors.Is(err, ErrProtection) {
		t.Errorf("a scheme for whole segments: %v", err)
	}
}
