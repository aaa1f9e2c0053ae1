package inflight

import (
	"bytes"
	"io"
	"testing"
	"time"
)

// BenchmarkAcquire is what the budget adds to one request: a grant, one growth, and the question about pressure.
func BenchmarkAcquire(b *testing.B) {
	budget := NewBudget(1 << 30)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			g, err := budget.Acquire(b.Context(), 64<<10, time.Second)
			if err != nil {
				b.Error(err)
				return
			}
			if err := g.Grow(b.Context(), 2<<20, time.Second); err != nil {
				b.Error(err)
			}
			budget.Pressure()
			g.Release()
		}
	})
}

// BenchmarkSpool writes a segment of 2 MB to a file, against copying it in memory.
func BenchmarkSpool(b *testing.B) {
	body := testSegmentBytes(2 << 20)
	b.Run("file", func(b *testing.B) {
		s := NewSpool(b.TempDir(), 64<<20)
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			f, err := s.Write(bytes.NewReader(body), int64(len(body)))
			if err != nil {
				b.Fatal(err)
			}
			if err := f.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("memory", func(b *testing.B) {
		to := bytes.NewBuffer(make([]byte, 0, len(body)))
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			to.Reset()
			if _, err := io.Copy(to, bytes.NewReader(body)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
