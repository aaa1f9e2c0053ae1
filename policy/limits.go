package policy

import (
	"strings"
	"time"
)

// LimitBy is what a limit is counted by.
type LimitBy uint8

// The ways to count. The zero value counts by address.
const (
	// ByAddress counts by IPv4 address or by IPv6 /64, the smallest block that one customer is given: one who owns a /64 has 2⁶⁴
	// addresses to hide behind.
	ByAddress LimitBy = iota
	// BySubject counts by the subject of the token, or by address for a request without one.
	BySubject
	// ByDevice counts by the device that the token names, or as BySubject where it names none.
	ByDevice
	// ByPlaceholder counts by what a placeholder stands for, or by address where that is nothing.
	ByPlaceholder
)

// String returns the word that configurations use.
func (b LimitBy) String() string {
	return [...]string{ByAddress: "address", BySubject: "subject", ByDevice: "device", ByPlaceholder: "placeholder"}[b]
}

// Limits is the rate that a viewer may ask at. The zero value is no limit.
type Limits struct {
	// Limiter counts requests; nil is no limit. Several policies may share one.
	Limiter *Limiter
	By      LimitBy
	// Placeholder is what ByPlaceholder counts by, with its braces.
	Placeholder string
	// Tenant keeps apart what policies that share a Limiter count.
	Tenant string
}

// appendKey appends what a request counts under. No kind of key ever equals another's.
func (l Limits) appendKey(dst []byte, q *question) []byte {
	dst = append(append(dst, l.Tenant...), 0)
	claims, by := &q.decision.Claims, l.By
	if by == ByDevice && claims.Device != "" {
		return append(append(dst, 'd'), claims.Device...)
	}
	if (by == BySubject || by == ByDevice) && claims.Subject != "" {
		return append(append(dst, 's'), claims.Subject...)
	}
	if by == ByPlaceholder && q.viewer.Expand != nil {
		if value := q.viewer.Expand(l.Placeholder); value != "" {
			return append(append(dst, 'p'), value...)
		}
	}
	return AppendAddressKey(dst, q.viewer.Request.Addr)
}

func (l Limits) name() string {
	if l.By == ByPlaceholder {
		return l.Placeholder
	}
	return l.By.String()
}

// judgeRequests counts the request against every limit until one refuses it. Explaining, it only looks.
func (p *Policy) judgeRequests(q *question) {
	if q.explaining {
		q.input = p.describeLimits()
	}
	var buffer [256]byte
	for _, limit := range p.Limits {
		if limit.Limiter == nil {
			continue
		}
		if allowed, retryAfter := limit.ask(limit.appendKey(buffer[:0], q), q); !allowed {
			q.decision.RetryAfter = max(retryAfter, time.Millisecond)
			q.refuse(ReasonRateLimited, "limit: requests by "+limit.name())
			return
		}
	}
}

func (l Limits) ask(key []byte, q *question) (allowed bool, retryAfter time.Duration) {
	if q.explaining {
		retryAfter = l.Limiter.Peek(key, q.now)
		return retryAfter == 0, retryAfter
	}
	return l.Limiter.Allow(key, q.now)
}

func (p *Policy) describeLimits() string {
	var names []string
	for _, limit := range p.Limits {
		if limit.Limiter != nil {
			names = append(names, limit.name())
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "requests by " + strings.Join(names, ", ") + "; not counted here"
}
