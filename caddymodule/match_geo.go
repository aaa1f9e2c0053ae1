package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types/ref"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-drm/caddy-drm/geo"
)

func init() {
	caddy.RegisterModule(new(MatchGeo))
}

// MatchGeo matches the requests of clients whom a geo rule admits, in the words of `geo` inside of `drm`. It is for what needs no
// token and no protection: pages, players, redirects.
//
// A request that cannot be judged, because its client has no address or a database fails, is an error and answered with 500, and
// never no match: `not` would make that a match.
//
// Placeholders set, whether it matches or not: `{http.drm.geo.country}`, `{http.drm.geo.subdivision}`,
// `{http.drm.geo.continent}`, `{http.drm.geo.asn}`, `{http.drm.geo.network}`.
type MatchGeo struct {
	GeoRuleConfig

	databases placeSource
	rule      geo.Rule
}

// placeSource is what a matcher asks; of geo.Databases.
type placeSource interface {
	Lookup(addr netip.Addr) (geo.Place, error)
}

// Errors of a matcher that cannot decide.
var errNoClientAddress = errors.New("the client has no IP address, so no geo rule can judge it")

// CaddyModule returns the module's registration.
func (*MatchGeo) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.matchers.drm_geo", New: func() caddy.Module { return new(MatchGeo) }}
}

// UnmarshalCaddyfile reads
//
//	drm_geo [<database...>] [allow <place or network...>] [deny <place or network...>] [unknown deny|allow [<what...>]] {
//		allow   <place or network...>
//		deny    <place or network...>
//		unknown deny|allow [country] [subdivision] [continent] [asn] [network]
//	}
func (m *MatchGeo) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if err := m.parseRuleWords(d.RemainingArgs()); err != nil {
		return d.WrapErr(err)
	}
	if err := eachOption(d, m.ruleOptions(d)); err != nil {
		return err
	}
	if d.Next() {
		return d.Err("repeated drm_geo matchers are not supported: write one rule, or combine named matchers")
	}
	return nil
}

// Provision finds the databases and reads the rule.
func (m *MatchGeo) Provision(ctx caddy.Context) error {
	module, err := ctx.App("drm")
	if err != nil {
		return err
	}
	app, ok := module.(*App)
	if !ok {
		return errors.New("the drm app is another module's")
	}
	m.databases, m.rule, err = m.compile(app)
	return err
}

// MatchWithError reports whether the rule admits the client.
func (m *MatchGeo) MatchWithError(r *http.Request) (bool, error) {
	if r.TLS != nil && !r.TLS.HandshakeComplete {
		return false, caddyhttp.Error(http.StatusTooEarly, errTooEarly) // as in the handler
	}
	addr := clientAddr(r)
	if !addr.IsValid() {
		return false, caddyhttp.Error(http.StatusInternalServerError, errNoClientAddress)
	}
	place, err := m.databases.Lookup(addr)
	if err != nil {
		return false, caddyhttp.Error(http.StatusInternalServerError, fmt.Errorf("judging by drm_geo: %w", err))
	}
	sharePlace(r, place)
	return m.rule.Decide(place, geo.CountryUnknown).Verdict.Admits(), nil
}

// CELLibrary makes the matcher a function of expressions, with the words of one line as its arguments:
//
//	expression drm_geo('country', 'allow', 'eu', 'CH') && path('/vod/*')
func (*MatchGeo) CELLibrary(ctx caddy.Context) (cel.Library, error) {
	return caddyhttp.CELMatcherImpl("drm_geo", "drm_geo_match_request_list", []*cel.Type{cel.ListType(cel.StringType)},
		func(data ref.Val) (caddyhttp.RequestMatcherWithError, error) {
			words, err := data.ConvertToNative(reflect.TypeFor[[]string]())
			if err != nil {
				return nil, err
			}
			m := new(MatchGeo)
			if err := m.parseRuleWords(words.([]string)); err != nil { //nolint:errcheck // of the type that was asked for
				return nil, fmt.Errorf("drm_geo: %w", err)
			}
			return m, m.Provision(ctx)
		})
}

// Interface guards
var (
	_ caddyhttp.RequestMatcherWithError = (*MatchGeo)(nil)
	_ caddyhttp.CELLibraryProducer      = (*MatchGeo)(nil)
	_ caddy.Provisioner                 = (*MatchGeo)(nil)
	_ caddyfile.Unmarshaler             = (*MatchGeo)(nil)
)
