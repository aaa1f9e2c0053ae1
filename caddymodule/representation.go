package caddymodule

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
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
	header := q.w.Header()
	header.Set("Content-Type", rep.contentType)
	header.Set("Cache-Control", rep.cacheControl)
	header.Set("ETag", rep.etag)
	header.Set("X-Content-Type-Options", "nosniff")
	countServed(q.kind, len(rep.body))
	r := q.r
	if isPlainGet(r) {
		// net/http would copy the body through a buffer of 32 KiB, piece by piece.
		header.Set("Accept-Ranges", "bytes")
		header.Set("Content-Length", strconv.Itoa(len(rep.body)))
		_, _ = q.w.Write(rep.body) // the client may be gone, and there is nobody else to tell
		return nil
	}
	if strings.Count(r.Header.Get("Range"), ",") >= maxRanges || len(r.Header.Values("Range")) > 1 {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	http.ServeContent(q.w, r, "", time.Time{}, bytes.NewReader(rep.body))
	return nil
}

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
