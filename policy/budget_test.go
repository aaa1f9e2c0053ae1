package policy

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/rights"
	"github.com/caddy-drm/caddy-drm/state"
	"github.com/caddy-drm/caddy-drm/token"
)

// realStreams is a Gate of package state, as the server has it.
type realStreams struct{ gate *state.Gate }

func (r realStreams) Admit(ctx context.Context, now time.Time, s Stream) StreamVerdict {
	if verdict := r.gate.Admit(ctx, now, state.Stream(s)); verdict.Outcome != state.OutcomeAdmitted {
		return StreamVerdict{Reason: ReasonStreamLimit, Rule: verdict.Rule, RetryAfter: verdict.RetryAfter}
	}
	return StreamVerdict{}
}

func (r realStreams) String() string { return r.gate.String() }

// realRevocations are those of package state.
type realRevocations struct{ list *state.Revocations }

func (r realRevocations) Revoked(now time.Time, claims token.Claims, asset Asset) (Reason, string) {
	if r.list.Revoked(now, state.Question{Subject: claims.Subject, TokenID: claims.ID, Path: asset.Path, Asset: asset.Name}) != "" {
		return ReasonRevoked, "the viewer"
	}
	return "", ""
}

// everything is a policy with all rules on, and a request that they admit with a token that was verified before.
func everything(t testing.TB) (*Policy, Asset, Viewer) {
	t.Helper()
	f := newFixture(t)
	verifier, err := token.NewCached(f.policy.Tokens.Verifier, token.CacheConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(verifier.Close)
	f.policy.Tokens.Verifier = verifier
	f.policy.Limits = nil
	for _, by := range []LimitBy{ByAddress, BySubject} {
		f.policy.Limits = append(f.policy.Limits, Limits{Limiter: newTestLimiter(t, LimiterConfig{Rate: 1e9, Burst: 1e9}), By: by, Tenant: "media.example.com"})
	}
	now := func() time.Time { return testNow }
	streams := state.NewStreams(state.Config{Store: state.NewMemoryStreams(now), Now: now})
	t.Cleanup(streams.Close)
	digest := state.NewDigester([32]byte(testSecret("digests")))
	f.policy.Streams = realStreams{streams.NewGate(digest, "media.example.com", []state.StreamRule{
		{By: state.StreamsBySubject, Limit: 2, Idle: time.Minute}, {By: state.StreamsByTitle, Limit: 1000, Idle: time.Minute},
	})}
	store, err := state.OpenMemoryRevocations(t.Context(), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	list := state.NewRevocations(t.Context(), state.RevocationConfig{Store: store, Digest: digest, Now: now})
	t.Cleanup(list.Close)
	for kind, value := range map[state.RevocationKind]string{state.RevokeSubject: "another", state.RevokeToken: "another", state.RevokeTitle: "/vod/b"} {
		entry, err := state.NewRevocation(digest, kind, "", value, "", testNow, testNow.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if err := list.Add(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
	}
	f.policy.Revocations = realRevocations{list}
	viewer := Viewer{
		Place: in(country(t, "AT")), Tokens: []string{f.sign(t, nil)}, Agent: "Mozilla/5.0 (X11; Linux x86_64)",
		Request: token.Request{Addr: netip.MustParseAddr("192.0.2.1"), Method: "GET", Host: "media.example.com"},
	}
	return &f.policy, Asset{Name: "/vod/a/", Path: "/vod/a/1.m4s", Use: UseMedia}, viewer
}

// What is judged from memory on each request must not feed the garbage collector. The token's part is that of package token.
func TestRulesAllocateNothing(t *testing.T) {
	p, asset, viewer := everything(t)
	allocations := func(p *Policy) float64 {
		return testing.AllocsPerRun(200, func() {
			if d := p.Decide(context.Background(), testNow, asset, viewer); !d.Allowed {
				t.Fatalf("%s: %s", d.Reason, d.Rule)
			}
		})
	}
	for end := time.Now().Add(5 * time.Second); ; { // the cache of tokens takes a moment
		with, without := allocations(p), allocations(&Policy{Tokens: p.Tokens, Geo: p.Geo})
		if with <= without {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%v allocations with revocations, limits and streams, %v without", with, without)
		}
	}
}

// largeCatalog has 100,000 titles, among them /vod/a/.
func largeCatalog(t testing.TB) Rights {
	t.Helper()
	var text strings.Builder
	text.WriteString(`{"titles":[{"path":"/vod/a/","territories":["AT","DE"],"model":"free","windows":[{"end":"2027-01-01T00:00:00Z"}]}`)
	for i := range 100_000 - 1 {
		fmt.Fprintf(&text, `,{"path":"/vod/title-%d/","territories":"AT","model":"free"}`, i)
	}
	text.WriteString("]}")
	catalog, err := rights.Parse([]byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	return Rights{Current: rights.Fixed(catalog)}
}

// BenchmarkDecide is a whole decision with every rule on: a remembered token, revocations, a country, a catalog of 100,000 titles, two
// rates and two limits of streams.
func BenchmarkDecide(b *testing.B) {
	p, asset, viewer := everything(b)
	p.Rights = largeCatalog(b)
	p.Decide(context.Background(), testNow, asset, viewer)
	time.Sleep(100 * time.Millisecond) // the cache of tokens takes a moment
	b.ReportAllocs()
	for b.Loop() {
		if d := p.Decide(context.Background(), testNow, asset, viewer); !d.Allowed {
			b.Fatal(d.Reason)
		}
	}
}
