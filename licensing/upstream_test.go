package licensing_test

import (
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
)

// TestBreaker: a server that fails five times is left alone, one request finds out, and the wait doubles until it answers.
func TestBreaker(t *testing.T) {
	var b licensing.Breaker
	now := time.Unix(1700000000, 0)
	for range 5 {
		if !b.Allow(now) {
			t.Fatal("left alone too early")
		}
		b.Settle(now, false)
	}
	for range 20 { // who asked at the same time
		b.Settle(now, false)
	}
	for _, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second} {
		if b.Allow(now.Add(wait - time.Millisecond)) {
			t.Errorf("asked before %v", wait)
		}
		now = now.Add(wait)
		if !b.Allow(now) || b.Allow(now) {
			t.Errorf("after %v: want one request and no other", wait)
		}
		b.Settle(now, false)
	}
	now = now.Add(30 * time.Second)
	if !b.Allow(now) {
		t.Error("not asked again")
	}
	b.Abandon()
	if !b.Allow(now) {
		t.Error("nobody waited for the last one, and nobody may ask now")
	}
	b.Settle(now, true)
	if !b.Allow(now) || !b.Allow(now) {
		t.Error("a server that answers is left alone")
	}
}

func TestRetryBudget(t *testing.T) {
	var b licensing.RetryBudget
	spend := func() (n int) {
		for b.Spend() {
			n++
		}
		return n
	}
	if n := spend(); n != 10 {
		t.Errorf("%d attempts are saved up", n)
	}
	for range 25 {
		b.Earn()
	}
	if n := spend(); n != 2 {
		t.Errorf("%d further attempts for 25 requests", n)
	}
}

func TestLimitTerms(t *testing.T) {
	now := time.Unix(1700000000, 0)
	h := time.Hour
	for name, test := range map[string]struct {
		terms, want drm.LicenseTerms
		left        time.Duration
		open        bool
	}{
		"nothing ends it":      {drm.LicenseTerms{Duration: 12 * h, Renew: h}, drm.LicenseTerms{Duration: 12 * h, Renew: h}, -1, true},
		"longer than it lasts": {drm.LicenseTerms{Duration: h}, drm.LicenseTerms{Duration: h}, 2 * h, true},
		"shorter":              {drm.LicenseTerms{Duration: 12 * h, Renew: 6 * h}, drm.LicenseTerms{Duration: 2 * h}, 2 * h, true},
		"no end of its own":    {drm.LicenseTerms{}, drm.LicenseTerms{Duration: 2 * h}, 2*h + time.Millisecond, true},
		"windows": {
			drm.LicenseTerms{Persistent: true, Duration: 720 * h, Rental: 720 * h, Playback: 48 * h}, drm.LicenseTerms{Persistent: true, Duration: 100 * h, Rental: 100 * h, Playback: 48 * h}, 100 * h, true,
		},
		"over": {drm.LicenseTerms{Duration: h}, drm.LicenseTerms{}, 999 * time.Millisecond, false},
	} {
		var until time.Time
		if test.left >= 0 {
			until = now.Add(test.left)
		}
		if got, open := licensing.LimitTerms(test.terms, now, until); got != test.want || open != test.open {
			t.Errorf("%s: %+v, %t", name, got, open)
		}
	}
}

func TestLifetime(t *testing.T) {
	const h = time.Hour
	for name, test := range map[string]struct {
		terms          drm.LicenseTerms
		lifetime, span time.Duration
	}{
		"no end":                     {drm.LicenseTerms{}, 0, 0},
		"a duration":                 {drm.LicenseTerms{Duration: 720 * h}, 720 * h, 0},
		"a rental that is watched":   {drm.LicenseTerms{Duration: 720 * h, Rental: 720 * h, Playback: 48 * h}, 48 * h, 768 * h},
		"windows alone":              {drm.LicenseTerms{Rental: 24 * h, Playback: 48 * h}, 24 * h, 72 * h},
		"a duration beyond windows":  {drm.LicenseTerms{Duration: 720 * h, Playback: 48 * h}, 48 * h, 720 * h},
		"less than a second is none": {drm.LicenseTerms{Duration: h, Playback: time.Second - 1}, h, h},
	} {
		if lifetime, span := licensing.Lifetime(test.terms), licensing.RentalSpan(test.terms); lifetime != test.lifetime || span != test.span {
			t.Errorf("%s: %s of %s, want %s of %s", name, lifetime, span, test.lifetime, test.span)
		}
	}
}
