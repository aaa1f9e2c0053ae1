package policy

import (
	"context"
	"net/netip"
	"time"

	"github.com/caddy-drm/caddy-drm/rights"
)

// Streams bounds how many streams are watched at the same time. It is safe for concurrent use.
type Streams interface {
	// Admit judges one request, and counts its playback unless s.Look is set.
	Admit(ctx context.Context, now time.Time, s Stream) StreamVerdict
	// String describes the rules for an operator.
	String() string
}

// Stream is what a request says about the playback that it belongs to.
type Stream struct {
	// Subject and Device are those of the token, Asset is the title, Agent the User-Agent.
	Subject, Device, Asset, Agent string
	// Playback is that of the session; all zero if it has none.
	Playback [8]byte
	Addr     netip.Addr
	// MaxStreams is how many streams the token, or the catalog for this title, allows its subject; 0 if neither says.
	MaxStreams int
	// Ends is when the session ends, and the stream with it; zero if it does not.
	Ends time.Time
	// Look only asks whether there is room.
	Look bool
}

// StreamVerdict is the answer to a Stream: an empty Reason admits it.
type StreamVerdict struct {
	Reason     Reason
	Rule       string
	RetryAfter time.Duration
}

// judgeStreams comes last: who is refused by any other rule uses up no stream.
//
// A manifest that is asked for with an access token only looks whether there is room, and so does every HEAD: many such requests
// lead to no playback, such as those of link previews, of players that look at a title first, and of pages that are loaded again.
// The stream begins with the first request that carries the session. Sidecars are no streams.
func (p *Policy) judgeStreams(q *question) {
	claims := q.decision.Claims
	// A session without a playback was made to ask for licenses: the stream is that of the session with which segments are asked for.
	forLicenses := q.asset.Use == UseLicense && claims.Session && claims.Playback == [8]byte{}
	if p.Streams == nil || q.asset.Use == UseSidecar || q.viewer.BeginsNothing || forLicenses {
		return
	}
	s := Stream{
		Subject: claims.Subject, Device: claims.Device, Asset: q.asset.Name, Agent: q.viewer.Agent, Playback: claims.Playback,
		Addr: q.viewer.Request.Addr, MaxStreams: maxStreams(claims.MaxStreams, q.decision.Title), Ends: claims.Expires,
		Look: q.explaining || q.viewer.Request.Method == "HEAD",
	}
	if !claims.Session && q.viewer.Playback != ([8]byte{}) {
		s.Playback, s.Look = q.viewer.Playback, true
	}
	if q.explaining {
		q.input = p.Streams.String()
	}
	if verdict := p.Streams.Admit(q.ctx, q.now, s); verdict.Reason != "" {
		q.decision.RetryAfter = verdict.RetryAfter
		q.refuse(verdict.Reason, "limit: "+verdict.Rule)
	}
}

// maxStreams is the smaller of what the token and the catalog allow; 0 if neither says.
func maxStreams(ofToken int, title *rights.Title) int {
	if title == nil || title.MaxStreams == 0 || ofToken > 0 && ofToken < title.MaxStreams {
		return ofToken
	}
	return title.MaxStreams
}
