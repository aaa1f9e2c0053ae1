package main

import (
	"fmt"
	"slices"
)

// spread is what a number of rounds came to.
type spread struct {
	median, min, max float64
	rounds           int
}

// spreadOf returns the median of values, the mean of the middle two if their number is even, and the extremes. Of nothing
// it is zero.
func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return spread{median: median, min: sorted[0], max: sorted[len(sorted)-1], rounds: len(sorted)}
}

// ratios divides round by round. Rounds in which either side is missing are left out.
func ratios(ours, others []float64) []float64 {
	var out []float64
	for i := range min(len(ours), len(others)) {
		if ours[i] > 0 && others[i] > 0 {
			out = append(out, ours[i]/others[i])
		}
	}
	return out
}

// String prints three significant digits, which is more than a shared machine gives.
func (s spread) String() string {
	if s.rounds == 0 {
		return "-"
	}
	if s.rounds == 1 {
		return short(s.median)
	}
	return fmt.Sprintf("%s [%s..%s]", short(s.median), short(s.min), short(s.max))
}

func short(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 100:
		return fmt.Sprintf("%.1f", v)
	case v >= 10:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}
