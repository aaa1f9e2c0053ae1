package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/caddy-drm/caddy-drm/inflight"
	"github.com/caddy-drm/caddy-drm/policy"
)

const (
	// smallBody is what requests of every system have room in, in bytes: only those of PlayReady are larger, sometimes.
	smallBody = 32 << 10
	// maxLargeBodies bounds how many requests beyond smallBody are read at a moment, all sites together. Who sends his slowly, and has many
	// connections, would fill the memory with them: a viewer may, and on a site without tokens everybody.
	maxLargeBodies = 256
	// maxLargeBodiesEach bounds those of one address, so that nobody takes all places of all sites.
	maxLargeBodiesEach = maxLargeBodies / 4
)

// largeBodies has a place for each body beyond smallBody that is being read. One is held for licenseRequestTimeout at most.
var largeBodies = newBodyPlaces(maxLargeBodies, maxLargeBodiesEach)

// bodyPlaces are places that addresses share. It is safe for concurrent use.
type bodyPlaces struct {
	most, each int

	mu        sync.Mutex
	all       int
	byAddress map[string]int // addresses as they are counted in limits; none that has no place
}

func newBodyPlaces(most, each int) *bodyPlaces {
	return &bodyPlaces{most: most, each: each, byAddress: make(map[string]int)}
}

// take returns the way to give the place back; nil: there is none for that address.
func (p *bodyPlaces) take(addr netip.Addr) (release func()) {
	key := string(policy.AppendAddressKey(nil, addr))
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all >= p.most || p.byAddress[key] >= p.each {
		return nil
	}
	p.all++
	p.byAddress[key]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all--
		if p.byAddress[key]--; p.byAddress[key] == 0 {
			delete(p.byAddress, key)
		}
	}
}

// taken is how many places are taken at this moment.
func (p *bodyPlaces) taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all
}

// readLicenseBody reads the body of a license request within its bounds.
func (q *request) readLicenseBody(limit int64) ([]byte, error) {
	if q.license.bodyRead {
		return q.license.body, nil
	}
	conn := http.NewResponseController(q.w)
	_ = conn.SetReadDeadline(time.Now().Add(licenseRequestTimeout)) // not every writer has one
	body, err := readBody(http.MaxBytesReader(q.w, q.r.Body, limit), q.r.ContentLength, clientAddr(q.r))
	busy, tooLong := errors.Is(err, inflight.ErrBusy), new(http.MaxBytesError)
	if q.r.ProtoMajor == 1 && (busy || errors.As(err, &tooLong)) {
		q.w.Header().Set("Connection", "close") // else the server waits for the rest before it answers
	}
	switch {
	case busy:
		return nil, err
	case err != nil:
		return nil, errors.Join(errBody, err) // the deadline stays for what is left of the body
	}
	_ = conn.SetReadDeadline(time.Time{}) // the server would take its end for the client's leave, while others are waited for
	return body, nil
}

// readBody reads all of r, which says its length, or -1. It fails with inflight.ErrBusy if it is large, and there is no place for it.
func readBody(r io.Reader, length int64, addr netip.Addr) ([]byte, error) {
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
			release := largeBodies.take(addr)
			if release == nil {
				return nil, fmt.Errorf("%w: as many large license requests are read already as may be", inflight.ErrBusy)
			}
			defer release()
			large = true
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
}
