package policy

import (
	"strings"

	"github.com/caddy-drm/caddy-drm/geo"
	"github.com/caddy-drm/caddy-drm/token"
)

// judgePlace asks the rule, then the token. Both judge a viewer who is judged as if at home there.
func (p *Policy) judgePlace(q *question) {
	judgment := p.Geo.Decide(q.viewer.Place, homeOf(q.decision.Claims))
	q.country = judgment.Place.Country
	if q.explaining {
		q.input = p.describePlace(q, judgment.Place)
		q.decision.Rule = "geo: " + judgment.String()
	}
	if !judgment.Verdict.Admits() {
		q.refuse(reasonOfJudgment(judgment), "geo: "+judgment.String())
		return
	}
	claims := &q.decision.Claims
	if reason, rule := decideTokenCountry(claims, judgment.Place.Country); reason != "" {
		q.refuse(reason, rule)
		q.decision.Answer = token.AnswerOf(claims.Answered(token.ErrCountry))
	}
}

// homeOf returns the country that a verified token names as the viewer's home. What is no country is none.
func homeOf(claims token.Claims) geo.Country {
	if claims.HomeCountry == "" {
		return geo.CountryUnknown
	}
	home, err := geo.ParseCountry(claims.HomeCountry)
	if err != nil {
		return geo.CountryUnknown
	}
	return home
}

// describePlace says where the viewer is, from where on they are judged if that is another place, and by which rule.
func (p *Policy) describePlace(q *question, judged geo.Place) string {
	text := q.viewer.Place.String()
	if judged.Country != q.viewer.Place.Country {
		text += "; judged as if at home in " + judged.Country.String()
	}
	if p.Geo.IsZero() {
		return text + "; no rule"
	}
	return text + "; rule: " + p.Geo.String()
}

// reasonOfJudgment tells territory from network, for players that explain a refusal: one is answered by travel, the other by
// switching a VPN off.
func reasonOfJudgment(j geo.Judgment) Reason {
	switch {
	case j.Verdict == geo.Unknown && j.IsTerritorial():
		return ReasonCountryUnknown
	case j.Verdict == geo.Unknown:
		return ReasonNetworkUnknown
	case j.IsTerritorial():
		return ReasonCountryDenied
	default:
		return ReasonNetworkDenied
	}
}

// decideTokenCountry returns an empty reason if the token does not exclude the country.
func decideTokenCountry(claims *token.Claims, country geo.Country) (Reason, string) {
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
