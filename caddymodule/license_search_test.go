package caddymodule

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/licensing"
)

// countedNames are derived keys, one for each class, that count how many names are derived to find one.
type countedNames struct {
	*keysource.Derived
	derived *atomic.Int64
}

func (c countedNames) KIDs(t keysource.Title) ([]drm.KID, error) {
	kids, err := c.Derived.KIDs(t)
	c.derived.Add(int64(len(kids)))
	return kids, err
}

// searchedRequest is one for a license of a title that has many crypto periods.
func searchedRequest(t testing.TB, window address.Window) (*request, countedNames) {
	t.Helper()
	secret, _ := keysource.NewSecret()
	derived, err := keysource.NewDerived(secret, true)
	if err != nil {
		t.Fatal(err)
	}
	names := countedNames{derived, new(atomic.Int64)}
	source, err := keysource.NewCached(names, time.Now, keysource.CacheOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Close)
	q := sealedRequest(t, address.Seal{Window: window}, nil)
	q.keys, q.site = openKeys{source: source}, &site{tenant: "test.example"}
	q.app.clock = func() time.Time { return time.Unix(1_800_000_030, 0) }
	return q, names
}

// searches are titles with many crypto periods: a live channel whose keys change each minute, one of which nothing leaves, a whole title, and one
// of which nobody knows what it is.
var searches = map[string]address.Window{
	"live": {Rotate: 60, Depth: 300, Further: maxLicensePeriods}, "live from its beginning": {Rotate: 60, Depth: 48 * 3600, Further: maxLicensePeriods},
	"whole": {Further: maxLicensePeriods}, "unseen": {Rotate: 60, Depth: uint32(unseenDepth / time.Second), Further: maxLicensePeriods},
}

// TestUnknownKeysCostLittle: who asks for keys that a title does not have, again and again, has few names derived for each of his requests.
func TestUnknownKeysCostLittle(t *testing.T) {
	for name, window := range searches {
		t.Run(name, func(t *testing.T) {
			q, names := searchedRequest(t, window)
			foreign := drm.KID{1}
			for n := range 5 {
				before := names.derived.Load()
				binary.BigEndian.PutUint64(foreign[4:], uint64(n))
				if keys, err := q.licensedKeys([]drm.KID{foreign}); len(keys) > 0 || err != nil {
					t.Errorf("%d keys, %v", len(keys), err)
				}
				if _, err := q.grantedKeys([]drm.KID{foreign}); !errors.Is(err, licensing.ErrNoKeys) {
					t.Error(err)
				}
				if derived := names.derived.Load() - before; n > 0 && derived > 500 {
					t.Errorf("request %d of each system: %d names", n, derived)
				}
			}
		})
	}
}

// TestEveryPeriodIsFound: by its own keys, wherever in a span it is, and no other key beside them.
func TestEveryPeriodIsFound(t *testing.T) {
	now := uint32(1_800_000_030 / 60)
	spans := map[string][]uint32{
		"live":                    {0, 1, 15, 16, 255, 256, 257, 4095, 4096, now + 1, now, now - 5},
		"live from its beginning": {0, 16, 4096, now + 1, now - 14, now - 15, now - 1000, now - 2880},
		"whole":                   {0, 15, 16, 17, 255, 256, 511, 512, 4096}, "unseen": {0, 4096, now + 1, now - 2880},
	}
	beyond := map[string][]uint32{"live": {4097, now + 2, now - 6}, "live from its beginning": {4097, now + 2, now - 2881}, "whole": {4097, now}, "unseen": {4097, now - 2882}}
	for name, window := range searches {
		q, names := searchedRequest(t, window)
		kid := func(period uint32, class drm.TrackClass) drm.KID {
			title := q.sealedTitle()
			title.Period = period
			kid, err := names.KID(keysource.Request{Title: title, Class: class})
			if err != nil {
				t.Fatal(err)
			}
			return kid
		}
		for _, period := range spans[name] {
			for _, class := range []drm.TrackClass{drm.ClassAudio, drm.ClassHD} {
				if keys, err := q.licensedKeys([]drm.KID{kid(period, class)}); err != nil || len(keys) != 1 || keys[0].KID() != kid(period, class) {
					t.Errorf("%s, period %d, %s: %d keys, %v", name, period, class, len(keys), err)
				}
			}
		}
		two := []drm.KID{kid(spans[name][1], drm.ClassHD), kid(spans[name][len(spans[name])-1], drm.ClassSD)}
		if keys, err := q.licensedKeys(two); err != nil || len(keys) != 2 {
			t.Errorf("%s: %d keys of two periods, %v", name, len(keys), err)
		}
		for _, period := range beyond[name] {
			if keys, err := q.licensedKeys([]drm.KID{kid(period, drm.ClassHD)}); err != nil || len(keys) > 0 {
				t.Errorf("%s, period %d, which it has not: %d keys, %v", name, period, len(keys), err)
			}
		}
	}
}

// TestRequestsWithoutNames: of a live title it is for two crypto periods, also if the title will have others when it has ended. Only where nobody
// has seen what the title is, it has those of both kinds.
func TestRequestsWithoutNames(t *testing.T) {
	now := uint32(1_800_000_030 / 60)
	for name, want := range map[string][]uint32{"live": {now + 1, now}, "live from its beginning": {now + 1, now}, "whole": {0}, "unseen": {now + 1, now, now - 1, now - 2, now - 3}} {
		q, names := searchedRequest(t, searches[name])
		granted, err := q.grantedKeys(nil)
		if err != nil {
			t.Error(err)
		}
		var kids []drm.KID
		for _, period := range want {
			title := q.sealedTitle()
			title.Period = period
			of, err := names.Derived.KIDs(title)
			if err != nil {
				t.Fatal(err)
			}
			kids = append(kids, of...)
		}
		if got := grantedKIDs(granted); !slices.Equal(got, kids) {
			t.Errorf("%s: %d keys, want %d", name, len(got), len(kids))
		}
	}
}

// BenchmarkUnknownKey is a license request for a key that a live channel does not have, whose keys change each minute.
func BenchmarkUnknownKey(b *testing.B) {
	q, names := searchedRequest(b, searches["live"])
	b.ReportAllocs()
	for b.Loop() {
		if keys, err := q.licensedKeys([]drm.KID{{1}}); err != nil || len(keys) > 0 {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(names.derived.Load())/float64(b.N), "names/op")
}
