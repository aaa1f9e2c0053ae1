package caddymodule

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/entitlement"
	"github.com/caddy-drm/caddy-drm/policy"
	"github.com/caddy-drm/caddy-drm/token"
)

// EntitlementConfig lets an HTTP backend decide who may watch: of access tokens that the verifiers accept or, without verifiers, of
// tokens that only the backend understands.
type EntitlementConfig struct {
	// URL is the backend's: https, or http to this machine. It is the only address that is ever asked; redirects are not followed.
	URL string `json:"url"`
	// Method is `post_json` (default) or `flussonic`, which sends what authorization backends of Flussonic Media Server are sent.
	Method string `json:"method,omitempty"`
	// Timeout bounds one question. Default 2s.
	Timeout caddy.Duration `json:"timeout,omitempty"`
	// Cache bounds how long an answer to the start of a playback counts for the same question. Default 30s.
	Cache caddy.Duration `json:"cache,omitempty"`
	// OnFailure is what counts while there is no answer: `deny` (default), `allow`, or `cached`, which is what was said last.
	OnFailure string `json:"on_failure,omitempty"`
	// SendToken sends the access token itself with post_json, and not its SHA-256.
	SendToken bool `json:"send_token,omitempty"`
	// Plaintext allows an http URL to a private address.
	Plaintext bool `json:"plaintext,omitempty"`
	// Authorization is sent as the field of that name: a placeholder {env.*} or {file.*}.
	Authorization string `json:"authorization,omitempty"`

	backend *entitlement.HTTP
	cache   *entitlement.Cache
	leases  *entitlement.Leases
}

// compileEntitlement puts the backend behind the verifiers, or in their place.
func (h *Handler) compileEntitlement(caddy.Context) (err error) {
	if h.Token == nil || h.Token.Entitlement == nil {
		return nil
	}
	c := h.Token.Entitlement
	authorization := ""
	if c.Authorization != "" {
		if authorization, err = resolveSecretText(c.Authorization); err != nil {
			return fmt.Errorf("token.entitlement.authorization: %w", err)
		}
	}
	failure := entitlement.Failure(c.OnFailure)
	if !isOneOf(c.OnFailure, "", string(entitlement.FailDeny), string(entitlement.FailAllow), string(entitlement.FailCached)) {
		return errors.New("token.entitlement.on_failure: want deny, allow or cached")
	}
	if c.Cache < 0 {
		return errors.New("token.entitlement.cache: want a positive duration")
	}
	c.backend, err = entitlement.NewHTTP(entitlement.HTTPConfig{
		URL: c.URL, Method: entitlement.Method(c.Method), Timeout: time.Duration(c.Timeout), SendToken: c.SendToken, Plaintext: c.Plaintext,
		Authorization: authorization,
	})
	if err != nil {
		return fmt.Errorf("token.entitlement: %w", err)
	}
	backend := watchedBackend{c.backend, newOutages("the entitlement backend", "on_failure says what holds now", func() *zap.Logger { return h.logger }, time.Now)}
	c.cache = entitlement.NewCache(backend, entitlement.CacheConfig{MaxAge: time.Duration(c.Cache), OnFailure: failure})
	c.leases = entitlement.NewLeases(backend, entitlement.LeasesConfig{
		Extend: h.Token.sessionExtend(), OnFailure: failure, NeedsToken: c.Method == string(entitlement.Flussonic),
	})
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	h.Token.trust += string(raw) // a session is worth what it was minted from
	behind := func(inner token.Verifier) token.Verifier {
		return &entitlement.Verifier{Inner: inner, Cache: c.cache, Counts: c.leases.Counts}
	}
	for i := range h.Token.found {
		h.Token.found[i].verifier = behind(h.Token.found[i].cached)
	}
	if h.Token.verifier != nil || len(h.Token.found) == 0 { // else no token is looked for but those that are found
		h.Token.verifier = behind(h.Token.verifier)
	}
	return nil
}

// close ends the questions under way.
func (c *EntitlementConfig) close() {
	if c != nil && c.leases != nil {
		c.cache.Close()
		c.leases.Close()
		c.backend.Close()
	}
}

// entitlementScope returns the context of a decision, in which a backend learns what the request is for.
func (q *request) entitlementScope(ctx context.Context) context.Context {
	if q.Token == nil || q.Token.Entitlement == nil || q.isPublic() {
		return ctx
	}
	q.identity.scope = &entitlement.Scope{Tenant: q.viewers, Asset: string(q.asset()), Protocol: q.protocol()}
	return entitlement.WithScope(ctx, q.identity.scope)
}

// protocol is dash or hls, as far as the request tells.
func (q *request) protocol() string {
	switch {
	case q.kind == kindMPD || !q.seal.Template.IsZero() || !q.seal.Index.IsZero():
		return "dash"
	case q.kind == kindPlaylist || q.kind == kindRawKey:
		return "hls"
	default:
		return ""
	}
}

// startPlayback gives the playback of a session that is about to be minted a name, under which the backend is asked again.
func (q *request) startPlayback(claims *token.Claims) {
	scope := q.identity.scope
	if scope == nil || !scope.Answer.Allowed {
		return
	}
	if claims.Playback == [8]byte{} {
		_, _ = rand.Read(claims.Playback[:]) // never fails
	}
	q.Token.Entitlement.leases.Start(claims.Playback, scope.Question, scope.Answer, time.Now())
}

// leases adapts entitlement.Leases to the policy of a site.
type leases struct {
	*entitlement.Leases
	tenant string
}

// Check implements policy.Leases.
func (l leases) Check(claims token.Claims, asset policy.Asset, req token.Request, explaining bool) (time.Time, error) {
	ctx := entitlement.WithScope(context.Background(), &entitlement.Scope{Tenant: l.tenant, Asset: asset.Name})
	return l.Leases.Check(claims.Playback, entitlement.About(ctx, claims, req), req.Now, explaining)
}

// unmarshalEntitlement reads
//
//	entitlement <url> {
//		method        post_json|flussonic
//		timeout       <duration>
//		cache         <duration>
//		on_failure    deny|allow|cached
//		authorization {env.NAME}|{file./path}
//		send_token
//		plaintext
//	}
func (h *Handler) unmarshalEntitlement(d *caddyfile.Dispenser) error {
	c := new(EntitlementConfig)
	h.token().Entitlement = c
	if err := oneArg(d, &c.URL); err != nil {
		return err
	}
	flag := func(into *bool) func() error {
		return func() error {
			if d.NextArg() {
				return d.ArgErr()
			}
			*into = true
			return nil
		}
	}
	return eachOption(d, options{
		"method": func() error {
			return wordArg(d, &c.Method, string(entitlement.PostJSON), string(entitlement.Flussonic))
		},
		"timeout":       func() error { return durationArg(d, &c.Timeout) },
		"cache":         func() error { return durationArg(d, &c.Cache) },
		"on_failure":    func() error { return wordArg(d, &c.OnFailure, "deny", "allow", "cached") },
		"authorization": func() error { return secretArg(d, &c.Authorization) },
		"send_token":    flag(&c.SendToken),
		"plaintext":     flag(&c.Plaintext),
	})
}
