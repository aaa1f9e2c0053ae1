package caddymodule

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-drm/caddy-drm/address"
)

// routeGroupCtxKey is the context key under which Caddy notes which of several exclusive routes was taken.
const routeGroupCtxKey = caddy.CtxKey("route_group")

// origin fetches clear resources from whatever handlers stand behind ours: file_server, reverse_proxy, any other. It is
// made for one request of a client and asks in that client's name.
type origin struct {
	client *http.Request
	next   caddyhttp.Handler
}

// originError says why the origin gave nothing that can be protected. Its text names the status, never the URL.
type originError struct {
	status int // what the origin answered; 0 if its answer was not whole
	err    error
}

func (e *originError) Error() string {
	if e.status == 0 {
		return "reading the origin's answer: " + e.err.Error()
	}
	return fmt.Sprintf("origin answered %d: %v", e.status, e.err)
}

func (e *originError) Unwrap() error { return e.err }

var (
	errOriginTooLarge  = errors.New("resource is larger than the configured limit")
	errOriginTruncated = errors.New("answer broke off")
	errOriginStatus    = errors.New("not a whole resource")
	errOriginEncoding  = errors.New("content encoding that was not asked for")
)

// clearResource is a whole resource as it came from the origin. Its body is clear media: release it, and never write it.
type clearResource struct {
	header http.Header
	body   []byte
	pooled *recorderBuffer
}

// release gives the body's memory back. The body must not be used afterwards.
func (c *clearResource) release() {
	if c.pooled != nil {
		clearBuffers.put(c.pooled)
		c.pooled, c.body = nil, nil
	}
}

// fetch asks the handlers behind ours for the resource at p and returns it whole, or an *originError. It reads at most
// limit bytes, before and after inflating. The request is a fresh GET without conditionals, ranges or credentials.
func (o origin) fetch(p address.Path, rawQuery string, limit int64) (res *clearResource, err error) {
	rec := newRecorder(limit)
	defer func() {
		if err != nil {
			clearBuffers.put(rec.buf)
		}
	}()
	if err := o.ask(rec, p, rawQuery); err != nil {
		return nil, err
	}
	if err := rec.whole(); err != nil {
		return nil, err
	}
	res = &clearResource{header: rec.header, body: rec.buf.b, pooled: rec.buf}
	if err := inflate(res, limit); err != nil {
		return nil, err
	}
	return res, nil
}

// ask runs the handlers behind ours. reverse_proxy reports a body that broke off by panicking with ErrAbortHandler;
// nothing was sent to the client yet, so it can still be told.
func (o origin) ask(rec *recorder, p address.Path, rawQuery string) (err error) {
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http compares it
				panic(v)
			}
			err = &originError{err: errors.Join(errOriginTruncated, rec.err)}
		}
	}()
	err = o.next.ServeHTTP(rec, o.request(rec, p, rawQuery))
	if rec.err != nil {
		return &originError{err: rec.err}
	}
	if err == nil {
		return nil
	}
	var handlerErr caddyhttp.HandlerError
	if errors.As(err, &handlerErr) && handlerErr.StatusCode != 0 {
		return &originError{status: handlerErr.StatusCode, err: errOriginStatus}
	}
	return &originError{err: err}
}

// forwardedHeaders are the only request headers that reach the origin. Credentials are ours, conditionals and ranges
// would be answered about the clear resource, and a coded body would have to be decoded.
var forwardedHeaders = []string{"User-Agent", "Traceparent", "Tracestate", "X-Request-Id"}

// request builds the request for p. It gets a context, variables and a replacer of its own, so that placeholders such as
// {path} speak of the clean path and exclusive routes can be taken once per fetch; what earlier handlers set stays
// visible.
func (o origin) request(w http.ResponseWriter, p address.Path, rawQuery string) *http.Request {
	ctx := o.client.Context()
	inner := (&http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: string(p), RawQuery: rawQuery},
		Proto: o.client.Proto, ProtoMajor: o.client.ProtoMajor, ProtoMinor: o.client.ProtoMinor,
		Header: http.Header{"Accept-Encoding": {"identity"}}, Body: http.NoBody,
		Host: o.client.Host, RemoteAddr: o.client.RemoteAddr, TLS: o.client.TLS,
	}).WithContext(ctx)
	inner.URL.RawPath = "" // the canonical escaping is the only one
	inner.RequestURI = inner.URL.RequestURI()
	for _, name := range forwardedHeaders {
		if values := o.client.Header[name]; len(values) > 0 {
			inner.Header[name] = values
		}
	}
	outer, _ := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	server, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if outer == nil || server == nil {
		return inner // outside of a Caddy server there is nothing to carry over
	}
	vars, _ := ctx.Value(caddyhttp.VarsCtxKey).(map[string]any)
	groups, _ := ctx.Value(routeGroupCtxKey).(map[string]struct{})
	repl := caddy.NewReplacer()
	inner = caddyhttp.PrepareRequest(inner, repl, w, server)
	repl.Map(outer.Get)
	if own, ok := inner.Context().Value(caddyhttp.VarsCtxKey).(map[string]any); ok {
		for name, value := range vars {
			own[name] = value
		}
	}
	if own, ok := inner.Context().Value(routeGroupCtxKey).(map[string]struct{}); ok {
		for name := range groups {
			own[name] = struct{}{}
		}
	}
	return inner
}

// detached returns the same origin for work that others wait for too: it goes on when the client who began it leaves.
func (o origin) detached(ctx context.Context) origin {
	return origin{client: o.client.WithContext(ctx), next: o.next}
}

// inflate undoes a Content-Encoding that came although none was asked for. Only gzip is undone, once, under limit.
func inflate(res *clearResource, limit int64) error {
	coding := strings.TrimSpace(res.header.Get("Content-Encoding"))
	switch {
	case coding == "" || strings.EqualFold(coding, "identity"):
		return nil
	case !strings.EqualFold(coding, "gzip") && !strings.EqualFold(coding, "x-gzip"):
		return &originError{err: errOriginEncoding}
	}
	zr, err := gzip.NewReader(bytes.NewReader(res.body))
	if err != nil {
		return &originError{err: fmt.Errorf("inflating: %w", err)}
	}
	out := clearBuffers.get()
	if _, err := out.readFrom(zr, limit); err != nil {
		clearBuffers.put(out)
		return &originError{err: fmt.Errorf("inflating: %w", err)}
	}
	clearBuffers.put(res.pooled)
	res.pooled, res.body = out, out.b
	return nil
}

// recorder takes the whole answer of the handlers behind ours into pooled memory. It implements ReadFrom, so that
// file_server reads straight into that memory, and nothing of it ever reaches the client's connection.
type recorder struct {
	header http.Header
	status int
	buf    *recorderBuffer
	limit  int64
	err    error
}

func newRecorder(limit int64) *recorder {
	return &recorder{header: make(http.Header), buf: clearBuffers.get(), limit: limit}
}

// Header implements http.ResponseWriter.
func (rec *recorder) Header() http.Header { return rec.header }

// WriteHeader implements http.ResponseWriter. A length that is announced is made room for at once, or refused.
func (rec *recorder) WriteHeader(status int) {
	if rec.status != 0 || status < 200 {
		return
	}
	rec.status = status
	n, err := strconv.ParseInt(rec.header.Get("Content-Length"), 10, 64)
	switch {
	case err != nil || n < 0:
	case n > rec.limit:
		rec.err = errOriginTooLarge
	default:
		rec.buf.grow(int(n))
	}
}

// Write implements http.ResponseWriter.
func (rec *recorder) Write(p []byte) (int, error) {
	rec.WriteHeader(http.StatusOK)
	if rec.err == nil && int64(len(p)) > rec.limit-int64(len(rec.buf.b)) {
		rec.err = errOriginTooLarge
	}
	if rec.err != nil {
		return 0, rec.err
	}
	if rec.status == http.StatusOK { // the body of a refusal is of no use to anybody
		rec.buf.b = append(rec.buf.b, p...)
	}
	return len(p), nil
}

// ReadFrom implements io.ReaderFrom.
func (rec *recorder) ReadFrom(r io.Reader) (int64, error) {
	rec.WriteHeader(http.StatusOK)
	if rec.err != nil {
		return 0, rec.err
	}
	if rec.status != http.StatusOK {
		return io.Copy(io.Discard, io.LimitReader(r, rec.limit))
	}
	n, err := rec.buf.readFrom(r, rec.limit-int64(len(rec.buf.b)))
	if errors.Is(err, errOriginTooLarge) {
		rec.err = err
	}
	return n, err
}

// Flush implements http.Flusher: there is nobody to flush to.
func (rec *recorder) Flush() {}

// whole reports what keeps the answer from being one whole resource.
func (rec *recorder) whole() error {
	if rec.status == 0 {
		rec.status = http.StatusNotFound // no handler behind ours answered
	}
	if rec.status != http.StatusOK {
		return &originError{status: rec.status, err: errOriginStatus}
	}
	if text := rec.header.Get("Content-Length"); text != "" && text != strconv.Itoa(len(rec.buf.b)) {
		return &originError{err: errOriginTruncated}
	}
	return nil
}

// recorderBuffer is memory that is used again for the next resource.
type recorderBuffer struct{ b []byte }

// keepBuffer is the largest buffer that goes back into the pool; rare giants are left to the garbage collector.
const keepBuffer = 16 << 20

// bufferPool keeps buffers of one kind. Clear and protected bytes never share one: should a buffer ever be read after it
// was given back, what it holds is of the same kind.
type bufferPool struct{ pool sync.Pool }

var clearBuffers, protectedBuffers bufferPool

func (p *bufferPool) get() *recorderBuffer {
	buf, ok := p.pool.Get().(*recorderBuffer)
	if !ok {
		buf = new(recorderBuffer)
	}
	buf.b = buf.b[:0]
	return buf
}

func (p *bufferPool) put(buf *recorderBuffer) {
	if cap(buf.b) <= keepBuffer {
		p.pool.Put(buf)
	}
}

func (buf *recorderBuffer) grow(n int) {
	if n > cap(buf.b)-len(buf.b) {
		// One byte more lets the final read report the end without growing again.
		grown := make([]byte, len(buf.b), len(buf.b)+n+1)
		copy(grown, buf.b)
		buf.b = grown
	}
}

// readFrom appends r up to its end, or returns errOriginTooLarge after limit bytes.
func (buf *recorderBuffer) readFrom(r io.Reader, limit int64) (int64, error) {
	var total int64
	for {
		if len(buf.b) == cap(buf.b) {
			buf.grow(max(32<<10, cap(buf.b)))
		}
		n, err := r.Read(buf.b[len(buf.b):cap(buf.b)])
		buf.b = buf.b[:len(buf.b)+n]
		total += int64(n)
		switch {
		case total > limit:
			return total, errOriginTooLarge
		case errors.Is(err, io.EOF):
			return total, nil
		case err != nil:
			return total, err
		}
	}
}
