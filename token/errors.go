package token

import "errors"

// The reasons for which a token is refused. A caller maps them to an answer with errors.Is; anything else that a Verifier
// returns is a failure of the verifier, and the caller fails closed.
var (
	// ErrMissing means that there is no token at all.
	ErrMissing = errors.New("no token was presented")
	// ErrAmbiguous means that one request carries several different tokens.
	ErrAmbiguous = errors.New("the request carries several different tokens")
	// ErrMalformed means that the text is not a token of the expected form, or that a claim in it cannot be understood.
	ErrMalformed = errors.New("the token is malformed")
	// ErrSignature means an algorithm that is not allowed, an unknown key, or a signature that does not fit.
	ErrSignature = errors.New("the signature of the token is not valid")
	// ErrExpired means that the token's time is over, leeway included.
	ErrExpired = errors.New("the token has expired")
	// ErrNotYetValid means that the token's time has not come, leeway included.
	ErrNotYetValid = errors.New("the token is not valid yet")
	// ErrScope means that the token is good but not for this path or host.
	ErrScope = errors.New("the token does not cover this address")
	// ErrIssuer means that the token comes from somebody else.
	ErrIssuer = errors.New("the token has another issuer")
	// ErrNoKeys is a failure and no refusal: the keys have not arrived yet.
	ErrNoKeys = errors.New("no keys are known yet")
	// ErrAudience means that the token is meant for somebody else.
	ErrAudience = errors.New("the token has another audience")
	// ErrNotEntitled means that who was asked about the viewer said no.
	ErrNotEntitled = errors.New("the viewer is not entitled to this")
	// ErrEntitlementUnknown means that who was to be asked about the viewer gave no answer.
	ErrEntitlementUnknown = errors.New("whether the viewer is entitled to this is not known")
)
