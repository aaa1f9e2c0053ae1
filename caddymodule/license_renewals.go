package caddymodule

import (
	"sync"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
)

const (
	// issuedFor is how long it is remembered that a session was given a license; no session of a viewer who watches is idle for longer.
	issuedFor = 24 * time.Hour
	// maxIssued bounds the memory, some 60 bytes a session and key.
	maxIssued = 1 << 16
)

// issuedLicenses remembers which keys sessions have had licenses for, so that audits tell a renewal from a first license where the request
// does not: players of PlayReady renew a license by asking for it again. Nothing is decided by it. The zero value is ready, and it is safe
// for concurrent use.
type issuedLicenses struct {
	mu    sync.Mutex
	until map[[16]byte]time.Time
}

// issue notes a license for keys, and reports whether all of them were issued before.
func (l *issuedLicenses) issue(ids [][16]byte, now time.Time) (again bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until == nil {
		l.until = make(map[[16]byte]time.Time)
	}
	again = len(ids) > 0
	for _, id := range ids {
		again = again && now.Before(l.until[id])
		l.remember(id, now)
	}
	return again
}

func (l *issuedLicenses) remember(id [16]byte, now time.Time) {
	if _, known := l.until[id]; !known && len(l.until) >= maxIssued {
		for id, until := range l.until {
			if !now.Before(until) {
				delete(l.until, id)
			}
		}
		if len(l.until) >= maxIssued {
			clear(l.until)
		}
	}
	l.until[id] = now.Add(issuedFor)
}

// resultOf is what came of a license request that was answered with a license: a renewal if it says so itself, or if it is one of
// PlayReady for keys that the session was given before.
func (q *request) resultOf(c licensing.Challenge) string {
	result := purposeResults[c.Purpose]
	viewing := q.viewing()
	if result != resultGrant || q.kind != kindPlayReady || viewing == "" {
		return result
	}
	ids := make([][16]byte, len(c.KIDs))
	for i, kid := range c.KIDs {
		ids[i] = digest16(drm.SystemPlayReady.Word(), q.tenant, viewing, string(kid[:]))
	}
	if q.issued.issue(ids, q.now()) {
		return resultRenewal
	}
	return result
}

// viewing tells one viewing of a title from others: by its playback, where sessions carry one, else by the session. Empty without one.
func (q *request) viewing() string {
	if playback := q.identity.claims.Playback; playback != ([8]byte{}) {
		return string(playback[:])
	}
	return q.identity.session.presented
}
