package caddymodule

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/dgraph-io/ristretto/v2"
	"golang.org/x/sync/singleflight"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/segcrypt"
	"github.com/caddy-drm/caddy-drm/token"
)

// caches outlive a reload: one set for the process, shared by every configuration that is alive.
//
// ristretto is a hint, it may drop or refuse what it is given, so everything here can be had again from the origin and
// the key source; in-flight work is collapsed in front of it.
type caches struct {
	protectors *ristretto.Cache[string, *segcrypt.Protector]
	psshs      *ristretto.Cache[string, []byte] // of init segments
	inits      *ristretto.Cache[string, *segcrypt.Init]
	indexes    *ristretto.Cache[string, *segcrypt.Index]
	edits      *ristretto.Cache[string, *manifestEdit]
	renewals   *ristretto.Cache[string, string] // the session that follows on another
	sessions   *token.OpenedSessions
	anchors    *dateAnchors
	flight     singleflight.Group
	editing    editFlights
}

const (
	// maxCachedInits bounds the parsed inits and the protectors that are kept, a few kilobytes each.
	maxCachedInits = 16384
	// maxRenewals bounds the sessions that are remembered for those who come with an older one, a kilobyte each at most.
	maxRenewals = 65536
	// maxOpenedSessions bounds the sessions whose claims are at hand, a kilobyte or so each.
	maxOpenedSessions = 65536
	// initFreshness is how long a manifest trusts an init that was read before. Segments do not depend on it: their
	// seals name the digest of the init that they belong to.
	initFreshness = 5 * time.Second
	// initTimeout bounds the fetch of an init that several requests wait for.
	initTimeout = 30 * time.Second
	// maxInit bounds an init segment. Real ones have a few kilobytes.
	maxInit = 1 << 20
	// maxIndexBytes bounds the segment indexes of one file, maxCachedIndexes the entries of all that are kept.
	maxIndexBytes    = 4 << 20
	maxCachedIndexes = 1 << 20
)

// sharedCaches are never closed: a request of an old configuration may still use them, and closing a ristretto cache under
// its readers is a race.
var sharedCaches = sync.OnceValue(func() *caches {
	c, err := newCaches()
	if err != nil {
		panic(err) // the limits are constants of ours
	}
	return c
})

func newCaches() (c *caches, err error) {
	c = &caches{}
	c.anchors = newDateAnchors()
	c.sessions, err = token.NewOpenedSessions(maxOpenedSessions)
	return c, errors.Join(
		err,
		openCache(&c.protectors, maxCachedInits), openCache(&c.inits, maxCachedInits),
		openCache(&c.psshs, maxCachedInits),
		openCache(&c.indexes, maxCachedIndexes), openCache(&c.edits, maxCachedEdits),
		openCache(&c.renewals, maxRenewals),
	)
}

// openCache makes a cache whose entries cost at most maxCost together.
func openCache[V any](into **ristretto.Cache[string, V], maxCost int64) (err error) {
	*into, err = ristretto.NewCache(&ristretto.Config[string, V]{
		NumCounters: 10 * maxCachedInits, MaxCost: maxCost, BufferItems: 64, IgnoreInternalCost: true,
	})
	return err
}

// cacheKey names what the origin behind this handler has at from, for the host and the prefix that were asked for: hosts of
// one tenant may have folders of their own.
func (s *site) cacheKey(o origin, from address.Resource) string {
	return s.handler + "\x00" + s.tenant + "\x00" + publicPlace(o.client) + "\x00" + string(from.Path) + "\x00" + from.Range.Header()
}

// freshInit returns the init segment at from as the origin has it now, or had it a few seconds ago.
func (s *site) freshInit(ctx context.Context, o origin, from address.Resource) (*segcrypt.Init, error) {
	key := s.cacheKey(o, from)
	if init, ok := s.caches.inits.Get(key); ok {
		return init, nil
	}
	return s.loadInit(ctx, o, from, key, initFreshness, nil)
}

// sealedInit returns the init segment whose digest a seal names. If the origin has another one by now, the seal is of the
// past, and errInitReplaced is returned.
func (s *site) sealedInit(ctx context.Context, o origin, from address.Resource, digest [16]byte) (*segcrypt.Init, error) {
	key := s.cacheKey(o, from) + "\x00" + string(digest[:])
	if init, ok := s.caches.inits.Get(key); ok && init.Digest() == digest {
		return init, nil
	}
	return s.loadInit(ctx, o, from, key, 0, &digest)
}

var errOriginPanic = errors.New("a handler behind the gateway failed")

// loadInit fetches and parses an init once for all who ask for key at the same time, and caches it for ttl, 0 for good. One
// that has not the wanted digest is never cached: who asked may be gone before anybody could compare.
func (s *site) loadInit(
	ctx context.Context, o origin, from address.Resource, key string, ttl time.Duration, want *[16]byte,
) (*segcrypt.Init, error) {
	return once(ctx, s.caches, "init\x00"+key, o, func(_ context.Context, o origin) (*segcrypt.Init, error) {
		clear, err := o.fetch(from, fetchOptions{limit: maxInit})
		if err != nil {
			return nil, err
		}
		defer clear.release()
		init, err := segcrypt.ParseInitWith(clear.body, s.parse)
		if err != nil {
			return nil, err
		}
		if want != nil && init.Digest() != *want {
			return nil, errInitReplaced
		}
		s.caches.inits.SetWithTTL(key, init, 1, ttl)
		return init, nil
	})
}

// freshIndex returns the segment index of a single-file track as the origin has it now, or had it a few seconds ago.
func (s *site) freshIndex(ctx context.Context, o origin, from address.Resource) (*segcrypt.Index, error) {
	key := s.cacheKey(o, from)
	if index, ok := s.caches.indexes.Get(key); ok {
		return index, nil
	}
	return s.loadIndex(ctx, o, from, key, initFreshness, nil)
}

// sealedIndex returns the segment index whose digest a seal names, or errInitReplaced.
func (s *site) sealedIndex(ctx context.Context, o origin, from address.Resource, digest [8]byte) (*segcrypt.Index, error) {
	key := s.cacheKey(o, from) + "\x00" + string(digest[:])
	if index, ok := s.caches.indexes.Get(key); ok && indexDigest(index) == digest {
		return index, nil
	}
	return s.loadIndex(ctx, o, from, key, 0, &digest)
}

// loadIndex is loadInit for a segment index and those that it refers to.
func (s *site) loadIndex(
	ctx context.Context, o origin, from address.Resource, key string, ttl time.Duration, want *[8]byte,
) (*segcrypt.Index, error) {
	return once(ctx, s.caches, "index\x00"+key, o, func(_ context.Context, o origin) (*segcrypt.Index, error) {
		read := func(offset, length uint64) (segcrypt.Clear, error) {
			part, err := address.NewRange(offset, length)
			if err != nil || length > maxIndexBytes {
				return nil, errIndex
			}
			clear, err := o.fetch(address.Resource{Path: from.Path, Range: part}, fetchOptions{limit: maxIndexBytes})
			if err != nil {
				return nil, err
			}
			defer clear.release()
			return bytes.Clone(clear.body), nil
		}
		b, err := read(from.Range.Offset, from.Range.Length)
		if err != nil {
			return nil, err
		}
		index, err := segcrypt.ReadIndex(b, from.Range.Offset, read)
		if err != nil {
			return nil, err
		}
		if want != nil && indexDigest(index) != *want {
			return nil, errInitReplaced
		}
		s.caches.indexes.SetWithTTL(key, index, int64(1+len(index.Entries)), ttl)
		return index, nil
	})
}

// indexDigest is how seals name an index.
func indexDigest(index *segcrypt.Index) [8]byte {
	digest := index.Digest()
	return [8]byte(digest[:])
}

// once runs load for all who ask for key at the same time. It goes on when the one who began it leaves.
func once[T any](ctx context.Context, c *caches, key string, o origin, load func(ctx context.Context, o origin) (T, error)) (T, error) {
	var none T
	o = o.snapshot()
	done := c.flight.DoChan(key, func() (_ any, err error) {
		defer func() {
			if v := recover(); v != nil { // the goroutine is ours: the server would not catch it
				err = &originError{err: errOriginPanic}
			}
		}()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), initTimeout)
		defer cancel()
		return load(ctx, o.detached(ctx))
	})
	select {
	case <-ctx.Done():
		return none, context.Cause(ctx)
	case result := <-done:
		v, _ := result.Val.(T)
		return v, result.Err
	}
}

// protector returns the Protector for one init under one key. Its name in the cache is a digest of everything that it
// depends on, so that no entry is ever wrong, whatever a reload changes.
func (s *site) protector(init *segcrypt.Init, p segcrypt.Protection) (*segcrypt.Protector, error) {
	name := protectorName(init.Digest(), p)
	if protector, ok := s.caches.protectors.Get(name); ok {
		return protector, nil
	}
	protector, err := segcrypt.NewProtector(init, p)
	if err != nil {
		return nil, err
	}
	s.caches.protectors.Set(name, protector, 1)
	return protector, nil
}

func protectorName(digest [16]byte, p segcrypt.Protection) string {
	h := sha256.New()
	secret, iv, kid := p.Key.Secret(), p.Key.ConstantIV(), p.Key.KID()
	for _, field := range [][]byte{digest[:], kid[:], secret[:], iv[:], p.IVSecret[:], {byte(p.Scheme), p.Variant}, numberBytes(p.ClearUntil), p.Pssh} {
		h.Write(field) // all but the last have a fixed length
	}
	return string(h.Sum(nil))
}

// commonPssh lists every KID of a title, so that a player which asks for a license by the init of one track gets what the
// other tracks need too.
func commonPssh(keys []drm.ContentKey) []byte {
	kids := make([]drm.KID, len(keys))
	for i, key := range keys {
		kids[i] = key.KID()
	}
	return drm.AppendCommonPssh(nil, kids...)
}
