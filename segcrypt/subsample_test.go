package segcrypt

import (
	"errors"
	"slices"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// repeatRuns is n runs of 10 clear and size protected bytes.
func repeatRuns(n, size int) []run {
	runs := make([]run, n)
	for i := range runs {
		runs[i] = run{10, size}
	}
	return runs
}

func buildSubsamples(scheme drm.ProtectionScheme, runs []run, tail int) ([]subsample, error) {
	var b subsampleBuilder
	b.reset(scheme)
	for _, r := range runs {
		b.add(r.clear, r.protected)
	}
	b.add(tail, 0)
	return b.appendTo(nil)
}

func TestSubsamples(t *testing.T) {
	for name, tc := range map[string]struct {
		scheme drm.ProtectionScheme
		runs   []run
		tail   int
		want   []subsample
	}{
		"cenc moves the odd bytes in front":   {drm.SchemeCenc, []run{{10, 33}}, 0, []subsample{{11, 32}}},
		"cenc: 15 bytes stay clear":           {drm.SchemeCenc, []run{{10, 15}}, 0, []subsample{{25, 0}}},
		"cenc: 16 bytes do not":               {drm.SchemeCenc, []run{{10, 16}}, 0, []subsample{{10, 16}}},
		"cenc: 17 bytes, one stays":           {drm.SchemeCenc, []run{{10, 17}}, 0, []subsample{{11, 16}}},
		"cenc: short runs join the next":      {drm.SchemeCenc, []run{{10, 15}, {10, 16}}, 3, []subsample{{35, 16}, {3, 0}}},
		"cbcs keeps every run":                {drm.SchemeCbcs, []run{{10, 15}, {10, 33}}, 3, []subsample{{10, 15}, {10, 33}, {3, 0}}},
		"a clear run of 65535":                {drm.SchemeCenc, []run{{65535, 16}}, 0, []subsample{{65535, 16}}},
		"a clear run of 65536 is split":       {drm.SchemeCenc, []run{{65536, 16}}, 0, []subsample{{65535, 0}, {1, 16}}},
		"the clear end is split":              {drm.SchemeCenc, []run{{1, 16}}, 131071, []subsample{{1, 16}, {65535, 0}, {65535, 0}, {1, 0}}},
		"an empty sample has one empty entry": {drm.SchemeCenc, nil, 0, []subsample{{0, 0}}},
	} {
		if got, err := buildSubsamples(tc.scheme, tc.runs, tc.tail); err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, tc.want)
		}
	}
}

// TestSubsampleLimit: 40 entries in cenc, 42 in cbcs; beyond that the smallest runs stay clear and the sum stays right.
func TestSubsampleLimit(t *testing.T) {
	mixed := append(repeatRuns(30, 32), append(repeatRuns(25, 160), repeatRuns(30, 48)...)...)
	for name, tc := range map[string]struct {
		scheme    drm.ProtectionScheme
		runs      []run
		tail      int
		entries   int
		protected int
	}{
		"cenc, 40 runs":                {drm.SchemeCenc, repeatRuns(40, 32), 0, 40, 40 * 32},
		"cenc, 41 runs":                {drm.SchemeCenc, repeatRuns(41, 32), 0, 40, 39 * 32}, // the last entry is the clear end
		"cenc, 60 slices of one size":  {drm.SchemeCenc, repeatRuns(60, 32), 7, 40, 39 * 32},
		"cenc, the largest stay":       {drm.SchemeCenc, mixed, 0, 40, 25*160 + 14*48},
		"cbcs, 42 runs":                {drm.SchemeCbcs, repeatRuns(42, 33), 0, 42, 42 * 33},
		"cbcs, 5000 runs":              {drm.SchemeCbcs, repeatRuns(5000, 33), 0, 42, 0},
		"cenc, large runs, long clear": {drm.SchemeCenc, append(repeatRuns(60, 32), run{100000, 1600}), 0, 40, 0},
	} {
		got, err := buildSubsamples(tc.scheme, tc.runs, tc.tail)
		if err != nil || len(got) > tc.entries || (tc.protected > 0 && len(got) != tc.entries) {
			t.Errorf("%s: %d entries, %v", name, len(got), err)
		}
		total, protected := tc.tail, 0
		for _, r := range tc.runs {
			total += r.clear + r.protected
		}
		for _, s := range got {
			total -= int(s.clear) + int(s.protected)
			protected += int(s.protected)
		}
		if total != 0 || (tc.protected > 0 && protected != tc.protected) || protected == 0 {
			t.Errorf("%s: %d bytes are not described, %d protected", name, total, protected)
		}
	}
	if _, err := buildSubsamples(drm.SchemeCenc, nil, 41*65535); !errors.Is(err, errSubsamples) {
		t.Errorf("3 MB in clear: %v", err)
	}
}
