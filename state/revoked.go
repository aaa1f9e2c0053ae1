package state

import (
	"context"
	"encoding/hex"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Freshness is how well a node knows what has been revoked.
type Freshness uint8

// The values. The zero value is the worst.
const (
	// NeverRead: the node has not seen the store since it started.
	NeverRead Freshness = iota
	// Stale: the node has not seen the store for longer than RevocationConfig.MaxStale.
	Stale
	// Fresh: what the node knows is what the store holds, or was until a moment ago.
	Fresh
)

// RevocationConfig sets Revocations. Store and Digest are required.
type RevocationConfig struct {
	Store  RevocationStore
	Digest *Digester
	// Poll is the time between two looks at the store, besides its own messages. Default 2 s.
	Poll time.Duration
	// MaxStale is how long after the last look the copy counts as fresh. Default 5 minutes.
	MaxStale time.Duration
	Now      func() time.Time
	Observe  func(operation string, took time.Duration, err error)
}

// Revocations is a node's copy of what has been revoked. Looking something up takes no network, and a time that does not grow with
// the number of entries. It is safe for concurrent use, and follows the store in the background until Close.
type Revocations struct {
	config RevocationConfig

	copy     atomic.Pointer[revoked]
	lastRead atomic.Int64 // Unix ms; 0: never
	reading  sync.Mutex

	stop context.CancelFunc
	done sync.WaitGroup
}

// revoked is a copy that does not change.
type revoked struct {
	version string
	entries map[string]Revocation // by ID
	viewers map[Digest][]until
	titles  map[string][]until
	keys    map[drm.KID][]until
	kinds   map[RevocationKind]bool
	rekeyed map[rekeyed][]until // with the time from which on
}

// until is for whom and how long something is revoked.
type until struct {
	tenant tenant
	unix   int64
}

const (
	defaultPoll     = 2 * time.Second
	defaultMaxStale = 5 * time.Minute
	readTimeout     = 2 * time.Second
)

// NewRevocations reads the store once, if it answers, and then follows it.
func NewRevocations(ctx context.Context, c RevocationConfig) *Revocations {
	if c.Poll == 0 {
		c.Poll = defaultPoll
	}
	if c.MaxStale == 0 {
		c.MaxStale = defaultMaxStale
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Observe == nil {
		c.Observe = func(string, time.Duration, error) {}
	}
	r := &Revocations{config: c}
	r.copy.Store(newRevoked("", nil))
	_ = r.Sync(ctx) // the loop goes on trying
	running, stop := context.WithCancel(context.Background())
	r.stop = stop
	changed := make(chan struct{}, 1)
	r.done.Go(func() {
		c.Store.Watch(running, func() {
			select {
			case changed <- struct{}{}:
			default: // one is on its way
			}
		})
	})
	r.done.Go(func() { r.follow(running, changed) })
	return r
}

// Close ends the following of the store.
func (r *Revocations) Close() {
	r.stop()
	r.done.Wait()
}

func (r *Revocations) follow(ctx context.Context, changed <-chan struct{}) {
	ticker := time.NewTicker(r.config.Poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-ticker.C:
		}
		_ = r.Sync(ctx) // Fresh tells
	}
}

// Sync brings the copy up to date. A store that has lost what it held gets the entries of the copy back.
func (r *Revocations) Sync(ctx context.Context) (err error) {
	r.reading.Lock()
	defer r.reading.Unlock()
	start := time.Now()
	defer func() {
		if ctx.Err() == nil {
			r.config.Observe("revocations", time.Since(start), err)
		}
	}()
	bounded, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	at := r.config.Now().UnixMilli() // what changes from here on is not in the copy
	have := r.copy.Load()
	version, err := r.config.Store.Version(bounded)
	if err != nil {
		return err
	}
	if version == have.version && r.lastRead.Load() != 0 {
		r.lastRead.Store(at)
		return nil
	}
	if lost := have.notOver(r.config.Now()); epochOf(version) != epochOf(have.version) && len(lost) > 0 {
		if err := r.config.Store.Add(bounded, lost); err != nil {
			return err
		}
	}
	version, entries, err := r.config.Store.Load(bounded)
	if err != nil {
		return err
	}
	r.copy.Store(newRevoked(version, entries))
	r.lastRead.Store(at)
	return nil
}

func epochOf(version string) string {
	epoch, _, _ := strings.Cut(version, ":")
	return epoch
}

// Add stores entries, and returns once this node knows of them.
func (r *Revocations) Add(ctx context.Context, entries ...Revocation) error {
	if err := r.config.Store.Add(ctx, entries); err != nil {
		return err
	}
	return r.Sync(ctx)
}

// Remove lifts the entry of an ID, and reports whether there was one.
func (r *Revocations) Remove(ctx context.Context, id string) (bool, error) {
	found, err := r.config.Store.Remove(ctx, id)
	if err != nil {
		return false, err
	}
	return found, r.Sync(ctx)
}

// List returns the entries that this node knows and that are not over, in no order.
func (r *Revocations) List() []Revocation { return r.copy.Load().notOver(r.config.Now()) }

// Len returns the number of entries in the copy.
func (r *Revocations) Len() int { return len(r.copy.Load().entries) }

// Freshness says how well the node knows what has been revoked.
func (r *Revocations) Freshness(now time.Time) Freshness {
	switch last := r.lastRead.Load(); {
	case last == 0:
		return NeverRead
	case now.UnixMilli()-last > r.config.MaxStale.Milliseconds():
		return Stale
	default:
		return Fresh
	}
}

// Revoked returns the kind of the revocation that a request falls under, and "" if there is none.
func (r *Revocations) Revoked(now time.Time, q Question) RevocationKind {
	known := r.copy.Load()
	if len(known.entries) == 0 {
		return ""
	}
	if len(known.viewers) > 0 {
		if kind := r.revokedViewer(known, now.Unix(), q); kind != "" {
			return kind
		}
	}
	if len(known.titles) > 0 && (known.covers(q.Path, q.Site, now.Unix()) || known.covers(titlePath(q.Asset), q.Site, now.Unix())) {
		return RevokeTitle
	}
	return ""
}

func (r *Revocations) revokedViewer(known *revoked, now int64, q Question) RevocationKind {
	session := ""
	if q.Playback != ([8]byte{}) && known.kinds[RevokeSession] {
		session = hex.EncodeToString(q.Playback[:])
	}
	for _, ask := range [...]struct {
		kind  RevocationKind
		word  string
		value string
	}{
		{RevokeSubject, "revoked subject", q.Subject},
		{RevokeToken, "revoked token", q.TokenID},
		{RevokeDevice, "revoked device", q.Device},
		{RevokeSession, "revoked session", session},
	} {
		if ask.value == "" || !known.kinds[ask.kind] {
			continue
		}
		if holds(known.viewers[r.config.Digest.Digest(ask.word, ask.value)], q.Site, now) {
			return ask.kind
		}
	}
	return ""
}

// newRevoked indexes entries. What it does not understand, it leaves out of the index and keeps in the list.
func newRevoked(version string, entries []Revocation) *revoked {
	known := &revoked{
		version: version, entries: make(map[string]Revocation, len(entries)), viewers: make(map[Digest][]until),
		titles: make(map[string][]until), keys: make(map[drm.KID][]until), kinds: make(map[RevocationKind]bool),
		rekeyed: make(map[rekeyed][]until),
	}
	for _, entry := range entries {
		known.entries[entry.ID] = entry
		known.kinds[entry.Kind] = true
		end := until{meant(entry.Tenant), entry.Expires.Unix()}
		switch entry.Kind {
		case RekeyTitle, RekeyGroup:
			what := rekeyed{entry.Kind, entry.Value}
			known.rekeyed[what] = append(known.rekeyed[what], until{end.tenant, entry.Created.Unix()})
		case RevokeTitle:
			known.titles[entry.Value] = append(known.titles[entry.Value], end)
		case RevokeKey:
			if kid, err := drm.ParseKID(entry.Value); err == nil {
				known.keys[kid] = append(known.keys[kid], end)
			}
		default:
			if match, err := hex.DecodeString(entry.Match); err == nil && len(match) == len(Digest{}) {
				known.viewers[Digest(match)] = append(known.viewers[Digest(match)], end)
			}
		}
	}
	return known
}

func (k *revoked) notOver(now time.Time) (entries []Revocation) {
	for _, entry := range k.entries {
		if now.Before(entry.Expires) {
			entries = append(entries, entry)
		}
	}
	return entries
}

// covers looks a clean path up, and each directory that it lies in.
func (k *revoked) covers(path string, site Site, now int64) bool {
	for path != "" {
		if holds(k.titles[path], site, now) {
			return true
		}
		path = path[:max(strings.LastIndexByte(path, '/'), 0)]
	}
	return holds(k.titles["/"], site, now)
}

func holds(ends []until, site Site, now int64) bool {
	for _, end := range ends {
		if now < end.unix && end.tenant.is(site) {
			return true
		}
	}
	return false
}
