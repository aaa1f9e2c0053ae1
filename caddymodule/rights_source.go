package caddymodule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/rights"
)

// RightsSource is where a catalog of titles comes from.
type RightsSource struct {
	// Source is the path of a file, or an https URL; http is accepted for the machine itself. Placeholders expand when the
	// configuration is loaded.
	Source string `json:"source"`
	// Refresh is how often it is looked at. Default: 10s for a file, 1m for a URL, which is asked with its ETag and up to a
	// tenth earlier or later.
	Refresh caddy.Duration `json:"refresh,omitempty"`
	// StaleAfter is how long a catalog counts when its source can no longer be had or is bad. Default: for good.
	StaleAfter caddy.Duration `json:"stale_after,omitempty"`
	// Stale is what becomes of viewers then: `deny` (default), or `keep` for the last good catalog with an error in the log.
	Stale string `json:"stale,omitempty"`
}

// Defaults of RightsSource, and limits of a look at a source.
const (
	rightsFileRefresh  = 10 * time.Second
	rightsURLRefresh   = time.Minute
	rightsFirstTimeout = 10 * time.Second
	rightsTimeout      = time.Minute
	rightsStoreEvery   = time.Hour

	wordKeep = "keep"
)

// rightsCatalog is one catalog and what is known of its source. Its methods but those of current are for one goroutine.
type rightsCatalog struct {
	RightsSource
	name    string
	current rights.Current
	storage certmagic.Storage
	logger  *zap.Logger
	clock   func() time.Time

	digest [sha256.Size]byte // of the text in use
	text   []byte            // the same, until it is stored; nil then
	stored time.Time         // when the storage was last written
	failed string            // the failure that was logged
	stale  bool              // staleness was logged
	file   os.FileInfo       // of the last good look at a file
	http   rightsHTTP        // of the last good answer to a URL
}

// openRights reads the catalogs: a file has to be good now, or have been so when Caddy's storage was last written.
func (a *App) openRights() error {
	a.rights = make(map[string]*rightsCatalog, len(a.Rights))
	for name, source := range a.Rights {
		c := &rightsCatalog{RightsSource: *source, name: name, storage: a.ctx.Storage(), clock: a.clock}
		c.logger = a.ctx.Logger().With(zap.String("catalog", name))
		if err := c.open(); err != nil {
			return fmt.Errorf("drm.rights.%s: %w", name, err)
		}
		a.rights[name] = c
	}
	return nil
}

func (c *rightsCatalog) open() (err error) {
	if c.Source, err = caddy.NewReplacer().ReplaceOrErr(c.Source, true, true); err != nil {
		return err
	}
	switch {
	case c.Source == "":
		return errors.New("want a file or an https URL")
	case c.Refresh < 0 || c.StaleAfter < 0:
		return errors.New("want positive durations")
	case !isOneOf(c.Stale, "", wordDeny, wordKeep):
		return errors.New("stale: want deny or keep")
	case c.Stale != "" && c.StaleAfter == 0:
		return errors.New("stale: want stale_after, too")
	}
	if c.Stale != wordKeep {
		c.current.StaleAfter = time.Duration(c.StaleAfter)
	}
	if c.Refresh == 0 {
		c.Refresh = caddy.Duration(rightsFileRefresh)
		if isRightsURL(c.Source) {
			c.Refresh = caddy.Duration(rightsURLRefresh)
		}
	}
	if c.StaleAfter > 0 && c.StaleAfter < 2*c.Refresh {
		return fmt.Errorf("stale_after: want at least %s, twice the time between two looks", time.Duration(2*c.Refresh))
	}
	if isRightsURL(c.Source) {
		if err := checkRightsURL(c.Source); err != nil {
			return err
		}
		c.restore() // the network is asked once the configuration runs
		return nil
	}
	if err := c.refresh(context.Background()); err != nil {
		if !c.restore() {
			return err
		}
		c.report(err)
	}
	return nil
}

// startRights begins to follow the sources until ctx ends. A URL whose catalog was never seen is waited for a moment.
func (a *App) startRights(ctx context.Context) {
	for _, c := range a.rights {
		if c.current.Catalog(c.clock()) == nil && isRightsURL(c.Source) {
			first, cancel := context.WithTimeout(ctx, rightsFirstTimeout)
			c.report(c.refresh(first))
			cancel()
		}
		a.watchers.Go(func() { c.watch(ctx) })
	}
}

// watch looks at the source again and again. Nodes that were started together do not ask together for long.
func (c *rightsCatalog) watch(ctx context.Context) {
	c.store(ctx)
	for {
		wait := time.Duration(float64(c.Refresh) * (0.9 + 0.2*rand.Float64())) //nolint:gosec // spreads load, guards nothing
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		look, cancel := context.WithTimeout(ctx, rightsTimeout)
		err := c.refresh(look)
		cancel()
		if ctx.Err() != nil {
			return
		}
		c.report(err)
		c.store(ctx)
	}
}

// refresh looks at the source. A new version that is bad is refused as a whole, and the old one stays.
func (c *rightsCatalog) refresh(ctx context.Context) error {
	if isRightsURL(c.Source) {
		return c.refreshURL(ctx)
	}
	return c.refreshFile()
}

func (c *rightsCatalog) refreshFile() error {
	info, err := os.Stat(c.Source)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return errors.New("not a regular file")
	}
	if c.file != nil && isSameFile(info, c.file) {
		c.current.Confirm(c.clock())
		return nil
	}
	text, err := readBounded(c.Source, rights.MaxBytes)
	if err != nil {
		return err
	}
	if after, err := os.Stat(c.Source); err != nil || !isSameFile(info, after) {
		return errors.New("it changed while it was read") // half of a YAML file can be one, too
	}
	if err := c.take(text, c.clock()); err != nil {
		return fmt.Errorf("%s: %w", c.Source, err)
	}
	c.file = info
	return nil
}

func isSameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// take puts a new text in place of the one before.
func (c *rightsCatalog) take(text []byte, confirmed time.Time) error {
	digest := sha256.Sum256(text)
	if digest == c.digest {
		c.current.Confirm(confirmed)
		return nil
	}
	catalog, err := rights.Parse(text)
	if err != nil {
		return err
	}
	c.current.Replace(catalog, confirmed)
	c.digest, c.text = digest, text
	c.logger.Info("catalog of rights loaded", zap.Int("titles", len(catalog.Titles())), zap.Int("blackouts", len(catalog.Blackouts())))
	return nil
}

// report logs a failure when it is a new one, and the end of failures.
func (c *rightsCatalog) report(err error) {
	switch {
	case err == nil && c.failed != "":
		c.logger.Info("the source of the catalog is good again")
		c.failed, c.stale = "", false
	case err != nil && err.Error() != c.failed:
		c.failed = err.Error()
		c.logger.Error("catalog of rights not loaded; the last good one stays", zap.Error(err))
	}
	if err != nil && c.StaleAfter > 0 && !c.stale && c.clock().Sub(c.current.Confirmed()) >= time.Duration(c.StaleAfter) {
		c.stale = true
		c.logger.Error("the catalog of rights is stale", zap.Bool("still_used", c.Stale == wordKeep))
	}
}

// storageKey belongs to a name and its source: a catalog that is had from elsewhere now is another one. Beside the text stands
// the time at which it was last confirmed.
func (c *rightsCatalog) storageKey() (text, confirmed string) {
	digest := sha256.Sum256([]byte(c.name + "\x00" + c.Source))
	text = "drm/rights/" + hex.EncodeToString(digest[:16])
	return text, text + ".confirmed"
}

// store keeps a new catalog for the start of a node while its source is out, and from time to time that it still counts.
func (c *rightsCatalog) store(ctx context.Context) {
	every := rightsStoreEvery
	if c.StaleAfter > 0 {
		every = min(every, time.Duration(c.StaleAfter)/4)
	}
	confirmed := c.current.Confirmed()
	if c.text == nil && confirmed.Sub(c.stored) < every {
		return
	}
	var err error
	textKey, confirmedKey := c.storageKey()
	if c.text != nil {
		err = c.storage.Store(ctx, textKey, c.text)
	}
	if err == nil {
		err = c.storage.Store(ctx, confirmedKey, []byte(confirmed.UTC().Format(time.RFC3339)))
	}
	if err != nil {
		c.logger.Error("storing the catalog of rights", zap.Error(err))
		return
	}
	c.text, c.stored = nil, confirmed
}

// restore takes the last good catalog from Caddy's storage, and reports whether there is one.
func (c *rightsCatalog) restore() bool {
	ctx, cancel := context.WithTimeout(context.Background(), rightsFirstTimeout)
	defer cancel()
	textKey, confirmedKey := c.storageKey()
	text, err := c.storage.Load(ctx, textKey)
	if err != nil {
		return false
	}
	var confirmed time.Time // one that is not known is long ago
	if value, err := c.storage.Load(ctx, confirmedKey); err == nil {
		_ = confirmed.UnmarshalText(value)
	}
	if err := c.take(text, confirmed); err != nil {
		return false
	}
	c.text, c.stored = nil, confirmed
	return true
}
