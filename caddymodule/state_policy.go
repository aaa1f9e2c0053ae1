package caddymodule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/policy"
	"github.com/caddy-drm/caddy-drm/state"
	"github.com/caddy-drm/caddy-drm/token"
)

// judgeByState lets the policy of a site know the streams and revocations that nodes share.
func (h *Handler) judgeByState(s *site) {
	s.policy.Revocations = revocationList{state: h.state, site: s.called}
	s.policy.Streams = nil
	if rules := h.streamRules(); len(rules) > 0 {
		s.policy.Streams = streamGate{h.state.Streams.NewGate(h.state.digest, s.viewers, rules)}
	}
}

// streamGate is a Gate in the words of the policy.
type streamGate struct{ gate *state.Gate }

// Admit implements policy.Streams.
func (g streamGate) Admit(ctx context.Context, _ time.Time, s policy.Stream) policy.StreamVerdict {
	verdict := g.gate.Admit(ctx, time.Now(), state.Stream(s)) // leases are of this moment, whatever moment is judged
	switch verdict.Outcome {
	case state.OutcomeAdmitted:
		return policy.StreamVerdict{}
	case state.OutcomeLimited:
		return policy.StreamVerdict{Reason: policy.ReasonStreamLimit, Rule: verdict.Rule, RetryAfter: verdict.RetryAfter}
	case state.OutcomeKicked:
		return policy.StreamVerdict{Reason: policy.ReasonStreamKicked, Rule: verdict.Rule, RetryAfter: verdict.RetryAfter}
	default:
		return policy.StreamVerdict{Reason: policy.ReasonStateUnavailable, Rule: verdict.Rule, RetryAfter: verdict.RetryAfter}
	}
}

// String implements policy.Streams.
func (g streamGate) String() string { return g.gate.String() }

// revocationList is what has been revoked for one site.
type revocationList struct {
	state *SharedState
	site  state.Site
}

// isKeyRevoked reports whether a key has been revoked for the site.
func (q *request) isKeyRevoked(now time.Time, kid drm.KID) bool {
	return q.state.Revocations.KeyRevoked(now, q.called, kid)
}

// Revoked implements policy.Revocations. Without a list that can be relied on, viewers with a token are refused once the last one is too
// old, and everybody as long as there never was one, unless the configuration says otherwise.
func (l revocationList) Revoked(now time.Time, claims token.Claims, asset policy.Asset) (policy.Reason, string) {
	list := l.state.Revocations
	kind := list.Revoked(now, state.Question{
		Site: l.site, Subject: claims.Subject, Device: claims.Device, TokenID: tokenID(claims), Playback: claims.Playback,
		Path: asset.Path, Asset: asset.Name,
	})
	if kind != "" {
		return policy.ReasonRevoked, "the " + string(kind) + " has been revoked"
	}
	if l.state.OpenOnFailure {
		return "", ""
	}
	switch list.Freshness(time.Now()) { // how old the list is has nothing to do with the moment that is judged
	case state.NeverRead:
		return policy.ReasonStateUnavailable, "what has been revoked could not be read yet"
	case state.Stale:
		if !claims.Expires.IsZero() {
			return policy.ReasonStateUnavailable, "what has been revoked could not be read for too long"
		}
	case state.Fresh:
	}
	return "", ""
}

// tokenID leaves out the digest where the token has no ID of its own.
func tokenID(claims token.Claims) string {
	if claims.ID == "" {
		return ""
	}
	return claims.IDDigest()
}

// checkMediaKey refuses media whose content key has been revoked, also what is in the cache. What passes has none of ours.
func (q *request) checkMediaKey() error {
	if q.seal.Passes || !q.state.Revocations.AnyKeyRevoked() {
		return nil
	}
	title := q.sealedTitle()
	key, err := q.sourceOf(q.seal.Group).ContentKey(q.r.Context(), keysource.Request{Title: title, Class: q.seal.Class})
	if err != nil {
		return err
	}
	if q.isKeyRevoked(time.Now(), key.KID()) {
		return errKeyRevoked
	}
	return nil
}

// playbackOf returns the name by which the playback of claims can be revoked, empty if it has none.
func playbackOf(claims token.Claims) string {
	if claims.Playback == ([8]byte{}) {
		return ""
	}
	return hex.EncodeToString(claims.Playback[:])
}

// tenantReplay remembers the single-use tokens of one tenant.
type tenantReplay struct {
	store  state.Replay
	tenant string
}

// Seen implements token.Replay.
func (r tenantReplay) Seen(ctx context.Context, id [16]byte, until time.Time) (bool, error) {
	return r.store.Seen(ctx, r.name(id), until)
}

// Known implements token.Replay.
func (r tenantReplay) Known(ctx context.Context, id [16]byte) (bool, error) {
	return r.store.Known(ctx, r.name(id))
}

func (r tenantReplay) name(id [16]byte) [16]byte {
	sum := sha256.Sum256(append([]byte(r.tenant+"\x00"), id[:]...))
	return [16]byte(sum[:16])
}
