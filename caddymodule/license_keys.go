package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/licensing"
)

// keySearch gathers the keys of a license from one generation and crypto period of a title to the next. A key may be that of several of them,
// so that what has been found is known by name, and not by how often.
type keySearch struct {
	asked, missing []drm.KID // missing are those that have not been found yet
	keys           []licensing.GrantedKey
	failed         error // the first failure
	until          time.Time
}

// searchBeyondFailure is how long, behind a failure, keys are waited for that are not at hand: a source that is out may take its time for
// each of many crypto periods.
const searchBeyondFailure = 2 * time.Second

func newKeySearch(asked []drm.KID) *keySearch {
	return &keySearch{asked: asked, missing: slices.Clone(asked)}
}

// take notes keys that were found, or that nobody could tell. That does not end the search: the newest keys are asked for first, and those of
// this moment may be at hand while the source is out.
func (s *keySearch) take(found []licensing.GrantedKey, err error) {
	if err != nil && s.failed == nil {
		s.failed, s.until = err, time.Now().Add(searchBeyondFailure)
	}
	s.keys = append(s.keys, found...)
	s.missing = slices.DeleteFunc(s.missing, func(kid drm.KID) bool { return holdsAny(found, []drm.KID{kid}) })
}

// err returns the failure that left something missing.
func (s *keySearch) err() error {
	if len(s.missing) > 0 || len(s.asked) == 0 && len(s.keys) == 0 {
		return s.failed
	}
	return nil
}

// context bounds a question to the source. Keys at hand need none.
func (s *keySearch) context(parent context.Context) (context.Context, context.CancelFunc) {
	if s.failed == nil {
		return parent, func() {}
	}
	return context.WithDeadline(parent, s.until)
}

// isGone reports whether a search fails since the client has left.
func (q *request) isGone(search *keySearch) bool {
	return search.failed != nil && q.r.Context().Err() != nil
}

// grantedKeys returns what a license may hold for a request that names keys: all that the viewer may have of the crypto periods that they
// are of. A request that names a key that is not among them is refused. One that names none is for the periods of this moment, in each
// generation that players may still watch.
func (q *request) grantedKeys(asked []drm.KID) ([]licensing.GrantedKey, error) {
	search := newKeySearch(asked)
	visited := make(map[uint32]int) // crypto periods, by generation
	q.licensedTitles(asked, func(title keysource.Title) bool {
		switch {
		case len(asked) > 0 && !q.sourceOf(title.Group).MayHold(title, asked), len(asked) == 0 && visited[title.Generation] == q.unnamedPeriods():
			return true
		}
		visited[title.Generation]++
		found, err := q.classKeys(search, title)
		if len(asked) > 0 && !holdsAny(found, asked) {
			found = nil
		}
		search.take(found, err)
		return (len(asked) == 0 || len(search.missing) > 0) && !q.isGone(search)
	})
	switch err := search.err(); {
	case err != nil:
		return nil, err
	case len(search.missing) > 0:
		return nil, licensing.ErrNoKeys
	}
	return q.permitted(search.keys, asked)
}

// unnamedPeriods is how many crypto periods of a generation a license has whose request names no key. A live title lists the next period first,
// and then that of this moment; where nobody has seen whether it is live, the key that it has on demand comes behind those of a window.
func (q *request) unnamedPeriods() int {
	switch w := q.seal.Window; {
	case w.Rotate > 0 && w.Depth == uint32(unseenDepth/time.Second):
		return 5
	case w.Rotate > 0:
		return 2
	default:
		return 1
	}
}

// classKeys returns the keys of a title in one crypto period with their classes: all of them, since a class that shares a key decides over it,
// or none.
func (q *request) classKeys(search *keySearch, title keysource.Title) ([]licensing.GrantedKey, error) {
	classes := []drm.TrackClass{drm.ClassShared}
	if q.sourceOf(title.Group).Split() {
		classes = drm.SplitClasses[:]
	}
	ctx, cancel := search.context(q.r.Context())
	defer cancel()
	keys := make([]licensing.GrantedKey, 0, len(classes))
	for _, class := range classes {
		key, err := q.sourceOf(title.Group).ContentKey(ctx, keysource.Request{Title: title, Class: class})
		switch {
		case errors.Is(err, keysource.ErrUnknownKey): // the title has no such track
		case err != nil:
			return nil, fmt.Errorf("asking for the keys of the title: %w", err)
		default:
			keys = append(keys, licensing.GrantedKey{Class: class, Key: key})
		}
	}
	if source := q.sourceOf(title.Group); !source.Names() {
		source.LearnNames(title, grantedKIDs(keys))
	}
	return keys, nil
}

// permitted takes out the keys that the viewer may not have, and refuses a request that names one of them: what goes to a license server is
// the request as it is. Where no key is left nobody is asked, whether the request names keys or not.
func (q *request) permitted(keys []licensing.GrantedKey, asked []drm.KID) ([]licensing.GrantedKey, error) {
	kept, refused := q.judgeKeys(keys)
	for _, kid := range asked {
		if refused[kid] != nil {
			return nil, refused[kid]
		}
	}
	switch {
	case len(kept) > 0:
		return kept, nil
	case len(keys) > 0:
		return nil, refused[keys[0].Key.KID()]
	default:
		return nil, licensing.ErrNoKeys
	}
}

func grantedKIDs(keys []licensing.GrantedKey) []drm.KID {
	kids := make([]drm.KID, len(keys))
	for i, key := range keys {
		kids[i] = key.Key.KID()
	}
	return kids
}

// permittedAlone returns those keys that the viewer may have, for a license that is made here: a player plays the tracks that it has keys
// for. That none is left is refused.
func (q *request) permittedAlone(keys []licensing.GrantedKey) (permitted []drm.ContentKey, err error) {
	kept, refused := q.judgeKeys(keys)
	permitted = make([]drm.ContentKey, len(kept))
	for i, key := range kept {
		permitted[i] = key.Key
	}
	if len(kept) == 0 && len(keys) > 0 {
		return nil, refused[keys[0].Key.KID()]
	}
	return permitted, nil
}

// judgeKeys is the one judgement of keys, for licenses of all systems. It returns those that the viewer may have, each once, and why not the
// others: the device cannot have tracks that they are for, or they have been revoked. Who may not see may listen, so that nobody is
// refused a key that all tracks share.
func (q *request) judgeKeys(keys []licensing.GrantedKey) (kept []licensing.GrantedKey, refused map[drm.KID]error) {
	group, _ := q.groupNamed(q.seal.Group)
	for _, key := range keys {
		var reason error
		switch {
		case !q.allowsClass(group, key.Class):
			reason = errLevel
		case q.state.Revocations.AnyKeyRevoked() && q.isKeyRevoked(q.now(), key.Key.KID()):
			reason = errKeyRevoked
		default:
			continue
		}
		if refused == nil {
			refused = make(map[drm.KID]error)
		}
		refused[key.Key.KID()] = reason
	}
	kept = make([]licensing.GrantedKey, 0, len(keys))
	for _, key := range keys {
		kid := key.Key.KID()
		if refused[kid] == nil && !slices.ContainsFunc(kept, func(k licensing.GrantedKey) bool { return k.Key.KID() == kid }) {
			kept = append(kept, key)
		}
	}
	return kept, refused
}

// holdsAny reports whether one of the keys has one of the names.
func holdsAny(keys []licensing.GrantedKey, kids []drm.KID) bool {
	return slices.ContainsFunc(keys, func(k licensing.GrantedKey) bool { return slices.Contains(kids, k.Key.KID()) })
}
