package segcrypt

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// TestNextChunk: a stream that grows byte by byte gives its chunks as soon as they are whole, and not before.
func TestNextChunk(t *testing.T) {
	large := with(func(c *chunkParts) { c.largeMdat = true })
	chunks := [][]byte{slices.Concat(mk("styp", n32(0, 0)), mk("prft", n32(0)), defaultChunk().build()), large, defaultChunk().build()}
	seg := slices.Concat(slices.Concat(chunks...), mk("mfra"))
	var got [][]byte
	start := 0
	for end := range len(seg) + 1 {
		n, err := NextChunk(seg[start:end], 1000)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			if start+n != end {
				t.Fatalf("a chunk of %d bytes was seen at %d", n, end-start)
			}
			got, start = append(got, seg[start:end]), end
		}
	}
	if !slices.EqualFunc(got, chunks, bytes.Equal) || start != len(seg)-8 {
		t.Errorf("%d chunks, %d bytes are left", len(got), len(seg)-start)
	}
}

// TestNextChunkRefuses: what cannot become a chunk is an error as soon as it can be seen.
func TestNextChunkRefuses(t *testing.T) {
	moof := with(func(c *chunkParts) { c.noMdat = true })
	for name, tc := range map[string]struct {
		b  []byte
		is error
	}{
		"HTML":                  {[]byte("<!doctype html>"), errChunkSize},
		"an unknown box":        {putHeader(nil, 100, cc("abcd")), errTopLevel},
		"moov":                  {putHeader(nil, 100, typMoov), errTopLevel},
		"mdat first":            {putHeader(nil, 100, typMdat), errStrayMdat},
		"moof, then no mdat":    {slices.Concat(moof, mk("free")), errNoMdat},
		"box of size 0":         {putHeader(nil, 0, typMoof), errBoxOpenEnded},
		"box of size 7":         {putHeader(nil, 7, typMoof), errBoxSize},
		"over the limit":        {putHeader(nil, 1001, typMoof), errChunkSize},
		"mdat over the limit":   {slices.Concat(moof, putHeader(nil, 1001-len(moof), typMdat)), errChunkSize},
		"2^63-1 bytes":          {slices.Concat(moof, putHeader(nil, 1, typMdat), n32(1<<31-1, 1<<32-1)), errChunkSize},
		"a large box of size 9": {slices.Concat(putHeader(nil, 1, typMoof), n32(0, 9)), errBoxSize},
	} {
		n, err := NextChunk(tc.b, 1000)
		var fe *FormatError
		if n != 0 || !errors.As(err, &fe) || !errors.Is(err, tc.is) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	if n, err := NextChunk(slices.Concat(moof, putHeader(nil, 1, typMdat), n32(0)), 1000); n != 0 || err != nil {
		t.Errorf("half a header: %d, %v", n, err)
	}
}

// streamed protects seg chunk by chunk.
func streamed(t testing.TB, s *Stream, seg Clear) []byte {
	t.Helper()
	var out []byte
	for len(seg) > 0 {
		n, err := NextChunk(seg, len(seg))
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			n = len(seg)
		}
		chunk, err := s.Plan(bytes.Clone(seg[:n]))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := chunk.WriteTo(&b); err != nil || b.Len() != chunk.Size() {
			t.Fatal(err)
		}
		chunk.Release()
		out, seg = append(out, b.Bytes()...), seg[n:]
	}
	return out
}

// frameByFrame cuts a fragment into chunks of one sample. It builds plain boxes; the times are all zero.
func frameByFrame(t testing.TB, m *media) Clear {
	t.Helper()
	in, err := ParseInit(m.init)
	if err != nil {
		t.Fatal(err)
	}
	pl := new(plan)
	if err := pl.build(m.fragments[0], in, drm.SchemeCenc); err != nil {
		t.Fatal(err)
	}
	var seg Clear
	at := pl.fragments[0].mdat.payload()
	for _, s := range pl.samples {
		seg = append(seg, videoChunk(m.fragments[0][at:at+s.size])...)
		at += s.size
	}
	return append(seg, mk("mfra", n32(0))...)
}

// TestStream: the chunks of a stream, one behind the other, are the segment protected whole, also where frames depend on
// parameter sets or frames of earlier chunks.
func TestStream(t *testing.T) {
	for _, name := range []string{"avc", "hevc-slices", "av1-tiles", "av1", "vp9"} {
		m := loadMedia(t, name)
		seg := frameByFrame(t, m)
		for _, scheme := range drm.Schemes {
			pr := newTestProtector(t, m.init, testProtection(scheme))
			if got := streamed(t, pr.NewStream(), seg); !bytes.Equal(got, mustProtect(t, pr, seg)) {
				t.Errorf("%s, %s: the chunks differ from the whole", name, scheme)
			}
		}
	}
}

// TestStreamPrime: a chunk that lacks what it depends on is ErrParameterSets, until an earlier chunk has brought it; a stream
// is as before after an error.
func TestStreamPrime(t *testing.T) {
	m := loadMedia(t, "avc")
	in, err := ParseInit(m.init)
	if err != nil {
		t.Fatal(err)
	}
	e := in.tracks[0].entries[0]
	// An avcC without parameter sets, as avc3 may have it.
	bare := initParts{handler: "vide", entries: [][]byte{entryVideo("avc3", mk("avcC", []byte{1, 100, 0, 31, 0xff, 0xe0, 0}))}}.build()
	pl := new(plan)
	if err := pl.build(m.fragments[0], in, drm.SchemeCenc); err != nil {
		t.Fatal(err)
	}
	at := pl.fragments[0].mdat.payload()
	first, second := m.fragments[0][at:at+pl.samples[0].size], m.fragments[0][at+pl.samples[0].size:]
	second = second[:pl.samples[1].size]
	var sets []byte
	for _, s := range e.avc.sps {
		if s != nil {
			sets = append(sets, nal(s.raw...)...)
		}
	}
	for _, p := range e.avc.pps {
		if p != nil {
			sets = append(sets, nal(p.raw...)...)
		}
	}
	independent, dependent := videoChunk(slices.Concat(sets, first)), videoChunk(second)
	for _, scheme := range drm.Schemes {
		pr := newTestProtector(t, bare, testProtection(scheme))
		if _, err := pr.Plan(dependent); !errors.Is(err, ErrParameterSets) {
			t.Fatalf("alone: %v", err)
		}
		whole := mustProtect(t, pr, slices.Concat(independent, dependent))
		want := whole[len(mustProtect(t, pr, independent)):]

		s := pr.NewStream()
		if _, err := s.Plan(dependent); !errors.Is(err, ErrParameterSets) {
			t.Errorf("in a new stream: %v", err)
		}
		if err := s.Prime(append(bytes.Clone(independent), 0)); err == nil || s.Prime(dependent) == nil {
			t.Error("a broken chunk primed the stream")
		}
		if err := s.Prime(independent); err != nil {
			t.Fatal(err)
		}
		if got := streamed(t, s, dependent); !bytes.Equal(got, want) {
			t.Error("a primed stream differs")
		}
	}
}

// TestStreamKeepsNothingOfTheChunk: the memory of a chunk is the caller's again when it is written.
func TestStreamKeepsNothingOfTheChunk(t *testing.T) {
	for _, name := range []string{"hevc-slices", "av1-tiles", "avc"} {
		m := loadMedia(t, name)
		pr := newTestProtector(t, m.init, testProtection(drm.SchemeCenc))
		want := mustProtect(t, pr, m.all())
		s, reused := pr.NewStream(), make([]byte, len(m.all()))
		var got []byte
		for _, f := range m.fragments {
			n := copy(reused, f)
			chunk, err := s.Plan(reused[:n])
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, chunk.AppendTo(nil)...)
			chunk.Release()
			clear(reused)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: chunks in reused memory differ", name)
		}
	}
}
