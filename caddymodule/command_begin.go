package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// What commands have in common: how they begin, and how they print for programs.

// within bounds what a command does. Without a context, as tests run commands, it has its own.
func within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if ctx == nil {
		ctx = context.Background()
	}
	return context.WithTimeout(ctx, limit)
}

// readConfig reads the configuration that --config and --adapter name, or the Caddyfile of this directory, as JSON.
func readConfig(file, adapter string) (text []byte, name string, err error) {
	text, name, _, err = caddycmd.LoadConfig(file, adapter)
	if err == nil && text == nil {
		err = errors.New("want --config: there is no Caddyfile in this directory")
	}
	return text, name, err
}

// printJSON prints what --json asks for.
func printJSON(out io.Writer, report any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "\t")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(report)
}
