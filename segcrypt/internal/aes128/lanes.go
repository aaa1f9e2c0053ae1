package aes128

// laneCount is how many chains are encrypted at once. A chain waits for its last block, some thirty cycles, in which the
// processor can begin at least one round of another chain per cycle: eight are about what it can hold.
const laneCount = 8

// Lanes encrypts many short chains that all begin with the same IV, as the protected runs of `cbcs` and SAMPLE-AES do, several
// at once. The zero value is of no use; [Key.Lanes] makes one, which needs no memory besides itself.
//
// The runs are in one buffer and must not overlap. Between the first Add and Finish a run that was added may be encrypted in
// part, so the buffer must not be read.
type Lanes struct {
	key    *Key
	buf    []byte
	iv     [BlockSize]byte
	stride int
	active int // lanes in use, which are the first ones
	state  laneState
}

// laneState is what the kernels work on: for each lane the last encrypted block (first the IV), where in the buffer its next
// block lies, and how many blocks it still has.
type laneState struct {
	chain [laneCount][BlockSize]byte
	next  [laneCount]int
	left  [laneCount]int
}

// Lanes returns Lanes for runs in buf, each of which starts from iv. stride is the distance of encrypted blocks in bytes:
// BlockSize if all are, PatternStride for the pattern 1:9. It must be at least BlockSize.
func (k *Key) Lanes(buf []byte, iv *[BlockSize]byte, stride int) Lanes {
	if stride < BlockSize {
		panic("aes128: the stride is less than a block")
	}
	return Lanes{key: k, buf: buf, iv: *iv, stride: stride}
}

// Add encrypts the run of n bytes at off in place, or begins to. What is left of less than a block stays as it is. It panics if
// the run is not within the buffer, as indexing does. It allocates nothing.
func (l *Lanes) Add(off, n int) {
	blocks := blocksIn(len(l.buf[off:off+n]), l.stride)
	if blocks == 0 {
		return
	}
	l.state.chain[l.active], l.state.next[l.active], l.state.left[l.active] = l.iv, off, blocks
	if l.active++; l.active == laneCount {
		l.advance()
	}
}

// Finish encrypts what is left of the runs added. Lanes can be used again after it.
func (l *Lanes) Finish() {
	for l.active > 1 {
		l.advance()
	}
	if l.active == 1 {
		s := &l.state
		l.key.cbc(l.buf[s.next[0]:], &s.chain[0], s.left[0], l.stride)
		l.active = 0
	}
}

// advance encrypts all active lanes until the shortest is done, and frees those that are.
func (l *Lanes) advance() {
	s := &l.state
	steps := s.left[0]
	for _, left := range s.left[1:l.active] {
		steps = min(steps, left)
	}
	l.key.cbcLanes(l.buf, s, l.active, steps, l.stride)
	active := 0
	for i := range l.active {
		if s.left[i] -= steps; s.left[i] == 0 {
			continue
		}
		s.chain[active], s.next[active], s.left[active] = s.chain[i], s.next[i]+steps*l.stride, s.left[i]
		active++
	}
	l.active = active
}
