package signedurl

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// TestCached: an answer is remembered for what the signature covers. A refusal at one path is none at another, and an admission of
// one client is none of another.
func TestCached(t *testing.T) {
	const path = "/vod/a/manifest.mpd"
	for kind, s := range testSigners(t) {
		t.Run(kind, func(t *testing.T) {
			cached := must(token.NewCached(s.verifier, token.CacheConfig{MaxTokens: 100}))(t)
			defer cached.Close()
			raw := s.sign(path, testNow.Add(time.Hour))
			verify := func(change func(*token.Request)) error {
				req := testViewer(path)
				change(&req)
				var err error
				for range 3 { // the table takes entries a moment later
					_, err = cached.Verify(context.Background(), raw, req)
					time.Sleep(5 * time.Millisecond)
				}
				return err
			}
			elsewhere := func(r *token.Request) { r.Path, r.PublicPath = "/vod/b/x.mpd", "/vod/b/x.mpd" }
			if err := verify(elsewhere); err == nil {
				t.Error("accepted elsewhere")
			}
			if err := verify(func(*token.Request) {}); err != nil {
				t.Errorf("at its path: %v", err)
			}
			if err := verify(elsewhere); err == nil {
				t.Error("accepted elsewhere, once it was at its path")
			}
			if err := verify(func(r *token.Request) { r.Addr = netip.MustParseAddr("203.0.113.8") }); err == nil {
				t.Error("another client is admitted")
			}
			if err := verify(func(r *token.Request) { r.Now = testNow.Add(time.Hour) }); !errors.Is(err, token.ErrExpired) {
				t.Errorf("later: %v", err)
			}
		})
	}
}
