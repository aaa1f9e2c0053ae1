package caddymodule

import (
	"context"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
	"github.com/caddy-drm/caddy-drm/state"
)

// rental is what is on record of something that a viewer has rented: a title, or a key. It is two records, since the terms of a group may
// change while it lasts.
type rental struct {
	windowID, spanID [16]byte
	window           time.Time // until then there are licenses
	span             time.Time // until then it is the same rental
}

// rentalsOf reads what is on record of a title, and of keys. A title alone is no name for what was rented: where keys do not depend on it,
// as those of a list for all that a path begins with, a viewer may ask for them below any directory that comes to mind.
func (q *request) rentalsOf(viewer, group string, keys []drm.ContentKey) ([]rental, error) {
	names := []string{"title " + string(q.seal.Asset)}
	for _, key := range keys {
		names = append(names, "key "+key.KID().String())
	}
	rentals := make([]rental, len(names))
	var ids [][16]byte
	for i, name := range names {
		r := &rentals[i]
		r.windowID, r.spanID = digest16("license window", q.viewers, viewer, group, name), digest16("rental", q.viewers, viewer, group, name)
		ids = append(ids, r.windowID, r.spanID)
	}
	until, err := q.state.Grants.Until(q.r.Context(), ids...) // at once: the state may be far away, and the viewer waits
	if err != nil {
		return nil, unavailable(err)
	}
	for i := range rentals {
		rentals[i].window, rentals[i].span = until[2*i], until[2*i+1]
	}
	return rentals, nil
}

// rentalWindow returns when the rental of the title and of keys by the viewer is over that the group's windows make, and begins it with the
// first license; zero if there is none. Two nodes that begin it at the same moment differ by that moment.
func (q *request) rentalWindow(group drm.Group, keys []drm.ContentKey) (end time.Time, begun bool, err error) {
	length := licensing.RentalSpan(group.License)
	viewer := q.licensee()
	if length == 0 || viewer == "" {
		return time.Time{}, false, nil
	}
	rentals, err := q.rentalsOf(viewer, group.Name, keys)
	if err != nil {
		return time.Time{}, false, err
	}
	now := q.now()
	end, span := now.Add(licensing.Lifetime(group.License)), now.Add(length)
	for _, r := range rentals {
		switch {
		case now.Before(r.window):
			if !begun || r.window.Before(end) {
				end = r.window
				if now.Before(r.span) {
					span = r.span
				}
			}
			begun = true
		case now.Before(r.span):
			return time.Time{}, false, errLicenseOver
		}
	}
	return end, begun, q.recordRentals(rentals, end, span)
}

// recordRentals puts on record what is not yet: a key that is first asked for later than the others is of the rental that they began. That the
// client leaves meanwhile does not leave half of it behind; what the state did not take, the next license puts there.
func (q *request) recordRentals(rentals []rental, window, span time.Time) error {
	now := q.now()
	var begun []state.Grant
	add := func(id [16]byte, known, until time.Time) {
		if !now.Before(known) {
			begun = append(begun, state.Grant{ID: id, Until: earlier(until, q.licenseeUntil())})
		}
	}
	for _, r := range rentals {
		add(r.windowID, r.window, window)
		add(r.spanID, r.span, span)
	}
	return unavailable(q.state.Grants.Add(context.WithoutCancel(q.r.Context()), begun...))
}
