package state

import (
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

func named(name string) Site { return Site{Names: []string{name}} }

// TestSites: an entry means a site by each of its names, and those that are an address in any spelling. Names that somebody gave are compared as
// they are.
func TestSites(t *testing.T) {
	unnamed := Site{Names: []string{"media.test/premium shop", "media.test:8443/premium shop"}, ByAddress: true}
	six := Site{Names: []string{"::1", "[::1]"}, ByAddress: true}
	for _, test := range []struct {
		tenant string
		site   Site
		want   bool
	}{
		{"", unnamed, true},
		{"media.test/premium shop", unnamed, true},
		{"media.test:8443/premium shop", unnamed, true},
		{"media.test/Premium%20Shop", unnamed, true},
		{"Media.Test./Premium%20shop", unnamed, true},
		{"media.test:443/premium shop", unnamed, true},
		{"media.test:80/PREMIUM SHOP", unnamed, true},
		{"media.test:8444/premium shop", unnamed, false},
		{"media.test", unnamed, false},
		{"media.test/premium%zzshop", unnamed, false},
		{"::1", six, true},
		{"[::1]:443", six, true},
		{"::1:443", six, false},
		{"", named("North"), true},
		{"North", named("North"), true},
		{"north", named("North"), false},
		{"North", named("north"), false},
		{"north:443", named("north"), false},
	} {
		if got := (Revocation{Tenant: test.tenant}).HoldsFor(test.site); got != test.want {
			t.Errorf("%q for %+v: %t", test.tenant, test.site, got)
		}
	}
}

// TestSitesOfEntries: all kinds of entries are compared in this way, and one that means a site by two of its names counts once.
func TestSitesOfEntries(t *testing.T) {
	site := Site{Names: []string{"media.test", "media.test:8443"}, ByAddress: true}
	store, err := OpenMemoryRevocations(t.Context(), nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	r := NewRevocations(t.Context(), RevocationConfig{Store: store, Digest: NewDigester(testKey())})
	defer r.Close()
	kid := drm.KID{7}
	now := time.Now()
	if err := r.Add(t.Context(),
		revocation(t, RevokeSubject, "MEDIA.test", "viewer", time.Hour), revocation(t, RevokeTitle, "media.test:443", "/vod", time.Hour),
		revocation(t, RevokeKey, "media.test.", kid.String(), time.Hour),
		rekey(t, RekeyTitle, "media.test", "/vod", now), rekey(t, RekeyTitle, "Media.test:8443", "/vod", now), rekey(t, RekeyTitle, "media.test:1", "/vod", now),
	); err != nil {
		t.Fatal(err)
	}
	if r.Revoked(now, Question{Site: site, Subject: "viewer"}) != RevokeSubject || r.Revoked(now, Question{Site: site, Path: "/vod/a"}) != RevokeTitle || !r.KeyRevoked(now, site, kid) {
		t.Error("something is not revoked")
	}
	if g := r.Generations(site, "", "/vod/"); g.Current() != 2 {
		t.Errorf("generations %v", g)
	}
}
