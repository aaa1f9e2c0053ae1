package caddymodule

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/state"
)

// Storage names of what the app keeps for its state, and labels of what is derived for it.
const (
	storedRevocationsKey = "drm/revocations.json"
	storedStateSecretKey = "drm/state_secret"
	labelState           = "caddy-drm state v1"
	storageTimeout       = 10 * time.Second
)

// StateBackend is what the modules of the namespace drm.state are.
type StateBackend interface {
	// Key identifies what Open would open, by all settings that matter.
	Key() (string, error)
	// Shared reports whether several nodes share it, so that they need the same secret.
	Shared() bool
	// Open opens it. digest makes the names under which viewers are known there.
	Open(digest *state.Digester, storage state.Storage, logger *zap.Logger) (*SharedState, error)
}

// SharedState is what a StateBackend opens. It outlives a reload that leaves its settings as they are.
type SharedState struct {
	Streams     *state.Streams
	Revocations *state.Revocations
	Replay      state.Replay
	Grants      *state.Grants
	// Titles are those that licenses were given for, apart from Grants: in memory neither takes the other's room.
	Titles state.GrantStore
	// Cuts is where Periods of live MPDs begin. Nil: in the memory of this node.
	Cuts *state.Cuts
	// OpenOnFailure admits viewers although it is not known who has been revoked.
	OpenOnFailure bool
	// Close ends it, and may be nil.
	Close func()

	digest *state.Digester
	titles titleBudget
}

// Destruct implements caddy.Destructor.
func (s *SharedState) Destruct() error {
	s.Streams.Close()
	s.Revocations.Close()
	if s.Close != nil {
		s.Close()
	}
	return nil
}

// statePool holds what configurations share. The app and each of its handlers count as one user.
var statePool = caddy.NewUsagePool()

// openState opens the state of the configuration, or finds it open.
func (a *App) openState() error {
	var backend StateBackend = new(MemoryState)
	if a.StateRaw != nil {
		loaded, err := a.ctx.LoadModule(a, "StateRaw")
		if err != nil {
			return fmt.Errorf("drm.state: %w", err)
		}
		backend, _ = loaded.(StateBackend)
	}
	if backend == nil {
		return errors.New("drm.state: the module is no state")
	}
	if backend.Shared() && a.Secret == "" {
		return errors.New("drm.state: nodes that share their state need the same secret: set `secret` in the global drm block")
	}
	a.warnOfNodes(backend.Shared())
	secret, err := a.stateSecret()
	if err != nil {
		return fmt.Errorf("drm.state: keeping a secret in storage: %w", err)
	}
	derived := secret.Derive(labelState)
	settings, err := backend.Key()
	if err != nil {
		return fmt.Errorf("drm.state: %w", err)
	}
	storage := a.ctx.Storage()
	sum := sha256.Sum256(fmt.Appendf(nil, "%T\x00%s\x00%x\x00%+v", backend, settings, derived, storage))
	a.stateKey = string(sum[:])
	a.stateConstructor = func() (caddy.Destructor, error) {
		digest := state.NewDigester(derived)
		opened, err := backend.Open(digest, caddyStorage{storage}, a.ctx.Logger())
		if err != nil {
			return nil, err
		}
		opened.digest = digest
		if opened.Cuts == nil {
			opened.Cuts = state.NewCuts(state.NewMemoryCuts(time.Now), time.Now)
		}
		return opened, nil
	}
	a.state, err = a.useState()
	if err != nil {
		a.stateConstructor = nil
		return fmt.Errorf("drm.state: %w", err)
	}
	return nil
}

// useState adds a user to the open state. Each ends with a releaseState.
func (a *App) useState() (*SharedState, error) {
	value, _, err := statePool.LoadOrNew(a.stateKey, a.stateConstructor)
	if err != nil {
		return nil, err
	}
	opened, _ := value.(*SharedState)
	return opened, nil
}

func releaseState(key string) {
	_, _ = statePool.Delete(key) // Destruct returns no error
}

// Cleanup gives the state back, also after a Provision that failed half-way.
func (a *App) Cleanup() error {
	if a.state != nil {
		a.releaseOnce.Do(func() { releaseState(a.stateKey) })
	}
	return nil
}

// stateSecret returns the secret that names in the state are made under: the configured one or, on a node by itself, one that is
// kept in storage for this alone.
func (a *App) stateSecret() (keysource.Secret, error) {
	if !a.secret.IsZero() {
		return a.secret, nil
	}
	ctx, cancel := context.WithTimeout(a.ctx, storageTimeout)
	defer cancel()
	storage := a.ctx.Storage()
	text, err := storage.Load(ctx, storedStateSecretKey)
	if err == nil {
		return keysource.ParseSecret(string(text))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return keysource.Secret{}, err
	}
	secret, fresh := keysource.NewSecret()
	return secret, storage.Store(ctx, storedStateSecretKey, []byte(fresh))
}

// ReplayFor returns what remembers single-use tokens, for all sites.
func (a *App) ReplayFor() state.Replay { return a.state.Replay }

// caddyStorage keeps the list of revocations in Caddy's storage.
type caddyStorage struct{ storage certmagic.Storage }

// Load implements state.Storage.
func (s caddyStorage) Load(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	return s.storage.Load(ctx, storedRevocationsKey)
}

// Save implements state.Storage.
func (s caddyStorage) Save(ctx context.Context, text []byte) error {
	ctx, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	return s.storage.Store(ctx, storedRevocationsKey, text)
}

// keyOfSettings is a Key made of a module's own settings and of what its placeholders stand for.
func keyOfSettings(module any, resolved ...string) (string, error) {
	text, err := json.Marshal(module)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(text, "%q", resolved))
	return string(sum[:]), nil
}

// Interface guards
var (
	_ caddy.Destructor   = (*SharedState)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
