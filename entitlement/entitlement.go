package entitlement

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// Event is why a backend is asked.
type Event string

// The events.
const (
	// Start is a playback that begins.
	Start Event = "start"
	// Update is a playback that goes on.
	Update Event = "update"
	// Check is an operator who wants to know; nothing is to be counted.
	Check Event = "check"
)

// Question is what a backend is told. What is not known is empty.
type Question struct {
	Event Event
	// Tenant, Asset and Path name what is asked for; Path is the clean path of the manifest.
	Tenant, Asset, Path string
	Host                string
	// Protocol is dash or hls.
	Protocol string
	// Token is the access token as it was presented; empty for an update.
	Token string
	// Subject, Device and TokenID are what a token that was verified before says.
	Subject, Device, TokenID string
	Addr                     netip.Addr
	Country                  string
	ASN                      uint32
	UserAgent, Referer       string
	// Playback names the playback, and Number counts the questions about it, from 0.
	Playback string
	Number   int
	// Duration is for how long the playback has gone on.
	Duration time.Duration
	// AssetClients and Clients are how many playbacks of the asset, and of all assets, this node knows.
	AssetClients, Clients int
}

// Answer is what a backend said.
type Answer struct {
	Allowed bool
	// Claims holds what the viewer may do; Expires is zero if the answer names no end.
	Claims token.Claims
	// Holds is how long the answer counts before it is asked for again; zero leaves that to the configuration.
	Holds time.Duration
}

// Backend answers questions. An error means that there is no answer; a refusal is an Answer.
type Backend interface {
	Ask(ctx context.Context, q Question) (Answer, error)
	// Explains reports whether the event Check has no effect.
	Explains() bool
}

// Failure says what counts while a backend gives no answer.
type Failure string

// The ways.
const (
	// FailDeny refuses.
	FailDeny Failure = "deny"
	// FailAllow admits everybody who came as far as the backend.
	FailAllow Failure = "allow"
	// FailCached lets what was said last count, for up to a day, and refuses whom nothing is known of.
	FailCached Failure = "cached"
)

// Bounds of what answers say.
const (
	maxHolds     = 24 * time.Hour
	defaultHolds = 3 * time.Minute
	// maxStale bounds how old an answer may be that counts while there is no other.
	maxStale = 24 * time.Hour
	// refusalHolds is how long a refusal is believed, and retryAfter how long a backend without an answer is left alone.
	refusalHolds = 5 * time.Second
	retryAfter   = time.Second
)

var errBusy = errors.New("too many questions wait for an answer")

// holds returns how long an answer counts.
func (a Answer) holds() time.Duration {
	switch {
	case !a.Allowed:
		return refusalHolds
	case a.Holds <= 0:
		return defaultHolds
	default:
		return min(a.Holds, maxHolds)
	}
}
