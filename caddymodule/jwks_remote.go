package caddymodule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/token"
)

// Times and sizes of key sets that come from a server.
const (
	maxRemoteKeys   = 256 << 10
	remoteTimeout   = 10 * time.Second
	remoteMaxHops   = 3
	remoteUsualAge  = 15 * time.Minute // where the server does not say
	remoteLeastAge  = time.Minute
	remoteGreatest  = 24 * time.Hour
	remoteFirstWait = 5 * time.Second // after a failure; doubled up to the last
	remoteLastWait  = 5 * time.Minute
	// remoteCoolDown is how often tokens with unknown keys may make us ask, while there are no keys at all remoteFirstCoolDown;
	// remoteRequestWait is how long one waits for the answer.
	remoteCoolDown      = 30 * time.Second
	remoteFirstCoolDown = time.Second
	remoteRequestWait   = 3 * time.Second
)

// remoteKeys follows the key set of a server. Nothing touches the network or the storage before run.
type remoteKeys struct {
	url        *url.URL
	keys       *token.KeySet
	client     *http.Client
	storage    keyStorage
	storageKey string
	logger     *zap.Logger

	ask chan struct{} // wakes run

	mu      sync.Mutex
	asked   time.Time     // when a request last woke run
	pending chan struct{} // closed when the fetch under way, or about to begin, is over
	last    keySnapshot
}

// keySnapshot is the last key set that was good. It is kept in memory from one configuration to the next and in Caddy's storage from one
// process to the next, so that neither needs the server.
type keySnapshot struct {
	ETag string `json:"etag,omitempty"`
	Keys string `json:"keys"`
}

// keyStorage is what is needed of Caddy's storage.
type keyStorage interface {
	Load(ctx context.Context, key string) ([]byte, error)
	Store(ctx context.Context, key string, value []byte) error
}

// lastKeys holds the snapshots of this process, by storage key.
var lastKeys sync.Map

func isURL(text string) bool { return strings.Contains(text, "://") }

// followKeys makes the verifier follow the key set at JWKS, from the start of the configuration to its end.
func (v *JWTVerifier) followKeys(ctx caddy.Context, algorithms []token.Algorithm) error {
	keys, err := token.PendingKeySet(algorithms...)
	if err != nil {
		return fmt.Errorf("jwks: %w", err)
	}
	remote, err := newRemoteKeys(v.JWKS, keys, ctx.Storage(), v.logger)
	if err != nil {
		return fmt.Errorf("jwks: %w", err)
	}
	app, err := ctx.App("drm")
	if err != nil {
		return err
	}
	v.keys, v.remote = keys, remote
	drm, _ := app.(*App)
	drm.starters = append(drm.starters, remote.run)
	return nil
}

func newRemoteKeys(text string, keys *token.KeySet, storage keyStorage, logger *zap.Logger) (*remoteKeys, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return nil, errors.New("want the path of a file, or an https URL without credentials; http only for this machine")
	}
	sum := sha256.Sum256([]byte(u.String()))
	r := &remoteKeys{
		url: u, keys: keys, storage: storage, logger: logger, storageKey: "drm/jwks/" + hex.EncodeToString(sum[:16]) + ".json",
		ask: make(chan struct{}, 1), pending: make(chan struct{}),
	}
	transport, _ := http.DefaultTransport.(*http.Transport)
	transport = transport.Clone()
	transport.DisableKeepAlives = true // it is asked every few minutes at most
	transport.MaxResponseHeaderBytes = 64 << 10
	r.client = &http.Client{Timeout: remoteTimeout, Transport: transport, CheckRedirect: r.checkRedirect}
	if kept, ok := lastKeys.Load(r.storageKey); ok {
		snapshot, _ := kept.(keySnapshot)
		r.adopt(snapshot)
	}
	return r, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// checkRedirect stays with the host that the operator named: whoever can send us elsewhere would choose the keys.
func (r *remoteKeys) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > remoteMaxHops || req.URL.Scheme != r.url.Scheme || req.URL.Host != r.url.Host {
		return errors.New("redirect to another host, or too many of them")
	}
	return nil
}

// run asks the server until ctx ends.
func (r *remoteKeys) run(ctx context.Context) {
	if r.keys.Len() == 0 {
		r.restore(ctx)
	}
	failed := time.Duration(0)
	for {
		r.begin()
		age, err := r.fetch(ctx)
		r.finish()
		if ctx.Err() != nil {
			return
		}
		wait := age
		if err != nil {
			failed = min(max(2*failed, remoteFirstWait), remoteLastWait)
			wait = failed
			r.logger.Error("key set not renewed; the old keys stay", zap.Error(err), zap.Int("keys", r.keys.Len()), zap.Duration("again_in", wait))
		} else {
			failed = 0
		}
		timer := time.NewTimer(jitter(wait))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-r.ask:
		}
		timer.Stop()
	}
}

// jitter keeps nodes from asking all at once.
func jitter(d time.Duration) time.Duration { return d - time.Duration(rand.Int64N(int64(d)/5+1)) } //nolint:gosec // spreads load, guards nothing

// restore takes the keys of the last process, until the server answers.
func (r *remoteKeys) restore(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	text, err := r.storage.Load(ctx, r.storageKey)
	if err != nil {
		return // there is none, or the storage says so elsewhere
	}
	var snapshot keySnapshot
	if err := json.Unmarshal(text, &snapshot); err != nil {
		r.logger.Warn("the stored key set cannot be read", zap.Error(err))
		return
	}
	r.adopt(snapshot)
}

// adopt makes a snapshot the keys, if they are good.
func (r *remoteKeys) adopt(snapshot keySnapshot) {
	if err := r.keys.Reload([]byte(snapshot.Keys)); err == nil {
		r.last = snapshot
	}
}

// fetch asks once, and returns how long the answer is good for.
func (r *remoteKeys) fetch(ctx context.Context) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url.String(), nil)
	if err != nil {
		return 0, errors.New("making a request")
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	if r.last.ETag != "" {
		req.Header.Set("If-None-Match", r.last.ETag)
	}
	res, err := r.client.Do(req)
	if err != nil {
		var inURL *url.Error
		if errors.As(err, &inURL) {
			err = inURL.Err // without the URL, whose query may hold a credential
		}
		return 0, fmt.Errorf("asking for the key set: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	switch {
	case res.StatusCode == http.StatusNotModified && r.last.ETag != "":
		return maxAge(res.Header), nil
	case res.StatusCode != http.StatusOK:
		return 0, fmt.Errorf("asking for the key set: status %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxRemoteKeys+1))
	if err != nil {
		return 0, fmt.Errorf("reading the key set: %w", err)
	}
	if len(body) > maxRemoteKeys {
		return 0, fmt.Errorf("reading the key set: over %d bytes", maxRemoteKeys)
	}
	if err := r.keys.Reload(body); err != nil {
		return 0, err
	}
	r.keep(ctx, keySnapshot{ETag: res.Header.Get("ETag"), Keys: string(body)})
	return maxAge(res.Header), nil
}

func (r *remoteKeys) keep(ctx context.Context, snapshot keySnapshot) {
	unchanged := snapshot.Keys == r.last.Keys
	r.last = snapshot
	lastKeys.Store(r.storageKey, snapshot)
	if unchanged {
		return
	}
	text, err := json.Marshal(snapshot)
	if err == nil {
		err = r.storage.Store(ctx, r.storageKey, text)
	}
	if err != nil {
		r.logger.Warn("the key set is not kept in storage", zap.Error(err))
	}
}

// maxAge reads how long a key set may be used without asking again, within bounds of ours.
func maxAge(header http.Header) time.Duration {
	age := remoteUsualAge
	for directive := range strings.SplitSeq(header.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil && strings.EqualFold(name, "max-age") {
			age = time.Duration(seconds) * time.Second
		}
	}
	return min(max(age, remoteLeastAge), remoteGreatest)
}

// begin lets requests join the fetch that begins.
func (r *remoteKeys) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending == nil {
		r.pending = make(chan struct{})
	}
}

// finish wakes the requests that wait for the fetch that just ended.
func (r *remoteKeys) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.pending)
	r.pending = nil
}

// refresh is asked for a token whose key is not known. It has the server asked, once per cool-down however many such tokens come, and
// waits for that, or for what is under way, a bounded time.
func (r *remoteKeys) refresh(ctx context.Context) bool {
	r.mu.Lock()
	if r.pending == nil {
		coolDown := remoteCoolDown
		if r.keys.Len() == 0 {
			coolDown = remoteFirstCoolDown
		}
		if time.Since(r.asked) < coolDown {
			r.mu.Unlock()
			return false
		}
		r.asked, r.pending = time.Now(), make(chan struct{})
		select {
		case r.ask <- struct{}{}:
		default:
		}
	}
	over := r.pending
	r.mu.Unlock()
	timer := time.NewTimer(remoteRequestWait)
	defer timer.Stop()
	select {
	case <-over:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}
