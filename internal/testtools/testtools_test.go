package testtools

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestToolsAreInstalled(t *testing.T) {
	for name, find := range map[string]func() (string, error){
		"shaka-packager": Packager, "ffmpeg": FFmpeg, "ffprobe": FFprobe, "chromium": Chromium, "wrk": Wrk, "redis-server": Redis,
	} {
		t.Run(name, func(t *testing.T) {
			path, err := find()
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.IsDir() || info.Mode()&0o111 == 0 {
				t.Fatalf("%s is not a program: %v", path, info.Mode())
			}
		})
	}
}

func TestEnvironmentOverrides(t *testing.T) {
	tool := filepath.Join(t.TempDir(), "other-packager")
	if err := os.WriteFile(tool, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv(EnvPackager, tool)
	if got, err := Packager(); err != nil || got != tool {
		t.Fatalf("got %q, %v; want %q", got, err, tool)
	}
	t.Setenv(EnvPackager, tool+"-missing")
	if got, err := Packager(); err == nil || got != "" || !strings.Contains(err.Error(), EnvPackager) {
		t.Fatalf("got %q, %v; want an error that names %s", got, err, EnvPackager)
	}
}

func TestMissingToolSaysHowToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if got, err := FFmpeg(); got != "" || !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "scripts/test-tools.sh") {
		t.Fatalf("got %q, %v; want ErrMissing", got, err)
	}
	if got, err := NodeModule("no-such-package/index.js"); got != "" || !errors.Is(err, ErrMissing) {
		t.Fatalf("got %q, %v; want ErrMissing", got, err)
	}
	if got, err := packagerName("plan9", "386"); got != "" || err == nil {
		t.Fatalf("got %q, %v; want an error", got, err)
	}
}

func TestModuleRootHoldsGoMod(t *testing.T) {
	root, err := ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if got, err := ModuleRoot(); got != "" || err == nil {
		t.Fatalf("outside the module: got %q, %v; want an error", got, err)
	}
}

// The titles are committed with their checksums; a file that changed alone would make every exact-frame test doubtful.
func TestTitlesMatchTheirChecksums(t *testing.T) {
	sums, err := Testdata("SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.Open(sums)
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	listed := 0
	for lines := bufio.NewScanner(list); lines.Scan(); listed++ {
		want, name, ok := strings.Cut(lines.Text(), "  ")
		if !ok {
			t.Fatalf("line %d is not a checksum and a name", listed+1)
		}
		data, err := os.ReadFile(filepath.Join(filepath.Dir(sums), name))
		if err != nil {
			t.Error(err)
			continue
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s has changed", name)
		}
	}
	if listed < 90 {
		t.Errorf("%d files are listed; two titles have more", listed)
	}
}
