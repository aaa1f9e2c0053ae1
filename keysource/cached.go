package keysource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// CacheOptions tune Cached. The zero value of each field means its default.
type CacheOptions struct {
	// Fresh is how long a key is served without asking the source again; default 1 hour.
	Fresh time.Duration
	// HardLimit is the age at which a key is served no longer, however long the source has been out; default 24 hours,
	// at least Fresh.
	HardLimit time.Duration
	// UnknownFor is how long ErrUnknownKey is remembered of a source that can be asked again; default 5 seconds.
	UnknownFor time.Duration
	// RetryAfter is how long a failed source is left alone, per question; default 1 second.
	RetryAfter time.Duration
	// FetchTimeout bounds one question to the source, waiting for its turn included; default 10 seconds.
	FetchTimeout time.Duration
	// MaxFetches bounds the questions that the source is asked at one time; default 64.
	MaxFetches int
	// KeysInUse is how many answers are certain to be kept, the most recently used ones; default 4096.
	KeysInUse int
	// Likely is how many answers beyond them are kept if they are asked for often enough; default 65536.
	Likely int
}

func (o CacheOptions) withDefaults() (CacheOptions, error) {
	durations := []struct {
		name  string
		value *time.Duration
		std   time.Duration
	}{
		{"fresh", &o.Fresh, time.Hour},
		{"hard limit", &o.HardLimit, max(24*time.Hour, o.Fresh)},
		{"unknown for", &o.UnknownFor, 5 * time.Second},
		{"retry after", &o.RetryAfter, time.Second},
		{"fetch timeout", &o.FetchTimeout, 10 * time.Second},
	}
	for _, d := range durations {
		if *d.value < 0 {
			return CacheOptions{}, fmt.Errorf("key cache: %s is negative", d.name)
		}
		if *d.value == 0 {
			*d.value = d.std
		}
	}
	counts := []struct {
		name  string
		value *int
		std   int
	}{
		{"max fetches", &o.MaxFetches, 64},
		{"keys in use", &o.KeysInUse, 4096},
		{"likely", &o.Likely, 65536},
	}
	for _, c := range counts {
		if *c.value < 0 {
			return CacheOptions{}, fmt.Errorf("key cache: %s is negative", c.name)
		}
		if *c.value == 0 {
			*c.value = c.std
		}
	}
	if o.HardLimit < o.Fresh {
		return CacheOptions{}, errors.New("key cache: the hard limit is shorter than the time a key is fresh")
	}
	return o, nil
}

// Cached is a Source in front of another one. Any number of callers with one question make one call to the source; a caller
// whose context ends leaves alone, and the call goes on for the others. From Fresh to HardLimit an answer is served at once while
// the source is asked again behind it: while the source is out, keys go on, and so does, up to HardLimit, that there is none. Its only
// errors are ErrUnknownKey, ErrUnavailable and the error of the caller's context.
type Cached struct {
	src   Source
	keys  *table[Request, drm.ContentKey]
	lists *table[Title, []drm.ContentKey]
	names *names
	// periods is of sources that are Namers, as names is of others.
	periods *periodIndex
	// signals is nil if the source is no Signaler.
	signals *table[Request, told]
}

var _ Source = (*Cached)(nil)

// NewCached returns a cache in front of src. now is read at each look-up and may be called from several goroutines. The caller
// ends the cache with Close; src stays the caller's.
func NewCached(src Source, now func() time.Time, options CacheOptions) (*Cached, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	slots := make(chan struct{}, options.MaxFetches)
	keys, err := newTable(options, now, slots, func(ctx context.Context, r Request) (drm.ContentKey, error) {
		k, err := src.ContentKey(ctx, r)
		if err == nil && k.IsZero() {
			err = errors.New("source answered without a key")
		}
		return k, err
	})
	if err != nil {
		return nil, err
	}
	keys.accept = separateSchemes
	lists, err := newTable(options, now, slots, func(ctx context.Context, t Title) ([]drm.ContentKey, error) {
		list, err := src.ContentKeys(ctx, t)
		if err == nil {
			err = checkList(list)
		}
		return slices.Clone(list), err
	})
	if err != nil {
		keys.close()
		return nil, err
	}
	c := &Cached{src: src, keys: keys, lists: lists, names: &names{now: now, known: make(map[Title]titleNames)}, periods: &periodIndex{blocks: make(map[Title][]indexedName)}}
	if err := c.openSignals(options, now, slots); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Split implements Source.
func (c *Cached) Split() bool { return c.src.Split() }

// ContentKey implements Source. A key at hand costs no allocation and no call.
func (c *Cached) ContentKey(ctx context.Context, r Request) (drm.ContentKey, error) {
	return c.keys.get(ctx, r)
}

// ContentKeys implements Source. The list is the caller's own.
func (c *Cached) ContentKeys(ctx context.Context, t Title) ([]drm.ContentKey, error) {
	list, err := c.lists.get(ctx, t)
	return slices.Clone(list), err
}

// Namer is implemented by sources that tell the names of keys without asking anybody.
type Namer interface {
	// KIDs lists the names of what ContentKeys would list.
	KIDs(t Title) ([]drm.KID, error)
}

// MayHold reports whether one of kids may be the name of a key of t: whether it is, if the source is a Namer or LearnNames was called within
// the last moments, and true otherwise.
func (c *Cached) MayHold(t Title, kids []drm.KID) bool {
	namer, ok := c.src.(Namer)
	if !ok {
		return c.names.mayHold(t, kids)
	}
	named, err := namer.KIDs(t)
	return err == nil && slices.ContainsFunc(named, func(kid drm.KID) bool { return slices.Contains(kids, kid) })
}

// Names reports whether the source is a Namer.
func (c *Cached) Names() bool {
	_, ok := c.src.(Namer)
	return ok
}

// Prefetch has the source asked for a key that will be needed soon, such as that of the next crypto period, unless the answer is
// known. It does not wait.
func (c *Cached) Prefetch(r Request) {
	// The error is what a caller who needs the key will be told.
	_, _, _ = c.keys.lookup(r, c.keys.now())
	if c.signals != nil { // of the same answer of a key server
		_, _, _ = c.signals.lookup(r, c.signals.now())
	}
}

// Close cancels the questions under way, waits for them, and forgets every key. Look-ups during and after it return
// ErrUnavailable. It may be called twice.
func (c *Cached) Close() {
	c.keys.close()
	c.lists.close()
	if c.signals != nil {
		c.signals.close()
	}
}

// Format keeps every verb from reaching the fields.
func (c *Cached) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "cached key source")
}

// separateSchemes refuses the key of one scheme when the other scheme of the same track is already served with it, as a key
// server that is not told the scheme would have it: CTR and CBC under one key break the argument that no IV repeats.
func separateSchemes(r Request, k drm.ContentKey, held func(Request) (drm.ContentKey, bool)) error {
	for _, scheme := range drm.AllSchemes {
		if scheme == r.Scheme {
			continue
		}
		other := r
		other.Scheme = scheme
		if o, ok := held(other); ok && (o.KID() == k.KID() || o.Secret() == k.Secret()) {
			return fmt.Errorf("%w: source answered with one key, %s, for %s and %s", ErrUnavailable, k.KID(), scheme, r.Scheme)
		}
	}
	return nil
}

// checkList refuses lists that a license could not be built from.
func checkList(list []drm.ContentKey) error {
	if len(list) == 0 {
		return errors.New("source answered with an empty list")
	}
	seen := make(map[drm.KID]bool, len(list))
	for i, k := range list {
		if k.IsZero() {
			return fmt.Errorf("source answered without a key at index %d", i)
		}
		if seen[k.KID()] {
			return fmt.Errorf("source answered with KID %s twice", k.KID())
		}
		seen[k.KID()] = true
	}
	return nil
}
