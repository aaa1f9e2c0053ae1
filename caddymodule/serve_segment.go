package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/segcrypt"
)

// receiver is who a protected segment is for: the client, or the cache on behalf of many.
type receiver interface {
	// whole takes a segment that is planned, and so has a length.
	whole(head segmentHead, seg *heldSegment) error
	// chunks takes a segment that comes chunk by chunk, of a length that nobody knows. It returns nil where only a whole
	// segment is an answer. Memory that it takes is claimed under claim.
	chunks(claim *claim) chunkReceiver
}

// chunkReceiver takes the chunks of a live segment.
type chunkReceiver interface {
	// begin is called in front of the first chunk. Its error is one that the client can still be told.
	begin(head segmentHead) error
	io.Writer
	flush()
	// end is called when all was written, with the ETag that the segment would have had from the beginning.
	end(head segmentHead)
}

// segmentHead is what is known of a segment besides its bytes.
type segmentHead struct {
	contentType string
	etag        string        // strong, with its quotes; empty in front of what comes in chunks
	ttl         time.Duration // how long a cache may keep it
}

// produce fetches the clear segment, encrypts it and hands it on. A segment of known length is read whole, planned whole,
// and encrypted in place while it is sent; a segment that the origin still writes leaves chunk by chunk.
func (q *request) produce(m *media, to receiver) error {
	ctx := q.r.Context()
	from, err := q.segmentSource(ctx)
	if err != nil {
		return err
	}
	claim := q.app.claim(ctx)
	defer claim.release()
	live := newLiveSegment(q, m, to.chunks(claim))
	clear, err := q.origin.fetch(from, fetchOptions{limit: q.MaxSegmentSize, reserve: claim.reserve, stream: live.sink()})
	if err != nil {
		return live.failed(fmt.Errorf("reading the segment: %w", err))
	}
	defer clear.release()
	if clear.streamed {
		if err := live.finish(clear.body); err != nil {
			return live.failed(err)
		}
		live.to.end(segmentHead{etag: q.segmentETag(clear.header, live.digest.Sum128), ttl: ttlOf(clear.header, time.Now())})
		return nil
	}
	if q.seal.IFrame {
		rest := fetchOptions{limit: q.MaxSegmentSize, reserve: claim.beside(len(clear.body))}
		if err := q.origin.completeChunk(from, clear, rest); err != nil {
			return fmt.Errorf("reading the rest of the chunk: %w", err)
		}
	}
	head := segmentHead{
		etag: q.segmentETag(clear.header, func() xxh3.Uint128 { return q.contentDigest(clear.body) }),
		ttl:  ttlOf(clear.header, time.Now()),
	}
	seg, contentType, err := q.protect(m, clear, claim)
	if err != nil {
		return fmt.Errorf("protecting the segment: %w", err)
	}
	held := &heldSegment{outgoing: seg, clear: clear, claim: claim}
	defer held.Release()
	head.contentType = contentType
	return to.whole(head, held)
}

// heldSegment is a segment with all that is held for it.
type heldSegment struct {
	outgoing
	clear *clearResource
	claim *claim
}

// Release gives everything back. It may be called twice.
func (h *heldSegment) Release() {
	if h.outgoing != nil {
		h.outgoing.Release()
		h.outgoing = nil
	}
	h.clear.release()
	h.claim.release()
}

// segmentETag names the protected bytes by all that they depend on: the seal, with it the key, and the clear bytes, by the
// origin's strong ETag or else by their digest. The same segment has the same ETag on every node that sees the same ETag.
// A segment whose length the origin does not say has no index, whether it leaves chunk by chunk or whole.
func (q *request) segmentETag(header http.Header, digest func() xxh3.Uint128) string {
	validator := []byte(strongETag(header))
	if len(validator) == 0 {
		sum := digest().Bytes()
		validator = sum[:]
	}
	form := []byte("segment")
	switch {
	case header.Get("Content-Length") == "":
		form = []byte("chunks")
	case q.seal.IFrame && q.seal.Scheme == drm.SchemeAES128:
		form = []byte("frame") // was once all of its chunk
	}
	return etagOf(form, validator, []byte(q.addr.Seal), []byte(q.addr.Path), numberBytes(q.addr.Number), []byte{segcrypt.LayoutVersion})
}

// completeChunk reads on from a range that ends inside of an mdat to the end of it: an I-frame playlist wants the first
// samples of a chunk, and those are encrypted as the whole chunk is.
func (o origin) completeChunk(from address.Resource, clear *clearResource, options fetchOptions) error {
	missing, err := segcrypt.MissingBytes(clear.body)
	if err != nil || missing == 0 {
		return err
	}
	clear.partial = len(clear.body)
	if missing > uint64(options.limit)-min(uint64(len(clear.body)), uint64(options.limit)) {
		return &originError{err: errOriginTooLarge}
	}
	from.Range, err = address.NewRange(from.Range.End(), missing)
	if err != nil {
		return errIndex
	}
	if reserve, joined := options.reserve, int64(len(clear.body))+int64(missing); reserve != nil {
		options.reserve = func(bytes int64) error { return reserve(joined + bytes) }
	}
	rest, err := o.fetch(from, options)
	if err != nil {
		return err
	}
	defer rest.release()
	clear.pooled.b = append(clear.body, rest.body...)
	clear.body = clear.pooled.b
	return nil
}

// liveSegment is a segment that is protected chunk by chunk while the origin still writes it.
type liveSegment struct {
	media   *media
	to      chunkReceiver
	stream  *segcrypt.Stream
	limit   int64
	arrived int64
	begun   bool
	digest  *xxh3.Hasher // of the clear bytes that were sent; most segments are not live, and need none
	q       *request
}

func newLiveSegment(q *request, m *media, to chunkReceiver) *liveSegment {
	return &liveSegment{q: q, media: m, to: to, limit: q.MaxSegmentSize}
}

// sink is what a fetch gives a body of unknown length to; nil where the body has to be whole.
func (l *liveSegment) sink() func([]byte) (int, error) {
	if l.to == nil || l.media.protector == nil {
		return nil
	}
	return l.take
}

// take protects and hands on the chunks that have arrived whole.
func (l *liveSegment) take(arrived []byte) (used int, err error) {
	if l.stream == nil {
		l.stream, l.digest = l.media.protector.NewStream(), l.q.newContentDigest()
	}
	for {
		n, err := segcrypt.NextChunk(arrived[used:], int(l.limit))
		if err != nil || n == 0 {
			return used, err
		}
		if l.arrived += int64(n); l.arrived > l.limit {
			return used, errOriginTooLarge
		}
		if err := l.send(arrived[used : used+n]); err != nil {
			return used, err
		}
		used += n
	}
}

func (l *liveSegment) send(chunk []byte) error {
	seg, err := l.stream.Plan(chunk)
	if err != nil {
		return err
	}
	defer seg.Release()
	if !l.begun { // the crypto period of a segment is that of its beginning
		if err := errors.Join(l.q.checkPeriod(seg), l.q.checkLead(seg)); err != nil {
			return err
		}
	}
	_, _ = l.digest.Write(chunk) // it never fails, and the chunk is encrypted in place below
	if !l.begun {
		if err := l.to.begin(segmentHead{contentType: mediaType(l.media.init)}); err != nil {
			return err
		}
		l.begun = true
	}
	if _, err := seg.WriteTo(l.to); err != nil {
		return err
	}
	l.to.flush()
	return nil
}

// finish takes what came behind the last chunk.
func (l *liveSegment) finish(rest []byte) error {
	if len(rest) > 0 {
		if err := l.send(rest); err != nil {
			return err
		}
	}
	if !l.begun {
		return &originError{err: errOriginTruncated}
	}
	return nil
}

// failed breaks the answer off if some of it has left: an answer that looks whole would be kept as such.
func (l *liveSegment) failed(err error) error {
	if err != nil && l.begun {
		return errors.Join(errBrokenOff, err)
	}
	return err
}

// errBrokenOff marks a failure behind the first bytes of an answer.
var errBrokenOff = errors.New("the answer broke off")

// clientReceiver sends a segment to the client.
type clientReceiver struct {
	q *request
}

func (c *clientReceiver) chunks(*claim) chunkReceiver {
	if !isPlainGet(c.q.r) {
		return nil
	}
	return c
}

func (c *clientReceiver) begin(head segmentHead) error {
	c.q.setHeaders(representation{contentType: head.contentType, cacheControl: c.q.mediaCacheControl(0)})
	countServed(c.q.kind, 0)
	c.q.w.WriteHeader(http.StatusOK)
	return nil
}

func (c *clientReceiver) Write(p []byte) (int, error) {
	countBytes(c.q.kind, len(p))
	return c.q.w.Write(p)
}

// end implements chunkReceiver: the client has its headers already.
func (c *clientReceiver) end(segmentHead) {}

func (c *clientReceiver) flush() { _ = http.NewResponseController(c.q.w).Flush() }

func (c *clientReceiver) whole(head segmentHead, seg *heldSegment) error {
	if c.q.r.Method == http.MethodGet && !isPlainGet(c.q.r) { // a slice of the segment is taken from a copy of it
		if err := seg.claim.beside(len(seg.clear.body))(int64(seg.Size())); err != nil {
			return err
		}
	}
	return c.q.writeSegment(representation{contentType: head.contentType, cacheControl: c.q.mediaCacheControl(head.ttl), etag: head.etag}, seg)
}
