package caddymodule

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/policy"
	"github.com/caddy-drm/caddy-drm/token"
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
	q.present(&viewer, accessToken)
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
	q.identity.claims = decision.Claims
	q.identity.keepRights(decision)
	looked, err := q.look()
	switch {
	case decision.Reason != policy.ReasonAllowed:
		report.Status = q.refusalOf(decision).status
	case err != nil:
		report.Allowed = false
		return report.refused("content", looked, err)
	case looked != "":
		report.Steps = append(report.Steps, CheckStep{Rule: "content", Input: looked, Outcome: "passed"})
	}
	return report
}

// present adds a token as if it stood in its place. A kind that names the places of its own takes what it can read, if its credential
// is one text: those that are spread over parameters stand in the URL.
func (q *request) present(viewer *policy.Viewer, accessToken string) {
	if accessToken == "" {
		return
	}
	if q.Token != nil {
		for _, kind := range q.Token.found {
			raws, err := kind.finder.Find(token.Carrier{Query: oneParameter(kind.finder, accessToken)})
			if err != nil || len(raws) != 1 || raws[0] != accessToken {
				continue
			}
			if _, err := kind.finder.Verify(q.r.Context(), accessToken, viewer.Request); !errors.Is(err, token.ErrMalformed) {
				viewer.Found = append(viewer.Found, token.Credential{Raw: accessToken, Verifier: kind.verifier})
				return
			}
		}
	}
	viewer.Tokens = append(viewer.Tokens, accessToken)
}

// oneParameter is a query with a token where a kind looks first.
func oneParameter(finder token.Finder, accessToken string) url.Values {
	for _, place := range finder.Places() {
		if place.In == token.InQuery {
			return url.Values{place.Name: {accessToken}}
		}
	}
	return nil
}

// look finds what is refused behind the rules, as far as neither the origin nor what is sent along is needed for it. It says what it looked
// at, and nothing if there is nothing to look at.
func (q *request) look() (looked string, err error) {
	switch q.kind {
	case kindMPD, kindPlaylist:
		return "query and DRM group; not the origin", q.lookAtManifest()
	case kindMedia:
		return "DRM group, key, level and license; not the origin", q.lookAtMedia()
	case kindPlayerConfig:
		return "query and DRM group", q.lookAtConfig()
	case kindRawKey:
		return "DRM group, key and level", q.lookAtRawKey()
	case kindClearKey:
		if !q.servesClearKey() {
			err = errNotOurs
		} else {
			err = q.checkGroup()
		}
		return "DRM group; not what is sent along, which names the keys", err
	case kindWidevine, kindPlayReady, kindFairPlay:
		if q.licenseServerOf(q.kind) == nil {
			err = errNotOurs
		} else {
			err = q.checkGroup()
		}
		return "DRM group and license server; not what is sent along, which names the keys", err
	case kindCertificate:
		if server := q.licenseServerOf(kindFairPlay); server == nil || server.certificate == nil {
			err = errNotOurs
		}
		return "license server; not whether it has the certificate", err
	default:
		return "", nil
	}
}

func (q *request) lookAtManifest() error {
	group, err := q.chooseGroup()
	if err != nil {
		return err
	}
	scheme, err := q.chooseScheme(group)
	switch {
	case err != nil:
		return err
	case q.kind == kindMPD:
		if !scheme.Common() {
			return errSchemeOfHLS
		}
		return nil
	}
	if err := (&titleProtector{q: q, title: keysource.Title{Scheme: scheme}}).chooseKeyFormats(); err != nil {
		return err
	}
	_, err = q.playlistQuery()
	return err
}

func (q *request) lookAtConfig() error {
	group, err := q.chooseGroup()
	if err != nil {
		return err
	}
	if _, err := q.chooseScheme(group); err != nil {
		return err
	}
	return q.checkConfigName(group)
}

func (q *request) lookAtRawKey() error {
	_, _, err := q.rawKey()
	return err
}

func (q *request) lookAtMedia() error {
	checks := []func() error{q.checkNumber, q.checkMediaKey, q.checkGroup}
	if q.seal.Class != drm.ClassShared { // else the init segment of the origin would say which track it is
		checks = append(checks, q.checkLevel)
	}
	for _, check := range append(checks, q.lookForLicense) {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// refused ends a report in front of the rules of the policy.
func (c CheckReport) refused(rule, input string, err error) CheckReport {
	a := answerFor(err)
	c.Reason, c.Status, c.Rule = a.reason, a.status, err.Error()
	c.Steps = append(c.Steps, CheckStep{Rule: rule, Input: input, Outcome: err.Error(), Reason: a.reason})
	return c
}
