package caddymodule

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/inflight"
)

// representation is a whole body of ours, ready for any method, range and conditional.
type representation struct {
	contentType  string
	cacheControl string
	etag         string // strong, with its quotes
	body         []byte
}

// Cache-Control values. Every answer depends on who asks, so no shared cache may keep one.
const (
	cachePrivateMedia = "private, max-age=3600"
	cacheNoStore      = "no-store"
	// A manifest may carry a session, and a live one changes: always ask again, with the ETag.
	cacheManifest = "private, no-cache"
)

// maxRanges bounds the ranges of one request; a request for more gets the whole body (RFC 9110, 14.2 allows it).
const maxRanges = 4

// write sends the representation as net/http does it: HEAD, ranges, If-None-Match and If-Range against our own ETag. The
// origin's validators never get here, they are about other bytes.
func (q *request) write(rep representation) error {
	q.setHeaders(rep)
	countServed(q.kind, len(rep.body))
	if isPlainGet(q.r) {
		q.announce(len(rep.body))
		_, _ = writeAll(q.w, rep.body) // the client may be gone, and there is nobody else to tell
		return nil
	}
	q.serveContent(bytes.NewReader(rep.body))
	return nil
}

// writeSegment is write for a segment that is encrypted while it is sent, and only if the client gets any of it: neither
// HEAD nor a client that has the segment already costs an encryption.
func (q *request) writeSegment(rep representation, seg outgoing) error {
	q.setHeaders(rep)
	countServed(q.kind, seg.Size())
	if !isPlainGet(q.r) {
		body := &segmentReader{seg: seg}
		defer body.close()
		q.serveContent(body)
		return nil
	}
	q.announce(seg.Size())
	if q.app.spool != nil && q.app.inFlight.Pressure() {
		file, err := q.app.spool.Write(seg, int64(seg.Size()))
		if err == nil {
			defer func() { _ = file.Close() }()
			seg.Release() // a slow client holds a file, and no memory that others wait for
			_, _ = io.Copy(q.w, file.File)
			return nil
		}
		if _, again := seg.(*heldEntry); !again && !errors.Is(err, inflight.ErrSpool) {
			return err // it can be written once
		}
	}
	_, _ = seg.WriteTo(windowWriter{q.w})
	return nil
}

// windowWriter is writeAll as a writer.
type windowWriter struct{ w io.Writer }

// Write implements io.Writer.
func (w windowWriter) Write(p []byte) (int, error) { return writeAll(w.w, p) }

// writeWindow is how much is written at a time. Caddy's server cuts larger writes into pieces of 64 KiB, which leave a
// small packet behind each of the largest ones that the network stack makes.
const writeWindow = 48 << 10

func writeAll(w io.Writer, body []byte) (written int, err error) {
	for written < len(body) && err == nil {
		var n int
		n, err = w.Write(body[written:min(len(body), written+writeWindow)])
		written += n
	}
	return written, err
}

func (q *request) setHeaders(rep representation) {
	header := q.w.Header()
	header.Set("Content-Type", rep.contentType)
	header.Set("Cache-Control", rep.cacheControl)
	header.Set("X-Content-Type-Options", "nosniff")
	if rep.etag != "" {
		header.Set("ETag", rep.etag)
	}
}

// announce sets what goes with a whole body of size bytes.
func (q *request) announce(size int) {
	header := q.w.Header()
	header.Set("Accept-Ranges", "bytes")
	header.Set("Content-Length", strconv.Itoa(size))
}

func (q *request) serveContent(body io.ReadSeeker) {
	r := q.r
	if strings.Count(r.Header.Get("Range"), ",") >= maxRanges || len(r.Header.Values("Range")) > 1 {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	http.ServeContent(q.w, r, "", time.Time{}, body)
}

// segmentReader reads a segment that is encrypted when the first byte of it is read.
type segmentReader struct {
	seg  outgoing
	buf  *recorderBuffer
	body *bytes.Reader
	at   int64
}

// Seek implements io.Seeker.
func (s *segmentReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += int64(s.seg.Size())
	}
	if offset < 0 {
		return 0, errSeek
	}
	s.at = offset
	return offset, nil
}

var errSeek = errors.New("position in front of the segment")

// Read implements io.Reader.
func (s *segmentReader) Read(p []byte) (int, error) {
	if s.body == nil {
		s.buf = protectedBuffers.get(s.seg.Size())
		s.buf.b = s.seg.AppendTo(s.buf.b)
		s.body = bytes.NewReader(s.buf.b)
	}
	n, err := s.body.ReadAt(p, s.at)
	s.at += int64(n)
	if n > 0 {
		err = nil // ReadAt may report the end together with bytes
	}
	return n, err
}

func (s *segmentReader) close() { protectedBuffers.put(s.buf) }

// isPlainGet reports whether the whole body is the answer, whatever its ETag is.
func isPlainGet(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	for _, name := range []string{"Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if len(r.Header[name]) > 0 {
			return false
		}
	}
	return true
}

// etagOf returns a strong ETag for what is wholly determined by parts. The same parts on another node give the same ETag.
func etagOf(parts ...[]byte) string {
	h := sha256.New()
	for _, part := range parts {
		var size [8]byte
		for i, n := 0, len(part); i < len(size); i, n = i+1, n>>8 {
			size[i] = byte(n)
		}
		h.Write(size[:])
		h.Write(part)
	}
	return `"` + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18]) + `"`
}

// strongETag returns the origin's ETag if it is a strong one.
func strongETag(header http.Header) string {
	etag := header.Get("ETag")
	if len(etag) < 3 || etag[0] != '"' || etag[len(etag)-1] != '"' {
		return ""
	}
	return etag
}
