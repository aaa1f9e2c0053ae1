package caddymodule

import (
	"errors"
	"fmt"
	"slices"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/licensing"
)

// grantedKeys returns what a license may hold for a request that names keys: all that the viewer may have of the crypto periods that they
// are of. A request that names a key that is not among them is refused. One that names none is for the periods of this moment.
func (q *request) grantedKeys(asked []drm.KID) ([]licensing.GrantedKey, error) {
	var granted []licensing.GrantedKey
	var err error
	missing := len(asked)
	periods := 0
	q.licensedTitles(func(title keysource.Title) bool {
		if len(asked) > 0 && !q.sourceOf(title.Group).MayHold(title, asked) {
			return true
		}
		var found []licensing.GrantedKey
		if found, err = q.classKeys(title); err != nil {
			return false
		}
		holds := countKIDs(found, asked)
		if holds > 0 || len(asked) == 0 {
			granted = append(granted, found...)
		}
		missing -= holds
		periods++
		return missing > 0 || len(asked) == 0 && periods < q.unnamedPeriods()
	})
	switch {
	case err != nil:
		return nil, err
	case missing > 0:
		return nil, licensing.ErrNoKeys
	}
	return q.permitted(granted, asked)
}

// unnamedPeriods is how many crypto periods a license has whose request names no key. A live title lists the next period first, and then that
// of this moment; where nobody knows whether it is live, the key that it has on demand comes behind those of a window.
func (q *request) unnamedPeriods() int {
	switch w := q.seal.Window; {
	case w.Rotate > 0 && w.Further > 0:
		return 5
	case w.Rotate > 0:
		return 2
	default:
		return 1
	}
}

// classKeys returns the keys of a title in one crypto period with their classes.
func (q *request) classKeys(title keysource.Title) ([]licensing.GrantedKey, error) {
	classes := []drm.TrackClass{drm.ClassShared}
	if q.sourceOf(title.Group).Split() {
		classes = drm.SplitClasses[:]
	}
	var keys []licensing.GrantedKey
	for _, class := range classes {
		key, err := q.sourceOf(title.Group).ContentKey(q.r.Context(), keysource.Request{Title: title, Class: class})
		switch {
		case errors.Is(err, keysource.ErrUnknownKey): // the title has no such track
		case err != nil:
			return nil, fmt.Errorf("asking for the keys of the title: %w", err)
		default:
			keys = append(keys, licensing.GrantedKey{Class: class, Key: key})
		}
	}
	return keys, nil
}

// permitted takes out the keys that the device of the viewer cannot have, and those that have been revoked, and refuses a request that
// names one of them.
func (q *request) permitted(keys []licensing.GrantedKey, asked []drm.KID) ([]licensing.GrantedKey, error) {
	group, _ := q.groupNamed(q.seal.Group)
	var kept []licensing.GrantedKey
	for _, key := range keys {
		kid := key.Key.KID()
		var refused error
		switch {
		case q.sourceOf(q.seal.Group).Split() && q.identity.claims.Level != "" && !q.allowsClass(group, key.Class):
			refused = errLevel
		case q.state.Revocations.AnyKeyRevoked() && q.state.Revocations.KeyRevoked(q.now(), q.tenant, kid):
			refused = errKeyRevoked
		case !slices.ContainsFunc(kept, func(k licensing.GrantedKey) bool { return k.Key.KID() == kid }):
			kept = append(kept, key)
		}
		if refused != nil && (slices.Contains(asked, kid) || len(keys) == 1) {
			return nil, refused
		}
	}
	return kept, nil
}

func countKIDs(keys []licensing.GrantedKey, asked []drm.KID) (n int) {
	for _, kid := range asked {
		if slices.ContainsFunc(keys, func(k licensing.GrantedKey) bool { return k.Key.KID() == kid }) {
			n++
		}
	}
	return n
}
