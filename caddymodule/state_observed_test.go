package caddymodule

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/state"
)

// TestAllOfTheSharedStateIsObserved: whatever of it fails is told of, each by its name.
func TestAllOfTheSharedStateIsObserved(t *testing.T) {
	backend := &RedisState{Addresses: []string{"127.0.0.1:" + freePort(t)}}
	if err := backend.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	failed := make(map[string]bool)
	shared, err := backend.open(state.NewDigester([32]byte{1}), zap.NewNop(), func(operation string, _ time.Duration, err error) {
		mu.Lock()
		defer mu.Unlock()
		failed[operation] = failed[operation] || err != nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = shared.Destruct() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	soon := time.Now().Add(time.Hour)
	for operation, use := range map[string]func() error{
		"grant":   func() error { return shared.Grants.Add(ctx, state.Grant{ID: [16]byte{1}, Until: soon}) },
		"granted": func() error { _, err := shared.Titles.Granted(ctx, [16]byte{1}); return err },
		"release": func() error { return shared.Grants.Release(ctx, [16]byte{1}) },
		"once":    func() error { _, err := shared.Replay.Seen(ctx, [16]byte{1}, soon); return err },
	} {
		if err := use(); err == nil {
			t.Errorf("%s was not refused", operation)
		}
	}
	_, _ = shared.Cuts.Cut(ctx, [16]byte{1}, time.Second, time.Hour, true)
	mu.Lock()
	defer mu.Unlock()
	for _, operation := range []string{"grant", "granted", "release", "once", "cut", "revocations"} {
		if !failed[operation] {
			t.Errorf("nobody was told that %s fails", operation)
		}
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	stateObserver(func(string, time.Duration, error) { t.Error("a viewer who left counts as a failure of the server") }).since(gone, time.Now(), "once", context.Canceled)
}
