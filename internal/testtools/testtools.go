// Package testtools finds the programs that tests drive: shaka-packager, ffmpeg, ffprobe, Chromium, wrk and redis-server, the
// module's own files, and ports for the servers of tests. scripts/test-tools.sh installs the programs.
//
// A test that needs a tool fails without it; it never skips, for a suite that quietly skips proves nothing:
//
//	packager, err := testtools.Packager()
//	if err != nil {
//		t.Fatal(err) // says to run scripts/test-tools.sh
//	}
//	out, err := exec.Command(packager, "in=…").CombinedOutput()
//
// Each tool is looked for in its environment variable first (a path or a name in PATH), then in e2e/node_modules or
// PATH. Only tests import this package.
package testtools

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// Environment variables that name a tool to use instead of the one found.
const (
	EnvPackager = "CADDY_DRM_PACKAGER"
	EnvFFmpeg   = "CADDY_DRM_FFMPEG"
	EnvFFprobe  = "CADDY_DRM_FFPROBE"
	EnvChromium = "CADDY_DRM_CHROMIUM"
	EnvWrk      = "CADDY_DRM_WRK"
	EnvRedis    = "CADDY_DRM_REDIS"
)

// ErrMissing is wrapped by every error about a tool that is not there.
var ErrMissing = errors.New("not installed; run scripts/test-tools.sh")

// Packager returns the path of the shaka-packager program.
func Packager() (string, error) {
	if path, named, err := fromEnv(EnvPackager); named {
		return path, err
	}
	name, err := packagerName(runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return "", err
	}
	return NodeModule(filepath.Join("shaka-packager", "bin", name))
}

// FFmpeg returns the path of ffmpeg.
func FFmpeg() (string, error) { return program(EnvFFmpeg, "ffmpeg") }

// FFprobe returns the path of ffprobe.
func FFprobe() (string, error) { return program(EnvFFprobe, "ffprobe") }

// Chromium returns the path of Chromium, or of a Chrome that stands in for it.
func Chromium() (string, error) {
	return program(EnvChromium, "chromium", "chromium-browser", "google-chrome")
}

// Wrk returns the path of wrk, the HTTP load generator.
func Wrk() (string, error) { return program(EnvWrk, "wrk") }

// Redis returns the path of redis-server, or of a Valkey server that stands in for it.
func Redis() (string, error) { return program(EnvRedis, "redis-server", "valkey-server") }

// NodeModule returns the path of a file of an installed npm package: "hls.js/dist/hls.js".
func NodeModule(file string) (string, error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "e2e", "node_modules", file)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("finding %s: %w", file, ErrMissing)
	}
	return path, nil
}

// Testdata returns the path of a file below the module's testdata folder: Testdata("demo", "manifest.mpd").
func Testdata(elem ...string) (string, error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(append([]string{root, "testdata"}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("finding test data: %w", err)
	}
	return path, nil
}

// ModuleRoot returns the folder of go.mod, looked for from the working directory upward: go test runs each test in the
// folder of its package.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding go.mod: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("finding go.mod: none in the working directory or above it")
		}
		dir = parent
	}
}

// packagerName returns the name of the packager's program for one system, as its npm package spells it.
func packagerName(goos, goarch string) (string, error) {
	switch goos + "/" + goarch {
	case "linux/amd64":
		return "packager-linux-x64", nil
	case "linux/arm64":
		return "packager-linux-arm64", nil
	case "darwin/amd64":
		return "packager-osx-x64", nil
	case "darwin/arm64":
		return "packager-osx-arm64", nil
	case "windows/amd64":
		return "packager-win-x64.exe", nil
	default:
		return "", fmt.Errorf("shaka-packager is not published for %s/%s; name one by %s", goos, goarch, EnvPackager)
	}
}

// fromEnv resolves a tool named by the environment; named is false when the variable is empty.
func fromEnv(env string) (path string, named bool, err error) {
	value := os.Getenv(env)
	if value == "" {
		return "", false, nil
	}
	path, err = exec.LookPath(value)
	if err != nil {
		return "", true, fmt.Errorf("finding the program named by %s: %w", env, err)
	}
	return path, true, nil
}

func program(env string, names ...string) (string, error) {
	if path, named, err := fromEnv(env); named {
		return path, err
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("finding %s: %w", names[0], ErrMissing)
}
