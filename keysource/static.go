package keysource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/caddy-drm/caddy-drm/drm"
)

// StaticOptions say what a key list leaves open.
type StaticOptions struct {
	// Scheme is the scheme of the entries that name none: all of the array form, which cannot. Such a key serves this scheme
	// alone, since cenc and cbcs never share one. With the zero value every entry has to name its scheme.
	Scheme drm.ProtectionScheme
}

// Static is a fixed list of content keys, read by ParseStatic.
type Static struct {
	split    bool
	exact    map[string][]*staticEntry // by asset
	prefixes []*staticEntry
	pssh     map[drm.KID][]SystemData
	array    bool // read from the array form
}

// SystemData is what one DRM system needs to know of a key: the data of its pssh box, without the box.
type SystemData struct {
	System drm.SystemID
	Data   []byte
}

// staticEntry is one key and what it serves.
type staticEntry struct {
	key  func() drm.ContentKey // a function for the reason given at hiddenKey
	pssh []SystemData
	serves
}

// serves is comparable: two entries with the same one would leave open which key holds.
type serves struct {
	asset      string // an asset, or with prefix the beginning of its name
	prefix     bool
	class      drm.TrackClass // ClassShared for every class
	scheme     drm.ProtectionScheme
	period     uint32
	anyPeriod  bool
	generation uint32
}

var _ Source = (*Static)(nil)

// Split implements Source: a list is split as soon as one entry names a track class.
func (s *Static) Split() bool { return s.split }

// ContentKey implements Source. Of the entries that serve r it takes the one whose asset pattern says most, then the one
// that names the class, then the one that names the period. It returns ErrUnknownKey when there is none.
func (s *Static) ContentKey(_ context.Context, r Request) (drm.ContentKey, error) {
	if err := r.check(s.split); err != nil {
		return drm.ContentKey{}, fmt.Errorf("looking up content key: %w", err)
	}
	var best *staticEntry
	for _, candidates := range [...][]*staticEntry{s.exact[r.Asset], s.prefixes} {
		for _, e := range candidates {
			if e.matches(r) && (best == nil || slices.Compare(e.rank(), best.rank()) > 0) {
				best = e
			}
		}
	}
	if best == nil {
		return drm.ContentKey{}, ErrUnknownKey
	}
	return best.key(), nil
}

// ContentKeys implements Source: the key of each class in the order of drm.SplitClasses, each key once. Classes without a
// key are left out; ErrUnknownKey means that none has one.
func (s *Static) ContentKeys(ctx context.Context, t Title) ([]drm.ContentKey, error) {
	var keys []drm.ContentKey
	for _, c := range classesOf(s.split) {
		k, err := s.ContentKey(ctx, Request{Title: t, Class: c})
		if errors.Is(err, ErrUnknownKey) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, ErrUnknownKey
	}
	return keys, nil
}

// LookupSystemData returns what the list says about kid for other DRM systems, in its order; nil if it says nothing. The
// caller does not change it.
func (s *Static) LookupSystemData(kid drm.KID) []SystemData { return s.pssh[kid] }

// Format keeps every verb from reaching the fields.
func (s *Static) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "static key source")
}

func (e *staticEntry) matches(r Request) bool {
	return e.scheme == r.Scheme &&
		e.generation == r.Generation &&
		(e.anyPeriod || e.period == r.Period) &&
		(e.class == drm.ClassShared || e.class == r.Class) &&
		(e.asset == r.Asset || e.prefix && strings.HasPrefix(r.Asset, e.asset))
}

// rank orders entries that serve one request by how much they say about it.
func (e *staticEntry) rank() []int {
	rank := []int{math.MaxInt, 0, 0}
	if e.prefix {
		rank[0] = len(e.asset)
	}
	if e.class != drm.ClassShared {
		rank[1] = 1
	}
	if !e.anyPeriod {
		rank[2] = 1
	}
	return rank
}
