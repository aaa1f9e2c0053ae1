package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"

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
	// vars and groups are what the client's request carries of Caddy's, if it is a copy of that; see snapshot.
	vars   map[string]any
	groups map[string]struct{}
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
	errOriginRange     = errors.New("answer is not the range that was asked for")
)

// clearResource is a whole resource as it came from the origin. Its body is clear media: release it, and never write it.
type clearResource struct {
	header   http.Header
	body     []byte
	pooled   *recorderBuffer
	streamed bool // the body went to fetchOptions.stream, and only what that left is here
	unsized  bool // the origin did not say how long the body is
	partial  int  // the bytes that were asked for, if the body goes on to the end of a chunk; else 0
}

// release gives the body's memory back. The body must not be used afterwards.
func (c *clearResource) release() {
	if c.pooled != nil {
		clearBuffers.put(c.pooled)
		c.pooled, c.body = nil, nil
	}
}

// fetchOptions bound what is read, and say where it goes.
type fetchOptions struct {
	query string // for the origin, without what is ours
	limit int64  // bytes, before and after inflating
	// reserve is asked before memory is taken for a body, with the bytes that the body will have in all as far as is known.
	reserve func(bytes int64) error
	// stream takes a body of unknown length as it arrives: it is given all bytes that it has not used yet, and says how many
	// it used. Nothing of such a body is in the result.
	stream func(arrived []byte) (used int, err error)
}

// fetch asks the handlers behind ours for a resource, or the range of it, and returns that whole, or an *originError. The
// request is a fresh GET without conditionals or credentials.
func (o origin) fetch(from address.Resource, options fetchOptions) (res *clearResource, err error) {
	rec := newRecorder(from.Range, options)
	defer func() {
		if err != nil {
			clearBuffers.put(rec.buf)
		}
	}()
	if err := o.ask(rec, from, options.query); err != nil {
		return nil, err
	}
	if err := rec.whole(); err != nil {
		return nil, err
	}
	if err := rec.inflate(); err != nil {
		return nil, err
	}
	body, err := rec.part()
	if err != nil {
		return nil, err
	}
	return &clearResource{
		header: rec.header, body: body, pooled: rec.buf, streamed: rec.streaming, unsized: rec.header.Get("Content-Length") == "",
	}, nil
}

// ask runs the handlers behind ours. reverse_proxy reports a body that broke off by panicking with ErrAbortHandler;
// nothing was sent to the client yet, so it can still be told.
func (o origin) ask(rec *recorder, from address.Resource, rawQuery string) (err error) {
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http compares it
				panic(v)
			}
			if err = rec.fault(); err == nil {
				err = &originError{err: errOriginTruncated}
			}
		}
	}()
	err = o.next.ServeHTTP(rec, o.request(rec, from, rawQuery))
	if rec.err != nil {
		return rec.fault()
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

// forwardedHeaders are the only request headers that reach the origin. Credentials are ours, the client's conditionals and
// ranges would be answered about the clear resource, and a coded body would have to be decoded.
var forwardedHeaders = []string{"User-Agent", "Traceparent", "Tracestate", "X-Request-Id"}

// request builds the request for a resource. It gets a context, variables and a replacer of its own, so that placeholders such as
// {path} speak of the clean path and exclusive routes can be taken once per fetch; what earlier handlers set stays
// visible.
func (o origin) request(w http.ResponseWriter, from address.Resource, rawQuery string) *http.Request {
	ctx := o.client.Context()
	inner := (&http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: string(from.Path), RawQuery: rawQuery},
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
	if asked := from.Range.Header(); asked != "" {
		inner.Header["Range"] = []string{asked}
	}
	outer, _ := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	server, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if outer == nil || server == nil {
		return inner // outside of a Caddy server there is nothing to carry over
	}
	vars, groups := o.carried()
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

// carried returns the variables of the client's request, and the exclusive routes that it took.
func (o origin) carried() (vars map[string]any, groups map[string]struct{}) {
	if o.vars != nil {
		return o.vars, o.groups
	}
	ctx := o.client.Context()
	vars, _ = ctx.Value(caddyhttp.VarsCtxKey).(map[string]any)
	groups, _ = ctx.Value(routeGroupCtxKey).(map[string]struct{})
	return vars, groups
}

// snapshot returns the same origin for work in another goroutine: what other handlers write into the request's maps after
// ours has returned, it does not see.
func (o origin) snapshot() origin {
	vars, groups := o.carried()
	o.vars, o.groups = make(map[string]any, len(vars)), maps.Clone(groups)
	maps.Copy(o.vars, vars)
	return o
}

// detached returns a snapshot for work that others wait for too: it goes on when the client who began it leaves.
func (o origin) detached(ctx context.Context) origin {
	o.client = o.client.WithContext(ctx)
	return o
}
