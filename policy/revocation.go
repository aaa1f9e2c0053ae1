package policy

import (
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// Revocations knows what has been revoked. It is safe for concurrent use, and answers from memory.
type Revocations interface {
	// Revoked returns the reason to refuse a request with these claims for that asset, and in words what it is; empty: none.
	Revoked(now time.Time, claims token.Claims, asset Asset) (reason Reason, what string)
}

// judgeRevocation comes right after the token: what was revoked is worth no more than none.
func (p *Policy) judgeRevocation(q *question) {
	if p.Revocations == nil {
		return
	}
	if q.explaining {
		q.input = "token, subject, session, device and title"
	}
	if reason, what := p.Revocations.Revoked(q.now, q.decision.Claims, q.asset); reason != "" {
		q.refuse(reason, "revocation: "+what)
	}
}
