package caddymodule

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/internal/redistest"
	"github.com/caddy-drm/caddy-drm/state"
)

// stateFailures is the counter of an operation.
func stateFailures(t *testing.T, operation string) float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metricStateFailures)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if metric.GetLabel()[0].GetValue() == operation {
				return metric.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// TestEveryUseOfTheStateIsTold: of each thing that nodes share it is in the metrics and in the log that the server refuses it, as one does whose
// ACL lacks a command.
func TestEveryUseOfTheStateIsTold(t *testing.T) {
	d, err := redistest.Start("single", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	if _, err := d.Data[0].Do("ACL", "SETUSER", "default", "-set", "-pttl", "-pexpire", "-get", "-exists"); err != nil {
		t.Fatal(err)
	}
	backend := &RedisState{config: state.RedisConfig{Addresses: d.Addresses}}
	shared, err := backend.Open(state.NewDigester([32]byte{1}), nil, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = shared.Destruct() })
	ctx, id, until := t.Context(), [16]byte{1}, time.Now().Add(time.Hour)
	for _, use := range []struct {
		what, operation string
		use             func() error
	}{
		{"a grant", "grants", func() error { return shared.Grants.Add(ctx, state.Grant{ID: id, Until: until}) }},
		{"grants of a viewer", "grants", func() error { _, err := shared.Grants.Until(ctx, id); return err }},
		{"a wait for a grant", "grants", func() error { return shared.Grants.Wait(ctx, 0, id) }},
		{"a release", "grants", func() error { return shared.Grants.Release(ctx, id) }},
		{"the title of a license", "titles", func() error { return shared.Titles.Grant(ctx, state.Grant{ID: id, Until: until}) }},
		{"titles of a license", "titles", func() error { _, err := shared.Titles.Granted(ctx, id); return err }},
		{"a token for one use", "single_use", func() error { _, err := shared.Replay.Seen(ctx, id, until); return err }},
		{"whether it was used", "single_use", func() error { _, err := shared.Replay.Known(ctx, id); return err }},
		{"the beginning of a Period", "cuts", func() error { _, err := shared.Cuts.Cut(ctx, id, 0, time.Hour, false); return err }},
	} {
		before := stateFailures(t, use.operation)
		if err := use.use(); !errors.Is(err, state.ErrUnavailable) {
			t.Errorf("%s: %v", use.what, err)
		}
		if told := stateFailures(t, use.operation) - before; told != 1 {
			t.Errorf("%s: told %v times", use.what, told)
		}
	}
}
