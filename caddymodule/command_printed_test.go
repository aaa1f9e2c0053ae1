package caddymodule

import (
	"bytes"
	"testing"

	"github.com/spf13/cobra"
)

// printed runs a command and returns what it prints, and whether it exits with 0.
func printed(t *testing.T, cmd *cobra.Command, args ...string) (out, complaint string, ok bool) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return stdout.String(), stderr.String(), err == nil
}
