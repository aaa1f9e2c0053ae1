package drm

import "time"

// LiveCryptoPeriod is how long a key of a live channel under cenc encrypts at most, where its group does not say. The IVs of cenc are 8
// bytes that nobody draws twice on purpose: what a channel of ten renditions in half-second chunks writes in a week has two that meet with a
// probability of 2.6·10⁻⁴, and that grows with the square of the time. cbcs has no such bound.
const LiveCryptoPeriod = 7 * 24 * time.Hour

// LiveRotation returns how long a key of a live title encrypts: Rotate, or LiveCryptoPeriod where that is not said and the scheme is cenc.
// Zero is one key for all time, also of cenc where licenses are kept: what is kept opens one crypto period, and nothing after it.
func (g Group) LiveRotation(scheme ProtectionScheme) time.Duration {
	if g.Rotate == 0 && scheme == SchemeCenc && !g.License.Persistent {
		return LiveCryptoPeriod
	}
	return g.Rotate
}
