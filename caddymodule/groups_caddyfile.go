package caddymodule

import (
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-drm/caddy-drm/drm"
)

// unmarshalGroup reads, in the global block,
//
//	group <name> {
//		level            low|medium|high
//		license          temporary|persistent [<duration>] {
//			rental   <duration>
//			playback <duration>
//			renew    <duration>
//		}
//		rotate           <duration>|<minutes>|off
//		scheme           auto|cenc|cbcs|aes-128
//		systems          <system...>
//		keys             <source> …
//		hdcp             none|1|2.0|2.1|2.2|2.3
//		clear_lead       <duration>
//		playready_header 4.0|4.1|4.2|4.3
//		pssh_in_init
//	}
func (a *App) unmarshalGroup(d *caddyfile.Dispenser) error {
	var name string
	if err := oneArg(d, &name); err != nil {
		return err
	}
	if a.Groups == nil {
		a.Groups = make(map[string]*GroupConfig)
	}
	if _, ok := a.Groups[name]; ok {
		return d.Errf("the group %q is defined twice", name)
	}
	c := new(GroupConfig)
	a.Groups[name] = c
	return eachOption(d, options{
		"level":   func() error { return parsedArg(d, &c.Level, drm.ParseLevel) },
		"license": func() error { return c.unmarshalLicense(d) },
		"rotate":  func() error { return c.unmarshalRotate(d) },
		"scheme":  func() error { return wordArg(d, &c.Scheme, schemeAuto, "cenc", "cbcs", "aes-128") },
		"keys": func() (err error) {
			c.KeysRaw, err = unmarshalGuest(d, "drm.key_sources.", "source")
			return err
		},
		"systems":          func() error { return c.unmarshalSystems(d) },
		"hdcp":             func() error { return parsedArg(d, &c.HDCP, drm.ParseHDCP) },
		"clear_lead":       func() error { return durationArg(d, &c.ClearLead) },
		"playready_header": func() error { return parsedArg(d, &c.PlayReadyHeader, drm.ParsePlayReadyVersion) },
		"pssh_in_init":     func() error { return flagArg(d, &c.PsshInInit) },
	})
}

// parsedArg reads one argument that parse knows.
func parsedArg[T any](d *caddyfile.Dispenser, into *string, parse func(string) (T, error)) error {
	if err := oneArg(d, into); err != nil {
		return err
	}
	if _, err := parse(*into); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (c *GroupConfig) unmarshalLicense(d *caddyfile.Dispenser) error {
	const temporary, persistent = "temporary", "persistent"
	if !d.NextArg() {
		return d.ArgErr()
	}
	kind := d.Val()
	if !isOneOf(kind, temporary, persistent) {
		return d.Errf("license %q: want temporary or persistent", kind)
	}
	l := &GroupLicense{Persistent: kind == persistent}
	c.License = l
	if d.NextArg() {
		d.Prev()
		if err := durationArg(d, &l.Duration); err != nil {
			return err
		}
	}
	return eachOption(d, options{
		"rental":   func() error { return durationArg(d, &l.Rental) },
		"playback": func() error { return durationArg(d, &l.Playback) },
		"renew":    func() error { return durationArg(d, &l.Renew) },
	})
}

// maxRotateMinutes keeps a number of minutes within a duration.
const maxRotateMinutes = int(drm.MaxCryptoPeriod / time.Minute)

// unmarshalRotate reads a duration, a bare number of minutes, or off.
func (c *GroupConfig) unmarshalRotate(d *caddyfile.Dispenser) error {
	var text string
	if err := oneArg(d, &text); err != nil {
		return err
	}
	if text == wordOff {
		return nil
	}
	if minutes, err := strconv.Atoi(text); err == nil {
		if minutes <= 0 || minutes > maxRotateMinutes {
			return d.Errf("rotate %q: want off, or 1 to %d minutes", text, maxRotateMinutes)
		}
		c.Rotate = caddy.Duration(time.Duration(minutes) * time.Minute)
		return nil
	}
	d.Prev()
	return durationArg(d, &c.Rotate)
}

func (c *GroupConfig) unmarshalSystems(d *caddyfile.Dispenser) error {
	if err := someArgs(d, &c.Systems); err != nil {
		return err
	}
	for _, word := range c.Systems {
		if _, err := drm.ParseSystem(word); err != nil {
			return d.WrapErr(err)
		}
	}
	return nil
}

// unmarshalSiteGroup reads, in a site,
//
//	group <name>
//	group <name> <path...>
func (h *Handler) unmarshalSiteGroup(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 || args[0] == "" {
		return d.ArgErr()
	}
	if len(args) > 1 {
		h.Groups = append(h.Groups, GroupPaths{Group: args[0], Paths: args[1:]})
		return nil
	}
	if h.Group != "" {
		return d.Errf("the group of the site stands twice: %q and %q; another one for some paths names them", h.Group, args[0])
	}
	h.Group = args[0]
	return nil
}
