package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/caddy-drm/caddy-drm/inflight"
)

const (
	// smallBody is what requests of every system have room in, in bytes: only those of PlayReady are larger, sometimes.
	smallBody = 32 << 10
	// maxLargeBodies bounds how many requests beyond smallBody are read at a moment, all sites together. Who sends his slowly, and has many
	// connections, would fill the memory with them: a viewer may, and on a site without tokens everybody.
	maxLargeBodies = 256
)

// largeBodies has a place for each body beyond smallBody that is being read. One is held for licenseRequestTimeout at most.
var largeBodies = make(chan struct{}, maxLargeBodies)

// readLicenseBody reads the body of a license request within its bounds.
func (q *request) readLicenseBody(limit int64) ([]byte, error) {
	if q.license.bodyRead {
		return q.license.body, nil
	}
	conn := http.NewResponseController(q.w)
	_ = conn.SetReadDeadline(time.Now().Add(licenseRequestTimeout)) // not every writer has one
	body, err := readBody(http.MaxBytesReader(q.w, q.r.Body, limit), q.r.ContentLength)
	switch {
	case errors.Is(err, inflight.ErrBusy):
		if q.r.ProtoMajor == 1 {
			q.w.Header().Set("Connection", "close") // else the server waits for the rest before it answers
		}
		return nil, err
	case err != nil:
		return nil, errors.Join(errBody, err) // the deadline stays for what is left of the body
	}
	_ = conn.SetReadDeadline(time.Time{}) // the server would take its end for the client's leave, while others are waited for
	return body, nil
}

// readBody reads all of r, which says its length, or -1. It fails with inflight.ErrBusy if it is large, and there is no place for it.
func readBody(r io.Reader, length int64) ([]byte, error) {
	room := bytes.MinRead
	if length >= 0 && length < smallBody {
		room = int(length) + 1 // a reader says at the end that it is one
	}
	body, large := make([]byte, 0, room), false
	for {
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, err
		case !large && len(body) > smallBody:
			select {
			case largeBodies <- struct{}{}:
				defer func() { <-largeBodies }()
				large = true
			default:
				return nil, fmt.Errorf("%w: %d large license requests are read already", inflight.ErrBusy, maxLargeBodies)
			}
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
}
