package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/geo"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// App holds what the sites share: the deployment secret and the geo databases.
//
// Every node that is to serve the same URLs needs the same secret. Without one it is drawn once and kept in Caddy's
// storage, which is right for a single node and for nodes that share that storage.
type App struct {
	// Secret is the deployment secret: at least 32 random bytes as hex, base64 or text. It must come from a placeholder,
	// {env.*} or {file.*}, which expands when the configuration is loaded, so that it stands in no configuration.
	Secret string `json:"secret,omitempty"`
	// GeoDatabases maps the name by which sites use it to a database of MaxMind, DB-IP, IPinfo or others: a path, or an object.
	GeoDatabases map[string]GeoDatabase `json:"geo_databases,omitempty"`
	// GeoSets maps names that geo rules may use to their words.
	GeoSets map[string][]string `json:"geo_sets,omitempty"`
	// Rights maps the name by which sites use it to where a catalog of titles comes from.
	Rights map[string]*RightsSource `json:"rights,omitempty"`
	// Groups maps the name by which sites use it to a DRM group.
	Groups map[string]*GroupConfig `json:"groups,omitempty"`
	// SegmentCache bounds the memory, in bytes, that keeps protected segments, for all sites of the process. Default 256 MiB;
	// a negative value keeps none.
	SegmentCache int64 `json:"segment_cache,omitempty"`
	// InFlight bounds the memory, in bytes, of the segments that are being read, encrypted and sent at one moment, for all
	// sites of the process. Requests wait for their turn, in order. Default 512 MiB.
	InFlight int64 `json:"in_flight,omitempty"`
	// InFlightWait is how long a request waits for its turn before it is refused with 503 and Retry-After. Default 10s.
	InFlightWait caddy.Duration `json:"in_flight_wait,omitempty"`
	// Spool is the directory of the files from which slow clients get their encrypted segments while memory is short.
	// They are removed as they are made. Default: the system's directory for temporary files; `off` holds memory instead.
	Spool string `json:"spool,omitempty"`
	// RekeyGrace is how long addresses under older keys go on after an emergency re-key. Default 30s; a negative value is none.
	RekeyGrace caddy.Duration `json:"rekey_grace,omitempty"`
	// StateRaw is where streams, revocations and single-use tokens are kept. Default: the memory of this node.
	StateRaw json.RawMessage `json:"state,omitempty" caddy:"namespace=drm.state inline_key=backend"`

	memory
	spool spool // nil if slow clients hold memory

	state            *SharedState // nil until it is open
	releaseOnce      sync.Once    // for Cleanup
	stateKey         string
	stateConstructor func() (caddy.Destructor, error)

	secret    keysource.Secret
	databases map[string]*geo.File
	geoSets   map[string]geo.List
	rights    map[string]*rightsCatalog
	groups    map[string]drm.Group
	clock     func() time.Time
	caches    *caches
	ctx       caddy.Context
	watchers  sync.WaitGroup
	starters  []func(context.Context) // what modules of sites do while the configuration runs
	stop      context.CancelFunc
}

// Storage names and limits of the secret that the app draws itself.
const (
	storedSecretKey  = "drm/secret"
	storedSecretLock = "drm-secret"
)

// CaddyModule returns the module's registration.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "drm", New: func() caddy.Module { return new(App) }}
}

// Provision resolves the secret and opens the databases.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx, a.clock = ctx, clockOfNewApps
	configuredSecrets.begin(ctx)
	a.caches = sharedCaches()
	a.openMemory()
	if err := registerMetrics(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	if a.Secret != "" {
		secret, err := resolveSecret(a.Secret)
		if err != nil {
			return fmt.Errorf("drm.secret: %w", err)
		}
		a.secret = secret
	}
	if err := a.parseGroups(); err != nil {
		return err
	}
	if err := a.parseGeoSets(); err != nil {
		return err
	}
	if err := a.openGeoDatabases(); err != nil {
		return err
	}
	if err := a.openRights(); err != nil {
		return err
	}
	return a.openState()
}

// Start begins to watch the databases and catalogs for new versions.
func (a *App) Start() error {
	if err := a.resizeMemory(); err != nil {
		return err
	}
	var ctx context.Context
	ctx, a.stop = context.WithCancel(context.Background())
	a.startRights(ctx)
	a.watchGeoDatabases(ctx)
	for _, start := range a.starters {
		a.watchers.Go(func() { start(ctx) })
	}
	return nil
}

// Stop ends the watching.
func (a *App) Stop() error {
	if a.stop != nil {
		a.stop()
		a.watchers.Wait()
	}
	return nil
}

// sharedSecret returns the configured secret or, on first use, the one that is kept in Caddy's storage.
func (a *App) sharedSecret() (keysource.Secret, error) {
	if !a.secret.IsZero() {
		return a.secret, nil
	}
	secret, err := a.storedSecret()
	if err != nil {
		return keysource.Secret{}, fmt.Errorf("drm.secret: none configured, and none kept in storage: %w", err)
	}
	a.secret = secret
	return secret, nil
}

func (a *App) storedSecret() (keysource.Secret, error) {
	ctx, cancel := context.WithTimeout(a.ctx, 10*time.Second)
	defer cancel()
	storage := a.ctx.Storage()
	if err := storage.Lock(ctx, storedSecretLock); err != nil {
		return keysource.Secret{}, err
	}
	defer func() { _ = storage.Unlock(ctx, storedSecretLock) }()
	text, err := storage.Load(ctx, storedSecretKey)
	if err == nil {
		return keysource.ParseSecret(string(text))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return keysource.Secret{}, err
	}
	secret, fresh := keysource.NewSecret()
	if err := storage.Store(ctx, storedSecretKey, []byte(fresh)); err != nil {
		return keysource.Secret{}, err
	}
	a.ctx.Logger().Warn("no secret configured: drew one and keep it in Caddy's storage; other nodes need the same one",
		zap.String("storage_key", storedSecretKey))
	return secret, nil
}

// errSecretLiteral keeps secrets out of configurations, which the admin endpoint shows and Caddy saves to disk.
var errSecretLiteral = errors.New("a secret must come from a placeholder, {env.NAME} or {file./path}, and not stand in the configuration")

// resolveSecret expands the placeholder that names a deployment secret, and parses what it finds. It is refused as any other secret of the
// configuration.
func resolveSecret(placeholder string) (keysource.Secret, error) {
	text, err := expandSecret(placeholder)
	if err != nil {
		return keysource.Secret{}, err
	}
	if err := configuredSecrets.deployment(text); err != nil {
		return keysource.Secret{}, err
	}
	return keysource.ParseSecret(text)
}

// Interface guards
var (
	_ caddy.App         = (*App)(nil)
	_ caddy.Provisioner = (*App)(nil)
)
