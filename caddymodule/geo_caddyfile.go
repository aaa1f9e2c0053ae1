package caddymodule

import (
	"fmt"
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-drm/caddy-drm/geo"
)

// ruleOptions are the words of a rule, in a site and in the matcher.
func (c *GeoRuleConfig) ruleOptions(d *caddyfile.Dispenser) options {
	return options{
		"allow":   func() error { return someArgs(d, &c.Allow) },
		"deny":    func() error { return someArgs(d, &c.Deny) },
		"unknown": func() error { return c.unmarshalUnknown(d) },
	}
}

func (h *Handler) unmarshalGeo(d *caddyfile.Dispenser) error {
	h.Geo = new(GeoConfig)
	h.Geo.Databases = d.RemainingArgs()
	var status string
	known := h.Geo.ruleOptions(d)
	known["portability"] = func() error { return h.Geo.unmarshalPortability(d) }
	known["status"] = func() error { return wordArg(d, &status, "403", "451") }
	known["blocked_by"] = func() error { return oneArg(d, &h.Geo.BlockedBy) }
	err := eachOption(d, known)
	if status != "" {
		h.Geo.Status, _ = strconv.Atoi(status) // one of two words
	}
	if err == nil && len(h.Geo.Databases)+len(h.Geo.Allow)+len(h.Geo.Deny) == 0 {
		return d.ArgErr()
	}
	return err
}

// unmarshalUnknown reads `unknown deny` or `unknown allow [<dimension...>]`.
func (c *GeoRuleConfig) unmarshalUnknown(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.ArgErr()
	}
	if c.Unknown = args[0]; !isOneOf(c.Unknown, wordDeny, wordAllow) {
		return d.Errf("unknown %q: want deny, allow", c.Unknown)
	}
	c.UnknownFor = append(c.UnknownFor, args[1:]...)
	if _, err := c.unknown(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (c *GeoConfig) unmarshalPortability(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		c.Portability = portabilityEU
		return nil
	}
	d.Prev()
	return wordArg(d, &c.Portability, portabilityEU, portabilityEEA)
}

// unmarshalGeoDatabase reads
//
//	geo_database <name> <file> {
//		max_age  <duration>
//		rollback allow|deny
//	}
func (a *App) unmarshalGeoDatabase(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.ArgErr()
	}
	if a.GeoDatabases == nil {
		a.GeoDatabases = make(map[string]GeoDatabase)
	}
	name := args[0]
	if _, ok := a.GeoDatabases[name]; ok {
		return d.Errf("geo database %q is defined twice", name)
	}
	if err := checkGeoDatabaseName(name); err != nil {
		return d.WrapErr(err)
	}
	database := GeoDatabase{File: args[1]}
	if err := eachOption(d, options{
		"max_age":  func() error { return durationArg(d, &database.MaxAge) },
		"rollback": func() error { return wordArg(d, &database.Rollback, wordDeny, wordAllow) },
	}); err != nil {
		return err
	}
	a.GeoDatabases[name] = database
	return nil
}

// unmarshalGeoSet reads `geo_set <name> <word...>`.
func (a *App) unmarshalGeoSet(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 2 {
		return d.ArgErr()
	}
	if a.GeoSets == nil {
		a.GeoSets = make(map[string][]string)
	}
	name := args[0]
	if _, ok := a.GeoSets[name]; ok {
		return d.Errf("geo set %q is defined twice", name)
	}
	if err := geo.CheckSetName(name); err != nil {
		return d.WrapErr(err)
	}
	if _, err := geo.ParseList(args[1:], nil); err != nil {
		return d.WrapErr(err)
	}
	a.GeoSets[name] = args[1:]
	return nil
}

// ruleWords end the names of databases where a rule stands on one line, and are no such names.
var ruleWords = []string{wordAllow, wordDeny, wordUnknown}

const wordUnknown = "unknown"

// parseRuleWords reads a rule that stands on one line: `<database...> [allow <word...>] [deny <word...>] [unknown …]`.
func (c *GeoRuleConfig) parseRuleWords(words []string) error {
	var unknown []string
	lists := map[string]*[]string{wordAllow: &c.Allow, wordDeny: &c.Deny, wordUnknown: &unknown}
	into, seen := &c.Databases, make(map[string]bool)
	for _, word := range words {
		list, isRuleWord := lists[word]
		if !isRuleWord || into == &unknown && len(unknown) == 0 { // behind unknown, allow and deny are its argument
			*into = append(*into, word)
			continue
		}
		if seen[word] {
			return fmt.Errorf("%s stands twice", word)
		}
		seen[word], into = true, list
	}
	for word, list := range lists {
		if seen[word] && len(*list) == 0 {
			return fmt.Errorf("nothing stands behind %s", word)
		}
	}
	if len(unknown) > 0 {
		c.Unknown = unknown[0]
		c.UnknownFor = append(c.UnknownFor, unknown[1:]...)
	}
	return nil
}
