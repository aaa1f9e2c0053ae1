package segcache

import (
	"context"
	"io"
	"sync"
)

// Feed is a segment that its maker hands on chunk by chunk, to all who wait for it, while it still comes in itself. One
// goroutine writes; any number reads.
type Feed struct {
	leave func()
	f     *flight

	mu          sync.Mutex
	contentType string
	body        []byte        // what was flushed and what was not; bytes once written never change
	visible     int           // bytes of body that readers may have
	grown       chan struct{} // closed when there is more, or the end
	begun       chan struct{}
	ended       bool
	readers     int    // that Stream gave the feed to and that have not left
	release     func() // what keeps the bytes accounted for, once the maker has handed that over; nil before and after
}

func newFeed(f *flight, leave func()) *Feed {
	return &Feed{f: f, leave: leave, grown: make(chan struct{}), begun: make(chan struct{})}
}

// Begin lets go those who wait for the segment: from now on it comes in chunks. It is called once, before Write.
func (f *Feed) Begin(contentType string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.contentType = contentType
	close(f.begun)
}

// Write appends protected bytes, which are copied. Readers have them after Flush.
func (f *Feed) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.body = append(f.body, p...) // a reader that holds the old array reads on in it
	return len(p), nil
}

// Flush hands on what was written.
func (f *Feed) Flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.visible != len(f.body) {
		f.visible = len(f.body)
		f.wake()
	}
}

// wake lets the readers look again. The caller holds the lock.
func (f *Feed) wake() {
	close(f.grown)
	f.grown = make(chan struct{})
}

// end tells the readers that nothing more comes. It is called when the flight has its result.
func (f *Feed) end() {
	f.mu.Lock()
	f.ended = true
	f.wake()
	release := f.unread()
	f.mu.Unlock()
	release()
}

// ContentType is what Begin was given.
func (f *Feed) ContentType() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.contentType
}

// Bytes returns all that was written. It must not be changed.
func (f *Feed) Bytes() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.body[:len(f.body):len(f.body)]
}

// next returns what lies behind at, and where more will be announced.
func (f *Feed) next(at int) (p []byte, grown chan struct{}, ended bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.body[at:f.visible], f.grown, f.ended
}

// WriteTo writes the segment to w as it comes and calls flush behind each piece, until the end. It returns the error that
// broke the segment off, if any, that of w, or the cause of the end of ctx.
func (f *Feed) WriteTo(ctx context.Context, w io.Writer, flush func()) error {
	for at := 0; ; {
		p, grown, ended := f.next(at)
		switch {
		case len(p) > 0:
			n, err := w.Write(p)
			if err != nil {
				return err
			}
			flush()
			at += n
			continue
		case ended:
			return f.f.err
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Entry waits for the whole segment.
func (f *Feed) Entry(ctx context.Context) (*Entry, error) {
	select {
	case <-f.f.done:
		return f.f.entry, f.f.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// follow counts a reader, unless the segment has ended: who comes then takes the entry.
func (f *Feed) follow() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended {
		f.readers++
	}
	return !f.ended
}

// KeptBy hands over what accounts for the bytes of the feed. release is called when the last reader has left, however slow it is, and at the
// end if there is none.
func (f *Feed) KeptBy(release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.release = release
}

// unread returns what there is to release, once. The caller holds the lock.
func (f *Feed) unread() func() {
	if !f.ended || f.readers > 0 || f.release == nil {
		return func() {}
	}
	release := f.release
	f.release = nil
	return release
}

// Leave is called by each reader when it is done. Once all have left, a segment that is still being made is given up.
func (f *Feed) Leave() {
	f.leave()
	f.mu.Lock()
	f.readers--
	release := f.unread()
	f.mu.Unlock()
	release()
}
