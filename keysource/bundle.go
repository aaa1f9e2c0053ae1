package keysource

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Bundle is what a key server says of a title at once.
type Bundle struct {
	// Keys are the keys by track class. Classes may share one, or have none.
	Keys map[drm.TrackClass]drm.ContentKey
	// Signals are what DRM systems are told, of all keys, in the order of the server.
	Signals []Signal
}

// Fetcher asks a key server. It fails as a Source does.
type Fetcher interface {
	// Fetch returns the keys of a title for each class of Classes(Split()) that has one.
	Fetch(ctx context.Context, t Title) (Bundle, error)
	// Split is as that of Source.
	Split() bool
}

// Classes lists the classes that a source is asked for: drm.SplitClasses, or drm.ClassShared alone.
func Classes(split bool) []drm.TrackClass { return classesOf(split) }

// Bundled is the Source over a Fetcher.
type Bundled struct{ fetcher Fetcher }

var (
	_ Source   = (*Bundled)(nil)
	_ Signaler = (*Bundled)(nil)
)

// NewBundled returns the source over f. Each question fetches anew: Resilient and Cached see to it that the server is not asked again.
func NewBundled(f Fetcher) *Bundled { return &Bundled{fetcher: f} }

// Split implements Source.
func (b *Bundled) Split() bool { return b.fetcher.Split() }

// ContentKey implements Source.
func (b *Bundled) ContentKey(ctx context.Context, r Request) (drm.ContentKey, error) {
	if err := r.check(b.Split()); err != nil {
		return drm.ContentKey{}, fmt.Errorf("asking for content key: %w", err)
	}
	bundle, err := b.fetcher.Fetch(ctx, r.Title)
	if err != nil {
		return drm.ContentKey{}, err
	}
	key := bundle.Keys[r.Class]
	if key.IsZero() {
		return drm.ContentKey{}, ErrUnknownKey
	}
	return key, nil
}

// ContentKeys implements Source: the key of each class in the order of drm.SplitClasses, each key once.
func (b *Bundled) ContentKeys(ctx context.Context, t Title) ([]drm.ContentKey, error) {
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("asking for content keys: %w", err)
	}
	bundle, err := b.fetcher.Fetch(ctx, t)
	if err != nil {
		return nil, err
	}
	var keys []drm.ContentKey
	seen := make(map[drm.KID]bool)
	for _, class := range Classes(b.Split()) {
		if k := bundle.Keys[class]; !k.IsZero() && !seen[k.KID()] {
			seen[k.KID()] = true
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, ErrUnknownKey
	}
	return keys, nil
}

// Signals implements Signaler.
func (b *Bundled) Signals(ctx context.Context, r Request) ([]Signal, bool, error) {
	if err := r.check(b.Split()); err != nil {
		return nil, false, fmt.Errorf("asking for signals: %w", err)
	}
	bundle, err := b.fetcher.Fetch(ctx, r.Title)
	if err != nil {
		return nil, false, err
	}
	key := bundle.Keys[r.Class]
	if key.IsZero() {
		return nil, false, ErrUnknownKey
	}
	var signals []Signal
	for _, s := range bundle.Signals {
		if s.KID == key.KID() {
			signals = append(signals, s)
		}
	}
	return signals, len(signals) > 0, nil
}

// NamedBy returns the source with names from n, for servers that answer under the names that they are asked for and no others.
func (b *Bundled) NamedBy(n Namer) Source { return named{b, n} }

// named is a Bundled that is a Namer.
type named struct {
	*Bundled
	Namer
}

// Format keeps every verb from reaching the fields.
func (b *Bundled) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "key source of a server") }

var errBundle = errors.New("the key server answered with keys that do not go together")

// check refuses bundles in which one KID names two keys, or one key has two KIDs.
func (b Bundle) check() error {
	kids := make(map[drm.KID]drm.ContentKey)
	secrets := make(map[[drm.KeySize]byte]drm.KID)
	for _, k := range b.Keys {
		if k.IsZero() {
			return errBundle
		}
		if other, ok := kids[k.KID()]; ok && other != k {
			return errBundle
		}
		if kid, ok := secrets[k.Secret()]; ok && kid != k.KID() {
			return errBundle
		}
		kids[k.KID()], secrets[k.Secret()] = k, k.KID()
	}
	return nil
}
