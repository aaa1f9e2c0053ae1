package caddymodule

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-drm/caddy-drm/web"
	"github.com/caddy-drm/caddy-drm/web/players"
)

func init() {
	caddy.RegisterModule(new(Player))
	httpcaddyfile.RegisterHandlerDirective("drm_player", parsePlayer)
	httpcaddyfile.RegisterDirectiveOrder("drm_player", httpcaddyfile.Before, "respond")
}

// Player serves the player page: Shaka Player, hls.js and dash.js on the streams that it is given, with what happens on
// the wire. All of it is embedded; nothing comes from another host.
//
// The page shows its streams to everyone who may load it, so they hold no tokens.
type Player struct {
	// Title is the heading of the page. Default: caddy-drm.
	Title string `json:"title,omitempty"`
	// Streams are offered in this order.
	Streams []PlayerStream `json:"streams,omitempty"`

	page http.Handler
}

// PlayerStream is one stream that the page offers.
type PlayerStream struct {
	// Name is what the list shows.
	Name string `json:"name"`
	// DASH and HLS are the URLs of the manifests.
	DASH string `json:"dash,omitempty"`
	HLS  string `json:"hls,omitempty"`
	// Scheme is `cenc` or `cbcs`, for the viewer's information.
	Scheme string `json:"scheme,omitempty"`
	// Group is the DRM group of the stream, which names its player configuration; empty for titles without one.
	Group string `json:"group,omitempty"`
	// Token makes the page ask for an access token.
	Token bool `json:"token,omitempty"`
	// Note is one line of explanation.
	Note string `json:"note,omitempty"`
}

// CaddyModule returns the module's registration.
func (*Player) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.drm_player", New: func() caddy.Module { return new(Player) }}
}

// Provision makes the page.
func (p *Player) Provision(caddy.Context) error {
	config := p.config()
	if err := config.Validate(); err != nil {
		return err
	}
	p.page = web.Handler(config)
	return nil
}

func (p *Player) config() web.Config {
	config := web.Config{Title: p.Title, Players: players.FS}
	for _, s := range p.Streams {
		config.Streams = append(config.Streams, web.Stream(s))
	}
	return config
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (p *Player) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	p.page.ServeHTTP(w, r)
	return nil
}

func parsePlayer(helper httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	p := new(Player)
	return p, p.UnmarshalCaddyfile(helper.Dispenser)
}

// UnmarshalCaddyfile reads
//
//	drm_player [<matcher>] {
//		title <text>
//		stream <name> {
//			dash   <url>
//			hls    <url>
//			scheme cenc|cbcs
//			group  <name>
//			token
//			note   <text>
//		}
//	}
func (p *Player) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	return eachOption(d, options{
		"title":  func() error { return oneArg(d, &p.Title) },
		"stream": repeatable(func() error { return p.unmarshalStream(d) }),
	})
}

func (p *Player) unmarshalStream(d *caddyfile.Dispenser) error {
	var s PlayerStream
	if err := oneArg(d, &s.Name); err != nil {
		return err
	}
	err := eachOption(d, options{
		"dash":   func() error { return oneArg(d, &s.DASH) },
		"hls":    func() error { return oneArg(d, &s.HLS) },
		"group":  func() error { return oneArg(d, &s.Group) },
		"scheme": func() error { return wordArg(d, &s.Scheme, "cenc", "cbcs") },
		"note":   func() error { return oneArg(d, &s.Note) },
		"token": func() error {
			s.Token = true
			if d.NextArg() {
				return d.ArgErr()
			}
			return nil
		},
	})
	p.Streams = append(p.Streams, s)
	return err
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Player)(nil)
	_ caddyhttp.MiddlewareHandler = (*Player)(nil)
	_ caddyfile.Unmarshaler       = (*Player)(nil)
)
