package drm_test

import (
	"math"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

func TestTheGenerationOfLiveMedia(t *testing.T) {
	g := drm.Generations{100, 200, 200}
	const second = int64(time.Second)
	for _, test := range []struct {
		at         int64
		generation uint32
		from, to   int64
	}{
		{0, 0, math.MinInt64, 100 * second},
		{100*second - 1, 0, math.MinInt64, 100 * second},
		{100 * second, 1, 100 * second, 200 * second},
		{200*second - 1, 1, 100 * second, 200 * second},
		{200 * second, 3, 200 * second, math.MaxInt64},
		{math.MaxInt64, 3, 200 * second, math.MaxInt64},
	} {
		if generation, from, to := g.At(test.at); generation != test.generation || from != test.from || to != test.to {
			t.Errorf("At(%d) = %d, %d, %d, want %v", test.at, generation, from, to, test)
		}
	}
}

func TestTheOldestGenerationIsTheFirstWithinItsGrace(t *testing.T) {
	g := drm.Generations{100, 200, 210}
	for _, test := range []struct {
		now  int64
		want uint32
	}{{99, 0}, {129, 0}, {130, 1}, {229, 1}, {230, 2}, {239, 2}, {240, 3}, {9999, 3}} {
		if got := g.Oldest(time.Unix(test.now, 0), 30*time.Second); got != test.want {
			t.Errorf("at %d: %d, want %d", test.now, got, test.want)
		}
	}
	if got := (drm.Generations)(nil).Oldest(time.Unix(1, 0), 0); got != 0 {
		t.Errorf("without a re-key: %d", got)
	}
}

func TestOldGenerationsLiveForTheGraceTime(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	g := drm.Generations{now.Add(-time.Hour).Unix(), now.Unix()}
	for _, test := range []struct {
		generation uint32
		at         time.Time
		want       bool
	}{
		{2, now, true},
		{3, now, true}, // another node knows more
		{1, now.Add(59 * time.Second), true},
		{1, now.Add(time.Minute), false},
		{0, now, false},
		{0, now.Add(-time.Hour + 59*time.Second), true},
	} {
		if got := g.Live(test.generation, test.at, time.Minute); got != test.want {
			t.Errorf("generation %d at %s: %t", test.generation, test.at, got)
		}
	}
	if !drm.Generations(nil).Live(0, now, 0) {
		t.Error("the first generation is dead before there is another")
	}
}
