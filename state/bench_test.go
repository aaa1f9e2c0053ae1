package state

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

// BenchmarkStream is the check of a request whose lease is fresh.
func BenchmarkStream(b *testing.B) {
	for _, test := range []struct {
		name   string
		change func(*Stream)
	}{{"session", nil}, {"agent", anonymous}} {
		b.Run(test.name, func(b *testing.B) {
			c := newClock()
			n := newNode(b, NewMemoryStreams(c.now), c, FailClosed, subjects(2), StreamRule{By: StreamsByTitle, Limit: 1000, Idle: time.Minute})
			s := Stream{
				Subject: "viewer-0123456789", Asset: "/vod/series/title/", Addr: netip.MustParseAddr("192.0.2.1"), Playback: [8]byte{1, 2, 3},
				Agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
			}
			if test.change != nil {
				test.change(&s)
			}
			now := c.now()
			if n.gate.Admit(b.Context(), now, s).Outcome != OutcomeAdmitted {
				b.Fatal("refused")
			}
			b.ReportAllocs()
			for b.Loop() {
				if n.gate.Admit(context.Background(), now, s).Outcome != OutcomeAdmitted {
					b.Fatal("refused")
				}
			}
		})
	}
}
