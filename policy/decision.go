package policy

import (
	"time"

	"github.com/caddy-drm/caddy-drm/geo"
	"github.com/caddy-drm/caddy-drm/token"
)

// Reason is the stable code of an outcome. It appears in logs, metrics and refusals, so a code never changes its meaning.
type Reason string

// The reasons, in the order in which they are decided.
const (
	// ReasonAllowed is the only reason of an admission.
	ReasonAllowed Reason = "allowed"
	// ReasonPathInvalid: the asset's path is not clean, so no rule can be trusted to speak about it.
	ReasonPathInvalid Reason = "path_invalid"
	// ReasonTokenMissing: a token is required and none was presented.
	ReasonTokenMissing Reason = "token_missing"
	// ReasonTokenAmbiguous: several different tokens were presented.
	ReasonTokenAmbiguous Reason = "token_ambiguous"
	// ReasonTokenInvalid: not a token, not authentic, or made by or for somebody else.
	ReasonTokenInvalid Reason = "token_invalid"
	// ReasonTokenExpired: the time of the token or session is over.
	ReasonTokenExpired Reason = "token_expired"
	// ReasonTokenNotYetValid: the time of the token has not come.
	ReasonTokenNotYetValid Reason = "token_not_yet_valid"
	// ReasonTokenScope: a good token for another path or host.
	ReasonTokenScope Reason = "token_scope"
	// ReasonTokenUnverifiable: the verifier could not do its work; this is a failure of ours, not of the viewer.
	ReasonTokenUnverifiable Reason = "token_unverifiable"
	// ReasonNotEntitled: the entitlement backend said no.
	ReasonNotEntitled Reason = "not_entitled"
	// ReasonEntitlementUnknown: the entitlement backend gave no answer, and the rule is to refuse then.
	ReasonEntitlementUnknown Reason = "entitlement_unknown"
	// ReasonSessionBinding: the session was handed out to another address, network or program.
	ReasonSessionBinding Reason = "session_binding"
	// ReasonCountryDenied: the rule or the token excludes the viewer's country.
	ReasonCountryDenied Reason = "country_denied"
	// ReasonCountryUnknown: the viewer's country is not known, and the rule or the token demands one.
	ReasonCountryUnknown Reason = "country_unknown"
	// ReasonRateLimited: too many requests; RetryAfter says when to come back.
	ReasonRateLimited Reason = "rate_limited"
)

// Reasons lists every reason, for tables that must have a row for each.
var Reasons = [...]Reason{
	ReasonAllowed, ReasonPathInvalid, ReasonTokenMissing, ReasonTokenAmbiguous, ReasonTokenInvalid, ReasonTokenExpired,
	ReasonTokenNotYetValid, ReasonTokenScope, ReasonTokenUnverifiable, ReasonNotEntitled,
	ReasonEntitlementUnknown, ReasonSessionBinding, ReasonCountryDenied, ReasonCountryUnknown,
	ReasonRateLimited,
}

// Decision is the outcome for one request. The zero Decision refuses.
type Decision struct {
	// Allowed is true only with ReasonAllowed.
	Allowed bool
	// Reason is why.
	Reason Reason
	// Rule explains the decision to an operator: which rule it was and how it came out. It holds no token and no address.
	Rule string
	// RetryAfter is when to try again, if Reason is that of a limit.
	RetryAfter time.Duration
	// Claims are those of the accepted token or session, also where a later rule refused. Zero without a token.
	Claims token.Claims
	// Renewal is what the next session may be made of: the claims of the access token that came with a session in its last part, or
	// those of the session with a later end, if whoever is asked about it lets the viewer go on. Nil: the session stays.
	Renewal *token.Claims
	// Until is when the first of the things ends that the admission rests on: nothing that is given out under it may be kept
	// longer. Zero: none of them ends.
	Until time.Time
	// Country is the viewer's.
	Country geo.Country
}
