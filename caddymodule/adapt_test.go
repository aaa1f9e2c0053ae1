package caddymodule

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the adapter says into the golden files")

// dashes part the Caddyfile of a case from what the adapter has to say.
const dashes = "\n----------\n"

// TestAdapt compares Caddyfiles with the JSON that they stand for, or with the error that names file and line.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "adapt", "*.caddyfiletest"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			config, want, _ := strings.Cut(string(text), dashes)
			got := adaptedText(t, config)
			if *update {
				if err := os.WriteFile(file, []byte(config+dashes+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// adaptedText is the indented JSON of a Caddyfile, or the text of its error.
func adaptedText(t *testing.T, config string) string {
	t.Helper()
	adapted, err := adaptCaddyfile(config + "\n")
	if err != nil {
		return err.Error() + "\n"
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, adapted, "", "\t"); err != nil {
		t.Fatal(err)
	}
	return indented.String() + "\n"
}
