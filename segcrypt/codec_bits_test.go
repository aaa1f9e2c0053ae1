package segcrypt

// bitWriter writes synthetic headers, field by field as the syntax tables have them.
type bitWriter struct {
	b    []byte
	bits int
}

// u writes n bits of v.
func (w *bitWriter) u(n int, v uint64) *bitWriter {
	for i := n - 1; i >= 0; i-- {
		if w.bits%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.bits/8] |= byte(v>>i&1) << (7 - w.bits%8)
		w.bits++
	}
	return w
}

// flags writes one bit each.
func (w *bitWriter) flags(values ...uint64) *bitWriter {
	for _, v := range values {
		w.u(1, v)
	}
	return w
}

// ue writes Exp-Golomb codes.
func (w *bitWriter) ue(values ...uint64) *bitWriter {
	for _, v := range values {
		n := 0
		for (v+1)>>n > 1 {
			n++
		}
		w.u(n, 0).u(n+1, v+1)
	}
	return w
}

// stop writes rbsp_trailing_bits.
func (w *bitWriter) stop() []byte {
	w.u(1, 1)
	return w.b
}

// padded returns what was written, with n bytes of 0xa5 behind its last whole byte.
func (w *bitWriter) padded(n int) []byte {
	b := append([]byte(nil), w.b...)
	for range n {
		b = append(b, 0xa5)
	}
	return b
}
