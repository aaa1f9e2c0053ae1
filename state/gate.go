package state

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"net/netip"
	"strings"
	"time"
)

// StreamBy is what a StreamRule counts by.
type StreamBy uint8

// The ways to count.
const (
	// StreamsBySubject counts by the subject of the token, or by address where there is none.
	StreamsBySubject StreamBy = iota
	// StreamsByDevice counts by the device that the token names, or as StreamsBySubject where it names none.
	StreamsByDevice
	// StreamsByTitle counts all playbacks of one asset.
	StreamsByTitle
)

// String returns the word that configurations use.
func (b StreamBy) String() string {
	return [...]string{StreamsBySubject: "subject", StreamsByDevice: "device", StreamsByTitle: "title"}[b]
}

// StreamRule is one limit.
type StreamRule struct {
	By StreamBy
	// Limit is how many streams may be watched at once; 0 for a rule of subjects leaves it to the token, and where that does not
	// say, to nobody.
	Limit int
	// Idle is how long a stream lasts after its last request.
	Idle time.Duration
	// Kick ends the oldest stream for a new one.
	Kick bool
}

// String describes the rule in the words of the configuration.
func (r StreamRule) String() string {
	if r.Limit == 0 {
		return "streams by " + r.By.String() + ", as many as the token says"
	}
	return fmt.Sprintf("%d streams by %s", r.Limit, r.By)
}

// Stream is what a request says about the playback that it belongs to.
type Stream struct {
	// Subject and Device are those of the token, Asset is the title, Agent the User-Agent.
	Subject, Device, Asset, Agent string
	// Playback is that of the session. All zero: what cannot be told apart otherwise, by address and agent, is one playback.
	Playback [8]byte
	Addr     netip.Addr
	// MaxStreams is how many streams the token allows its subject; 0 if it does not say.
	MaxStreams int
	// Ends is when the session ends, and the stream with it; zero if it does not.
	Ends time.Time
	// Look only asks whether there is room. It is for requests that may not lead to a playback.
	Look bool
}

// StreamVerdict is the answer to a Stream.
type StreamVerdict struct {
	// Outcome is what follows.
	Outcome StreamOutcome
	// RetryAfter is when to come back, if the stream is not admitted.
	RetryAfter time.Duration
	// Rule is the rule that did not admit it, for an operator.
	Rule string
}

// StreamOutcome is what follows for a request.
type StreamOutcome uint8

// The outcomes. The zero value admits nobody.
const (
	// OutcomeUnavailable: the store does not answer, and FailClosed holds.
	OutcomeUnavailable StreamOutcome = iota
	OutcomeAdmitted
	// OutcomeLimited: there are as many streams as may be.
	OutcomeLimited
	// OutcomeKicked: a newer stream took the place.
	OutcomeKicked
)

// Gate holds the rules of one site to its requests. It is safe for concurrent use.
type Gate struct {
	streams *Streams
	digest  *Digester
	tenant  string
	rules   []StreamRule
	words   []string // of each rule
	// onlyTokens is true if no rule has a number of its own.
	onlyTokens bool
	id         uint64 // tells leases of these rules from those of others
}

// NewGate returns the Gate of a tenant's rules. Digests are made under digest and the tenant. Gates with the same tenant, digest
// and rules share what they count.
func (s *Streams) NewGate(digest *Digester, tenant string, rules []StreamRule) *Gate {
	g := &Gate{streams: s, digest: digest, tenant: tenant, rules: rules, onlyTokens: true}
	var b strings.Builder
	fmt.Fprintf(&b, "%q", tenant)
	for _, rule := range rules {
		g.words = append(g.words, rule.String())
		g.onlyTokens = g.onlyTokens && rule.Limit == 0
		fmt.Fprintf(&b, " %d %d %s %t", rule.By, rule.Limit, rule.Idle, rule.Kick)
	}
	id := digest.Digest("gate", b.String())
	g.id = binary.BigEndian.Uint64(id[:8])
	return g
}

// String describes the rules.
func (g *Gate) String() string { return strings.Join(g.words, "; ") }

// leaseKey names the lease of a playback on a title. A session that is carried from title to title is a stream on each. Who it
// is for is in it by 128 bits of hashes under seeds that the process draws: nobody can aim at another's lease.
type leaseKey struct {
	gate     uint64
	playback [8]byte
	who      [2]uint64
	asset    string
}

func (g *Gate) keyOf(s *Stream) leaseKey {
	key := leaseKey{gate: g.id, playback: s.Playback, asset: s.Asset}
	for i, seed := range g.streams.seeds {
		h := maphash.String(seed, s.Subject) + uint64(s.MaxStreams)
		if s.Playback == ([8]byte{}) || s.Subject == "" {
			addr := prefixOf(s.Addr).Addr().As16()
			h = h*mixer + maphash.Bytes(seed, addr[:])
		}
		if s.Playback == ([8]byte{}) {
			h = (h*mixer+maphash.String(seed, s.Agent))*mixer + maphash.String(seed, s.Device)
		}
		key.who[i] = h
	}
	return key
}

// mixer is an odd number without a pattern, so that the order of what is hashed matters.
const mixer = 0x9e3779b97f4a7c15

// prefixOf returns the block that one customer is given: an IPv4 address, or an IPv6 /64.
func prefixOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	prefix, _ := addr.Prefix(bits) // the zero Prefix for no address
	return prefix
}

// playbackOf returns what counts as one stream: the session's playback, or what cannot be told apart without one.
func (g *Gate) playbackOf(s *Stream) Digest {
	parts := []string{g.tenant, string(s.Playback[:]), s.Subject, "", s.Asset, "", ""}
	if s.Playback == ([8]byte{}) || s.Subject == "" {
		parts[3] = prefixOf(s.Addr).String()
	}
	if s.Playback == ([8]byte{}) {
		parts[5], parts[6] = s.Agent, s.Device
	}
	return g.digest.Digest("playback", strings.Join(parts, "\x00"))
}

// uses returns what the playback takes of each rule.
func (g *Gate) uses(s *Stream) (uses []StreamUse, rules []string) {
	playback := g.playbackOf(s)
	for i, rule := range g.rules {
		limit := rule.Limit
		if rule.By == StreamsBySubject && s.MaxStreams > 0 && (limit == 0 || s.MaxStreams < limit) {
			limit = s.MaxStreams
		}
		if limit == 0 {
			continue
		}
		by, value := rule.By, s.Asset
		if by == StreamsByDevice {
			if value = s.Device; value == "" {
				by = StreamsBySubject
			}
		}
		kind := "streams by " + by.String()
		if by == StreamsBySubject {
			if value = s.Subject; value == "" {
				kind, value = "streams by address", prefixOf(s.Addr).String()
			}
		}
		if rule.By == StreamsByDevice && by == StreamsBySubject {
			kind += ", for want of a device" // another limit than that of the subject
		}
		uses = append(uses, StreamUse{
			Key: g.digest.Digest(kind, g.tenant+"\x00"+value), Playback: playback, Limit: limit, Idle: rule.Idle, Kick: rule.Kick,
		})
		rules = append(rules, g.words[i])
	}
	return uses, rules
}

// Admit judges one request. With a lease that is fresh it looks at nothing but memory; the first request of a playback may wait
// for the store, never longer than Config.Timeout.
func (g *Gate) Admit(ctx context.Context, now time.Time, s Stream) StreamVerdict {
	if g.onlyTokens && s.MaxStreams == 0 {
		return StreamVerdict{Outcome: OutcomeAdmitted}
	}
	key := g.keyOf(&s)
	if l := g.streams.find(key); l != nil {
		if verdict, ok := l.answer(now.UnixMilli(), g.streams.lease.Milliseconds(), endOf(s), s.Look); ok {
			return verdict
		}
	}
	return g.admitSlowly(ctx, now, key, s)
}
