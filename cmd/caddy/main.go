// Command caddy is Caddy with its standard modules and caddy-drm: the binary of the daily loop.
// Releases are built with xcaddy (see xcaddy.sh); both use the same flags and so share the build cache.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	// Caddy's standard modules, and ours.
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-drm/caddy-drm"
)

func main() {
	caddycmd.Main()
}
