package state

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// faultyStore is a store in memory that can be out, or slow.
type faultyStore struct {
	*MemoryStreams
	out   atomic.Bool
	stuck atomic.Pointer[chan struct{}]
	holds atomic.Int32
}

func (f *faultyStore) Hold(ctx context.Context, uses []StreamUse) ([]StreamStatus, error) {
	f.holds.Add(1)
	if stuck := f.stuck.Load(); stuck != nil {
		<-*stuck // as a server that is frozen, whatever the context says
	}
	if f.out.Load() {
		return nil, ErrUnavailable
	}
	return f.MemoryStreams.Hold(ctx, uses)
}

// clock is a time that a test sets.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Unix(1_767_225_600, 0)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	c.at = c.at.Add(d)
	c.mu.Unlock()
}

// node is one gateway on a store.
type node struct {
	*Streams
	gate  *Gate
	clock *clock
}

// newNode starts a node whose rounds of renewal the test runs itself.
func newNode(t testing.TB, store StreamStore, c *clock, mode FailureMode, rules ...StreamRule) *node {
	t.Helper()
	s := NewStreams(Config{Store: store, OnFailure: mode, Timeout: 50 * time.Millisecond, Lease: 15 * time.Second, Renew: time.Hour, Now: c.now})
	t.Cleanup(s.Close)
	return &node{s, s.NewGate(NewDigester(testKey()), "tenant", rules), c}
}

func (n *node) ask(playback string, change func(*Stream)) StreamVerdict {
	s := *stream(playback)
	if change != nil {
		change(&s)
	}
	return n.gate.Admit(context.Background(), n.clock.now(), s)
}

// stream is a request of the viewer.
func stream(playback string) *Stream {
	s := &Stream{Subject: "viewer", Device: "tv", Asset: "/vod/a/", Agent: "agent", Addr: netip.MustParseAddr("192.0.2.1")}
	copy(s.Playback[:], playback)
	return s
}

func (n *node) want(t *testing.T, playback string, want StreamOutcome, change func(*Stream)) StreamVerdict {
	t.Helper()
	got := n.ask(playback, change)
	if got.Outcome != want {
		t.Errorf("%s: outcome %d (%s), want %d", playback, got.Outcome, got.Rule, want)
	}
	if (got.Outcome == OutcomeAdmitted) != (got.RetryAfter == 0) {
		t.Errorf("%s: outcome %d with %s to wait", playback, got.Outcome, got.RetryAfter)
	}
	return got
}

func subjects(limit int) StreamRule {
	return StreamRule{By: StreamsBySubject, Limit: limit, Idle: 45 * time.Second}
}

func TestLimitOfASubjectOverNodes(t *testing.T) {
	c := newClock()
	store := NewMemoryStreams(c.now)
	a, b := newNode(t, store, c, FailClosed, subjects(2)), newNode(t, store, c, FailClosed, subjects(2))
	a.want(t, "1", OutcomeAdmitted, nil)
	b.want(t, "1", OutcomeAdmitted, nil) // the same playback, served by both
	b.want(t, "2", OutcomeAdmitted, nil)
	if got := a.want(t, "3", OutcomeLimited, nil); !strings.Contains(got.Rule, "2 streams by subject") || got.RetryAfter != 45*time.Second {
		t.Errorf("%+v", got)
	}
	a.want(t, "3", OutcomeLimited, func(s *Stream) { s.Look = true })
	a.want(t, "3", OutcomeAdmitted, func(s *Stream) { s.Subject = "other" })
	c.pass(40 * time.Second)
	b.want(t, "2", OutcomeAdmitted, nil)
	a.round(t.Context())
	b.round(t.Context())
	c.pass(6 * time.Second) // 1 is idle now
	a.want(t, "3", OutcomeAdmitted, nil)
	b.want(t, "4", OutcomeLimited, nil)
}

func TestTokenLowersOrSetsTheLimit(t *testing.T) {
	c := newClock()
	for _, test := range []struct{ rule, token, want int }{{3, 0, 3}, {3, 1, 1}, {3, 5, 3}, {0, 2, 2}, {0, 0, 10}} {
		n := newNode(t, NewMemoryStreams(c.now), c, FailClosed, subjects(test.rule))
		admitted := 0
		for i := range 10 {
			if n.ask(fmt.Sprint(i), func(s *Stream) { s.MaxStreams = test.token }).Outcome == OutcomeAdmitted {
				admitted++
			}
		}
		if admitted != test.want {
			t.Errorf("a rule of %d and a token of %d admit %d, want %d", test.rule, test.token, admitted, test.want)
		}
	}
}

func TestWhatCountsAsOneStream(t *testing.T) {
	c := newClock()
	for _, test := range []struct {
		rule   string
		limit  StreamRule
		first  func(*Stream)
		second func(*Stream)
		one    bool
	}{
		{"one playback", subjects(1), nil, nil, true},
		{"another address", subjects(1), nil, func(s *Stream) { s.Addr = netip.MustParseAddr("198.51.100.1") }, true},
		{"another title", subjects(1), nil, func(s *Stream) { s.Asset = "/vod/b/" }, false},
		{"without playback, the same device", subjects(1), anonymous, anonymous, true},
		{"without playback, another agent", subjects(1), anonymous, func(s *Stream) { anonymous(s); s.Agent = "other" }, false},
		{"without playback, another address", subjects(1), anonymous, func(s *Stream) { anonymous(s); s.Addr = netip.MustParseAddr("192.0.2.2") }, false},
		{"without playback, the same /64", subjects(1), at("2001:db8::1"), at("2001:db8::2"), true},
		{"without playback, another /64", subjects(1), at("2001:db8::1"), at("2001:db8:0:1::1"), false},
		{"two devices", StreamRule{By: StreamsByDevice, Limit: 1, Idle: time.Minute}, nil, another(func(s *Stream) { s.Device = "phone" }), true},
		{"one device", StreamRule{By: StreamsByDevice, Limit: 1, Idle: time.Minute}, nil, another(nil), false},
		{"no device, one subject", StreamRule{By: StreamsByDevice, Limit: 1, Idle: time.Minute}, noDevice, another(noDevice), false},
		{"one title, two subjects", StreamRule{By: StreamsByTitle, Limit: 1, Idle: time.Minute}, nil, another(func(s *Stream) { s.Subject = "other" }), false},
		{"two titles, two subjects", StreamRule{By: StreamsByTitle, Limit: 1, Idle: time.Minute}, nil, another(func(s *Stream) { s.Asset = "/vod/b/" }), true},
		{"no subject, one address", subjects(1), noSubject, another(noSubject), false},
	} {
		n := newNode(t, NewMemoryStreams(c.now), c, FailClosed, test.limit)
		if got := n.ask("1", test.first).Outcome; got != OutcomeAdmitted {
			t.Errorf("%s: the first is refused", test.rule)
		}
		if got := n.ask("1", test.second).Outcome == OutcomeAdmitted; got != test.one {
			t.Errorf("%s: the second is admitted: %t", test.rule, got)
		}
	}
}

func anonymous(s *Stream) { s.Playback = [8]byte{} }
func noDevice(s *Stream)  { s.Device = "" }
func noSubject(s *Stream) { s.Subject = "" }
func at(addr string) func(*Stream) {
	return func(s *Stream) { anonymous(s); s.Addr = netip.MustParseAddr(addr) }
}

func another(change func(*Stream)) func(*Stream) {
	return func(s *Stream) {
		s.Playback = [8]byte{9}
		if change != nil {
			change(s)
		}
	}
}

func TestTheOldestIsKickedOnAllNodes(t *testing.T) {
	c := newClock()
	store := NewMemoryStreams(c.now)
	rule := subjects(1)
	rule.Kick = true
	a, b := newNode(t, store, c, FailClosed, rule), newNode(t, store, c, FailClosed, rule)
	a.want(t, "1", OutcomeAdmitted, nil)
	c.pass(time.Second)
	a.want(t, "2", OutcomeAdmitted, func(s *Stream) { s.Look = true })
	a.want(t, "1", OutcomeAdmitted, nil)
	b.want(t, "2", OutcomeAdmitted, nil)
	a.want(t, "1", OutcomeAdmitted, nil) // a has not heard of it yet
	a.round(t.Context())
	a.want(t, "1", OutcomeKicked, nil)
	c.pass(time.Second)
	b.want(t, "3", OutcomeAdmitted, nil)
	b.want(t, "2", OutcomeKicked, nil) // at once on the node that did it
	c.pass(10 * time.Minute)
	a.round(t.Context()) // forgets the lease
	a.want(t, "1", OutcomeKicked, nil)
	if a.Len() > 1 {
		t.Errorf("%d leases", a.Len())
	}
}

func TestNobodyIsKickedForAStreamThatIsRefused(t *testing.T) {
	c := newClock()
	kick := subjects(1)
	kick.Kick = true
	n := newNode(t, NewMemoryStreams(c.now), c, FailClosed, kick, StreamRule{By: StreamsByTitle, Limit: 1, Idle: time.Minute})
	n.want(t, "1", OutcomeAdmitted, nil)
	n.want(t, "2", OutcomeLimited, nil) // the title has its one stream
	n.want(t, "1", OutcomeAdmitted, nil)
	reject := newNode(t, NewMemoryStreams(c.now), c, FailClosed, subjects(1), StreamRule{By: StreamsByTitle, Limit: 1, Idle: time.Minute})
	reject.want(t, "1", OutcomeAdmitted, nil)
	reject.want(t, "1", OutcomeLimited, func(s *Stream) { s.Subject = "other" })
	reject.want(t, "2", OutcomeAdmitted, func(s *Stream) { s.Subject, s.Asset = "other", "/vod/b/" }) // nothing is left of the attempt
}

func TestModesWhileTheStoreIsOut(t *testing.T) {
	for mode, want := range map[FailureMode]struct{ known, fresh, beyond StreamOutcome }{
		FailOpen:   {OutcomeAdmitted, OutcomeAdmitted, OutcomeAdmitted},
		FailClosed: {OutcomeUnavailable, OutcomeUnavailable, OutcomeUnavailable},
		FailLocal:  {OutcomeAdmitted, OutcomeAdmitted, OutcomeLimited},
	} {
		t.Run(mode.String(), func(t *testing.T) {
			c := newClock()
			store := &faultyStore{MemoryStreams: NewMemoryStreams(c.now)}
			n := newNode(t, store, c, mode, subjects(2))
			n.want(t, "1", OutcomeAdmitted, nil)
			n.round(t.Context())
			store.out.Store(true)
			n.want(t, "2", want.fresh, nil)
			c.pass(14 * time.Second)
			n.round(t.Context())
			n.want(t, "1", OutcomeAdmitted, nil) // by its lease
			c.pass(2 * time.Second)
			n.want(t, "1", want.known, nil) // by the mode
			n.want(t, "2", want.fresh, nil)
			n.want(t, "3", want.beyond, nil)
			n.want(t, "4", want.beyond, func(s *Stream) { s.Look = true })
			store.out.Store(false)
			n.round(t.Context())
			if n.failures.Load() != 0 {
				t.Error("nobody found out that the store is back")
			}
			c.pass(2 * time.Second)
			n.want(t, "1", OutcomeAdmitted, nil)
			n.want(t, "2", OutcomeAdmitted, nil)
			n.want(t, "5", OutcomeLimited, nil) // exact again
		})
	}
}

// After an outage in which every node counted on its own, the store counts what came first and ends the rest.
func TestCountsRecover(t *testing.T) {
	c := newClock()
	store := &faultyStore{MemoryStreams: NewMemoryStreams(c.now)}
	a, b := newNode(t, store, c, FailLocal, subjects(2)), newNode(t, store, c, FailLocal, subjects(2))
	store.out.Store(true)
	for i, n := range []*node{a, b} {
		n.want(t, fmt.Sprint(i, 1), OutcomeAdmitted, nil)
		n.want(t, fmt.Sprint(i, 2), OutcomeAdmitted, nil)
		n.want(t, fmt.Sprint(i, 3), OutcomeLimited, nil)
	}
	store.out.Store(false)
	a.round(t.Context())
	b.round(t.Context())
	if got := a.Held() + b.Held(); got != 2 {
		t.Errorf("%d streams are held, want 2", got)
	}
}

func TestNoRequestWaitsForAStuckStore(t *testing.T) {
	c := newClock()
	store := &faultyStore{MemoryStreams: NewMemoryStreams(c.now)}
	n := newNode(t, store, c, FailOpen, subjects(2))
	stuck := make(chan struct{})
	store.stuck.Store(&stuck)
	var all sync.WaitGroup
	for i := range 2 * maxQuestions {
		all.Go(func() { n.want(t, fmt.Sprint(i/4), OutcomeAdmitted, nil) })
	}
	all.Wait() // for how long at most, TestTheDeclaredTimeIsExact says
	asked := store.holds.Load()
	n.want(t, "later", OutcomeAdmitted, nil)
	if store.holds.Load() != asked {
		t.Error("a store that is known to be out was asked again")
	}
	store.stuck.Store(nil)
	close(stuck)
}

// What was counted after the request had given up counts for nobody.
func TestALateAnswerTakesNoPlace(t *testing.T) {
	c := newClock()
	store := &faultyStore{MemoryStreams: NewMemoryStreams(c.now)}
	n := newNode(t, store, c, FailClosed, subjects(1))
	stuck := make(chan struct{})
	store.stuck.Store(&stuck)
	n.want(t, "1", OutcomeUnavailable, nil)
	store.stuck.Store(nil)
	close(stuck)
	eventually(t, 5*time.Second, "place for another", func() bool { return len(n.slots) == 0 && store.Len() == 0 })
	n.want(t, "2", OutcomeAdmitted, nil)
	n.want(t, "1", OutcomeLimited, nil)
}

func TestOneQuestionForAllWhoWait(t *testing.T) {
	c := newClock()
	store := &faultyStore{MemoryStreams: NewMemoryStreams(c.now)}
	n := newNode(t, store, c, FailClosed, subjects(1))
	n.timeout = 5 * time.Second
	stuck := make(chan struct{})
	store.stuck.Store(&stuck)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { n.want(t, "1", OutcomeAdmitted, nil) })
	}
	time.Sleep(50 * time.Millisecond)
	store.stuck.Store(nil)
	close(stuck)
	all.Wait()
	if got := store.holds.Load(); got != 1 {
		t.Errorf("%d questions for one playback", got)
	}
}

func TestLeasesAreBoundedAndEnd(t *testing.T) {
	c := newClock()
	store := NewMemoryStreams(c.now)
	s := NewStreams(Config{Store: store, MaxLeases: leaseShards, Renew: time.Hour, Now: c.now, OnFailure: FailClosed})
	t.Cleanup(s.Close)
	n := &node{s, s.NewGate(NewDigester(testKey()), "tenant", []StreamRule{{By: StreamsByTitle, Limit: 1 << 20, Idle: time.Minute}}), c}
	for i := range 1000 {
		n.ask(fmt.Sprint(i), nil)
	}
	if got := s.Len(); got > leaseShards {
		t.Errorf("%d leases, want at most %d", got, leaseShards)
	}
	c.pass(time.Minute)
	s.round(t.Context())
	left := 0
	s.playbacks.Range(func(any, any) bool { left++; return true })
	if s.Len()+left+store.Len() != 0 {
		t.Errorf("%d leases, %d playbacks and %d keys are left", s.Len(), left, store.Len())
	}
}

func TestAStreamEndsWithItsSession(t *testing.T) {
	c := newClock()
	n := newNode(t, NewMemoryStreams(c.now), c, FailClosed, subjects(1))
	n.want(t, "1", OutcomeAdmitted, func(s *Stream) { s.Ends = c.now().Add(10 * time.Second) })
	c.pass(9 * time.Second)
	n.round(t.Context())
	n.want(t, "2", OutcomeLimited, nil)
	c.pass(2 * time.Second)
	n.round(t.Context())
	n.want(t, "2", OutcomeAdmitted, nil)
}

func TestRulesThatChangeHoldAtOnce(t *testing.T) {
	c := newClock()
	n := newNode(t, NewMemoryStreams(c.now), c, FailClosed, subjects(3))
	for i := range 3 {
		n.want(t, fmt.Sprint(i), OutcomeAdmitted, nil)
	}
	n.gate = n.NewGate(NewDigester(testKey()), "tenant", []StreamRule{subjects(1)}) // as after a reload
	n.want(t, "new", OutcomeLimited, nil)
	n.want(t, "1", OutcomeAdmitted, nil) // whoever watches goes on
	if again := n.NewGate(NewDigester(testKey()), "tenant", []StreamRule{subjects(1)}); again.id != n.gate.id {
		t.Error("the same rules have other leases")
	}
	if other := n.NewGate(NewDigester(testKey()), "other", []StreamRule{subjects(1)}); other.id == n.gate.id {
		t.Error("two tenants share leases")
	}
}
