package caddymodule

import (
	"math/bits"
	"time"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

// A clear lead is decided where the manifest is rewritten, and carried by seals: no address without it ever stands for clear bytes.
//
// In HLS, where each segment has a seal of its own, the playlist counts which are in the lead, and its EXT-X-KEY lines begin with the
// first that is not. In DASH one seal is for all segments of a track: it says when the lead ends in the media, and each segment is
// judged by its own decode time when it is served.

// takesClearLead reports whether the beginning of a track can stay clear: with sample entries that say so, in a scheme that encrypts
// samples.
func (t track) takesClearLead() bool {
	return t.init != nil && t.p.title.Scheme.Common() && !t.passes() && !t.isText()
}

// dashClearLead returns the lead of an MPD. Behind a CDN there is none: the address that all segments of a track have in common would
// have to be private for the sake of the first.
func (p *titleProtector) dashClearLead() time.Duration {
	if p.q.behindCDN() {
		return 0
	}
	return p.group.ClearLead
}

// clearUntil returns where the lead ends, in ticks of the first track of the init segment, which are not always those of the MPD; 0
// without a lead.
func (t track) clearUntil(end dash.MediaTime) uint64 {
	if end.Timescale == 0 || end.Ticks <= 0 || !t.takesClearLead() {
		return 0
	}
	high, low := bits.Mul64(uint64(end.Ticks), uint64(t.init.Tracks()[0].Timescale))
	low, carry := bits.Add64(low, uint64(end.Timescale-1), 0) // up: what begins before the end is in the lead
	if high += carry; high >= uint64(end.Timescale) {
		return 0
	}
	ticks, _ := bits.Div64(high, low, uint64(end.Timescale))
	if ticks == address.ClearAlways {
		return 0
	}
	return ticks
}
