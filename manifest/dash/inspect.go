package dash

import (
	"strings"
	"time"
)

// Info is what can be told of an MPD without its init segments.
type Info struct {
	// Live is true for a dynamic MPD, which players fetch again and again.
	Live bool
	// Duration is @mediaPresentationDuration, and Depth @timeShiftBufferDepth; zero where the MPD does not say.
	Duration, Depth time.Duration
	// Began is @availabilityStartTime; zero where the MPD does not say, or says something else than a time.
	Began time.Time
}

// Inspect reads mpd as Rewrite does, whatever protection it signals, and returns the same errors for what is no MPD.
func Inspect(mpd []byte) (Info, error) {
	doc, err := parse(mpd, replaceSignals)
	if err != nil {
		return Info{}, err
	}
	info := Info{Live: isDynamic(doc.root)}
	if nanos, err := parseDateTime(doc.root.trimmed("availabilityStartTime")); err == nil {
		info.Began = time.Unix(0, nanos).UTC()
	}
	for name, into := range map[string]*time.Duration{"mediaPresentationDuration": &info.Duration, "timeShiftBufferDepth": &info.Depth} {
		if text := doc.root.trimmed(name); text != "" {
			nanos, err := parseDuration(text)
			if err != nil {
				return Info{}, doc.errorf(doc.root, "@%s: %w", name, err)
			}
			*into = time.Duration(nanos)
		}
	}
	return info, nil
}

func isDynamic(mpd *node) bool {
	value, _ := mpd.attr("type")
	return strings.TrimSpace(value) == "dynamic"
}
