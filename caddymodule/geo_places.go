package caddymodule

import (
	"net/http"
	"net/netip"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/geo"
)

// lookupPlace returns what the databases of the site know of an address. Of one that fails nothing is known, which the rule denies
// unless the operator said otherwise.
func (q *request) lookupPlace(addr netip.Addr) geo.Place {
	place, err := q.geoDatabases.Lookup(addr)
	if err != nil {
		q.logger.Error("looking up the place of an address", zap.Error(err))
	}
	if shared := sharedPlace(q.r); shared != nil {
		*shared = shared.Merge(place) // a matcher has answered for the placeholders already
	}
	return place
}

// geoPlaceholder returns the value of `http.drm.geo.*`.
func geoPlaceholder(place *geo.Place, key string) (any, bool) {
	switch key {
	case "http.drm.geo.country":
		return place.Country.String(), true
	case "http.drm.geo.subdivision":
		return place.Subdivision().String(), true
	case "http.drm.geo.continent":
		return place.Continent.String(), true
	case "http.drm.geo.asn":
		return place.ASNString(), true
	case "http.drm.geo.network":
		return place.Network.String(), true
	default:
		return nil, false
	}
}

// placeVar holds what matchers of a request have found out about its client.
const placeVar = "drm.geo.place"

func sharedPlace(r *http.Request) *geo.Place {
	place, _ := caddyhttp.GetVar(r.Context(), placeVar).(*geo.Place)
	return place
}

// sharePlace makes what a matcher found visible to placeholders. Several matchers may know different things.
func sharePlace(r *http.Request, place geo.Place) {
	if shared := sharedPlace(r); shared != nil {
		*shared = shared.Merge(place)
		return
	}
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return
	}
	shared := &place
	caddyhttp.SetVar(r.Context(), placeVar, shared)
	repl.Map(func(key string) (any, bool) { return geoPlaceholder(shared, key) })
}
