package probe

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"time"
)

var (
	durationPattern = regexp.MustCompile(`^P(?:(\d+(?:\.\d+)?)D)?(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?$`)
	errDuration     = errors.New("want a duration such as PT1H30M, of less than two hundred years, in days, hours, minutes and seconds")
)

// parseDuration reads an xs:duration without years and months; nothing is zero.
func parseDuration(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	parts := durationPattern.FindStringSubmatch(text)
	if parts == nil {
		return 0, errDuration
	}
	seconds := 0.0
	for i, unit := range [...]float64{86400, 3600, 60, 1} {
		if parts[i+1] == "" {
			continue
		}
		value, err := strconv.ParseFloat(parts[i+1], 64)
		if err != nil {
			return 0, errDuration
		}
		seconds += value * unit
	}
	if seconds > 200*366*86400 { // Periods of some live channels begin at the time since 1970
		return 0, errDuration
	}
	return time.Duration(math.Round(seconds * 1e9)), nil
}

// parseInstant reads an xs:dateTime, in UTC if it names no zone.
func parseInstant(text string) (time.Time, error) {
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("want an instant such as 2026-01-02T15:04:05Z")
}

// ticks turns a number of ticks into a duration, without leaving the range of durations.
func ticks(n int64, timescale uint64) time.Duration {
	if timescale == 0 {
		timescale = 1
	}
	seconds := float64(n) / float64(timescale)
	if math.Abs(seconds) < 1e6 { // exact to the nanosecond
		return time.Duration(math.Round(seconds * 1e9))
	}
	whole := n / int64(timescale)
	if whole > math.MaxInt64/int64(time.Second) || whole < math.MinInt64/int64(time.Second) {
		return math.MaxInt64
	}
	rest := float64(n%int64(timescale)) / float64(timescale)
	return time.Duration(whole)*time.Second + time.Duration(math.Round(rest*1e9))
}
