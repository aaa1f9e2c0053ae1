package licensing

import (
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Grant is what a viewer's license may give.
type Grant struct {
	System drm.SystemID
	// Purpose is what the request asks for, as far as it says so.
	Purpose Purpose
	// Group is the DRM group, with terms that end no later than what the admission rests on.
	Group         drm.Group
	Tenant, Asset string
	// Subject is a pseudonym of the viewer, 32 hexadecimal digits; empty if nobody knows who asks.
	Subject string
	// Keys are those of the title that the viewer may have.
	Keys []GrantedKey
	// Now is when the license is asked for, and Ends when the last of it has to be over; zero if nothing ends it.
	Now, Ends time.Time
	// Nonce is random, for identifiers that are used once.
	Nonce [16]byte
}

// GrantedKey is a key and the class of the tracks that it is for.
type GrantedKey struct {
	Class drm.TrackClass
	Key   drm.ContentKey
}

// LimitTerms returns terms that hold for a license which is issued now and ends no later than until: of the durations of the group and
// the time that is left the shorter. A zero until leaves them as they are. Time below a second counts as none.
func LimitTerms(terms drm.LicenseTerms, now, until time.Time) (limited drm.LicenseTerms, open bool) {
	if until.IsZero() {
		return terms, true
	}
	left := until.Sub(now).Truncate(time.Second)
	if left <= 0 {
		return drm.LicenseTerms{}, false
	}
	shorter := func(d time.Duration) time.Duration {
		if d == 0 || d > left {
			return left
		}
		return d
	}
	terms.Duration = shorter(terms.Duration)
	if terms.Rental > 0 {
		terms.Rental = shorter(terms.Rental)
	}
	if terms.Playback > 0 {
		terms.Playback = shorter(terms.Playback)
	}
	if terms.Renew >= terms.Duration { // over before it would be renewed
		terms.Renew = 0
	}
	return terms, true
}

// Lifetime returns how long a license lasts where nobody tells the edge when it is first used, so that all is counted from its issue:
// the shortest of its duration and its windows of rental and playback. Time below a second counts as none. Zero: nothing ends it.
func Lifetime(terms drm.LicenseTerms) (shortest time.Duration) {
	for _, d := range []time.Duration{terms.Duration, terms.Rental, terms.Playback} {
		if d >= time.Second && (shortest == 0 || d < shortest) {
			shortest = d
		}
	}
	return shortest
}

// RentalSpan returns how long a license with windows of rental and playback is the same rental: until the last that could be watched of it,
// had it waited for its first use as long as it may. Who asks for a license later, and still may watch, has rented anew. Zero: the terms
// have no windows.
func RentalSpan(terms drm.LicenseTerms) time.Duration {
	if terms.Rental == 0 && terms.Playback == 0 {
		return 0
	}
	return max(terms.Duration, terms.Rental+terms.Playback)
}
