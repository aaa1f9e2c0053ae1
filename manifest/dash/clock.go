package dash

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Times of a presentation are counted in nanoseconds and those of media in ticks, both as int64. Neither is past maxTime, about
// 146 years, so that the sum of two does not overflow.
const maxTime = math.MaxInt64 / 2

var errDuration = fmt.Errorf("%w: not a duration, or one of months", ErrStructure)

// parseDuration reads xs:duration in nanoseconds; digits beyond are dropped. Years and months have no length and are refused.
func parseDuration(text string) (int64, error) {
	rest, ok := strings.CutPrefix(text, "P")
	if !ok || rest == "" {
		return 0, errDuration
	}
	days, clock, timed := strings.Cut(rest, "T")
	if timed && clock == "" {
		return 0, errDuration
	}
	total := int64(0)
	for _, part := range []struct {
		text  *string
		unit  string
		nanos int64
	}{{&days, "D", 24 * int64(time.Hour)}, {&clock, "H", int64(time.Hour)}, {&clock, "M", int64(time.Minute)}, {&clock, "S", int64(time.Second)}} {
		number, rest, ok := strings.Cut(*part.text, part.unit)
		if !ok {
			continue
		}
		*part.text = rest
		nanos, err := parseAmount(number, part.nanos, part.unit == "S")
		if err != nil || nanos > maxTime-total {
			return 0, errDuration
		}
		total += nanos
	}
	if days != "" || clock != "" {
		return 0, errDuration
	}
	return total, nil
}

// parseAmount reads a number of units; one of seconds may have a fraction.
func parseAmount(text string, unit int64, fraction bool) (int64, error) {
	whole, decimals, dotted := strings.Cut(text, ".")
	n, err := strconv.ParseUint(whole, 10, 63)
	if err != nil || dotted && (!fraction || decimals == "") || int64(n) > maxTime/unit {
		return 0, errDuration
	}
	nanos := int64(n) * unit
	for i, digit := range []byte(decimals) {
		if digit < '0' || digit > '9' {
			return 0, errDuration
		}
		if i < 9 {
			nanos += int64(digit-'0') * int64(math.Pow10(8-i))
		}
	}
	return nanos, nil
}

// formatDuration writes nanoseconds as xs:duration, exactly.
func formatDuration(nanos int64) string { return "PT" + formatSeconds(nanos) + "S" }

func formatSeconds(nanos int64) string {
	text := strconv.FormatInt(nanos/int64(time.Second), 10)
	if fraction := nanos % int64(time.Second); fraction != 0 {
		text += "." + strings.TrimRight(fmt.Sprintf("%09d", fraction), "0")
	}
	return text
}

// parseDateTime reads xs:dateTime in nanoseconds since 1970. Without a time zone it is UTC (5.3.1.2).
func parseDateTime(text string) (int64, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05", text)
	}
	if err != nil || at.Unix() < 0 || at.Unix() >= maxTime/int64(time.Second) {
		return 0, fmt.Errorf("%w: not a point in time since 1970", ErrStructure)
	}
	return at.UnixNano(), nil
}

// mulDiv returns v·num/den rounded down, or the nearest that an int64 holds. num and den are positive.
func mulDiv(v, num, den int64) int64 {
	if v < 0 {
		// Rounding a negative number down is rounding its amount up.
		high, low := bits.Mul64(uint64(-v), uint64(num))
		low, carry := bits.Add64(low, uint64(den-1), 0)
		if high += carry; high >= uint64(den) {
			return math.MinInt64
		}
		if q, _ := bits.Div64(high, low, uint64(den)); q <= math.MaxInt64 {
			return -int64(q)
		}
		return math.MinInt64
	}
	high, low := bits.Mul64(uint64(v), uint64(num))
	if high >= uint64(den) {
		return math.MaxInt64
	}
	q, _ := bits.Div64(high, low, uint64(den))
	return int64(min(q, math.MaxInt64))
}

// mulDivUp is mulDiv rounded up, and mulDivNear to the nearest.
func mulDivUp(v, num, den int64) int64 {
	if v == math.MinInt64 {
		return v
	}
	if q := mulDiv(-v, num, den); q != math.MinInt64 {
		return -q
	}
	return math.MaxInt64
}

func mulDivNear(v, num, den int64) int64 {
	low, high := mulDiv(v, num, den), mulDivUp(v, num, den)
	if low == high || low == math.MinInt64 || high == math.MaxInt64 {
		return low
	}
	// v·num/den lies between low and low+1: doubled, it is at least 2·low+1 from the middle on.
	if mulDiv(v, 2*num, den)-low > low {
		return high
	}
	return low
}

// addTimes returns the sum of two times, or the nearest that an int64 holds.
func addTimes(a, b int64) int64 {
	switch sum := a + b; {
	case a > 0 && b > 0 && sum < 0:
		return math.MaxInt64
	case a < 0 && b < 0 && sum >= 0:
		return math.MinInt64
	default:
		return sum
	}
}
