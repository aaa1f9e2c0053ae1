package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// unmarshalRightsSource reads, in the global block,
//
//	rights <name> <file>|<https URL> {
//		refresh     <duration>
//		stale_after <duration> [deny|keep]
//	}
func (a *App) unmarshalRightsSource(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 || args[0] == "" || args[1] == "" {
		return d.ArgErr()
	}
	if a.Rights == nil {
		a.Rights = make(map[string]*RightsSource)
	}
	if _, ok := a.Rights[args[0]]; ok {
		return d.Errf("the catalog of rights %q is defined twice", args[0])
	}
	source := &RightsSource{Source: args[1]}
	a.Rights[args[0]] = source
	return eachOption(d, options{
		"refresh": func() error { return durationArg(d, &source.Refresh) },
		"stale_after": func() error {
			if err := nextDuration(d, &source.StaleAfter); err != nil {
				return err
			}
			if !d.NextArg() {
				return nil
			}
			if source.Stale = d.Val(); !isOneOf(source.Stale, wordDeny, wordKeep) {
				return d.Errf("stale_after … %q: want deny or keep", source.Stale)
			}
			if d.NextArg() {
				return d.ArgErr()
			}
			return nil
		},
	})
}

// unmarshalRights reads, in a site,
//
//	rights <catalog> {
//		unlisted deny|allow
//		geo      <database>
//	}
//
// or, for a site that is one title,
//
//	rights {
//		window      <start> <end> | from <start> | until <end>
//		territories <word...>
//		excluded    <word...>
//		model       free|ads|subscription|rental|purchase [<plan...>]
//		id          <name>
//		group       <name>
//		max_streams <n>
//		license     <URL>
//		attribution <text>
//		source      <URL>
//		geo         <database>
//	}
func (h *Handler) unmarshalRights(d *caddyfile.Dispenser) error {
	h.Rights = new(RightsConfig)
	geo := func() error { return oneArg(d, &h.Rights.Geo) }
	if d.NextArg() {
		d.Prev()
		if err := oneArg(d, &h.Rights.Catalog); err != nil {
			return err
		}
		return eachOption(d, options{
			"unlisted": func() error { return wordArg(d, &h.Rights.Unlisted, wordDeny, wordAllow) },
			"geo":      geo,
		})
	}
	title := new(RightsTitle)
	h.Rights.Title = title
	metadata := func() *RightsMetadata {
		if title.License == nil {
			title.License = new(RightsMetadata)
		}
		return title.License
	}
	err := eachOption(d, options{
		"window":      repeatable(func() error { return title.unmarshalWindow(d) }),
		"territories": func() error { return someArgs(d, &title.Territories) },
		"excluded":    func() error { return someArgs(d, &title.Excluded) },
		"model": func() error {
			words := d.RemainingArgs()
			if len(words) == 0 {
				return d.ArgErr()
			}
			title.Model, title.Plans = words[0], words[1:]
			return nil
		},
		"id":          func() error { return oneArg(d, &title.ID) },
		"group":       func() error { return oneArg(d, &title.Group) },
		"max_streams": func() error { return lastNumberArg(d, &title.MaxStreams) },
		"license":     func() error { return oneArg(d, &metadata().URL) },
		"attribution": func() error { return oneArg(d, &metadata().Attribution) },
		"source":      func() error { return oneArg(d, &metadata().Source) },
		"geo":         geo,
	})
	if err != nil {
		return err
	}
	if _, err := title.catalog(); err != nil {
		return d.Errf("rights: %v", err)
	}
	return nil
}

func (t *RightsTitle) unmarshalWindow(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.ArgErr()
	}
	switch args[0] {
	case "from":
		t.Windows = append(t.Windows, RightsWindow{Start: args[1]})
	case "until":
		t.Windows = append(t.Windows, RightsWindow{End: args[1]})
	default:
		t.Windows = append(t.Windows, RightsWindow{Start: args[0], End: args[1]})
	}
	return nil
}

// lastNumberArg reads exactly one argument, a number above zero.
func lastNumberArg(d *caddyfile.Dispenser, into *int) error {
	if err := numberArg(d, into); err != nil {
		return err
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}
