package segcrypt

import "fmt"

// checkSenc checks that a senc describes the samples of t, byte for byte (23001-7, 7.2).
func (pl *plan) checkSenc(t *trackFragment, senc box, ivSize int) error {
	b := pl.seg[senc.payload():senc.end]
	if len(b) < 8 || be32(b, 0)&^2 != 0 || uint64(be32(b, 4)) != uint64(t.count) {
		return fmt.Errorf("%w: its form or number of samples", errSenc)
	}
	subsampled := be32(b, 0)&2 != 0
	all, protected := 0, 0
	b = b[8:]
	for i, s := range pl.samplesOf(t) {
		if len(b) < ivSize {
			return fmt.Errorf("%w: it ends before sample %d", errSenc, i+1)
		}
		b = b[ivSize:]
		all += s.size
		n := s.size // without subsamples the whole sample is protected
		if subsampled {
			var err error
			if b, n, err = checkSubsamples(b, s.size); err != nil {
				return fmt.Errorf("%w: the subsamples of sample %d", err, i+1)
			}
		}
		protected += n
	}
	switch {
	case len(b) > 0:
		return fmt.Errorf("%w: %d bytes are over", errSenc, len(b))
	case protected == 0 && all > maxClearTraf:
		return errNothing
	}
	return nil
}

// checkSubsamples reads the subsamples of a sample of size bytes from the start of b. It returns what is left of b, and how
// many bytes are protected.
func checkSubsamples(b []byte, size int) (rest []byte, protected int, err error) {
	if len(b) < 2 {
		return nil, 0, errSenc
	}
	n := 6 * (int(b[0])<<8 | int(b[1]))
	if b = b[2:]; len(b) < n {
		return nil, 0, errSenc
	}
	if n == 0 {
		return b, size, nil
	}
	left := uint64(size)
	for sub := b[:n]; len(sub) > 0; sub = sub[6:] {
		clear, encrypted := uint64(sub[0])<<8|uint64(sub[1]), uint64(be32(sub, 2))
		if clear+encrypted > left {
			return nil, 0, errSenc
		}
		left -= clear + encrypted
		protected += int(encrypted)
	}
	if left > 0 {
		return nil, 0, errSenc
	}
	return b[n:], protected, nil
}
