package policy

import (
	"context"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// fullHouse has room for nobody.
type fullHouse struct{}

func (fullHouse) Admit(context.Context, time.Time, Stream) StreamVerdict {
	return StreamVerdict{Reason: ReasonStreamLimit}
}
func (fullHouse) String() string { return "full" }

// TestStreamsOfLicenses: what belongs to no playback asks for no place among the streams, and all else does.
func TestStreamsOfLicenses(t *testing.T) {
	p := Policy{Streams: fullHouse{}}
	for name, test := range map[string]struct {
		use     Use
		begins  bool
		claims  token.Claims
		refused bool
	}{
		"a license of a playback":      {UseLicense, true, token.Claims{Session: true, Playback: [8]byte{1}}, true},
		"a license by a token":         {UseLicense, true, token.Claims{}, true},
		"a session for licenses":       {UseLicense, true, token.Claims{Session: true}, false},
		"its segments":                 {UseMedia, true, token.Claims{Session: true}, true},
		"its manifests":                {UseManifest, true, token.Claims{Session: true}, true},
		"a certificate":                {UseLicense, false, token.Claims{Session: true, Playback: [8]byte{1}}, false},
		"a certificate, by no session": {UseLicense, false, token.Claims{}, false},
	} {
		q := newQuestion(t.Context(), time.Unix(1, 0), Asset{Name: "/a/", Path: "/a/b", Use: test.use}, Viewer{BeginsNothing: !test.begins})
		q.decision.Claims = test.claims
		if p.judgeStreams(&q); (q.decision.Reason == ReasonStreamLimit) != test.refused {
			t.Errorf("%s: %q", name, q.decision.Reason)
		}
	}
}
