package caddymodule

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/licensing"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
	"github.com/caddy-drm/caddy-drm/segcrypt"
)

// Keys that rotate. The rewriters say which crypto period each segment of a manifest is in; the seal carries it, so that any node serves
// the segment under its key. A template of a DASH manifest covers segments of other periods, too: there the decode time of the segment
// has to fit.

const (
	// periodSlack is how far from its crypto period a segment may begin: periods change where a segment of video begins, and the other
	// tracks follow.
	periodSlack = 15 * time.Second
	// maxLicensePeriods bounds the crypto periods that a license is looked for in.
	maxLicensePeriods = 4096
	// maxAskedPeriods bounds them where each may be a question to a key server.
	maxAskedPeriods = 64
	// nearPeriods are looked at one by one: almost all requests are for one of them.
	nearPeriods = 16
)

var (
	errPeriod      = errors.New("the segment is of another crypto period than its address")
	errManyPeriods = errors.New("an MPD with more crypto periods than a license is looked for in")
)

// mostPeriods is how many crypto periods, besides the first, a license is looked for in.
func (q *request) mostPeriods(group string) uint32 {
	if q.sourceOf(group).Names() {
		return maxLicensePeriods
	}
	return maxAskedPeriods
}

// checkCount refuses a crypto period of a whole title that no license of ours would be found for: the title would stop there.
func (p dashProtector) checkCount(period uint32) error {
	if most := p.q.mostPeriods(p.group.Name); p.window.Rotate == 0 && period > most && p.givesLicenses() {
		return fmt.Errorf("%w: %d, where the source of the keys does not tell their names, or %d; want a longer rotate", errManyPeriods, maxAskedPeriods+1, maxLicensePeriods+1)
	}
	return nil
}

// givesLicenses reports whether the license of one of the systems that are signaled is looked for here.
func (p *titleProtector) givesLicenses() bool {
	return slices.ContainsFunc(p.group.SignaledSystems(), func(system drm.SystemID) bool {
		return system == drm.SystemClearKey || p.q.License.servers[system] != nil && p.licenseTemplate(system) == ""
	})
}

// checkPeriod refuses a segment that is not of the crypto period that its seal names the key of.
func (q *request) checkPeriod(seg *segcrypt.Segment) error {
	if q.seal.Clock.Length == 0 || q.addr.Number > 0 { // that of a single file was checked by its index
		return nil
	}
	ticks, ok := seg.DecodeTime()
	if group, _ := q.groupNamed(q.seal.Group); !ok && group.Rotate == 0 {
		return nil // nobody asked for its keys to rotate
	}
	if !ok {
		return fmt.Errorf("%w: it has no decode time", errPeriod)
	}
	return q.checkPeriodAt(ticks)
}

// checkPeriodAt is checkPeriod for a segment that begins at ticks.
func (q *request) checkPeriodAt(ticks uint64) error {
	clock := q.seal.Clock
	if clock.Length == 0 {
		return nil
	}
	since := int64(ticks) - clock.Origin - int64(q.seal.Period)*int64(clock.Length)
	slack := q.periodSlack(clock)
	if since < -slack || since >= int64(clock.Length)+slack {
		return errPeriod
	}
	return nil
}

// periodSlack returns periodSlack in ticks of the clock, but one period at most.
func (q *request) periodSlack(clock address.Clock) int64 {
	group := q.sealedGroup()
	if group.Rotate <= 0 { // it does not rotate any more
		return 0
	}
	ticks := float64(clock.Length) * min(1, periodSlack.Seconds()/group.Rotate.Seconds())
	return int64(ticks)
}

// licensePeriods calls visit for each crypto period that the license of the request may hold one of the asked keys of, until it returns false:
// all of a title that is whole, and of a live one those from the beginning of its window to the next that is announced, and those that it has
// when it has ended. A title of which nobody knows which it is has both.
func (q *request) licensePeriods(title keysource.Title, asked []drm.KID, visit func(title keysource.Title) bool) {
	w, most := q.seal.Window, q.mostPeriods(title.Group)
	first, last := title.Period, title.Period+min(w.Further, most)
	if w.Rotate > 0 {
		now := q.now().Unix()
		oldest, next := uint32(max(now-int64(w.Depth), 0)/int64(w.Rotate)), uint32(now/int64(w.Rotate))+1
		oldest = max(oldest, next-min(most, next))
		if !q.visitPeriods(title, next, oldest, asked, visit) || w.Further == 0 { // the newest are asked for most
			return
		}
	}
	q.visitPeriods(title, first, last, asked, visit)
}

// visitPeriods calls visit for the crypto periods from one to another, upwards or downwards, until it returns false, and reports whether it never
// did. Of many it visits the nearest, and beyond those that may hold one of the asked keys: who asks for what is not there does not have thousands
// of names derived each time.
func (q *request) visitPeriods(title keysource.Title, from, to uint32, asked []drm.KID, visit func(title keysource.Title) bool) bool {
	down := from > to
	count := max(from, to) - min(from, to) + 1
	for n := range min(count, nearPeriods) {
		if title.Period = from + n; down {
			title.Period = from - n
		}
		if !visit(title) {
			return false
		}
	}
	switch {
	case count <= nearPeriods || len(asked) == 0:
		return true
	case down:
		from -= nearPeriods
	default:
		from += nearPeriods
	}
	beyond := q.sourceOf(title.Group).PeriodsOf(title, min(from, to), max(from, to), asked)
	if down {
		slices.Reverse(beyond)
	}
	for _, title.Period = range beyond {
		if !visit(title) {
			return false
		}
	}
	return true
}

// licenseGenerations calls visit for each generation of keys that the license of the request may hold, the newest first, until it returns
// false: from the current one to that of its address, but none whose time of grace is over. Players keep to the first address that they see,
// so it has to lead to the keys that an emergency re-key gave, too.
func (q *request) licenseGenerations(visit func(title keysource.Title) bool) {
	title := q.sealedTitle()
	known, sealed := q.generations(q.seal.Group, q.seal.Asset), q.seal.Generation
	for generation := max(known.Current(), sealed); known.Live(generation, q.now(), q.app.rekeyGrace()); generation-- {
		title.Generation = generation
		if !visit(title) || generation == sealed {
			return
		}
	}
}

// licensedTitles calls visit for each generation and crypto period that the license of the request may hold one of the asked keys of, until it
// returns false. For a request that names none these are the nearest.
func (q *request) licensedTitles(asked []drm.KID, visit func(title keysource.Title) bool) {
	q.licenseGenerations(func(title keysource.Title) bool {
		goOn := true
		q.licensePeriods(title, asked, func(title keysource.Title) bool {
			goOn = visit(title)
			return goOn
		})
		return goOn
	})
}

// licensedKeys returns those of the asked keys that a license under the seal of the request may hold.
func (q *request) licensedKeys(asked []drm.KID) ([]drm.ContentKey, error) {
	if !q.servesClearKey() {
		return nil, errNotOurs
	}
	if err := q.checkGroup(); err != nil {
		return nil, err
	}
	search := newKeySearch(asked)
	var unknown error
	q.licensedTitles(asked, func(title keysource.Title) bool {
		found, err := q.keysNamed(search, title)
		if errors.Is(err, keysource.ErrUnknownKey) { // of a live title the next period is looked at first, and may have no key yet
			err, unknown = nil, err
		}
		search.take(found, err)
		return len(search.missing) > 0 && !q.isGone(search)
	})
	if err := search.err(); err != nil {
		return nil, err
	}
	if len(search.keys) == 0 && unknown != nil {
		return nil, unknown
	}
	return q.permittedAlone(search.keys)
}

// keysNamed returns the keys of a title in one crypto period that the search is for. A source that can tell names without keys is not
// asked for keys that are not wanted.
func (q *request) keysNamed(search *keySearch, title keysource.Title) (keys []licensing.GrantedKey, err error) {
	// Of several periods only those are asked for whose keys are named; the keys of the only one are at hand.
	if q.seal.Window != (address.Window{}) && !q.sourceOf(title.Group).MayHold(title, search.asked) {
		return nil, nil
	}
	all, err := q.classKeys(search, title)
	if err == nil && len(all) == 0 {
		err = keysource.ErrUnknownKey
	}
	for _, key := range all {
		if slices.Contains(search.asked, key.Key.KID()) {
			keys = append(keys, key)
		}
	}
	return keys, err
}

// dashRotation returns how an MPD is cut, and the crypto periods of its licenses, which have one URL for all of its Periods.
func (p *titleProtector) dashRotation(mpd []byte) (dash.Rotation, address.Window, error) {
	length := p.group.Rotate
	if length <= 0 && len(p.replaced) == 0 {
		return dash.Rotation{}, address.Window{}, nil
	}
	info, err := dash.Inspect(mpd)
	if err != nil {
		return dash.Rotation{}, address.Window{}, err
	}
	rotation := dash.Rotation{Length: length, Now: p.q.now(), Cut: p.cuts(length, info)}
	if info.Live {
		rotation.Replaced, rotation.Oldest, rotation.Gone = p.replaced, p.listed, p.gone()
		p.licensed = p.oldest
	} else {
		rotation.Generation = p.title.Generation
	}
	return rotation, p.dashWindow(info), nil
}

// dashWindow returns the crypto periods of the licenses of an MPD.
func (p *titleProtector) dashWindow(info dash.Info) address.Window {
	length := p.group.Rotate
	switch {
	case length <= 0:
		return address.Window{}
	case info.Live:
		p.q.prefetchKeys(p.group, p.title)
		depth := min(max(info.Depth, defaultDepth), maxDepth)
		if info.Depth == 0 {
			depth = maxDepth
		}
		w := address.Window{Rotate: uint32(length / time.Second), Depth: uint32(depth / time.Second)}
		if p.q.sourceOf(p.group.Name).Names() { // a key server would be asked for each
			w.Further = uint32(min(maxEnded/length+1, maxLicensePeriods))
		}
		return w
	case info.Duration > 0:
		return address.Window{Further: uint32(min(info.Duration/length+1, maxLicensePeriods))}
	default:
		return address.Window{Further: maxLicensePeriods} // of a title that does not say how long it is
	}
}

const (
	// defaultDepth is the least window of the licenses of a live title: players keep what has left the window of the manifest for a
	// while. maxDepth is the most, and that of channels without a window, of which all stays.
	defaultDepth = 5 * time.Minute
	maxDepth     = 48 * time.Hour
	// unseenDepth says of licenses that nobody has looked at the manifest of their title, by being more than any other.
	unseenDepth = maxDepth + time.Second
	// maxEnded is how long a live title may be for its licenses to hold the keys that it has when it ends, which are counted from its beginning:
	// players ask for them where they asked before. No crypto period is named so that is counted from 1970 and is not long ago.
	maxEnded = 30 * 24 * time.Hour
)

// prefetchKeys has the source asked for the keys of the next crypto period of a live title before anybody needs them.
func (q *request) prefetchKeys(group drm.Group, title keysource.Title) {
	if group.Rotate <= 0 {
		return
	}
	title.Period = uint32(q.now().Unix()/int64(group.Rotate/time.Second)) + 1
	classes := []drm.TrackClass{drm.ClassShared}
	if q.sourceOf(title.Group).Split() {
		classes = drm.SplitClasses[:]
	}
	for _, class := range classes {
		q.sourceOf(title.Group).Prefetch(keysource.Request{Title: title, Class: class})
	}
}
