package caddymodule

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddy-drm/caddy-drm/address"
)

// recorder takes the answer of the handlers behind ours into pooled memory. It implements ReadFrom, so that file_server
// reads straight into that memory, and nothing of it ever reaches the client's connection.
type recorder struct {
	fetchOptions
	asked     address.Range
	header    http.Header
	status    int
	buf       *recorderBuffer // nil until there is a body to keep
	streaming bool            // the length is not known and options.stream takes the body
	err       error
}

func newRecorder(asked address.Range, options fetchOptions) *recorder {
	return &recorder{fetchOptions: options, asked: asked, header: make(http.Header)}
}

// Header implements http.ResponseWriter.
func (rec *recorder) Header() http.Header { return rec.header }

// WriteHeader implements http.ResponseWriter. A length that is announced is made room for at once, or refused.
func (rec *recorder) WriteHeader(status int) {
	if rec.status != 0 || status < 200 {
		return
	}
	rec.status = status
	if !rec.keeps() {
		return
	}
	n, err := strconv.ParseInt(rec.header.Get("Content-Length"), 10, 64)
	switch {
	case err != nil || n < 0:
		rec.streaming = rec.stream != nil && rec.asked.IsZero() && status == http.StatusOK && rec.header.Get("Content-Encoding") == ""
		n = minBuffer
	case n > rec.limit:
		rec.err = errOriginTooLarge
	}
	if rec.reserveMore(n); rec.err == nil {
		rec.buf = clearBuffers.get(int(n))
	}
}

// keeps reports whether the body is of use: that of a refusal is not.
func (rec *recorder) keeps() bool {
	return rec.status == http.StatusOK || rec.status == http.StatusPartialContent && !rec.asked.IsZero()
}

func (rec *recorder) reserveMore(n int64) {
	if rec.reserve != nil && rec.err == nil {
		rec.err = rec.reserve(n)
	}
}

// Write implements http.ResponseWriter.
func (rec *recorder) Write(p []byte) (int, error) {
	rec.WriteHeader(http.StatusOK)
	if rec.err == nil && rec.keeps() && int64(len(p)) > rec.limit-int64(len(rec.buf.b)) {
		rec.err = errOriginTooLarge
	}
	if rec.err != nil {
		return 0, rec.err
	}
	if rec.keeps() {
		if rec.makeRoom(len(p)); rec.err == nil {
			rec.buf.b = append(rec.buf.b, p...)
			rec.passOn()
		}
	}
	return len(p), rec.err
}

// makeRoom reserves what a body of unknown length grows by.
func (rec *recorder) makeRoom(n int) {
	if len(rec.buf.b)+n > cap(rec.buf.b) {
		more := max(cap(rec.buf.b), n)
		if rec.reserveMore(int64(cap(rec.buf.b) + more)); rec.err == nil {
			rec.buf.grow(more)
		}
	}
}

// drainedBytes is how much of the body of a refusal is read, so that the connection to the origin can be used again.
const drainedBytes = 64 << 10

// ReadFrom implements io.ReaderFrom.
func (rec *recorder) ReadFrom(r io.Reader) (total int64, err error) {
	rec.WriteHeader(http.StatusOK)
	if rec.err != nil {
		return 0, rec.err
	}
	if !rec.keeps() {
		return io.Copy(io.Discard, io.LimitReader(r, drainedBytes))
	}
	for {
		if len(rec.buf.b) == cap(rec.buf.b) {
			if rec.makeRoom(minBuffer); rec.err != nil {
				return total, rec.err
			}
		}
		n, err := r.Read(rec.buf.b[len(rec.buf.b):cap(rec.buf.b)])
		rec.buf.b = rec.buf.b[:len(rec.buf.b)+n]
		total += int64(n)
		if rec.err == nil && int64(len(rec.buf.b)) > rec.limit {
			rec.err = errOriginTooLarge
		}
		rec.passOn()
		switch {
		case rec.err != nil:
			return total, rec.err
		case errors.Is(err, io.EOF):
			return total, nil
		case err != nil:
			return total, err
		}
	}
}

// passOn gives a body that is streamed to whom it is for, and keeps what that leaves.
func (rec *recorder) passOn() {
	if !rec.streaming || rec.err != nil {
		return
	}
	used, err := rec.stream(rec.buf.b)
	rec.buf.b, rec.err = rec.buf.b[:copy(rec.buf.b, rec.buf.b[used:])], err
}

// fault returns what stopped the recording: a fault of the origin, or of whom the body is for.
func (rec *recorder) fault() error {
	if errors.Is(rec.err, errOriginTooLarge) {
		return &originError{err: rec.err}
	}
	return rec.err
}

// Flush implements http.Flusher: there is nobody to flush to.
func (rec *recorder) Flush() {}

// whole reports what keeps the answer from being one that can be used, all of it.
func (rec *recorder) whole() error {
	if rec.status == 0 {
		rec.status = http.StatusNotFound // no handler behind ours answered
	}
	if !rec.keeps() {
		return &originError{status: rec.status, err: errOriginStatus}
	}
	if text := rec.header.Get("Content-Length"); text != "" && text != strconv.Itoa(len(rec.buf.b)) {
		return &originError{err: errOriginTruncated}
	}
	return nil
}

// inflate undoes a Content-Encoding that came although none was asked for. Only gzip is undone, once, under the limit, and in
// memory that is reserved beside that of the coded body. A range of a coded body is none of what it decodes to.
func (rec *recorder) inflate() error {
	coding := strings.TrimSpace(rec.header.Get("Content-Encoding"))
	switch {
	case coding == "" || strings.EqualFold(coding, "identity"):
		return nil
	case rec.status == http.StatusPartialContent, !strings.EqualFold(coding, "gzip") && !strings.EqualFold(coding, "x-gzip"):
		return &originError{err: errOriginEncoding}
	}
	coded := rec.buf.b
	zr, err := gzip.NewReader(bytes.NewReader(coded))
	if err != nil {
		return &originError{err: fmt.Errorf("inflating: %w", err)}
	}
	reserve := func(n int) error {
		rec.reserveMore(int64(len(coded) + n))
		return rec.err
	}
	if err := reserve(4 * len(coded)); err != nil {
		return err
	}
	out := clearBuffers.get(4 * len(coded))
	if err := out.readFrom(zr, rec.limit, reserve); err != nil {
		clearBuffers.put(out)
		return &originError{err: fmt.Errorf("inflating: %w", err)}
	}
	clearBuffers.put(rec.buf)
	rec.buf = out
	return nil
}

// part returns what was asked for: an origin may answer a range with the whole resource (RFC 9110, 14.2).
func (rec *recorder) part() ([]byte, error) {
	have := uint64(len(rec.buf.b))
	switch {
	case rec.asked.IsZero():
		return rec.buf.b, nil
	case rec.status == http.StatusOK && have >= rec.asked.End():
		return rec.buf.b[rec.asked.Offset:rec.asked.End()], nil
	case rec.status == http.StatusPartialContent && have == rec.asked.Length && rec.isAsked(rec.header.Get("Content-Range")):
		return rec.buf.b, nil
	default:
		return nil, &originError{err: errOriginRange}
	}
}

// isAsked compares a Content-Range, whatever the length of the whole resource (RFC 9110, 14.4).
func (rec *recorder) isAsked(contentRange string) bool {
	got, _, ok := strings.Cut(contentRange, "/")
	return ok && got == strings.Replace(rec.asked.Header(), "=", " ", 1)
}
