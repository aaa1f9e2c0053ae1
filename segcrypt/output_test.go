package segcrypt

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// expecting is a writer that compares what it gets with what must come, at once, and fails at one write.
type expecting struct {
	t      testing.TB
	want   []byte
	writes int
	failAt int // number of the write that fails, from 1
}

var errWriter = errors.New("the client left")

func (e *expecting) Write(b []byte) (int, error) {
	if e.writes++; e.writes == e.failAt {
		return 0, errWriter
	}
	if e.writes > e.failAt && e.failAt > 0 {
		e.t.Fatal("a write after one that failed")
	}
	if !bytes.HasPrefix(e.want, b) {
		e.t.Fatalf("write %d, of %d bytes with %d to come, differs from the protected form", e.writes, len(b), len(e.want))
	}
	e.want = e.want[len(b):]
	return len(b), nil
}

// mustPlan plans a copy of seg, which WriteTo may consume, and returns the copy too.
func mustPlan(t testing.TB, pr *Protector, seg Clear) (*Segment, Clear) {
	t.Helper()
	clone := bytes.Clone(seg)
	s, err := pr.Plan(clone)
	if err != nil {
		t.Fatal(err)
	}
	return s, clone
}

// checkWriteTo checks that WriteTo writes want, and the size that was announced.
func checkWriteTo(t testing.TB, pr *Protector, seg Clear, want []byte) (writes int) {
	t.Helper()
	s, _ := mustPlan(t, pr, seg)
	defer s.Release()
	if s.Size() != len(want) {
		t.Fatalf("Size is %d, the protected form has %d bytes", s.Size(), len(want))
	}
	w := &expecting{t: t, want: want}
	n, err := s.WriteTo(w)
	if err != nil || n != int64(len(want)) || len(w.want) > 0 {
		t.Fatalf("wrote %d bytes of %d, %v", n, len(want), err)
	}
	if again, err := s.WriteTo(io.Discard); again != 0 || err == nil || s.AppendTo(nil) != nil {
		t.Fatal("a segment could be written twice")
	}
	return w.writes
}

// longMedia is media with more bytes than a few windows: the first fragment of avc with longer slices, and sound samples
// behind it in boxes of their own.
func longMedia(t testing.TB) map[string]*media {
	small := make([]uint32, 3000)
	for i := range small {
		small[i] = 341
	}
	sound := with(func(c *chunkParts) { c.runs, c.data = simpleRun(small...), pattern(3000*341, 9) })
	seg := slices.Concat(mk("emsg", pattern(100_000, 1)), sound, mk("free", pattern(90_000, 2)), defaultChunk().build(), defaultChunk().build())
	return map[string]*media{
		"video": benchmarkMedia(t, "avc-large"),
		"audio": {init: initParts{}.build(), fragments: []Clear{seg}},
		"huge samples": {init: initParts{}.build(), fragments: []Clear{with(func(c *chunkParts) {
			c.runs, c.data = simpleRun(700_000, 0, 3, 900_000), pattern(1_600_003, 3)
		})}},
	}
}

// TestWriteTo: written window by window, a segment has the bytes that it has in one piece, in few writes.
func TestWriteTo(t *testing.T) {
	for name, m := range longMedia(t) {
		for _, scheme := range drm.Schemes {
			pr := newTestProtector(t, m.init, testProtection(scheme))
			want := mustProtect(t, pr, m.all())
			writes := checkWriteTo(t, pr, m.all(), want)
			if most := 3 + len(want)/(windowBytes/2); writes > most {
				t.Errorf("%s, %s: %d writes of %d bytes", name, scheme, writes, len(want))
			}
			t.Logf("%s, %s: %d bytes in %d writes", name, scheme, len(want), writes)
			for failAt := 1; failAt <= writes; failAt++ {
				s, clone := mustPlan(t, pr, m.all())
				n, err := s.WriteTo(&expecting{t: t, want: want, failAt: failAt})
				if !errors.Is(err, errWriter) || n >= int64(len(want)) {
					t.Errorf("%s, %s: %d bytes and %v after write %d failed", name, scheme, n, err, failAt)
				}
				if failAt == 1 && bytes.Equal(clone[len(clone)-1000:], m.all()[len(clone)-1000:]) == (writes == 1) {
					t.Errorf("%s, %s: the end was encrypted after the first write failed", name, scheme)
				}
				s.Release()
			}
		}
	}
}

// TestFirstWriteIsEarly: the first bytes leave while the end of the segment is still clear.
func TestFirstWriteIsEarly(t *testing.T) {
	m := benchmarkMedia(t, "avc-large")
	pr := newTestProtector(t, m.init, testProtection(drm.SchemeCenc))
	s, clone := mustPlan(t, pr, m.all())
	defer s.Release()
	first := true
	if _, err := s.WriteTo(writerFunc(func(b []byte) (int, error) {
		if first && !bytes.Equal(clone[len(clone)/4:], m.all()[len(clone)/4:]) {
			t.Error("more than a quarter was encrypted before the first write")
		}
		first = false
		return len(b), nil
	})); err != nil {
		t.Error(err)
	}
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestShortWrite: a writer that takes less than it is given is an error, whatever it says.
func TestShortWrite(t *testing.T) {
	pr := newTestProtector(t, initParts{}.build(), testProtection(drm.SchemeCenc))
	s, _ := mustPlan(t, pr, defaultChunk().build())
	defer s.Release()
	n, err := s.WriteTo(writerFunc(func(b []byte) (int, error) { return len(b) - 1, nil }))
	if !errors.Is(err, io.ErrShortWrite) || n != int64(s.Size()-1) {
		t.Errorf("%d, %v", n, err)
	}
}

// TestTruncate: a segment cut anywhere in an mdat, or between boxes, is the start of the whole one.
func TestTruncate(t *testing.T) {
	seg := Clear(slices.Concat(mk("styp", []byte("msdh"), n32(0)), sidxBox(0, 0, 160), defaultChunk().build(),
		mk("free", pattern(20, 1)), with(func(c *chunkParts) { c.data = pattern(160, 2) })))
	for _, scheme := range drm.Schemes {
		pr := newTestProtector(t, initParts{}.build(), testProtection(scheme))
		want, cuts := mustProtect(t, pr, seg), 0
		for n := -1; n <= len(seg)+1; n++ {
			s, _ := mustPlan(t, pr, seg)
			whole := s.Size()
			err := s.Truncate(n)
			if err != nil {
				var fe *FormatError
				if !errors.As(err, &fe) || s.Size() != whole {
					t.Fatalf("cut at %d: %v, size %d", n, err, s.Size())
				}
				s.Release()
				continue
			}
			cuts++
			got := s.AppendTo([]byte("prefix"))
			if len(got)-6 != s.Size() || !bytes.Equal(got[6:], want[:s.Size()]) {
				t.Fatalf("cut at %d: %d bytes, which are not the start of the whole", n, len(got)-6)
			}
			w := &expecting{t: t, want: want[:s.Size()]}
			if written, err := s.WriteTo(w); err != nil || written != int64(s.Size()) {
				t.Fatalf("cut at %d: wrote %d of %d, %v", n, written, s.Size(), err)
			}
			if n < len(seg) && s.Truncate(len(seg)) == nil {
				t.Fatal("a cut could be taken back")
			}
			s.Release()
		}
		// Every byte of both mdat, their ends among them, and the starts of boxes: styp, sidx, moof; the first mdat's end is free's.
		if cuts != 2*161+3+1 {
			t.Errorf("%s: %d places to cut", scheme, cuts)
		}
	}
}

// TestTruncateLong: cuts in the middle of windows and samples.
func TestTruncateLong(t *testing.T) {
	for name, m := range longMedia(t) {
		for _, scheme := range drm.Schemes {
			pr := newTestProtector(t, m.init, testProtection(scheme))
			want, cuts := mustProtect(t, pr, m.all()), 0
			for n := 5000; n < len(m.all()); n += 77_777 {
				s, _ := mustPlan(t, pr, m.all())
				if s.Truncate(n) == nil {
					cuts++
					if got := s.AppendTo(nil); !bytes.Equal(got, want[:s.Size()]) {
						t.Errorf("%s, %s, cut at %d: AppendTo differs", name, scheme, n)
					}
					w := &expecting{t: t, want: want[:s.Size()]}
					if written, err := s.WriteTo(w); err != nil || written != int64(s.Size()) {
						t.Errorf("%s, %s, cut at %d: wrote %d of %d, %v", name, scheme, n, written, s.Size(), err)
					}
				}
				s.Release()
			}
			if cuts < 10 {
				t.Errorf("%s, %s: only %d cuts", name, scheme, cuts)
			}
		}
	}
}

// BenchmarkWriteTo compares, after a read into memory that is used again, encrypting in place and writing windows with
// appending to a second buffer that is then written. The writer copies, as a socket does. "first" is the time to the first
// write alone.
func BenchmarkWriteTo(b *testing.B) {
	for _, scheme := range drm.Schemes {
		m := benchmarkMedia(b, "avc-large")
		pr, seg := newTestProtector(b, m.init, testProtection(scheme)), m.fragments[0]
		read, socket, out := make([]byte, len(seg)), make([]byte, 2*len(seg)), make([]byte, 0, 2*len(seg))
		send := writerFunc(func(p []byte) (int, error) { return copy(socket, p), nil })
		for name, write := range map[string]func(s *Segment) error{
			"in-place": func(s *Segment) error { _, err := s.WriteTo(send); return err },
			"append":   func(s *Segment) error { _, err := send(s.AppendTo(out)); return err },
			"first": func(s *Segment) error {
				_, err := s.WriteTo(writerFunc(func([]byte) (int, error) { return 0, io.EOF }))
				if errors.Is(err, io.EOF) {
					err = nil
				}
				return err
			},
		} {
			b.Run(scheme.String()+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(len(seg)))
				b.ReportAllocs()
				for b.Loop() {
					copy(read, seg)
					s, err := pr.Plan(read)
					if err == nil {
						err = write(s)
					}
					if err != nil {
						b.Fatal(err)
					}
					s.Release()
				}
			})
		}
	}
}
