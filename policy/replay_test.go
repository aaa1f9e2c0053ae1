package policy

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/geo"
	"github.com/caddy-drm/caddy-drm/state"
	"github.com/caddy-drm/caddy-drm/token"
)

// onceVerifier accepts everything, for one use each.
type onceVerifier struct{ answers token.Conditions }

func (v onceVerifier) Verify(_ context.Context, raw string, req token.Request) (token.Claims, error) {
	return token.Claims{Expires: req.Now.Add(time.Hour), Once: [16]byte{raw[0]}, Conditions: v.answers}, nil
}

// teapots are conditions that always hold, and answer every refusal.
type teapots struct{}

func (teapots) Check(token.Request) error                                            { return nil }
func (teapots) AppendBinary(b []byte) ([]byte, error)                                { return append(b, 'T'), nil }
func (teapots) AnswerTo(error) *token.Answer                                         { return &token.Answer{Status: 410} }
func brokenReplay(context.Context) (bool, error)                                     { return false, errors.New("secret of the store") }
func (f replayFunc) Seen(ctx context.Context, _ [16]byte, _ time.Time) (bool, error) { return f(ctx) }
func (f replayFunc) Known(ctx context.Context, _ [16]byte) (bool, error)             { return f(ctx) }

type replayFunc func(context.Context) (bool, error)

func TestReplay(t *testing.T) {
	p := Policy{Tokens: Tokens{Verifier: onceVerifier{teapots{}}, Replay: state.NewMemoryReplay(2, func() time.Time { return testNow })}}
	decide := func(raw string) Decision {
		return p.Decide(context.Background(), testNow, Asset{Path: "/x"}, Viewer{Tokens: []string{raw}})
	}
	if decision, steps := p.Explain(context.Background(), testNow, Asset{Path: "/x"}, Viewer{Tokens: []string{"a"}}); !decision.Allowed ||
		!slices.ContainsFunc(steps, func(s Step) bool { return s.Rule == "replay" && s.Input != "" }) {
		t.Errorf("explained: %+v, %+v", decision, steps)
	}
	for i, want := range []struct {
		raw    string
		reason Reason
	}{
		{"a", ReasonAllowed}, // explaining has not used it up
		{"a", ReasonTokenReplayed},
		{"b", ReasonAllowed},
		{"c", ReasonTokenUnverifiable}, // the memory is full
		{"b", ReasonTokenReplayed},
	} {
		if want.reason != ReasonTokenUnverifiable { // whether the memory is full, nobody is told who only asks
			if d, _ := p.Explain(context.Background(), testNow, Asset{Path: "/x"}, Viewer{Tokens: []string{want.raw}}); d.Reason != want.reason {
				t.Errorf("%d: %s is explained as %s", i, want.raw, d.Reason)
			}
		}
		if d := decide(want.raw); d.Reason != want.reason || (d.Reason == ReasonTokenReplayed) != (d.Answer != nil) {
			t.Errorf("%d: %s is %s, answer %v", i, want.raw, d.Reason, d.Answer)
		}
	}
	p.Tokens.Replay = replayFunc(brokenReplay)
	if d := decide("d"); d.Reason != ReasonTokenUnverifiable || d.Rule != "replay: whether the token has been used could not be found out" {
		t.Errorf("a broken store: %+v", d)
	}
	p.Tokens.Replay = nil
	if d := decide("d"); d.Reason != ReasonTokenUnverifiable {
		t.Errorf("without a memory: %s", d.Reason)
	}
}

// TestReplayComesLast: what another rule refuses uses up no token.
func TestReplayComesLast(t *testing.T) {
	p := Policy{
		Tokens: Tokens{Verifier: onceVerifier{}, Replay: state.NewMemoryReplay(9, func() time.Time { return testNow })},
	}
	p.Geo.Allow = countries(t, "AT")
	at, de := Viewer{Tokens: []string{"a"}, Place: geo.Place{Country: country(t, "AT")}}, Viewer{Tokens: []string{"a"}, Place: geo.Place{Country: country(t, "DE")}}
	for i, want := range []struct {
		viewer Viewer
		reason Reason
	}{{de, ReasonCountryDenied}, {at, ReasonAllowed}, {at, ReasonTokenReplayed}} {
		if d := p.Decide(context.Background(), testNow, Asset{Path: "/x"}, want.viewer); d.Reason != want.reason {
			t.Errorf("%d: %s, want %s", i, d.Reason, want.reason)
		}
	}
}

// TestReplayAndRenewal: a session that lasts is no way to get a second session from a token that is good for one use. Where the session is
// over, the token decides, and is used up.
func TestReplayAndRenewal(t *testing.T) {
	f := newFixture(t)
	f.policy.Limits, f.policy.Geo = nil, geo.Rule{}
	f.policy.Tokens.Verifier, f.policy.Tokens.Renew = onceVerifier{}, 20*time.Minute
	f.policy.Tokens.Replay = state.NewMemoryReplay(9, func() time.Time { return testNow })
	viewer := Viewer{Session: f.mint(t, token.Claims{}), Tokens: []string{"a"}}
	decide := func(at time.Duration, v Viewer) Decision {
		return f.policy.Decide(context.Background(), testNow.Add(at), Asset{Path: "/x"}, v)
	}
	for range 2 {
		if d := decide(50*time.Minute, viewer); !d.Allowed || d.Renewal != nil {
			t.Errorf("in the last part: %s, renewed as %+v", d.Reason, d.Renewal)
		}
	}
	if d := decide(90*time.Minute, viewer); !d.Allowed || d.Renewal == nil {
		t.Errorf("over: %s, renewed as %+v", d.Reason, d.Renewal)
	}
	if d := decide(90*time.Minute, viewer); d.Reason != ReasonTokenReplayed {
		t.Errorf("over, again: %s", d.Reason)
	}
	if d := decide(90*time.Minute, Viewer{Tokens: []string{"a"}}); d.Reason != ReasonTokenReplayed {
		t.Errorf("without the session: %s", d.Reason)
	}
}
