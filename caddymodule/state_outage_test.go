package caddymodule

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestStateOutagesAreLogged: a shared state that gives no answer is in the log at once, now and then while that goes on, and when it is over.
func TestStateOutagesAreLogged(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	now := time.Unix(1800000000, 0)
	o := newStateOutage(func() *zap.Logger { return zap.New(core) }, func() time.Time { return now })
	refused := errors.New("NOPERM this user has no permissions to run the 'evalsha' command")
	for _, step := range []struct {
		after     time.Duration
		operation string
		err       error
		level     string // of what is logged; empty: nothing
	}{
		{0, "renew", nil, ""},
		{time.Second, "renew", context.Canceled, ""},
		{time.Second, "renew", refused, "error"},
		{time.Second, "revocations", refused, "error"},
		{time.Second, "renew", refused, ""},
		{time.Second, "take", nil, ""},
		{outageEvery, "renew", refused, "error"},
		{time.Second, "renew", refused, ""},
		{time.Second, "renew", nil, "info"},
		{time.Second, "renew", nil, ""},
		{time.Second, "renew", refused, ""}, // it comes and goes
		{time.Second, "renew", nil, ""},
		{outageEvery, "renew", refused, "error"},
	} {
		now = now.Add(step.after)
		o.observe(step.operation, time.Millisecond, step.err)
		var levels []string
		for _, entry := range logs.TakeAll() {
			levels = append(levels, entry.Level.String())
			if entry.ContextMap()["operation"] != step.operation || step.err != nil && entry.ContextMap()["error"] != refused.Error() {
				t.Errorf("%v", entry.ContextMap())
			}
		}
		if want := step.level; !slices.Equal(levels, slices.DeleteFunc([]string{want}, func(l string) bool { return l == "" })) {
			t.Errorf("%s, %v: logged %q, want %q", step.operation, step.err, levels, want)
		}
	}
}
