// Package e2e_test runs the gateway as an operator does, as a process of its own, and drives it with what stands around
// one in production: browsers with real players, decrypting tools, object stores, second nodes and load. See README.md.
package e2e_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/caddy-drm/caddy-drm/e2e/player"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// Environment variables that name a built gateway, so that it need not be built.
const (
	envBinary     = "CADDY_DRM_BINARY"
	envRaceBinary = "CADDY_DRM_RACE_BINARY"
)

// scratch is the folder of what belongs to no single test: binaries, and the storage of the gateways.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "caddy-drm-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	defer closeBrowser()
	defer stopShared()
	return m.Run()
}

// gatewayBinary builds the gateway once, as the Makefile does.
var gatewayBinary = sync.OnceValues(func() (string, error) { return build(envBinary, "caddy") })

// raceBinary builds it with the race detector. That takes minutes the first time, since nothing of it is cached then.
var raceBinary = sync.OnceValues(func() (string, error) { return build(envRaceBinary, "caddy-race", "-race") })

func build(env, name string, extra ...string) (string, error) {
	if named := os.Getenv(env); named != "" {
		path, err := exec.LookPath(named)
		if err != nil {
			return "", fmt.Errorf("finding the program named by %s: %w", env, err)
		}
		return filepath.Abs(path)
	}
	root, err := testtools.ModuleRoot()
	if err != nil {
		return "", err
	}
	out := filepath.Join(scratch, name)
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-tags", "nobadger,nomysql,nopgx", "-o", out}, extra...)
	cmd := exec.Command("go", append(args, "./cmd/caddy")...)
	cmd.Dir = root
	if slices.Contains(extra, "-race") {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the gateway: %w\n%s", err, text)
	}
	return out, nil
}

var browserState struct {
	sync.Mutex
	browser *player.Browser
	err     error
}

// startBrowser starts the one Chromium of all tests, at its first use. Without Chromium the test fails.
func startBrowser(t *testing.T) *player.Browser {
	t.Helper()
	long(t)
	b := &browserState
	b.Lock()
	defer b.Unlock()
	if b.browser == nil && b.err == nil {
		b.browser, b.err = player.Start(context.Background())
	}
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.browser
}

func closeBrowser() {
	if browserState.browser != nil {
		browserState.browser.Close()
	}
}

// long leaves a test out of short runs: everything here starts processes.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts the gateway")
	}
}

// playbackError unwraps the failure of a player.
func playbackError(t *testing.T, err error) *player.PlaybackError {
	t.Helper()
	var failed *player.PlaybackError
	if !errors.As(err, &failed) {
		t.Fatalf("got %v, want a *player.PlaybackError", err)
	}
	return failed
}
