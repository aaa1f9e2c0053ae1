package caddymodule

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("drm", parseGlobalOption)
}

// parseGlobalOption reads the global block; several of them add up.
func parseGlobalOption(d *caddyfile.Dispenser, existing any) (any, error) {
	app := new(App)
	if earlier, ok := existing.(httpcaddyfile.App); ok {
		if err := json.Unmarshal(earlier.Value, app); err != nil {
			return nil, d.WrapErr(err)
		}
	}
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "drm", Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile reads
//
//	drm {
//		secret       {env.NAME}|{file./path}
//		geo_database <name> <file>
//	}
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	return eachOption(d, options{
		"secret":       func() error { return secretArg(d, &a.Secret) },
		"geo_database": repeatable(func() error { return a.unmarshalGeoDatabase(d) }),
	})
}

func (a *App) unmarshalGeoDatabase(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.ArgErr()
	}
	if a.GeoDatabases == nil {
		a.GeoDatabases = make(map[string]string)
	}
	if _, ok := a.GeoDatabases[args[0]]; ok {
		return d.Errf("geo database %q is defined twice", args[0])
	}
	a.GeoDatabases[args[0]] = args[1]
	return nil
}

// Interface guard
var _ caddyfile.Unmarshaler = (*App)(nil)
