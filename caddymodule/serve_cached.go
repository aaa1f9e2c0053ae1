package caddymodule

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/caddy-drm/caddy-drm/inflight"
	"github.com/caddy-drm/caddy-drm/segcache"
	"github.com/caddy-drm/caddy-drm/segcrypt"
)

// A protected segment is served from memory without a look at the origin for segmentTTL; clients keep theirs for an hour
// (cachePrivateMedia). A file that was written to a moment ago may not be whole yet: it is served for youngTTL, which is enough
// for viewers who ask for a live segment together.
const (
	segmentTTL = 10 * time.Minute
	youngTTL   = time.Second
	youngFile  = 10 * time.Second
)

// ttlOf returns how long a segment is kept, by what the origin says of its last change.
func ttlOf(header http.Header, now time.Time) time.Duration {
	if changed, err := http.ParseTime(header.Get("Last-Modified")); err == nil && now.Sub(changed) < youngFile {
		return youngTTL
	}
	return segmentTTL
}

// serveCached answers from the cache of protected segments. One request makes the segment for all who ask meanwhile; it goes
// on when the client who began it leaves and others still wait.
func (q *request) serveCached() error {
	ctx, key := q.r.Context(), q.segmentKey()
	if entry, ok := q.app.segments.Get(key); ok {
		return q.writeEntry(entry)
	}
	if q.app.inFlight.Pressure() {
		if served, err := q.serveSolo(key); served {
			return err
		}
	}
	shared := *q // for whoever waits; this client may leave
	shared.w, shared.origin = nil, q.origin.snapshot()
	entry, feed, err := q.app.segments.Stream(ctx, key, shared.makeEntry)
	switch {
	case errors.Is(err, inflight.ErrTooLarge), errors.Is(err, inflight.ErrStuck): // the budget has no room for it and a copy
		return q.serveAlone()
	case err != nil:
		return err
	case entry != nil:
		return q.writeEntry(entry)
	case isPlainGet(q.r):
		return q.follow(feed)
	}
	// Only a whole segment has ranges and a length.
	entry, err = feed.Entry(ctx)
	feed.Leave()
	if err != nil {
		return err
	}
	return q.writeEntry(entry)
}

// makeEntry makes a segment for the cache, and hands it on chunk by chunk if it comes in chunks.
func (q *request) makeEntry(ctx context.Context, feed *segcache.Feed) (*segcache.Entry, error) {
	q.r, q.origin = q.r.WithContext(ctx), q.origin.detached(ctx)
	m, err := q.openMedia(ctx)
	if err != nil {
		return nil, err
	}
	to := &cacheReceiver{feed: feed}
	if err := q.produce(m, to); err != nil {
		return nil, err
	}
	return to.entry, nil
}

// serveSolo is serveAlone, unless another request does that for the same segment at the same time. While memory is short, it is
// better than a copy for the cache.
func (q *request) serveSolo(key segcache.Key) (served bool, err error) {
	if _, others := q.app.solo.LoadOrStore(key, struct{}{}); others {
		return false, nil
	}
	defer q.app.solo.Delete(key)
	return true, q.serveAlone()
}

// serveAlone makes a segment for this client alone, as it is done without a cache: in place, in memory that is used again.
func (q *request) serveAlone() error {
	m, err := q.openMedia(q.r.Context())
	if err != nil {
		return err
	}
	return q.produce(m, &clientReceiver{q: q})
}

// segmentKey names the protected segment by all that its bytes depend on but the origin's content: the seal names the init
// segment and the key by digests.
func (q *request) segmentKey() segcache.Key {
	b := make([]byte, 0, 512)
	for _, field := range [...]string{q.handler, q.tenant, publicPlace(q.r), q.addr.Seal, string(q.addr.Path)} {
		b = append(append(b, field...), 0)
	}
	return sha256.Sum256(binary.BigEndian.AppendUint64(b, q.addr.Number))
}

// writeEntry sends a segment from the cache.
func (q *request) writeEntry(entry *segcache.Entry) error {
	return q.writeHeld(representation{
		contentType: entry.ContentType, cacheControl: q.mediaCacheControl(entry.TTL), etag: entry.ETag, body: entry.Body,
	}, nil)
}

// writeHeld is write for a body that a slow client keeps alive: it counts as in flight, once for all who read it, and leaves through a
// file while memory is short. Who reads it takes over the claim under which it was made, if that is not nil.
func (q *request) writeHeld(rep representation, made *claim) error {
	if q.r.Method == http.MethodHead || q.r.Header.Get("If-None-Match") == rep.etag {
		return q.write(rep) // none of the body leaves
	}
	if made != nil {
		q.app.holds.adopt(rep.body, made)
	}
	release, err := q.app.holds.hold(q.r.Context(), rep.body, q.app)
	if err != nil {
		return err
	}
	defer release()
	if len(rep.body) > smallEntry && isPlainGet(q.r) && q.app.spool != nil && q.app.inFlight.Pressure() {
		return q.writeSegment(rep, &heldEntry{body: rep.body, release: release})
	}
	return q.write(rep)
}

// follow sends the chunks of a live segment as they come.
func (q *request) follow(feed *segcache.Feed) error {
	defer feed.Leave()
	client := &clientReceiver{q: q}
	if err := client.begin(segmentHead{contentType: feed.ContentType()}); err != nil {
		return err
	}
	if err := feed.WriteTo(q.r.Context(), client, client.flush); err != nil {
		return errors.Join(errBrokenOff, err)
	}
	return nil
}

// heldEntry is an entry on its way into a file.
type heldEntry struct {
	body    []byte
	release func()
}

// WriteTo implements outgoing.
func (h *heldEntry) WriteTo(w io.Writer) (int64, error) {
	n, err := writeAll(w, h.body)
	return int64(n), err
}

// Size implements outgoing.
func (h *heldEntry) Size() int { return len(h.body) }

// AppendTo implements outgoing.
func (h *heldEntry) AppendTo(dst []byte) segcrypt.Protected { return append(dst, h.body...) }

// Release implements outgoing.
func (h *heldEntry) Release() {
	h.body = nil
	h.release()
}

// cacheReceiver makes an entry of a segment.
type cacheReceiver struct {
	feed  *segcache.Feed
	claim *claim // of a segment that comes in chunks
	entry *segcache.Entry
}

func (c *cacheReceiver) whole(head segmentHead, seg *heldSegment) error {
	// Memory of its own, of exactly the size: an entry may live for long.
	if err := seg.claim.reserve(int64(len(seg.clear.body) + seg.Size())); err != nil {
		return err
	}
	body := seg.AppendTo(make([]byte, 0, seg.Size()))
	seg.clear.release()
	seg.claim.app.holds.adopt(body, seg.claim)
	c.entry = &segcache.Entry{Body: body, ContentType: head.contentType, ETag: head.etag, TTL: head.ttl}
	return nil
}

func (c *cacheReceiver) chunks(claim *claim) chunkReceiver {
	c.claim = claim
	return c
}

// likelyLive is what a live segment is taken for before its end is known. One that is larger claims more as it comes, and
// breaks off if that is not to be had.
const likelyLive = 4 << 20

func (c *cacheReceiver) begin(head segmentHead) error {
	if err := c.claim.reserve(likelyLive); err != nil {
		return err // before the first byte
	}
	c.feed.Begin(head.contentType)
	return nil
}

// Write implements io.Writer. What has come stays in memory for those who join late, beside the chunk at hand.
func (c *cacheReceiver) Write(p []byte) (int, error) {
	if err := c.claim.reserve(int64(minBuffer + len(c.feed.Bytes()) + 2*len(p))); err != nil {
		return 0, err
	}
	return c.feed.Write(p)
}

func (c *cacheReceiver) flush() { c.feed.Flush() }

func (c *cacheReceiver) end(head segmentHead) {
	// Slow readers keep what was written in memory for as long as they like, and all of it counts until they have left.
	written := c.feed.Bytes()
	body, beside := written, 1 // one array for them and for the cache
	if c.claim.growNow(int64(2*len(written))) == nil {
		body, beside = bytes.Clone(written), len(written) // without the room that was for more
	}
	if release := c.claim.app.holds.adoptBeside(body, c.claim, beside); release != nil {
		c.feed.KeptBy(release)
	}
	c.entry = &segcache.Entry{Body: body, ContentType: c.feed.ContentType(), ETag: head.etag, TTL: head.ttl}
}
