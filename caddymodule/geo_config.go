package caddymodule

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-drm/caddy-drm/geo"
)

// GeoRuleConfig says who is admitted by what databases know of the client address that Caddy determined. See Caddy's
// trusted_proxies for gateways behind a proxy: forwarded addresses are believed only from there.
type GeoRuleConfig struct {
	// Databases are names of databases of the app, the most trusted first: where several know the country, the first counts.
	// Rules on addresses alone need none.
	Databases []string `json:"databases,omitempty"`
	// Allow lists the only places and networks that are admitted: countries (`DE`, `FR+territories`), subdivisions (`US-CA`),
	// continents (`continent:EU`), the sets `eu` and `eea` and those of the app, ASNs (`AS64496`), kinds of network
	// (`anonymous`, `vpn`, `proxy`, `public_proxy`, `residential_proxy`, `tor`, `hosting`), addresses and prefixes. A territory
	// with a code of its own is not covered by its parent.
	Allow []string `json:"allow,omitempty"`
	// Deny lists, in the same words, what is not admitted, even if Allow has it.
	Deny []string `json:"deny,omitempty"`
	// Unknown is `deny` (default) or `allow`, for addresses of which something is not known that a list asks for.
	Unknown string `json:"unknown,omitempty"`
	// UnknownFor limits `allow` of Unknown to what is not known: `country`, `subdivision`, `continent`, `asn`, `network`.
	UnknownFor []string `json:"unknown_for,omitempty"`
}

// GeoConfig is the geo rule of a site.
type GeoConfig struct {
	GeoRuleConfig
	// Portability is `eu` or `eea` to judge viewers who are in one of its countries, and whose token names another one of them
	// as their home, as if they were at home (Regulation (EU) 2017/1128). Default: off.
	Portability string `json:"portability,omitempty"`
	// Status is 403 (default) or 451, for a block that the law demands.
	Status int `json:"status,omitempty"`
	// BlockedBy is the URL of whoever implements the block, sent as a Link with 451 (RFC 7725, 4).
	BlockedBy string `json:"blocked_by,omitempty"`
}

// Words of a geo rule.
const (
	portabilityEU  = "eu"
	portabilityEEA = "eea"
)

// compile resolves names and words. Every list must be one that the databases can tell.
func (c *GeoRuleConfig) compile(app *App) (databases geo.Databases, rule geo.Rule, err error) {
	for _, name := range c.Databases {
		file := app.databases[name]
		if file == nil {
			return nil, rule, fmt.Errorf("geo: the drm app has no geo database named %q", name)
		}
		databases = append(databases, file)
	}
	if rule.Allow, err = geo.ParseList(c.Allow, app.geoSets); err != nil {
		return nil, rule, fmt.Errorf("geo: allow: %w", err)
	}
	if rule.Deny, err = geo.ParseList(c.Deny, app.geoSets); err != nil {
		return nil, rule, fmt.Errorf("geo: deny: %w", err)
	}
	if rule.Unknown, err = c.unknown(); err != nil {
		return nil, rule, err
	}
	if rule.IsZero() {
		return nil, rule, errors.New("geo: want a list of countries or networks to allow or to deny")
	}
	if missing := rule.Needs() &^ databases.Provides(); missing != 0 {
		return nil, rule, fmt.Errorf("geo: the rule asks for what none of its databases (%s) tells: %s", strings.Join(c.Databases, " "), missing)
	}
	return databases, rule, nil
}

func (c *GeoRuleConfig) unknown() (dimensions geo.Dimension, err error) {
	switch c.Unknown {
	case "", wordDeny:
		if len(c.UnknownFor) > 0 {
			return 0, errors.New("geo.unknown_for: want it with unknown allow; all else is denied")
		}
		return 0, nil
	case wordAllow:
	default:
		return 0, errors.New("geo.unknown: want allow or deny")
	}
	for _, word := range c.UnknownFor {
		dimension, ok := geo.ParseDimension(word)
		if !ok || dimension == geo.DimensionAddress {
			return 0, fmt.Errorf("geo.unknown_for: %q: want country, subdivision, continent, asn or network", word)
		}
		dimensions |= dimension
	}
	if dimensions == 0 {
		dimensions = geo.AllDimensions &^ geo.DimensionAddress // an address that Caddy does not know is nobody's
	}
	return dimensions, nil
}

func (h *Handler) compileGeo(caddy.Context) (err error) {
	if h.Geo == nil {
		return nil
	}
	if h.geoDatabases, h.geoRule, err = h.Geo.compile(h.app); err != nil {
		return err
	}
	switch h.Geo.Portability {
	case "":
	case portabilityEU:
		h.geoRule.Portable = geo.EU
	case portabilityEEA:
		h.geoRule.Portable = geo.EEA
	default:
		return errors.New("geo.portability: want eu or eea")
	}
	return nil
}
