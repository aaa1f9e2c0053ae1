package main

import (
	"slices"
	"testing"
)

func TestSpread(t *testing.T) {
	for _, test := range []struct {
		name   string
		values []float64
		want   spread
		text   string
	}{
		{"nothing", nil, spread{}, "-"},
		{"one round", []float64{2}, spread{2, 2, 2, 1}, "2.000"},
		{"an odd number: the middle", []float64{3, 1, 20}, spread{3, 1, 20, 3}, "3.000 [1.000..20.00]"},
		{"an even number: the mean of the middle two", []float64{4, 1, 3, 200}, spread{3.5, 1, 200, 4}, "3.500 [1.000..200.0]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			given := slices.Clone(test.values)
			if got := spreadOf(test.values); got != test.want || got.String() != test.text {
				t.Errorf("got %+v, %q, want %+v, %q", got, got, test.want, test.text)
			}
			if !slices.Equal(given, test.values) {
				t.Error("the order of rounds was changed")
			}
		})
	}
}

// A ratio is taken inside of a round, so its median is not the ratio of medians.
func TestRatiosAreTakenInsideOfRounds(t *testing.T) {
	ours, others := []float64{10, 100, 40}, []float64{5, 200, 10} // the medians are 40 and 10
	if got := spreadOf(ratios(ours, others)).median; got != 2 {
		t.Errorf("the median of %v is %v, want 2", ratios(ours, others), got)
	}
	if got := ratios([]float64{1, 0, 3, 4}, []float64{2, 5, 0}); !slices.Equal(got, []float64{0.5}) {
		t.Errorf("rounds of which a side is missing gave %v", got)
	}
}
