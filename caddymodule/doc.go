// Package caddymodule is the only package of the plugin that knows Caddy.
package caddymodule

import (
	_ "github.com/caddyserver/caddy/v2"
)
