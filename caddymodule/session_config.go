package caddymodule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-drm/caddy-drm/geo"
	"github.com/caddy-drm/caddy-drm/policy"
)

// labelBinding is for the digest of what a session is bound to.
const labelBinding = "caddy-drm session binding v1"

// BindingConfig says what sessions are bound to: a request that presents one has to come with what it was handed out to.
//
// All of it costs viewers: carriers move them between addresses, devices change theirs and use IPv4 and IPv6 by turns.
type BindingConfig struct {
	// AddressV4 and AddressV6 are how many leading bits of the client address count; 0 does not bind that family.
	AddressV4 int `json:"address_v4,omitempty"`
	AddressV6 int `json:"address_v6,omitempty"`
	// ASN binds to the number of the viewer's network, by the geo database.
	ASN bool `json:"asn,omitempty"`
	// UserAgent binds to the field User-Agent.
	UserAgent bool `json:"user_agent,omitempty"`
}

// policy returns the binding under a key.
func (c *BindingConfig) policy(key [32]byte) policy.Binding {
	if c == nil {
		return policy.Binding{}
	}
	return policy.Binding{AddressV4: c.AddressV4, AddressV6: c.AddressV6, ASN: c.ASN, UserAgent: c.UserAgent, Key: key}
}

// sessionName returns the name of the parameter or the cookie.
func (c *TokenConfig) sessionName() string {
	switch {
	case c.SessionName != "":
		return c.SessionName
	case c.Session == sessionInQuery:
		return sessionQueryName
	default:
		return sessionCookieName
	}
}

func (c *TokenConfig) sessionRenew() time.Duration {
	switch {
	case c.SessionRenew < 0:
		return 0
	case c.SessionRenew > 0:
		return time.Duration(c.SessionRenew)
	default:
		return c.sessionExtend() / 4
	}
}

// sessionOff is SessionRenew of a site whose sessions are not renewed.
const sessionOff caddy.Duration = -1

// validateSession finds what contradicts itself in the settings of sessions.
func (h *Handler) validateSession() error {
	t := h.Token
	if t == nil {
		return nil
	}
	if t.SessionName != "" && (t.Session != sessionInQuery && t.Session != sessionInCookie || strings.ContainsFunc(t.SessionName, notInName)) {
		return errors.New("token.session_name: want letters, digits, -, _ and . for a session by query or cookie")
	}
	if t.Session == sessionInQuery && isOneOf(t.sessionName(), append(h.tokenQueryNames(), querySchemeName, queryKeyFormatName, "kid")...) {
		return fmt.Errorf("token.session_name: the parameter %s means something else already", t.sessionName())
	}
	if t.sessionRenew() > t.sessionExtend() {
		return errors.New("token.session_renew: want less than session_extend, or sessions would be renewed all the time")
	}
	b := t.SessionBinding
	if b == nil {
		return nil
	}
	if err := b.policy([32]byte{}).Check(); err != nil {
		return fmt.Errorf("token.session_binding: %w", err)
	}
	switch {
	case b.policy([32]byte{}).IsZero():
		return errors.New("token.session_binding: want an address, the network's number or the User-Agent to bind to")
	case b.ASN && h.geoDatabases.Provides()&geo.DimensionASN == 0:
		return errors.New("token.session_binding: asn: want geo with a database that knows the numbers of networks")
	}
	return nil
}

func notInName(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_.", c))
}

func (h *Handler) tokenQueryNames() []string {
	var names []string
	for _, place := range h.Token.From {
		if place.In == tokenInQuery {
			names = append(names, place.Name)
		}
	}
	return names
}

// unmarshalSession reads
//
//	session [path|query|cookie [<name>] [<extend>]] {
//		carry  path|query|cookie [<name>]
//		extend <duration>
//		renew  <duration>|off
//		bind   address <v4 bits> <v6 bits>
//		bind   asn
//		bind   user_agent
//	}
func (h *Handler) unmarshalSession(d *caddyfile.Dispenser) error {
	t := h.token()
	if args := d.RemainingArgs(); len(args) > 0 {
		if err := t.readCarrier(d, args, true); err != nil {
			return err
		}
	}
	return eachOption(d, options{
		"carry": func() error {
			if t.Session != "" {
				return d.Errf("session: %s and carry say the same", t.Session)
			}
			return t.readCarrier(d, d.RemainingArgs(), false)
		},
		"extend": func() error { return durationArg(d, &t.SessionExtend) },
		"renew":  func() error { return t.readRenew(d) },
		"bind":   repeatable(func() error { return t.readBinding(d) }),
	})
}

// readCarrier reads how sessions travel, under which name, and where it may stand how long they outlive their token.
func (c *TokenConfig) readCarrier(d *caddyfile.Dispenser, args []string, withExtend bool) error {
	if len(args) == 0 {
		return d.ArgErr()
	}
	if c.Session = args[0]; !isOneOf(c.Session, sessionInPath, sessionInQuery, sessionInCookie) {
		return d.Errf("session %q: want path, query or cookie", c.Session)
	}
	for _, arg := range args[1:] {
		extend, err := caddy.ParseDuration(arg)
		switch {
		case withExtend && err == nil && extend > 0 && c.SessionExtend == 0:
			c.SessionExtend = caddy.Duration(extend)
		case c.SessionName == "" && c.SessionExtend == 0 && c.Session != sessionInPath && err != nil:
			c.SessionName = arg
		default:
			return d.Errf("session %s: %q is neither a name nor a duration such as 4h", c.Session, arg)
		}
	}
	return nil
}

func (c *TokenConfig) readRenew(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 1 {
		return d.ArgErr()
	}
	if args[0] == wordOff {
		c.SessionRenew = sessionOff
		return nil
	}
	d.Prev()
	return durationArg(d, &c.SessionRenew)
}

func (c *TokenConfig) readBinding(d *caddyfile.Dispenser) error {
	if c.SessionBinding == nil {
		c.SessionBinding = new(BindingConfig)
	}
	if !d.NextArg() {
		return d.ArgErr()
	}
	switch word := d.Val(); word {
	case "address":
		if err := numberArg(d, &c.SessionBinding.AddressV4); err != nil {
			return err
		}
		if err := numberArg(d, &c.SessionBinding.AddressV6); err != nil {
			return err
		}
	case "asn":
		c.SessionBinding.ASN = true
	case "user_agent":
		c.SessionBinding.UserAgent = true
	default:
		return d.Errf("session: bind %q: want address, asn or user_agent", word)
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}
