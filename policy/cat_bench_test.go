package policy

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/geo"
	"github.com/caddy-drm/caddy-drm/token"
	"github.com/caddy-drm/caddy-drm/token/cat"
)

// BenchmarkDecideCAT judges a remembered Common Access Token with demands on place, network and method, then country and rate.
func BenchmarkDecideCAT(b *testing.B) {
	p, viewer, asset := catPolicy(b)
	b.ReportAllocs()
	for b.Loop() {
		if d := p.Decide(context.Background(), testNow, asset, viewer); !d.Allowed {
			b.Fatal(d.Rule)
		}
	}
}

// TestDecideCATAllocates: a remembered token costs next to nothing, demands or not.
func TestDecideCATAllocates(t *testing.T) {
	p, viewer, asset := catPolicy(t)
	if d := p.Decide(context.Background(), testNow, asset, viewer); !d.Allowed {
		t.Fatal(d.Rule)
	}
	time.Sleep(50 * time.Millisecond) // the cache takes what it is given a little later
	if allocations := testing.AllocsPerRun(200, func() { p.Decide(context.Background(), testNow, asset, viewer) }); allocations > 3 {
		t.Errorf("%.1f allocations", allocations)
	}
}

func catPolicy(t testing.TB) (*Policy, Viewer, Asset) {
	t.Helper()
	key, err := cat.SecretKey("", testSecret("cat"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := cat.Sign(key, map[int64]any{
		cat.Expires: testNow.Unix() + 3600, cat.Subject: "viewer", cat.Method: []string{"GET"}, cat.NetworkIP: []any{cat.Network(netip.MustParsePrefix("192.0.2.0/24"))},
		cat.URI: map[int64]any{cat.PartHost: map[int64]any{cat.MatchExact: "example.com"}, cat.PartPath: map[int64]any{cat.MatchPrefix: "/vod/"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := cat.New(cat.Config{Keys: []cat.Key{key}})
	if err != nil {
		t.Fatal(err)
	}
	cached, err := token.NewCached(token.ByForm{CAT: verifier}, token.CacheConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cached.Close)
	limiter, err := NewLimiter(LimiterConfig{Rate: 1e9, Burst: 1e9})
	if err != nil {
		t.Fatal(err)
	}
	p := newFixture(t).policy
	p.Tokens.Verifier, p.Limits = cached, []Limits{{Limiter: limiter}}
	viewer := Viewer{Place: geo.Place{Country: country(t, "AT")}, Tokens: []string{raw}, Request: token.Request{
		Host: "example.com", Method: "GET", PublicPath: "/vod/a/1.mpd", Scheme: "https", Addr: netip.MustParseAddr("192.0.2.7"),
	}}
	return &p, viewer, Asset{Path: "/vod/a/1.mpd"}
}
