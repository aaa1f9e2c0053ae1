package hls

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func TestGolden(t *testing.T) {
	testGolden(t, "testdata", func(playlist string) (string, error) { return rewriteText(t, playlist) })
}

// TestGoldenRotation has crypto periods of 8 s.
func TestGoldenRotation(t *testing.T) {
	testGolden(t, "testdata/rotation", func(playlist string) (string, error) {
		out, _, err := rewriteRotating(t, 8*time.Second, playlist)
		return out, err
	})
}

func testGolden(t *testing.T, folder string, rewrite func(playlist string) (string, error)) {
	t.Helper()
	files, err := filepath.Glob(folder + "/*.m3u8")
	if err != nil || len(files) == 0 {
		t.Fatalf("no playlists: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			in, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := rewrite(string(in))
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".m3u8") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
		})
	}
}
