package segcrypt

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// counterBlocks collects every counter block that encrypts something, and what it encrypts.
type counterBlocks map[[2]uint64][]byte

// add reports an error if a counter block is used for other plaintext than before.
func (c counterBlocks) add(where string, seg, clear []byte) error {
	samples, err := readProtected(seg, drm.SchemeCenc, 0)
	if err != nil {
		return err
	}
	for _, s := range samples {
		var plain []byte
		subs := s.subs
		if subs == nil {
			subs = []subsample{{0, uint32(len(s.data))}}
		}
		at := 0
		for _, sub := range subs {
			at += int(sub.clear)
			plain = append(plain, clear[at:at+int(sub.protected)]...)
			at += int(sub.protected)
		}
		clear = clear[len(s.data):]
		for i := 0; i*16 < len(plain); i++ {
			id, text := [2]uint64{s.iv, uint64(i)}, plain[i*16:min(len(plain), i*16+16)]
			if before, used := c[id]; used && !bytes.Equal(before, text) {
				return fmt.Errorf("%s: counter block %x is used twice", where, id)
			}
			c[id] = text
		}
	}
	return nil
}

// TestCounterBlocksNeverRepeat goes through everything that shares one content key: bitrates, tracks, chunks, variants,
// replaced files, a channel that starts again, an init segment that cuts the same bytes into other samples. Under one key no
// counter block may meet two plaintexts.
func TestCounterBlocksNeverRepeat(t *testing.T) {
	blocks := counterBlocks{}
	check := func(where string, init Clear, p Protection, seg Clear) {
		t.Helper()
		if err := blocks.add(where, mustProtect(t, newTestProtector(t, init, p), seg), mdatPayload(seg)); err != nil {
			t.Error(err)
		}
	}
	p := testProtection(drm.SchemeCenc)
	audio := initParts{}.build()
	chunk := func(seed byte) []byte { return with(func(c *chunkParts) { c.data = pattern(160, seed) }) }
	for bitrate := range byte(20) {
		check("bitrates", audio, p, chunk(bitrate))
	}
	check("many chunks", audio, p, slices.Concat(chunk(0), chunk(1), chunk(0), chunk(30), chunk(31)))
	check("another track", initParts{trackID: 2}.build(), p, with(func(c *chunkParts) { c.trackID = 2; c.data = pattern(160, 40) }))
	for variant := range byte(10) {
		p.Variant = variant
		check("variants", audio, p, chunk(50+variant))
		check("variants of one text", audio, p, chunk(50))
	}
	p.Variant = 0
	check("replaced, one byte", audio, p, with(func(c *chunkParts) { c.data = append(pattern(159, 1), 0xff) }))
	check("replaced, only the sample sizes", audio, p, with(func(c *chunkParts) { c.runs = simpleRun(60, 100) }))
	// The same moof and mdat mean other samples under another init segment.
	sizeless := func(c *chunkParts) { c.runs = []runParts{{sizes: []uint32{80, 80}}} }
	check("trex 80", initParts{trexSize: 80}.build(), p, with(sizeless))
	small := with(func(c *chunkParts) { c.runs = []runParts{{sizes: []uint32{40, 40, 40, 40}}} })
	check("trex 40", initParts{trexSize: 40}.build(), p, small)

	for _, name := range []string{"avc", "avc-slices-cavlc", "hevc", "av1-tiles", "aac", "opus"} {
		m := loadMedia(t, name)
		check(name, m.init, p, m.all())
		for _, f := range m.fragments {
			check(name+", one fragment", m.init, p, f)
		}
	}
	if len(blocks) < 10000 {
		t.Errorf("only %d counter blocks were compared", len(blocks))
	}
}

// TestTrexChangesIV: the same chunk cut into other samples by another trex gets other IVs (the plan is part of their input).
func TestTrexChangesIV(t *testing.T) {
	seg := with(func(c *chunkParts) { c.runs = []runParts{{sizes: []uint32{80, 80}}} })
	other := bytes.Clone(seg)
	first := newTestProtector(t, initParts{trexSize: 80}.build(), testProtection(drm.SchemeCenc))
	out, err := readProtected(mustProtect(t, first, seg), drm.SchemeCenc, 80)
	if err != nil {
		t.Fatal(err)
	}
	pl := new(plan)
	if err := pl.build(other, first.init, drm.SchemeCenc); err != nil {
		t.Fatal(err)
	}
	pl.samples[0].size, pl.samples[1].size = 100, 60
	if first.ivs.derive(other, pl, &pl.fragments[0], first.tracks); pl.trafs[0].iv == out[0].iv {
		t.Error("another plan has the same IV")
	}
}

// TestIVInputs: each input of the derivation changes the IV, and nothing else does.
func TestIVInputs(t *testing.T) {
	iv := func(init Clear, p Protection, seg Clear) uint64 {
		samples, err := readProtected(mustProtect(t, newTestProtector(t, init, p), seg), drm.SchemeCenc, 0)
		if err != nil {
			t.Fatal(err)
		}
		return samples[0].iv
	}
	audio, seg := initParts{}.build(), Clear(defaultChunk().build())
	base := testProtection(drm.SchemeCenc)
	want := iv(audio, base, seg)
	same := base
	same.Pssh = drm.AppendCommonPssh(nil)
	if got := iv(audio, same, seg); got != want {
		t.Errorf("pssh changed the IV")
	}
	otherKID, err := drm.NewContentKey(drm.KID{9}, mustHex(testKeyHex), mustHex(testIVHex))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(p *Protection){
		"secret":  func(p *Protection) { p.IVSecret[31] ^= 1 },
		"variant": func(p *Protection) { p.Variant = 1 },
		"KID":     func(p *Protection) { p.Key = otherKID },
	} {
		p := base
		change(&p)
		if iv(audio, p, seg) == want {
			t.Errorf("another %s, the same IV", name)
		}
	}
}

// TestIVSource looks at the derivation alone: the same chunk and plan under another track, and another content of the same
// length and plan.
func TestIVSource(t *testing.T) {
	seg := defaultChunk().build()
	pr := newTestProtector(t, initParts{}.build(), testProtection(drm.SchemeCenc))
	pl := new(plan)
	if err := pl.build(seg, pr.init, drm.SchemeCenc); err != nil {
		t.Fatal(err)
	}
	iv := func(seg []byte, track trackProtector) uint64 {
		pr.ivs.derive(seg, pl, &pl.fragments[0], []trackProtector{track})
		return pl.trafs[0].iv
	}
	want := iv(seg, pr.tracks[0])
	if iv(seg, trackProtector{ivPrefix: newIVPrefix(testKey().KID(), 2, 0)}) == want {
		t.Error("another track, the same IV")
	}
	for _, at := range []int{pl.fragments[0].moof.off + 20, len(seg) - 1} {
		other := bytes.Clone(seg)
		other[at] ^= 1
		if iv(other, pr.tracks[0]) == want {
			t.Errorf("another byte %d, the same IV", at)
		}
	}
}

// TestProtectConcurrently: one Protector from many goroutines gives one answer.
func TestProtectConcurrently(t *testing.T) {
	seg := readTestdata(t, "avc-1.m4s")
	for _, scheme := range drm.Schemes {
		pr := newTestProtector(t, readTestdata(t, "avc-init.mp4"), testProtection(scheme))
		want := mustProtect(t, pr, seg)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 20 {
					if got, err := pr.ProtectSegment(nil, seg); err != nil || !bytes.Equal(got, want) {
						t.Errorf("%s: differs, %v", scheme, err)
					}
				}
			})
		}
		wg.Wait()
	}
}

// TestChunksAlone: a segment protected chunk by chunk, as low latency needs it, has the bytes of the segment protected whole.
func TestChunksAlone(t *testing.T) {
	for _, name := range []string{"avc", "hevc", "av1-tiles", "aac"} {
		for _, scheme := range drm.Schemes {
			m := loadMedia(t, name)
			pr := newTestProtector(t, m.init, testProtection(scheme))
			var chunks []byte
			for _, f := range m.fragments {
				out, err := pr.ProtectSegment(chunks, f)
				if err != nil {
					t.Fatal(err)
				}
				chunks = out
			}
			if !bytes.Equal(chunks, mustProtect(t, pr, m.all())) || len(m.fragments) < 2 {
				t.Errorf("%s, %s: %d chunks differ from the segment", name, scheme, len(m.fragments))
			}
		}
	}
}

// TestNoClearBytes: no 64 bytes of what must be protected occur anywhere in the output, nor in what is left of the buffer
// after a refusal.
func TestNoClearBytes(t *testing.T) {
	for _, name := range []string{"avc", "hevc", "av1-tiles", "aac", "opus"} {
		m := loadMedia(t, name)
		pr := newTestProtector(t, m.init, testProtection(drm.SchemeCenc))
		seg := m.fragments[0]
		out := mustProtect(t, pr, seg)
		samples, err := readProtected(out, drm.SchemeCenc, 0)
		if err != nil {
			t.Fatal(err)
		}
		refused := make([]byte, 0, 2*len(seg))
		if _, err := pr.ProtectSegment(refused, append(bytes.Clone(seg), 0)); err == nil {
			t.Fatal("a byte behind the segment was accepted")
		}
		clear, at, searched := mdatPayload(seg), 0, 0
		for _, s := range samples {
			subs := s.subs
			if subs == nil {
				subs = []subsample{{0, uint32(len(s.data))}}
			}
			for _, sub := range subs {
				at += int(sub.clear)
				for end := at + int(sub.protected); at < end; at += 64 {
					piece := clear[at:min(at+64, end)]
					if len(piece) == 64 {
						searched++
						if bytes.Contains(out, piece) || bytes.Contains(refused[:cap(refused)], piece) {
							t.Fatalf("%s: clear bytes of %d are in the output", name, at)
						}
					}
					if end-at < 64 {
						at = end
						break
					}
				}
			}
		}
		if searched < 20 {
			t.Errorf("%s: only %d pieces searched", name, searched)
		}
	}
}
