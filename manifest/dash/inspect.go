package dash

import "strings"

// Info is what can be told of an MPD without its init segments.
type Info struct {
	// Live is true for a dynamic MPD, which players fetch again and again.
	Live bool
}

// Inspect reads mpd as Rewrite does, whatever protection it signals, and returns the same errors for what is no MPD.
func Inspect(mpd []byte) (Info, error) {
	doc, err := parse(mpd, replaceSignals)
	if err != nil {
		return Info{}, err
	}
	return Info{Live: isDynamic(doc.root)}, nil
}

func isDynamic(mpd *node) bool {
	value, _ := mpd.attr("type")
	return strings.TrimSpace(value) == "dynamic"
}
