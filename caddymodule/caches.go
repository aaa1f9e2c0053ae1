package caddymodule

import (
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
)

// caches outlive a reload: one set for the process, shared by every configuration that is alive.
//
// ristretto is a hint, it may drop or refuse what it is given, so everything here can be had again from the origin and
// the key source; in-flight work is collapsed in front of it.
type caches struct {
	protectors *ristretto.Cache[string, *segcrypt.Protector]
	inits      *ristretto.Cache[string, *segcrypt.Init]
	flight     singleflight.Group
}

const (
	// maxCachedInits bounds the parsed inits and the protectors that are kept, a few kilobytes each.
	maxCachedInits = 16384
	// initFreshness is how long a manifest trusts an init that was read before. Segments do not depend on it: their
	// seals name the digest of the init that they belong to.
	initFreshness = 5 * time.Second
	// initTimeout bounds the fetch of an init that several requests wait for.
	initTimeout = 30 * time.Second
	// maxInit bounds an init segment. Real ones have a few kilobytes.
	maxInit = 1 << 20
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

func newCaches() (*caches, error) {
	protectors, err := ristretto.NewCache(&ristretto.Config[string, *segcrypt.Protector]{
		NumCounters: 10 * maxCachedInits, MaxCost: maxCachedInits, BufferItems: 64, IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, err
	}
	inits, err := ristretto.NewCache(&ristretto.Config[string, *segcrypt.Init]{
		NumCounters: 10 * maxCachedInits, MaxCost: maxCachedInits, BufferItems: 64, IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, err
	}
	return &caches{protectors: protectors, inits: inits}, nil
}

// freshInit returns the init segment at p as the origin has it now, or had it a few seconds ago.
func (s *site) freshInit(ctx context.Context, o origin, p address.Path) (*segcrypt.Init, error) {
	key := s.handler + "\x00" + s.tenant + "\x00" + string(p)
	if init, ok := s.caches.inits.Get(key); ok {
		return init, nil
	}
	return s.loadInit(ctx, o, p, key, initFreshness, nil)
}

// sealedInit returns the init segment at p whose digest a seal names. If the origin has another one by now, the seal is
// of the past, and errInitReplaced is returned.
func (s *site) sealedInit(ctx context.Context, o origin, p address.Path, digest [16]byte) (*segcrypt.Init, error) {
	key := s.handler + "\x00" + s.tenant + "\x00" + string(p) + "\x00" + string(digest[:])
	if init, ok := s.caches.inits.Get(key); ok && init.Digest() == digest {
		return init, nil
	}
	return s.loadInit(ctx, o, p, key, 0, &digest)
}

var errOriginPanic = errors.New("a handler behind the gateway failed")

// loadInit fetches and parses an init once for all who ask for key at the same time, and caches it for ttl, 0 for good. One
// that has not the wanted digest is never cached: who asked may be gone before anybody could compare.
func (s *site) loadInit(
	ctx context.Context, o origin, p address.Path, key string, ttl time.Duration, want *[16]byte,
) (*segcrypt.Init, error) {
	done := s.caches.flight.DoChan(key, func() (_ any, err error) {
		defer func() {
			if v := recover(); v != nil { // the goroutine is ours: the server would not catch it
				err = &originError{err: errOriginPanic}
			}
		}()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), initTimeout)
		defer cancel()
		clear, err := o.detached(ctx).fetch(p, "", maxInit)
		if err != nil {
			return nil, err
		}
		defer clear.release()
		init, err := segcrypt.ParseInit(clear.body)
		if err != nil {
			return nil, err
		}
		if want != nil && init.Digest() != *want {
			return nil, errInitReplaced
		}
		s.caches.inits.SetWithTTL(key, init, 1, ttl)
		return init, nil
	})
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case result := <-done:
		init, _ := result.Val.(*segcrypt.Init)
		return init, result.Err
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
	for _, field := range [][]byte{digest[:], kid[:], secret[:], iv[:], p.IVSecret[:], {byte(p.Scheme), p.Variant}, p.Pssh} {
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
