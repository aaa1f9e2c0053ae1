package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/geo"
)

// GeoDatabase is a file that tells what is known of addresses. In JSON it may be the path alone.
type GeoDatabase struct {
	// File is its path. Placeholders expand when the configuration is loaded.
	File string `json:"file"`
	// MaxAge refuses a database that was built longer ago. Default: any age is taken, with a warning from 30 days on.
	MaxAge caddy.Duration `json:"max_age,omitempty"`
	// Rollback is `allow` or `deny` (default), for a new file that was built before the one in use.
	Rollback string `json:"rollback,omitempty"`
}

// UnmarshalJSON reads an object, or the path alone.
func (g *GeoDatabase) UnmarshalJSON(b []byte) error {
	*g = GeoDatabase{}
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &g.File)
	}
	type plain GeoDatabase
	return caddy.StrictUnmarshalJSON(b, (*plain)(g))
}

// MarshalJSON writes the path alone where nothing else is set.
func (g GeoDatabase) MarshalJSON() ([]byte, error) {
	if g == (GeoDatabase{File: g.File}) {
		return json.Marshal(g.File)
	}
	type plain GeoDatabase
	return json.Marshal(plain(g))
}

const (
	geoWatchInterval = 10 * time.Second
	// geoStaleAge is when a database should have been replaced: publishers do so daily to monthly, and the license of MaxMind's free
	// ones asks for it within 30 days.
	geoStaleAge           = 30 * 24 * time.Hour
	geoStaleWarnsAgainAge = 24 * time.Hour
)

func checkGeoDatabaseName(name string) error {
	if name == "" || isOneOf(name, ruleWords...) {
		return fmt.Errorf("geo database %q: the word has a meaning of its own", name)
	}
	return nil
}

func (a *App) openGeoDatabases() error {
	a.databases = make(map[string]*geo.File, len(a.GeoDatabases))
	for name, database := range a.GeoDatabases {
		file, err := database.open(name)
		if err != nil {
			return fmt.Errorf("drm.geo_databases.%s: %w", name, err)
		}
		a.databases[name] = file
		a.warnIfStale(name, file)
	}
	return nil
}

func (g GeoDatabase) open(name string) (*geo.File, error) {
	if err := checkGeoDatabaseName(name); err != nil {
		return nil, err
	}
	if g.MaxAge < 0 {
		return nil, fmt.Errorf("max_age: want a positive duration")
	}
	if !isOneOf(g.Rollback, "", wordAllow, wordDeny) {
		return nil, fmt.Errorf("rollback: want allow or deny")
	}
	path, err := caddy.NewReplacer().ReplaceOrErr(g.File, true, true)
	if err != nil {
		return nil, err
	}
	return geo.OpenFile(path, geo.FileConfig{MaxAge: time.Duration(g.MaxAge), Rollback: g.Rollback == wordAllow, Now: time.Now})
}

func (a *App) parseGeoSets() error {
	a.geoSets = make(map[string]geo.List, len(a.GeoSets))
	for name, words := range a.GeoSets {
		if err := geo.CheckSetName(name); err != nil {
			return fmt.Errorf("drm.geo_sets: %w", err)
		}
		list, err := geo.ParseList(words, nil) // sets do not name each other
		if err == nil && list.IsEmpty() {
			err = fmt.Errorf("want at least one word")
		}
		if err != nil {
			return fmt.Errorf("drm.geo_sets.%s: %w", name, err)
		}
		a.geoSets[name] = list
	}
	return nil
}

// watchGeoDatabases takes new files in until ctx is done.
func (a *App) watchGeoDatabases(ctx context.Context) {
	for name, file := range a.databases {
		a.watchers.Go(func() {
			file.Watch(ctx, geoWatchInterval, func(_ bool, err error) {
				if err != nil {
					a.ctx.Logger().Error("geo database not reloaded; the old one stays", zap.String("database", name), zap.Error(err))
					return
				}
				info := file.Info()
				a.ctx.Logger().Info("geo database reloaded", zap.String("database", name), zap.String("type", info.Type), zap.Time("built", info.BuildTime))
				a.warnIfStale(name, file)
			})
		})
	}
	if len(a.databases) == 0 {
		return
	}
	a.watchers.Go(func() {
		ticker := time.NewTicker(geoStaleWarnsAgainAge)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				for name, file := range a.databases {
					a.warnIfStale(name, file)
				}
			}
		}
	})
}

func (a *App) warnIfStale(name string, file *geo.File) {
	built := file.Info().BuildTime
	if age := time.Since(built); age > geoStaleAge {
		a.ctx.Logger().Warn("geo database is old: addresses move, and what it says of them grows wrong",
			zap.String("database", name), zap.Time("built", built), zap.Int("days", int(age.Hours()/24)))
	}
}
