package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-drm/caddy-drm/entitlement"
	"github.com/caddy-drm/caddy-drm/token"
)

// TestOutagesAreLogged: a server that gives no answer is in the log at once, now and then while that goes on, and when it is over.
func TestOutagesAreLogged(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	now := time.Unix(1800000000, 0)
	o := newOutages("the shared state", "on_failure says what holds now", func() *zap.Logger { return zap.New(core) }, func() time.Time { return now })
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
		o.note(step.operation, step.err)
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

// TestOutagesHoldNobodyUp: what is written to a log that hangs holds no other question up.
func TestOutagesHoldNobodyUp(t *testing.T) {
	var o *outages
	logged := 0
	o = newOutages("the shared state", "", func() *zap.Logger {
		logged++
		if !o.mu.TryLock() {
			t.Error("the lock is held while something is logged")
		} else {
			o.mu.Unlock()
		}
		return zap.NewNop()
	}, time.Now)
	o.note("renew", errors.New("refused"))
	o.note("renew", nil)
	if logged != 2 {
		t.Errorf("logged %d times", logged)
	}
}

// TestEntitlementOutagesAreLogged: with on_failure allow nothing else shows that everybody is let in.
func TestEntitlementOutagesAreLogged(t *testing.T) {
	backend := new(entitlementBackend)
	backend.say(500, "", nil)
	core, logs := observer.New(zap.InfoLevel)
	h := &Handler{logger: zap.New(core), Token: &TokenConfig{Entitlement: &EntitlementConfig{URL: backend.start(t), OnFailure: "allow", Cache: caddy.Duration(time.Nanosecond)}}}
	if err := h.compileEntitlement(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	defer h.Token.Entitlement.close()
	ask := func(raw string) error {
		_, err := h.Token.verifier.Verify(entitlement.WithScope(t.Context(), &entitlement.Scope{Tenant: "t", Asset: "/a/"}), raw, token.Request{Now: time.Now(), Path: "/a/x.mpd", Asset: "/a/"})
		return err
	}
	if err := ask("viewer-of-this-test"); err != nil {
		t.Fatalf("on_failure allow: %v", err)
	}
	entries := logs.TakeAll()
	if len(entries) != 1 || entries[0].Level.String() != "error" || !strings.Contains(entries[0].Message, "the entitlement backend gives no answer") ||
		strings.Contains(fmt.Sprint(entries[0].ContextMap()), "viewer-of-this-test") {
		t.Errorf("%+v", entries)
	}
	backend.say(200, `{"allow": true}`, nil)
	time.Sleep(1100 * time.Millisecond) // while it is down, it is asked once a second
	if err := ask("another"); err != nil {
		t.Fatal(err)
	}
	if entries := logs.TakeAll(); len(entries) != 1 || !strings.Contains(entries[0].Message, "answers again") {
		t.Errorf("%+v", entries)
	}
}
