package cpix

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// maxPeriodLength keeps times within what arithmetic on them can hold.
const maxPeriodLength = 100 * 365 * 24 * time.Hour

func (p *parser) periods() error {
	nodes, err := p.root.list("ContentKeyPeriodList", "ContentKeyPeriod")
	if err != nil {
		return err
	}
	indexes := make(map[uint32]bool)
	for _, n := range nodes {
		period, err := parsePeriod(n)
		if err != nil {
			return err
		}
		if period.ID != "" { // without one no rule can refer to it
			if p.periodIDs[period.ID] {
				return n.errorf("the @id of another period again")
			}
			p.periodIDs[period.ID] = true
		}
		if period.HasIndex {
			if indexes[period.Index] {
				return n.errorf("the crypto period of another element again")
			}
			indexes[period.Index] = true
		}
		p.d.Periods = append(p.d.Periods, period)
	}
	return nil
}

func parsePeriod(n *node) (Period, error) {
	var period Period
	period.ID, _ = n.attribute("id")
	if text, ok := n.attribute("index"); ok {
		index, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return period, n.errorf("@index is not a whole number below 2^32")
		}
		period.Index, period.HasIndex = uint32(index), true
	}
	if err := parseTimes(n, &period); err != nil {
		return period, err
	}
	if !period.HasIndex {
		period.Index, period.HasIndex = indexOfTimes(period)
	}
	return period, nil
}

// parseTimes reads @start and @end, or the offsets with which CPIX 2.4 counts from the beginning of the content.
func parseTimes(n *node, period *Period) error {
	for name, into := range map[string]*time.Time{"start": &period.Start, "end": &period.End} {
		if text, ok := n.attribute(name); ok {
			t, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return n.errorf("@%s is not a dateTime with a time zone", name)
			}
			*into = t.UTC()
		}
	}
	var length time.Duration
	for name, into := range map[string]*time.Duration{"startOffset": &period.StartOffset, "endOffset": &period.EndOffset, "duration": &length} {
		if text, ok := n.attribute(name); ok {
			d, ok := parseDuration(text)
			if !ok {
				return n.errorf("@%s is not a duration", name)
			}
			*into = d
		}
	}
	switch {
	case length > 0 && !period.Start.IsZero() && period.End.IsZero():
		period.End = period.Start.Add(length)
	case length > 0 && period.Start.IsZero() && period.EndOffset == 0:
		period.EndOffset = period.StartOffset + length
	}
	if !period.End.IsZero() && !period.End.After(period.Start) || period.EndOffset < period.StartOffset {
		return n.errorf("the period ends before it starts")
	}
	return nil
}

// indexOfTimes returns the index of the crypto period that start and length tell: periods of one length count from 1970, or from the
// beginning of the content.
func indexOfTimes(period Period) (uint32, bool) {
	start, length := period.StartOffset, period.EndOffset-period.StartOffset
	if !period.Start.IsZero() && !period.End.IsZero() {
		if y := period.Start.Year(); y < 1970 || y > 2200 {
			return 0, false
		}
		start, length = time.Duration(period.Start.UnixNano()), period.End.Sub(period.Start)
	}
	if length <= 0 || start%length != 0 || start/length > math.MaxUint32 {
		return 0, false
	}
	return uint32(start / length), true
}

// durationPattern is xs:duration without years and months, whose length depends on when they begin.
var durationPattern = regexp.MustCompile(`^P(?:(\d{1,6})D)?(?:T(?:(\d{1,7})H)?(?:(\d{1,8})M)?(?:(\d{1,10}(?:\.\d{1,9})?)S)?)?$`)

func parseDuration(text string) (time.Duration, bool) {
	m := durationPattern.FindStringSubmatch(text)
	if m == nil || slices.Max(m[1:]) == "" {
		return 0, false
	}
	total := 0.0
	for i, unit := range []float64{24 * 3600, 3600, 60, 1} {
		if m[i+1] != "" {
			v, err := strconv.ParseFloat(m[i+1], 64)
			if err != nil {
				return 0, false
			}
			total += v * unit
		}
	}
	if total > maxPeriodLength.Seconds() {
		return 0, false
	}
	return time.Duration(math.Round(total*1e6)) * time.Microsecond, true
}

func (p *parser) rules() error {
	nodes, err := p.root.list("ContentKeyUsageRuleList", "ContentKeyUsageRule")
	if err != nil {
		return err
	}
	for _, n := range nodes {
		rule := Rule{}
		if rule.KID, err = p.knownKID(n); err != nil {
			return err
		}
		rule.TrackType, _ = n.attribute("intendedTrackType")
		for _, c := range n.children {
			if c.space != nsCPIX {
				rule.Unsupported = "an element of another namespace"
				continue
			}
			if err := p.filter(&rule, c); err != nil {
				return err
			}
		}
		p.d.Rules = append(p.d.Rules, rule)
	}
	return nil
}

func (p *parser) filter(rule *Rule, c *node) error {
	switch c.name {
	case "KeyPeriodFilter":
		id, _ := c.attribute("periodId")
		if !p.periodIDs[id] {
			return c.errorf("@periodId names no period of the document")
		}
		rule.Periods = append(rule.Periods, id)
	case "VideoFilter":
		bounds, err := c.bounds(rule, "minPixels", "maxPixels")
		if err != nil {
			return err
		}
		rule.Video = append(rule.Video, VideoFilter{bounds[0], bounds[1]})
	case "AudioFilter":
		bounds, err := c.bounds(rule, "minChannels", "maxChannels")
		if err != nil {
			return err
		}
		rule.Audio = append(rule.Audio, AudioFilter{uint32(bounds[0]), uint32(bounds[1])})
	case "LabelFilter", "BitrateFilter":
		rule.Unsupported = c.name
	default:
		rule.Unsupported = "an unknown filter"
	}
	return nil
}

// bounds reads the least and the greatest of a filter. What else narrows it makes the rule unsupported.
func (n *node) bounds(rule *Rule, names ...string) (bounds [2]uint64, err error) {
	for _, a := range n.attributes {
		i := slices.Index(names, a.Name.Local)
		switch {
		case a.Name.Space != "" || a.Name.Local == "xmlns":
			continue
		case i < 0:
			if slices.Contains([]string{"hdr", "wcg", "minFps", "maxFps"}, a.Name.Local) {
				rule.Unsupported = n.name + "/@" + a.Name.Local
			} else {
				rule.Unsupported = "an unknown attribute of " + n.name
			}
			continue
		}
		if bounds[i], err = strconv.ParseUint(a.Value, 10, 32); err != nil {
			return bounds, n.errorf("@%s is not a whole number below 2^32", names[i])
		}
	}
	if bounds[1] != 0 && bounds[1] < bounds[0] {
		return bounds, n.errorf("the greatest is below the least")
	}
	return bounds, nil
}
