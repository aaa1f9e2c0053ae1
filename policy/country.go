package policy

import (
	"strings"

	"github.com/caddy-drm/caddy-drm/geo"
	"github.com/caddy-drm/caddy-drm/token"
)

// judgeCountry asks the rule, then the token.
func (p *Policy) judgeCountry(q *question) {
	if q.explaining {
		q.input = "country " + q.viewer.Country.String()
	}
	if reason, rule := decideCountry(p.Geo, q.decision.Claims, q.viewer.Country); reason != "" {
		q.refuse(reason, rule)
	}
}

// decideCountry returns an empty reason if neither the rule nor the token excludes the country.
func decideCountry(rule geo.Rule, claims token.Claims, country geo.Country) (Reason, string) {
	switch verdict := rule.Decide(country); {
	case verdict == geo.Unknown:
		return ReasonCountryUnknown, "geo: " + verdict.String()
	case !verdict.Admits():
		return ReasonCountryDenied, "geo: " + country.String() + " is " + verdict.String()
	}
	switch {
	case len(claims.Countries) == 0:
		return "", ""
	case !country.IsKnown(): // the rule's leave for unknown addresses is not the token's
		return ReasonCountryUnknown, "token: it is for certain countries, and the viewer's is not known"
	case !isListed(claims.Countries, country):
		return ReasonCountryDenied, "token: it is not for " + country.String()
	}
	return "", ""
}

// isListed accepts EU in a token as the set of that name. A code that is no country never matches.
func isListed(countries []string, country geo.Country) bool {
	for _, code := range countries {
		if strings.EqualFold(code, "eu") {
			if geo.EU.Contains(country) {
				return true
			}
			continue
		}
		if c, err := geo.ParseCountry(code); err == nil && c == country {
			return true
		}
	}
	return false
}
