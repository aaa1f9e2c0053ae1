package caddymodule

import (
	"fmt"
	"os"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

func init() {
	caddy.RegisterModule(DerivedKeys{})
	caddy.RegisterModule(StaticKeys{})
}

// The words of Per.
const (
	perTitle      = "title"
	perTrackClass = "track_class"
)

// KeyCacheConfig says how long keys are kept.
type KeyCacheConfig struct {
	// Fresh is how long a key is used before its source is asked again, behind the request. Default 1h.
	Fresh caddy.Duration `json:"fresh,omitempty"`
	// HardLimit is how old a key may get while its source is out. Default 24h; as long as Fresh, if that is longer.
	HardLimit caddy.Duration `json:"hard_limit,omitempty"`
}

func (c *KeyCacheConfig) options() keysource.CacheOptions {
	if c == nil {
		return keysource.CacheOptions{}
	}
	return keysource.CacheOptions{Fresh: time.Duration(c.Fresh), HardLimit: time.Duration(c.HardLimit)}
}

// unmarshalKeyCache reads
//
//	key_cache <fresh> [<hard limit>]
func (h *Handler) unmarshalKeyCache(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 1 && len(args) != 2 {
		return d.ArgErr()
	}
	h.KeyCache = new(KeyCacheConfig)
	for i, into := range []*caddy.Duration{&h.KeyCache.Fresh, &h.KeyCache.HardLimit}[:len(args)] {
		length, err := caddy.ParseDuration(args[i])
		if err != nil || length <= 0 {
			return d.Errf("key_cache %s: want a duration above zero", args[i])
		}
		*into = caddy.Duration(length)
	}
	return nil
}

// DerivedKeys derives content keys from the deployment secret: no database, and every node agrees.
type DerivedKeys struct {
	// Per is `title` (default) for one key per title, or `track_class` for one each for audio, SD, HD, UHD1 and UHD2.
	Per string `json:"per,omitempty"`
}

// CaddyModule returns the module's registration.
func (DerivedKeys) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "drm.key_sources.derived", New: func() caddy.Module { return new(DerivedKeys) }}
}

// Source implements KeySource.
func (k *DerivedKeys) Source(secret keysource.Secret, _ drm.ProtectionScheme) (keysource.Source, error) {
	if !isOneOf(k.Per, "", perTitle, perTrackClass) {
		return nil, fmt.Errorf("per: %q: want title or track_class", k.Per)
	}
	return keysource.NewDerived(secret, k.Per == perTrackClass)
}

// UnmarshalCaddyfile reads
//
//	keys derived {
//		per title|track_class
//	}
func (k *DerivedKeys) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	return eachOption(d, options{"per": func() error { return oneArg(d, &k.Per) }})
}

// StaticKeys reads content keys from a JSON file, in our own form or in the array form that nginx-vod-module gets from its
// key server. The file is read when the configuration is loaded.
type StaticKeys struct {
	// File is the path of the list.
	File string `json:"file"`
}

// maxKeyList bounds the file.
const maxKeyList = 64 << 20

// CaddyModule returns the module's registration.
func (StaticKeys) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "drm.key_sources.static", New: func() caddy.Module { return new(StaticKeys) }}
}

// Source implements KeySource.
func (k *StaticKeys) Source(_ keysource.Secret, scheme drm.ProtectionScheme) (keysource.Source, error) {
	path, err := caddy.NewReplacer().ReplaceOrErr(k.File, true, true)
	if err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	data, err := readBounded(path, maxKeyList)
	if err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	return keysource.ParseStatic(data, keysource.StaticOptions{Scheme: scheme})
}

// UnmarshalCaddyfile reads
//
//	keys static <file>
func (k *StaticKeys) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return oneArg(d, &k.File)
}

// readBounded reads a whole file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return os.ReadFile(path)
}

// Interface guards
var (
	_ KeySource             = (*DerivedKeys)(nil)
	_ KeySource             = (*StaticKeys)(nil)
	_ caddyfile.Unmarshaler = (*DerivedKeys)(nil)
	_ caddyfile.Unmarshaler = (*StaticKeys)(nil)
)
