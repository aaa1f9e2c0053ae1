package policy

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/caddy-drm/caddy-drm/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newTestLimiter(t testing.TB, config LimiterConfig) *Limiter {
	t.Helper()
	l, err := NewLimiter(config)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLimiterRate(t *testing.T) {
	l := newTestLimiter(t, LimiterConfig{Rate: 2, Burst: 2}) // two at once, then one every 500 ms
	for _, step := range []struct {
		at         time.Duration
		allowed    bool
		retryAfter time.Duration
	}{
		{0, true, 0},
		{0, true, 0},
		{0, false, 500 * time.Millisecond},
		{400 * time.Millisecond, false, 100 * time.Millisecond}, // a refused request is not counted
		{500 * time.Millisecond, true, 0},
		{500 * time.Millisecond, false, 500 * time.Millisecond},
		{time.Hour, true, 0}, // no more than the burst is saved up
		{time.Hour, true, 0},
		{time.Hour, false, 500 * time.Millisecond},
		{0, false, 500 * time.Millisecond}, // the clock set back: no gift, and no hour in jail
		{500 * time.Millisecond, true, 0},
	} {
		wait := l.Peek([]byte("k"), testNow.Add(step.at))
		if again := l.Peek([]byte("k"), testNow.Add(step.at)); (wait-step.retryAfter).Abs() > time.Microsecond || again != wait {
			t.Errorf("at %s: %s to wait, then %s; want %s", step.at, wait, again, step.retryAfter)
		}
		allowed, retryAfter := l.Allow([]byte("k"), testNow.Add(step.at))
		if allowed != step.allowed || (retryAfter-step.retryAfter).Abs() > time.Microsecond { // buckets count in floating point
			t.Errorf("at %s: %t, %s; want %t, %s", step.at, allowed, retryAfter, step.allowed, step.retryAfter)
		}
	}
	if wait := l.Peek([]byte("new"), testNow); wait != 0 || l.Len() != 1 {
		t.Errorf("%s to wait, %d keys", wait, l.Len())
	}
	if allowed, _ := l.Allow([]byte("other"), testNow); !allowed {
		t.Error("one key used up another's rate")
	}
}

// TestLimiterPeeksAtLongKeys: what Peek says holds for keys of any length.
func TestLimiterPeeksAtLongKeys(t *testing.T) {
	for _, length := range []int{1, maxKeyBytes, maxKeyBytes + 1, 4 * maxKeyBytes} {
		l := newTestLimiter(t, LimiterConfig{Rate: 2, Burst: 1})
		key := bytes.Repeat([]byte("k"), length)
		if allowed, _ := l.Allow(key, testNow); !allowed {
			t.Errorf("%d bytes: the first request is refused", length)
		}
		if wait := l.Peek(key, testNow); (wait - 500*time.Millisecond).Abs() > time.Microsecond {
			t.Errorf("%d bytes: %s to wait for the second request", length, wait)
		}
	}
}

func TestLimiterKeys(t *testing.T) {
	same := func(a, b string) bool {
		return string(AppendAddressKey(nil, netip.MustParseAddr(a))) == string(AppendAddressKey(nil, netip.MustParseAddr(b)))
	}
	for _, test := range []struct {
		rule, a, b string
		want       bool
	}{
		{"two IPv4 addresses", "192.0.2.1", "192.0.2.2", false},
		{"IPv4 inside IPv6", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"IPv4 inside IPv6 with a zone", "192.0.2.1", "::ffff:192.0.2.1%eth0", true},
		{"one /64", "2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true},
		{"the next /64", "2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"two zones", "fe80::1%eth0", "fe80::2%eth1", true},
	} {
		if same(test.a, test.b) != test.want {
			t.Errorf("%s: %s and %s share a key: %t", test.rule, test.a, test.b, !test.want)
		}
	}
	if string(AppendAddressKey(nil, netip.Addr{})) != string(AppendAddressKey(nil, netip.Addr{}.WithZone("x"))) {
		t.Error("invalid addresses have several keys")
	}
}

func TestLimitsByWhatTheySay(t *testing.T) {
	home, away := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	ask := func(p *Policy, addr netip.Addr, claims token.Claims, customer string) Reason {
		q := newQuestion(t.Context(), testNow, Asset{}, Viewer{Request: token.Request{Addr: addr}, Expand: func(name string) string {
			if name != "{customer}" {
				t.Errorf("placeholder %s", name)
			}
			return customer
		}})
		q.decision.Claims = claims
		p.judgeRequests(&q)
		if (q.decision.Reason == ReasonRateLimited) != (q.decision.RetryAfter > 0) {
			t.Errorf("%q with %s to wait", q.decision.Reason, q.decision.RetryAfter)
		}
		return q.decision.Reason
	}
	one := func(by LimitBy) *Policy {
		return &Policy{Limits: []Limits{{Limiter: newTestLimiter(t, LimiterConfig{Rate: 1, Burst: 1}), By: by, Placeholder: "{customer}", Tenant: "t"}}}
	}
	for _, test := range []struct {
		rule           string
		by             LimitBy
		first, second  netip.Addr
		claims, other  token.Claims
		value, another string
		same           bool
	}{
		{"a subject at two addresses", BySubject, home, away, token.Claims{Subject: "a"}, token.Claims{Subject: "a"}, "", "", true},
		{"two subjects at one address", BySubject, home, home, token.Claims{Subject: "a"}, token.Claims{Subject: "b"}, "", "", false},
		{"no subject, one address", BySubject, home, home, token.Claims{}, token.Claims{}, "", "", true},
		{"a subject that reads like an address", BySubject, home, home, token.Claims{}, token.Claims{Subject: "4\xc0\x00\x02\x01"}, "", "", false},
		{"two devices of a subject", ByDevice, home, home, token.Claims{Subject: "a", Device: "x"}, token.Claims{Subject: "a", Device: "y"}, "", "", false},
		{"no device, one subject", ByDevice, home, away, token.Claims{Subject: "a"}, token.Claims{Subject: "a"}, "", "", true},
		{"one customer at two addresses", ByPlaceholder, home, away, token.Claims{}, token.Claims{}, "x", "x", true},
		{"two customers", ByPlaceholder, home, home, token.Claims{}, token.Claims{}, "x", "y", false},
		{"no customer, one address", ByPlaceholder, home, home, token.Claims{}, token.Claims{}, "", "", true},
	} {
		p := one(test.by)
		if ask(p, test.first, test.claims, test.value) != "" {
			t.Errorf("%s: the first is refused", test.rule)
		}
		if got := ask(p, test.second, test.other, test.another) != ""; got != test.same {
			t.Errorf("%s: the second is refused: %t", test.rule, got)
		}
	}
	both := &Policy{Limits: append(one(BySubject).Limits, one(ByAddress).Limits...)}
	if ask(both, home, token.Claims{Subject: "a"}, "") != "" || ask(both, home, token.Claims{Subject: "b"}, "") != ReasonRateLimited || ask(both, away, token.Claims{Subject: "a"}, "") != ReasonRateLimited {
		t.Error("of two limits one does not hold")
	}
	shared := one(ByAddress)
	elsewhere := &Policy{Limits: []Limits{{Limiter: shared.Limits[0].Limiter, Tenant: "other"}}}
	if ask(shared, home, token.Claims{}, "") != "" || ask(elsewhere, home, token.Claims{}, "") != "" {
		t.Error("two tenants share a count")
	}
	if ask(&Policy{Limits: []Limits{{}}}, home, token.Claims{}, "") != "" {
		t.Error("no limit was exceeded")
	}
}

func TestLimiterTableIsBounded(t *testing.T) {
	l := newTestLimiter(t, LimiterConfig{Rate: 0.001, Burst: 1, MaxKeys: 1600})
	for i := range 100_000 {
		l.Allow(fmt.Append(nil, "flood ", i), testNow)
		if i%10 == 0 { // a key in use is not the one that was idle longest
			if allowed, _ := l.Allow([]byte("active"), testNow); allowed != (i == 0) {
				t.Fatalf("after %d keys the active one was forgotten", i)
			}
		}
	}
	if n := l.Len(); n > 1600 {
		t.Errorf("%d keys, want at most 1600", n)
	}
	for i := range l.shards {
		s, ordered := &l.shards[i], 0
		for b := s.head.next; b != &s.head; b = b.next {
			ordered++
		}
		if ordered != len(s.byKey) {
			t.Errorf("shard %d: %d in order, %d by key", i, ordered, len(s.byKey))
		}
	}
}

// The cost of a call must not grow with the table, or filling it would be the attack. The bound is far above noise and far below
// a scan.
func TestLimiterEvictionDoesNotScan(t *testing.T) {
	perCall := func(maxKeys int) time.Duration {
		l := newTestLimiter(t, LimiterConfig{Rate: 1, Burst: 1, MaxKeys: maxKeys})
		keys := make([]string, maxKeys+20_000)
		for i := range keys {
			keys[i] = fmt.Sprint(i)
		}
		for _, k := range keys[:maxKeys] {
			l.Allow([]byte(k), testNow)
		}
		start := time.Now()
		for _, k := range keys[maxKeys:] {
			l.Allow([]byte(k), testNow)
		}
		return time.Since(start) / 20_000
	}
	small, large := perCall(1<<10), perCall(1<<17)
	if large > 30*small+20*time.Microsecond {
		t.Errorf("%s per call with 2¹⁷ keys, %s with 2¹⁰", large, small)
	}
}

func TestLimiterConcurrently(t *testing.T) {
	l := newTestLimiter(t, LimiterConfig{Rate: 1e-9, Burst: 100})
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if ok, _ := l.Allow([]byte("k"), testNow); ok {
					allowed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if allowed.Load() != 100 {
		t.Errorf("%d allowed, want the burst of 100", allowed.Load())
	}
}

func TestNewLimiterRefuses(t *testing.T) {
	for _, config := range []LimiterConfig{
		{}, {Rate: 1}, {Burst: 1}, {Rate: -1, Burst: 1}, {Rate: math.NaN(), Burst: 1}, {Rate: math.Inf(1), Burst: 1},
		{Rate: 1, Burst: -1}, {Rate: 1, Burst: 1, MaxKeys: -1},
	} {
		if l, err := NewLimiter(config); err == nil || l != nil {
			t.Errorf("%+v was accepted", config)
		}
	}
}

func BenchmarkLimiter(b *testing.B) {
	l := newTestLimiter(b, LimiterConfig{Rate: 1, Burst: 1, MaxKeys: 1 << 12})
	keys := make([][]byte, 1<<13) // twice what fits: every other call evicts
	for i := range keys {
		keys[i] = fmt.Append(nil, i)
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		l.Allow(keys[i&(1<<13-1)], testNow)
		i++
	}
}

// BenchmarkLimiterMemory fills a table with a million subjects and prints what one of them takes.
func BenchmarkLimiterMemory(b *testing.B) {
	const subjects = 1_000_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		l := newTestLimiter(b, LimiterConfig{Rate: 1, Burst: 10, MaxKeys: subjects})
		for i := range 2 * subjects { // twice what fits
			l.Allow(fmt.Appendf(nil, "tenant\x00ssubscriber-%d", i), testNow)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if n := l.Len(); n > subjects || n < subjects*9/10 {
			b.Fatalf("%d keys, want at most %d", n, subjects)
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(l.Len()), "B/subject")
	}
}
