package policy

import (
	"time"

	"github.com/caddy-drm/caddy-drm/geo"
	"github.com/caddy-drm/caddy-drm/rights"
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
	// ReasonTokenRequest: a good token for another kind of request, by its method, its header or the protocol.
	ReasonTokenRequest Reason = "token_request"
	// ReasonTokenAddress: a good token for another address or network.
	ReasonTokenAddress Reason = "token_address"
	// ReasonTokenReplayed: the token was good for one use, and has been used.
	ReasonTokenReplayed Reason = "token_replayed"
	// ReasonTokenUnsupported: an authentic token that demands what cannot be judged here.
	ReasonTokenUnsupported Reason = "token_unsupported"
	// ReasonTokenUnverifiable: the verifier could not do its work; this is a failure of ours, not of the viewer.
	ReasonTokenUnverifiable Reason = "token_unverifiable"
	// ReasonNotEntitled: the entitlement backend said no.
	ReasonNotEntitled Reason = "not_entitled"
	// ReasonEntitlementUnknown: the entitlement backend gave no answer, and the rule is to refuse then.
	ReasonEntitlementUnknown Reason = "entitlement_unknown"
	// ReasonSessionBinding: the session was handed out to another address, network or program.
	ReasonSessionBinding Reason = "session_binding"
	// ReasonCountryDenied: the rule or the token excludes the viewer's country, or its part or continent.
	ReasonCountryDenied Reason = "country_denied"
	// ReasonCountryUnknown: the viewer's country, or its part, is not known, and the rule or the token demands one.
	ReasonCountryUnknown Reason = "country_unknown"
	// ReasonNetworkDenied: the rule excludes the viewer's network: what kind it is, its number, or the address.
	ReasonNetworkDenied Reason = "network_denied"
	// ReasonNetworkUnknown: the viewer's network is not known, and the rule demands that it is.
	ReasonNetworkUnknown Reason = "network_unknown"
	// ReasonRightsUnavailable: there is no catalog of rights, or it is stale; this is a failure of ours, not of the viewer.
	ReasonRightsUnavailable Reason = "rights_unavailable"
	// ReasonRightsUnlisted: the catalog has no title with the path.
	ReasonRightsUnlisted Reason = "rights_unlisted"
	// ReasonRightsTerritory: the title may not be shown in the viewer's country, at no time.
	ReasonRightsTerritory Reason = "rights_territory"
	// ReasonRightsNotStarted: the title's next window lies ahead; Decision.Opens says when it begins.
	ReasonRightsNotStarted Reason = "rights_not_started"
	// ReasonRightsEnded: the title's windows are over.
	ReasonRightsEnded Reason = "rights_ended"
	// ReasonRightsPlan: the window is for subscribers of a plan that the viewer's token does not have.
	ReasonRightsPlan Reason = "rights_plan"
	// ReasonRightsPurchase: the window is for who has bought or rented the title.
	ReasonRightsPurchase Reason = "rights_purchase"
	// ReasonRightsBlackout: a live program that may not be shown where the viewer is; Decision.Opens says when it is over.
	ReasonRightsBlackout Reason = "rights_blackout"
	// ReasonRevoked: the token, subject, session, device, title or key has been revoked.
	ReasonRevoked Reason = "revoked"
	// ReasonStateUnavailable: what nodes share cannot be read, and the site declares that this refuses; a failure of ours.
	ReasonStateUnavailable Reason = "state_unavailable"
	// ReasonRateLimited: too many requests; RetryAfter says when to come back.
	ReasonRateLimited Reason = "rate_limited"
	// ReasonStreamLimit: as many streams as may be are being watched; RetryAfter says when a place may be free.
	ReasonStreamLimit Reason = "stream_limit"
	// ReasonStreamKicked: a newer stream took the place of this one.
	ReasonStreamKicked Reason = "stream_kicked"
)

// Reasons lists every reason, for tables that must have a row for each.
var Reasons = [...]Reason{
	ReasonAllowed, ReasonPathInvalid, ReasonTokenMissing, ReasonTokenAmbiguous, ReasonTokenInvalid, ReasonTokenExpired,
	ReasonTokenNotYetValid, ReasonTokenScope, ReasonTokenRequest, ReasonTokenAddress, ReasonTokenReplayed, ReasonTokenUnsupported,
	ReasonTokenUnverifiable, ReasonNotEntitled, ReasonEntitlementUnknown, ReasonSessionBinding, ReasonCountryDenied, ReasonCountryUnknown, ReasonNetworkDenied, ReasonNetworkUnknown,
	ReasonRightsUnavailable, ReasonRightsUnlisted, ReasonRightsTerritory, ReasonRightsNotStarted, ReasonRightsEnded,
	ReasonRightsPlan, ReasonRightsPurchase, ReasonRightsBlackout, ReasonRevoked, ReasonStateUnavailable, ReasonRateLimited,
	ReasonStreamLimit, ReasonStreamKicked,
}

// IsGeo reports whether r is a reason of the geo rule.
func (r Reason) IsGeo() bool {
	switch r {
	case ReasonCountryDenied, ReasonCountryUnknown, ReasonNetworkDenied, ReasonNetworkUnknown:
		return true
	default:
		return false
	}
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
	// Answer is how an authentic token wants its refusal answered; nil if it does not say.
	Answer *token.Answer
	// Claims are those of the accepted token or session, also where a later rule refused. Zero without a token.
	Claims token.Claims
	// Renewal is what the next session may be made of: the claims of the access token that came with a session in its last part, or
	// those of the session with a later end, if whoever is asked about it lets the viewer go on. Nil: the session stays.
	Renewal *token.Claims
	// Until is when the first of the things ends that the admission rests on: nothing that is given out under it may be kept
	// longer. Zero: none of them ends.
	Until time.Time
	// Country is the one that the viewer's address is in.
	Country geo.Country
	// Title is the catalog's entry for the asset, also where it refused; nil without one.
	Title *rights.Title
	// WindowEnd is when the rights window ends that admitted. Unlike Until it leaves out blackouts, which pass: a session may
	// outlive those. Zero: it has no end.
	WindowEnd time.Time
	// Opens is when the title can be watched, if it cannot be yet and that is known.
	Opens time.Time
}
