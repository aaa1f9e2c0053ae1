package state

import (
	"errors"
	"testing"
	"time"
)

func rekey(t testing.TB, kind RevocationKind, tenant, value string, at time.Time) Revocation {
	t.Helper()
	r, err := NewRekey(kind, tenant, value, "", at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestGenerations(t *testing.T) {
	everywhere(t, func(t *testing.T, s stores) {
		r := follow(t, s.revocations(t))
		eventually(t, 5*time.Second, "first look", func() bool { return r.Freshness(time.Now()) == Fresh })
		if g := r.Generations(named("one"), "premium", "/vod/a/"); g != nil {
			t.Errorf("generations %v without any entry", g)
		}
		now := time.Now()
		if err := r.Add(t.Context(),
			rekey(t, RekeyTitle, "one", "/vod/a/", now), rekey(t, RekeyTitle, "one", "/vod/a", now.Add(-time.Hour)),
			rekey(t, RekeyTitle, "", "/vod", now), rekey(t, RekeyGroup, "", "premium", now.Add(-2*time.Hour)),
			rekey(t, RekeyTitle, "two", "/", now),
		); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			tenant, group, asset string
			want                 uint32
		}{
			{"one", "premium", "/vod/a/", 4},
			{"one", "", "/vod/a/", 3},
			{"one", "other", "/vod/a/season/", 3},
			{"one", "", "/vod/ab/", 1},
			{"one", "premium", "/live/x/", 1},
			{"two", "", "/live/x/", 1},
			{"two", "", "/", 1},
			{"three", "", "/", 0},
		} {
			if got := r.Generations(named(test.tenant), test.group, test.asset).Current(); got != test.want {
				t.Errorf("%+v: generation %d", test, got)
			}
		}
		if kind := r.Revoked(now, Question{Site: named("one"), Path: "/vod/a/1.m4s", Asset: "/vod/a/"}); kind != "" {
			t.Errorf("a title with new keys is revoked as %s", kind)
		}
	})
}

func TestNewRekeyRefuses(t *testing.T) {
	for _, test := range []struct {
		kind          RevocationKind
		tenant, value string
	}{
		{RekeyTitle, "", ""}, {RekeyTitle, "", "vod/../a"}, {RekeyGroup, "", ""}, {RevokeTitle, "", "/vod"}, {RekeyTitle, "a\x00b", "/vod"},
	} {
		if _, err := NewRekey(test.kind, test.tenant, test.value, "", time.Now()); !errors.Is(err, ErrRevocation) {
			t.Errorf("%+v: %v", test, err)
		}
	}
}
