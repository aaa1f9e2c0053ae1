package caddymodule

import (
	"encoding/json"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-drm/caddy-drm/token"
)

// TokenConfig demands an access token and says how the session that follows from it travels.
type TokenConfig struct {
	// VerifiersRaw are the kinds of token that are accepted, at most one of each form.
	VerifiersRaw []json.RawMessage `json:"verifiers,omitempty" caddy:"namespace=drm.token_verifiers inline_key=kind"`
	// From lists where a request may carry its token. Default: the query `token`, then `Authorization: Bearer`. Kinds of token that
	// name their own places are not looked for here.
	From []TokenPlace `json:"from,omitempty"`
	// Session is how the session reaches the child addresses: `path` (default) as an element of every URL in a manifest, `query`
	// (default behind a CDN) as a parameter, or `cookie`. Cookies need pages of the same site, or cors_origins.
	Session string `json:"session,omitempty"`
	// SessionName is the name of the parameter or of the cookie. Default: `session` and `caddy_drm_session`.
	SessionName string `json:"session_name,omitempty"`
	// SessionExtend is how long a session outlives the access token that it came from. Default 4h: long enough to watch on
	// after a short-lived token let the viewer in.
	SessionExtend caddy.Duration `json:"session_extend,omitempty"`
	// SessionRenew is the last part of a session, in which it is followed by another when its viewer's access token comes along.
	// It has to be longer than the window of a live channel and the buffer of a player. Default: a quarter of SessionExtend; a
	// negative value lets every session end when it ends.
	SessionRenew caddy.Duration `json:"session_renew,omitempty"`
	// SessionBinding is what sessions are bound to. Default: nothing.
	SessionBinding *BindingConfig `json:"session_binding,omitempty"`
	// Entitlement asks an HTTP backend about viewers: besides the verifiers, or in their place.
	Entitlement *EntitlementConfig `json:"entitlement,omitempty"`

	verifier token.Verifier // of the kinds that are told apart by their form; nil if there are none
	forms    *token.Cached  // what is in or behind verifier, to be closed
	found    []foundKind    // the kinds that find their own
	queries  []string       // query parameters that may carry a credential
	elements []string       // names of path elements that may
	close    func()         // releases the verifiers
	trust    string         // digest of what is accepted: a session is worth what it was minted from
}

// TokenPlace is one place of a request that may carry an access token.
type TokenPlace struct {
	// In is `query`, `header`, `cookie` or `path`.
	In string `json:"in"`
	// Name is the parameter, field or cookie. In the field Authorization the scheme Bearer is expected. In the path it is what stands
	// before an equals sign in the first element; without a name, a first element that looks like a token is one.
	Name string `json:"name,omitempty"`
}

// Places of a token, and ways of a session.
const (
	tokenInQuery  = "query"
	tokenInHeader = "header"
	tokenInCookie = "cookie"
	tokenInPath   = "path"

	sessionInPath   = "path"
	sessionInQuery  = "query"
	sessionInCookie = "cookie"

	defaultSessionExtend = 4 * time.Hour
	sessionCookieName    = "caddy_drm_session"
	sessionQueryName     = "session"
)

// Query parameters of a manifest that are ours and never reach the origin.
const (
	querySchemeName    = "drm"
	queryKeyFormatName = "keyformat"
)

func (c *TokenConfig) sessionExtend() time.Duration {
	if c.SessionExtend > 0 {
		return time.Duration(c.SessionExtend)
	}
	return defaultSessionExtend
}

// LimitConfig bounds the rate of requests of one viewer.
type LimitConfig struct {
	// Requests per Per are allowed in the long run.
	Requests int `json:"requests"`
	// Per is the length of time for Requests. Default 1s.
	Per caddy.Duration `json:"per,omitempty"`
	// Burst is how many may come at once. Default: Requests.
	Burst int `json:"burst,omitempty"`
	// By is `address` (default; IPv6 by /64) or `subject`, the subject of the viewer's token.
	By string `json:"by,omitempty"`
}

// The words of By, Unknown and Scheme.
const (
	limitByAddress = "address"
	limitBySubject = "subject"
	wordAllow      = "allow"
	wordDeny       = "deny"
	wordOff        = "off"
	schemeAuto     = "auto"

	experimentalVVC = "vvc"

	transportAES128    = "aes-128"
	transportSampleAES = "sample-aes"

	protectedRefuse  = "refuse"
	protectedPass    = "pass"
	protectedReplace = "replace"

	refusalsAsProblem     = "problem"
	refusalsToErrorRoutes = "handle_errors"
)
