package caddymodule

import (
	"net/http"
	"time"

	"github.com/caddy-drm/caddy-drm/policy"
)

// explain says how a request would be decided at an instant, rule by rule. It serves nothing, asks no origin and counts nothing.
// accessToken is one more than the request carries.
func (h *Handler) explain(r *http.Request, accessToken string, at time.Time) CheckReport {
	r, element := h.takeElement(r)
	q := &request{Handler: h, site: h.siteFor(r), element: element, r: r}
	report := CheckReport{Status: http.StatusOK, Tenant: q.tenant, Mode: h.Mode}
	if report.Mode == "" {
		report.Mode = modeEnforce
	}
	err := q.classify()
	report.Kind, report.Path = q.kind.String(), string(q.addr.Path)
	if err != nil {
		return report.refused("address", "what the path and its seal stand for", err)
	}
	report.Asset = string(q.asset())
	report.Steps = append(report.Steps, CheckStep{Rule: "address", Input: "what the path and its seal stand for", Outcome: "it is " + report.Kind})
	viewer, err := q.identifyViewer()
	if err == nil {
		err = q.checkPull()
	}
	if err != nil {
		return report.refused("credentials", "what the request carries", err)
	}
	if accessToken != "" {
		viewer.Tokens = append(viewer.Tokens, accessToken)
	}
	decision, steps := q.policy.Explain(q.entitlementScope(r.Context()), at, q.policyAsset(), viewer)
	for _, step := range steps {
		outcome := step.Outcome
		if outcome == "" {
			outcome = "passed"
		}
		report.Steps = append(report.Steps, CheckStep{Rule: step.Rule, Input: step.Input, Outcome: outcome, Reason: string(step.Refused)})
	}
	report.Allowed, report.Reason, report.Rule = decision.Allowed, string(decision.Reason), decision.Rule
	report.Until, report.Subject = decision.Until, decision.Claims.Subject
	if q.Geo != nil {
		report.Country = decision.Country.String()
	}
	if decision.Reason != policy.ReasonAllowed {
		report.Status = q.refusalOf(decision).status
	}
	return report
}

// refused ends a report in front of the rules of the policy.
func (c CheckReport) refused(rule, input string, err error) CheckReport {
	a := answerFor(err)
	c.Reason, c.Status, c.Rule = a.reason, a.status, err.Error()
	c.Steps = append(c.Steps, CheckStep{Rule: rule, Input: input, Outcome: err.Error(), Reason: a.reason})
	return c
}
