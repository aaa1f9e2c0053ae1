package caddymodule

import (
	"errors"
	"io"
	"slices"
	"sync"
	"time"
)

// recorderBuffer is memory that is used again for the next resource.
type recorderBuffer struct{ b []byte }

const (
	// minBuffer is the room that is made for a body of unknown length.
	minBuffer = 32 << 10
	// spareBuffer is room behind a body: one byte lets its last read report the end, and padding takes up to a block.
	spareBuffer = 1 + 16
	// keepBuffers bounds the bytes of idle buffers that stay for good. Above it they stay for idleBuffers: while a budget
	// full of segments is in flight, each buffer that became garbage would count twice until the next collection.
	keepBuffers = 64 << 20
	idleBuffers = 5 * time.Second
)

// bufferPool keeps idle buffers. Other than a sync.Pool it keeps them over collections of garbage: allocating a segment
// anew costs a good part of encrypting it, and a heap of some size is collected less often.
//
// A buffer for media is filled by the origin and then encrypted in place; what is sent is only ever what segcrypt hands
// out. Clear text, such as manifests, comes from the same pool and is never sent.
type bufferPool struct {
	mu       sync.Mutex
	idle     []*recorderBuffer // the last one was used last, and may still be in the processor's caches
	bytes    int
	trimming bool
}

var clearBuffers, protectedBuffers bufferPool

// get returns a buffer for about size bytes.
func (p *bufferPool) get(size int) *recorderBuffer {
	buf := p.take(size)
	if buf == nil {
		buf = new(recorderBuffer)
	}
	buf.b = buf.b[:0]
	buf.grow(size)
	return buf
}

// take finds an idle buffer that is large enough without being much too large, so that a small resource does not hold the
// memory of a large one.
func (p *bufferPool) take(size int) *recorderBuffer {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.idle) - 1; i >= 0; i-- {
		if c := cap(p.idle[i].b); c >= size+spareBuffer && c <= max(2*size, 256<<10) {
			buf := p.idle[i]
			p.idle = slices.Delete(p.idle, i, i+1)
			p.bytes -= c
			return buf
		}
	}
	return nil
}

func (p *bufferPool) put(buf *recorderBuffer) {
	if buf == nil || cap(buf.b) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, buf)
	p.bytes += cap(buf.b)
	if p.bytes > keepBuffers && !p.trimming {
		p.trimming = true
		time.AfterFunc(idleBuffers, p.trim)
	}
}

// trim lets go of what is too much, the buffers that were not used for longest.
func (p *bufferPool) trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trimming = false
	n := 0
	for ; p.bytes > keepBuffers; n++ {
		p.bytes -= cap(p.idle[n].b)
	}
	p.idle = slices.Delete(p.idle, 0, n)
}

// grow makes room for n more bytes.
func (buf *recorderBuffer) grow(n int) {
	if n+spareBuffer > cap(buf.b)-len(buf.b) {
		grown := make([]byte, len(buf.b), len(buf.b)+n+spareBuffer)
		copy(grown, buf.b)
		buf.b = grown
	}
}

// readFrom appends r up to its end, or returns errOriginTooLarge after limit bytes. reserve is asked before the buffer grows, with
// the bytes that it and the one before have while it does.
func (buf *recorderBuffer) readFrom(r io.Reader, limit int64, reserve func(bytes int) error) error {
	for total := int64(0); ; {
		if len(buf.b) == cap(buf.b) {
			more := max(minBuffer, cap(buf.b))
			if err := reserve(2*cap(buf.b) + more); err != nil {
				return err
			}
			buf.grow(more)
		}
		n, err := r.Read(buf.b[len(buf.b):cap(buf.b)])
		buf.b = buf.b[:len(buf.b)+n]
		total += int64(n)
		switch {
		case total > limit:
			return errOriginTooLarge
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}
