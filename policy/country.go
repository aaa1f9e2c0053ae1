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
	claims := &q.decision.Claims
	switch verdict := p.Geo.Decide(q.viewer.Country); {
	case verdict == geo.Unknown:
		q.refuse(ReasonCountryUnknown, "geo: "+verdict.String())
		return
	case !verdict.Admits():
		q.refuse(ReasonCountryDenied, "geo: "+q.viewer.Country.String()+" is "+verdict.String())
		return
	}
	switch country := q.viewer.Country; {
	case len(claims.Countries) == 0:
		return
	case !country.IsKnown(): // the rule's leave for unknown addresses is not the token's
		q.refuse(ReasonCountryUnknown, "token: it is for certain countries, and the viewer's is not known")
	case !isListed(claims.Countries, country):
		q.refuse(ReasonCountryDenied, "token: it is not for "+country.String())
	default:
		return
	}
	q.decision.Answer = token.AnswerOf(claims.Answered(token.ErrCountry))
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
