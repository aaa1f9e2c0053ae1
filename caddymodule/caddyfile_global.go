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
//		geo_database <name> <file> {
//			max_age  <duration>
//			rollback allow|deny
//		}
//		geo_set      <name> <place or network...>
//		rights       <name> <file>|<https URL> { … }
//		group        <name> { … }
//		rekey_grace  <duration>
//		segment_cache <size>|off
//		in_flight    <size> [<wait>]
//		spool        <directory>|off
//		state        memory|redis { … }
//	}
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	return eachOption(d, options{
		"secret":        func() error { return secretArg(d, &a.Secret) },
		"geo_database":  repeatable(func() error { return a.unmarshalGeoDatabase(d) }),
		"geo_set":       repeatable(func() error { return a.unmarshalGeoSet(d) }),
		"rights":        repeatable(func() error { return a.unmarshalRightsSource(d) }),
		"group":         repeatable(func() error { return a.unmarshalGroup(d) }),
		"rekey_grace":   func() error { return durationArg(d, &a.RekeyGrace) },
		"segment_cache": func() error { return a.unmarshalSegmentCache(d) },
		"in_flight":     func() error { return a.unmarshalInFlight(d) },
		"spool":         func() error { return oneArg(d, &a.Spool) },
		"state":         func() error { return a.unmarshalState(d) },
	})
}

func (a *App) unmarshalSegmentCache(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	if d.Val() != wordOff {
		d.Prev()
		return sizeArg(d, &a.SegmentCache)
	}
	a.SegmentCache = -1
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}

func (a *App) unmarshalInFlight(d *caddyfile.Dispenser) error {
	if err := nextSize(d, &a.InFlight); err != nil {
		return err
	}
	if !d.NextArg() {
		return nil
	}
	d.Prev()
	return durationArg(d, &a.InFlightWait)
}

// Interface guard
var _ caddyfile.Unmarshaler = (*App)(nil)
