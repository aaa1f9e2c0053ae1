package policy

import (
	"time"

	"github.com/caddy-drm/caddy-drm/rights"
)

// Rights is the demand that a title's catalog entry has an open window for the viewer. The zero value demands none.
type Rights struct {
	// Current is the catalog. Nil: there is no demand. While it has no catalog that counts, everybody is refused.
	Current *rights.Current
	// AllowUnlisted admits to paths that no title of the catalog has.
	AllowUnlisted bool
}

// rightsReasons maps verdicts that do not admit. What is not here is no verdict, and refused as unavailable.
var rightsReasons = map[rights.Verdict]Reason{
	rights.Unlisted:       ReasonRightsUnlisted,
	rights.WrongTerritory: ReasonRightsTerritory,
	rights.NotStarted:     ReasonRightsNotStarted,
	rights.Ended:          ReasonRightsEnded,
	rights.PlanMissing:    ReasonRightsPlan,
	rights.NotPurchased:   ReasonRightsPurchase,
	rights.BlackedOut:     ReasonRightsBlackout,
}

// judgeRights asks the catalog about the path of the reference itself. It comes after the rules on who asks and from where, whose
// answers it needs, and in front of the limits: what may not be shown counts against none.
func (p *Policy) judgeRights(q *question) {
	if p.Rights.Current == nil {
		return
	}
	catalog := p.Rights.Current.Catalog(q.now)
	if catalog == nil {
		q.refuse(ReasonRightsUnavailable, "rights: there is no catalog, or it is stale")
		return
	}
	outcome := catalog.Decide(p.rightsQuery(q))
	q.decision.Title, q.decision.Opens = outcome.Title, outcome.Opens
	if q.explaining {
		q.input = describeOutcome(outcome, q)
	}
	if !outcome.Verdict.Admits() {
		reason, ok := rightsReasons[outcome.Verdict]
		if !ok {
			reason = ReasonRightsUnavailable
		}
		q.refuse(reason, "rights: "+outcome.Verdict.String())
		return
	}
	q.decision.WindowEnd = outcome.WindowEnd
	q.until(outcome.Until)
	q.until(p.Rights.Current.StaleAt())
	if q.explaining && !outcome.Until.IsZero() {
		q.decision.Rule = "rights: open until " + rights.FormatTime(outcome.Until)
	}
}

func (p *Policy) rightsQuery(q *question) rights.Query {
	return rights.Query{
		Now: q.now, Path: q.asset.Path, Country: q.country, AllowUnlisted: p.Rights.AllowUnlisted, Anyone: q.asset.Public,
		Plans: q.decision.Claims.Plans, Purchases: q.decision.Claims.Purchases,
	}
}

// windowIsOver reports whether the title's windows in the viewer's country are over, whoever asks. A session ends with the window
// that it was minted in: its holder, who was authenticated, is told the cause and not to come again with another token.
func (p *Policy) windowIsOver(q *question) bool {
	if p.Rights.Current == nil {
		return false
	}
	catalog := p.Rights.Current.Catalog(q.now)
	return catalog != nil && catalog.Decide(p.rightsQuery(q)).Verdict == rights.Ended
}

// describeOutcome says which entry and which window it was.
func describeOutcome(outcome rights.Outcome, q *question) string {
	text := "country " + q.country.String()
	if outcome.Title == nil {
		return text + ", no title"
	}
	text += ", title " + outcome.Title.Name()
	if outcome.Window != nil {
		text += ": " + outcome.Window.String()
	}
	if outcome.Blackout != nil {
		text += "; " + outcome.Blackout.String()
	}
	if !outcome.Opens.IsZero() {
		text += "; opens " + outcome.Opens.Format(time.RFC3339)
	}
	return text
}
