package caddymodule

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// titleInPeriod is a title in one crypto period, with its scheme.
type titleInPeriod struct {
	keysource.Title
	rotate time.Duration // the length of the period; zero for a key of all time
}

// titles lists what there is to list of a title: each crypto period with each scheme.
func (o *keysOptions) titles(h *Handler, group drm.Group, of keysource.Title, schemes []drm.ProtectionScheme, now time.Time) (all []titleInPeriod, err error) {
	if o.periods != "" && o.at != "" {
		return nil, errors.New("want --at or --periods")
	}
	if o.at != "" {
		if now, err = parseInstant(o.at, now); err != nil {
			return nil, err
		}
	}
	rotates := false
	add := func(period uint32, scheme drm.ProtectionScheme, rotate time.Duration) {
		of.Period, of.Scheme = period, scheme
		all = append(all, titleInPeriod{of, rotate})
		rotates = rotates || rotate > 0
	}
	first, last := uint32(0), uint32(0)
	if o.periods != "" {
		if first, last, err = parsePeriods(o.periods); err != nil {
			return nil, err
		}
	}
	for _, scheme := range schemes {
		if group.Rotate == 0 && o.periods == "" && o.at == "" {
			add(0, scheme, 0) // on demand, and live where it does not rotate
		}
	}
	for further := range last - first + 1 {
		for _, scheme := range schemes {
			rotate := h.liveRotation(group, scheme)
			switch {
			case rotate == 0:
			case o.periods != "":
				add(first+further, scheme, rotate)
			default:
				add(uint32(max(now.Unix(), 0)/int64(rotate/time.Second)), scheme, rotate)
			}
		}
	}
	if !rotates && (o.periods != "" || o.at != "") {
		return nil, errors.New("the keys of this title do not rotate: leave out --at and --periods")
	}
	return all, nil
}

func parsePeriods(text string) (first, last uint32, err error) {
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	a, errFrom := strconv.ParseUint(from, 10, 32)
	b, errTo := strconv.ParseUint(to, 10, 32)
	if errFrom != nil || errTo != nil || b < a || b-a >= maxListedPeriods {
		return 0, 0, fmt.Errorf("--periods: want <first>-<last>, at most %d", maxListedPeriods)
	}
	return uint32(a), uint32(b), nil
}
