// Package caddydrm is the front page of caddy-drm, a Caddy plugin that turns storage holding clear media into a
// protected service at request time.
//
// Importing this package registers every module of the plugin, so that
//
//	xcaddy build --with github.com/caddy-drm/caddy-drm
//
// is all that an operator needs. The packages below it can be used on their own: segcrypt protects CMAF segments,
// manifest/dash and manifest/hls rewrite manifests byte by byte, and drm holds the vocabulary that all of them share.
package caddydrm

import (
	// The modules register themselves with Caddy when their package is imported.
	_ "github.com/caddy-drm/caddy-drm/caddymodule"
)
