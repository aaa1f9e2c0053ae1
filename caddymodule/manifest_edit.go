package caddymodule

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/address"
)

// manifestEdit is a rewritten manifest without what belongs to one viewer: the session stands between the pieces.
type manifestEdit struct {
	pieces [][]byte
	size   int  // of the pieces
	oneKey bool // as of titleProtector
}

const (
	// maxCachedEdits bounds the bytes of all rewritten manifests that are kept.
	maxCachedEdits = 64 << 20
	// editFreshness is how long a rewritten manifest is given out for the same clear one. What it took from init segments
	// and indexes is as old again at most (initFreshness).
	editFreshness = 5 * time.Second
)

// Marks stand for sessions while a manifest is rewritten, of the addresses in it and of its own, if that is another one. No manifest
// can hold them.
var (
	sessionMark = address.SessionElement(rand.Text())
	ownMark     = address.SessionElement(rand.Text())
)

// sessionText returns the session that path elements carry, without what makes it an element.
func sessionText(elements []string) string {
	if len(elements) == 0 {
		return ""
	}
	return strings.TrimPrefix(elements[0], address.SessionElement(""))
}

// rewriteFunc rewrites a clear manifest for the request and the title that it is given.
type rewriteFunc func(q *request, p *titleProtector, clear []byte) ([]byte, error)

// rewriteOnce rewrites a manifest once for all viewers who ask for it within a few seconds in the same way. A live manifest
// is asked for by every viewer every few seconds, and to seal each of its references takes most of the time. The clear manifest is
// released. Its memory and what is claimed for it go over to the work, if this request begins it: whoever waits holds nothing, and
// what was begun counts until it has ended, whoever has left.
func (q *request) rewriteOnce(p *titleProtector, clear *clearResource, claim *claim, rewrite rewriteFunc) ([]byte, error) {
	key := q.editKey(p, clear.body)
	edit, ok := q.caches.edits.Get(key)
	if !ok {
		shared, title, origin, text, held := *q, *p, q.origin.snapshot(), bytes.Clone(clear.body), claim.handOver()
		flight, started := q.caches.editing.join(q.r.Context(), key, func(ctx context.Context) (*manifestEdit, error) {
			defer held.release()
			return shared.makeEdit(ctx, origin.detached(ctx), &title, key, text, rewrite)
		})
		if !started {
			held.release()
		}
		clear.release()
		var err error
		if edit, err = q.caches.editing.wait(q.r.Context(), key, flight); err != nil {
			return nil, err
		}
	}
	p.oneKey = edit.oneKey
	if err := claim.textual(1)(int64(len(clear.body) + edit.size + len(edit.pieces)*len(sessionText(p.session)))); err != nil {
		return nil, err
	}
	body := bytes.Join(edit.pieces, []byte(sessionText(p.session)))
	clear.release()
	return body, nil
}

// makeEdit rewrites for all who wait, and keeps the result for those who come within seconds.
func (q *request) makeEdit(
	ctx context.Context, o origin, title *titleProtector, key string, clear []byte, rewrite rewriteFunc,
) (*manifestEdit, error) {
	body, err := q.rewriteMarked(ctx, o, title, clear, rewrite)
	if err != nil {
		return nil, err
	}
	edit := &manifestEdit{pieces: bytes.Split(body, []byte(sessionText([]string{sessionMark}))), size: len(body), oneKey: title.oneKey}
	q.caches.edits.SetWithTTL(key, edit, int64(edit.size), freshness(title.group.Rotate))
	return edit, nil
}

// freshness is how long an edit is given out. Where keys rotate, it may list what the clock says.
func freshness(rotate time.Duration) time.Duration {
	if rotate > 0 {
		return min(editFreshness, rotate/8)
	}
	return editFreshness
}

// rewriteMarked rewrites with a mark in place of the session, on behalf of whoever waits for the result. The request and the
// title are copies of its own.
func (q *request) rewriteMarked(ctx context.Context, o origin, p *titleProtector, clear []byte, rewrite rewriteFunc) ([]byte, error) {
	q.r, q.w, q.origin, p.q = q.r.WithContext(ctx), nil, o, q
	if len(p.session) > 0 {
		p.session = []string{sessionMark}
	}
	return rewrite(q, p, clear)
}

// from is the escaped path that was asked for, with a mark in place of the session. Addresses that carry the same session stand
// below it; those that carry another have to climb out of it.
func (q *request) from() string {
	path, mark := q.r.URL.EscapedPath(), ownMark
	switch q.addr.Session {
	case "":
		return path
	case q.identity.session.carried:
		mark = sessionMark
	}
	return strings.Replace(path, address.SessionElement(q.addr.Session), mark, 1)
}

// editKey names all that a rewritten manifest depends on, besides init segments and indexes.
func (q *request) editKey(p *titleProtector, clear []byte) string {
	h := sha256.New()
	for _, field := range []string{
		q.handler, q.tenant, q.from(), q.originQuery(), string(p.asset), p.title.Group, p.title.Scheme.String(),
		string(rune(p.keyFormats)), string(rune(len(p.session))), q.publicBase().String(), q.licenseURL("/", nil), p.licenseTemplates(), q.identity.claims.Level, fmt.Sprintf("%+v", p.group), fmt.Sprint(p.replaced, p.oldest, p.listed), string(clear),
	} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(field)))
		h.Write(size[:])
		h.Write([]byte(field))
	}
	return string(h.Sum(nil))
}
