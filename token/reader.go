package token

// Reader consumes what a session is made of: numbers, and bytes with their length in front. After the first read past the end it returns
// nothing more, so that its user asks once, at the end, whether all was there.
type Reader struct {
	b   []byte
	cut bool
}

// NewReader returns a Reader of b, which it does not copy.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Take returns the next n bytes, which belong to what is read; nil if there are not so many.
func (r *Reader) Take(n int) []byte {
	if r.cut || n > len(r.b) {
		r.cut = true
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

// Uint returns the next n bytes as a number, the first being the highest; n is at most 4. It is 0 if there are not so many.
func (r *Reader) Uint(n int) int {
	value := 0
	for _, c := range r.Take(n) {
		value = value<<8 | int(c)
	}
	return value
}

// Left returns how many bytes have not been read.
func (r *Reader) Left() int { return len(r.b) }

// IsCut reports whether something was read past the end.
func (r *Reader) IsCut() bool { return r.cut }

// Whole reports whether everything was read, and nothing past the end.
func (r *Reader) Whole() bool { return !r.cut && len(r.b) == 0 }

func (r *Reader) text() string { return string(r.Take(r.Uint(1))) }

func (r *Reader) texts() (list []string) {
	for range r.Uint(1) {
		list = append(list, r.text())
	}
	return list
}
