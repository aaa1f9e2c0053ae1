package caddymodule

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/caddy-drm/caddy-drm/state"
)

// TestCommandsHaveExamples: each command that does something has one, and takes its flags.
func TestCommandsHaveExamples(t *testing.T) {
	root := &cobra.Command{Use: "drm"}
	addCommands(root)
	unknown := maps.Clone(commandExamples)
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		name := strings.TrimPrefix(cmd.CommandPath(), "drm ")
		delete(unknown, name)
		if cmd.Runnable() && cmd.Example == "" {
			t.Errorf("%s has no example", name)
		}
		for _, line := range commandExamples[name] {
			if !strings.Contains(cmd.Example, line) {
				t.Errorf("%s: its help does not show %s", name, line)
			}
			words := strings.Fields(line)
			words = words[:max(0, slices.Index(append(slices.Clone(words), ">"), ">"))]
			at, rest, err := root.Find(append(strings.Fields(name), words...))
			if err != nil {
				t.Fatal(err)
			}
			if err := at.ParseFlags(rest); err != nil {
				t.Errorf("%s: %s: %v", name, line, err)
			}
		}
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(root)
	if len(unknown) > 0 {
		t.Errorf("examples of no command: %q", slices.Sorted(maps.Keys(unknown)))
	}
}

func TestRevocationsHaveWords(t *testing.T) {
	flags := revokeCommand().Flags()
	for _, kind := range state.RevocationKinds {
		if flag := flags.Lookup(string(kind)); flag == nil || !strings.HasPrefix(flag.Usage, "revokes ") {
			t.Errorf("no word of what is revoked by --%s", kind)
		}
	}
}
