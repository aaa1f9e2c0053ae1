package caddymodule

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/caddy-drm/caddy-drm/internal/redistest"
)

// streamSite bounds streams by what OPTIONS say.
const streamSite = "http://:PORT {\n\tdrm {\n\ttenant streams\n\tlicense_server clearkey\n\ttoken jwt {\n\talgorithms HS256\n\tsecret {env.TEST_TOKEN_SECRET}\n\t}\n" +
	"\tOPTIONS\n}\n\tfile_server {\n\troot TESTDATA\n}\n}\n"

// viewerToken is a JWT of a subject with more claims.
func viewerToken(t testing.TB, subject string, more map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(testTokenSecret)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{"sub": subject, "jti": "id-of-" + subject, "exp": time.Now().Add(time.Hour).Unix()}
	for name, value := range more {
		claims[name] = value
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// play asks for a manifest as a player does, and returns what it names.
func (g *gateway) play(t *testing.T, title, token string) playback {
	t.Helper()
	return playback{t, g, g.links(t, "/"+title+"/manifest.mpd?drm=cenc&token="+token)}
}

// playback is a player on its way through a title.
type playback struct {
	t     *testing.T
	g     *gateway
	links []link
}

func (p playback) segment(n string) reply {
	p.t.Helper()
	return p.g.get(p.t, linkTo(p.t, p.links, "media", n).url)
}

// license sends what no license server answers with keys; who may not ask is told so before.
func (p playback) license() reply {
	p.t.Helper()
	return p.g.sendBody(p.t, http.MethodPost, linkTo(p.t, p.links, "license", "").url, []byte("{"))
}

func wantReply(t *testing.T, what string, got reply, status int, reason string) {
	t.Helper()
	if got.status != status || got.reason() != reason {
		t.Errorf("%s: %d %s, want %d %s", what, got.status, got.reason(), status, reason)
	}
	if status == http.StatusTooManyRequests {
		if after, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || after < 1 {
			t.Errorf("%s: Retry-After %q", what, got.header.Get("Retry-After"))
		}
	}
}

func streamGateway(t *testing.T, options string) *gateway {
	t.Helper()
	return startGateway(t, strings.Replace(streamSite, "OPTIONS", options, 1))
}

func TestAThirdStreamIsRefused(t *testing.T) {
	g := streamGateway(t, "limit streams 2 by subject")
	token := viewerToken(t, "viewer", nil)
	manifest := "/demo/manifest.mpd?token=" + token
	for range 5 { // looking begins no stream
		wantReply(t, "HEAD", g.send(t, http.MethodHead, manifest), 200, "")
		wantReply(t, "GET", g.get(t, manifest), 200, "")
	}
	first, second, third := g.play(t, "demo", token), g.play(t, "demo", token), g.play(t, "demo", token)
	wantReply(t, "the first", first.segment("seg_1.m4s"), 200, "")
	wantReply(t, "the second, by its license", second.license(), 400, "license_request_malformed")
	wantReply(t, "the third's segment", third.segment("seg_1.m4s"), 429, "stream_limit")
	wantReply(t, "the third's license", third.license(), 429, "stream_limit")
	refused := g.get(t, manifest)
	wantReply(t, "a manifest for a fourth", refused, 429, "stream_limit")
	if after, _ := strconv.Atoi(refused.header.Get("Retry-After")); after > 45 || after < 30 {
		t.Errorf("Retry-After %d, want when the first may have idled out", after)
	}
	wantReply(t, "the first goes on", first.segment("seg_2.m4s"), 200, "")
	wantReply(t, "and with HEAD", g.send(t, http.MethodHead, linkTo(t, first.links, "media", "seg_2.m4s").url), 200, "")
	other := g.play(t, "demo", viewerToken(t, "other", nil))
	wantReply(t, "another viewer", other.segment("seg_1.m4s"), 200, "")
}

func TestTheOldestStreamIsKicked(t *testing.T) {
	g := streamGateway(t, "limit streams 1 by subject kick_oldest")
	token := viewerToken(t, "viewer", nil)
	first := g.play(t, "demo", token)
	wantReply(t, "the first", first.segment("seg_1.m4s"), 200, "")
	second := g.play(t, "demo", token)
	wantReply(t, "the first, while the second looks", first.segment("seg_2.m4s"), 200, "")
	wantReply(t, "the second", second.segment("seg_1.m4s"), 200, "")
	for range 3 {
		wantReply(t, "the first, kicked", first.segment("seg_3.m4s"), 429, "stream_kicked")
	}
	wantReply(t, "its license", first.license(), 429, "stream_kicked")
	wantReply(t, "the second goes on", second.segment("seg_2.m4s"), 200, "")
}

func TestStreamsByDeviceAndTitle(t *testing.T) {
	g := streamGateway(t, "limit streams 1 by device\n\tlimit streams 2 by title idle 30s")
	on := func(device string) string { return viewerToken(t, "viewer", map[string]any{"device": device}) }
	wantReply(t, "a device", g.play(t, "demo", on("tv")).segment("seg_1.m4s"), 200, "")
	wantReply(t, "the same device", g.get(t, "/demo/manifest.mpd?token="+on("tv")), 429, "stream_limit")
	wantReply(t, "another", g.play(t, "demo", on("phone")).segment("seg_1.m4s"), 200, "")
	wantReply(t, "a third on the title", g.get(t, "/demo/manifest.mpd?token="+on("tablet")), 429, "stream_limit")
	wantReply(t, "a third on another title", g.play(t, "demo-av1", on("tablet")).segment("seg_1.m4s"), 200, "")
}

func TestTheTokenSaysHowManyStreams(t *testing.T) {
	for options, want := range map[string]int{"": 1, "limit streams token by subject": 1, "limit streams 3 by subject": 1, "limit streams 2 by title": 1} {
		g := streamGateway(t, options)
		token := viewerToken(t, "viewer", map[string]any{"max_streams": want})
		wantReply(t, options, g.play(t, "demo", token).segment("seg_1.m4s"), 200, "")
		wantReply(t, options, g.get(t, "/demo/manifest.mpd?token="+token), 429, "stream_limit")
	}
	g := streamGateway(t, "")
	token := viewerToken(t, "free", nil)
	for range 5 {
		wantReply(t, "no limit", g.play(t, "demo", token).segment("seg_1.m4s"), 200, "")
	}
}

// TestStreamsWithHeadersAndCookies: a player that sends its token with each request is told apart by its address and name.
func TestStreamsWithHeadersAndCookies(t *testing.T) {
	g := streamGateway(t, "session cookie 1h\n\tlimit streams 1 by subject")
	token := "Bearer " + viewerToken(t, "viewer", nil)
	links := g.links(t, "/demo/manifest.mpd?drm=cenc", "Authorization", token)
	segment := linkTo(t, links, "media", "seg_1.m4s").url
	wantReply(t, "one player", g.get(t, segment, "Authorization", token, "User-Agent", "one"), 200, "")
	wantReply(t, "the same", g.get(t, segment, "Authorization", token, "User-Agent", "one"), 200, "")
	wantReply(t, "another", g.get(t, segment, "Authorization", token, "User-Agent", "two"), 429, "stream_limit")
}

// TestStreamsOfALiveChannel: the redirect to the session's address begins one stream, not two.
func TestStreamsOfALiveChannel(t *testing.T) {
	origin := &scriptedOrigin{}
	g := startGateway(t, strings.NewReplacer("OPTIONS", "limit streams 1 by subject", "file_server {\n\troot TESTDATA\n}", "reverse_proxy ORIGIN").Replace(streamSite),
		"ORIGIN", origin.start(t))
	live := strings.Replace(string(clearFile(t, "demo/manifest.mpd")), `type="static"`, `type="dynamic" availabilityStartTime="2026-01-01T00:00:00Z" publishTime="2026-01-01T00:00:00Z" minimumUpdatePeriod="PT2S"`, 1)
	origin.play(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "manifest.mpd") {
			_, _ = w.Write([]byte(live))
			return true
		}
		return false
	})
	token := viewerToken(t, "viewer", nil)
	first := g.get(t, "/demo/manifest.mpd?drm=cenc&token="+token)
	if first.status != http.StatusFound {
		t.Fatalf("%d %s", first.status, first.reason())
	}
	at := "/demo/" + first.header.Get("Location")
	for range 3 {
		wantReply(t, "a refresh", g.get(t, at), 200, "")
	}
	wantReply(t, "another player", g.get(t, "/demo/manifest.mpd?drm=cenc&token="+token), 429, "stream_limit")
}

// TestLimitsSideBySide also counts by a placeholder.
func TestLimitsSideBySide(t *testing.T) {
	g := streamGateway(t, "limit requests 2 per 1h by subject\n\tlimit requests 100 per 1s burst 200\n\tlimit requests 3 per 1h by {http.request.header.X-Customer}\n\tlimit 1000 per 1s")
	manifest := func(subject, customer string) reply {
		return g.get(t, "/demo/manifest.mpd?token="+viewerToken(t, subject, nil), "X-Customer", customer)
	}
	wantReply(t, "1", manifest("a", "x"), 200, "")
	wantReply(t, "2", manifest("a", "x"), 200, "")
	got := manifest("a", "x")
	wantReply(t, "the subject's third", got, 429, "rate_limited")
	if after, _ := strconv.Atoi(got.header.Get("Retry-After")); after < 1000 {
		t.Errorf("Retry-After %d, want half an hour", after)
	}
	wantReply(t, "another subject", manifest("b", "x"), 200, "")
	wantReply(t, "the customer's fourth", manifest("c", "x"), 429, "rate_limited")
	wantReply(t, "another customer", manifest("d", "y"), 200, "")
}

// TestCountsOutliveAReload: streams, leases and rates belong to the process, and are given back with their last user.
func TestCountsOutliveAReload(t *testing.T) {
	site := strings.Replace(streamSite, "OPTIONS", "limit streams 1 by subject\n\tlimit requests 3 per 1h by subject", 1)
	g := startGateway(t, site)
	token := viewerToken(t, "viewer", nil)
	first := g.play(t, "demo", token)
	wantReply(t, "the first", first.segment("seg_1.m4s"), 200, "")
	g.load(t, globalBlock+strings.Replace(site, "license_server", "cors https://play.example.com\n\tlicense_server", 1))
	wantReply(t, "a second", g.get(t, "/demo/manifest.mpd?token="+token), 429, "stream_limit")
	wantReply(t, "the fourth request", first.segment("seg_2.m4s"), 429, "rate_limited")
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); poolSize(statePool)+poolSize(limiterPool) > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d states and %d limiters are left", poolSize(statePool), poolSize(limiterPool))
		}
	}
}

func poolSize(pool *caddy.UsagePool) (n int) {
	pool.Range(func(_, _ any) bool { n++; return true })
	return n
}

// TestStreamsInRedis runs the gateway on a real server of each kind that needs settings of its own.
func TestStreamsInRedis(t *testing.T) {
	for _, kind := range []string{"single", "tls"} {
		t.Run(kind, func(t *testing.T) {
			d, err := redistest.Start(kind, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(d.Close)
			t.Setenv("TEST_REDIS_PASSWORD", d.Password)
			redis := "state redis {\n\taddress " + strings.Join(d.Addresses, " ") + "\n\ttimeout 1s\n\ton_failure fail_closed\n"
			if d.TLS != nil {
				redis += "\tusername " + d.Username + "\n\tpassword {env.TEST_REDIS_PASSWORD}\n\ttls {\n\tca " + d.CertFile + "\n\t}\n"
			}
			g := newGateway(t)
			g.load(t, strings.Replace(globalBlock, "segment_cache off", redis+"}\n", 1)+strings.Replace(streamSite, "OPTIONS", "limit streams 1 by subject", 1))
			token := viewerToken(t, "viewer", nil)
			first := g.play(t, "demo", token)
			wantReply(t, "the first", first.segment("seg_1.m4s"), 200, "")
			wantReply(t, "a second", g.get(t, "/demo/manifest.mpd?token="+token), 429, "stream_limit")
			if _, ok := d.Data[0], d.TLS == nil; ok {
				if keys, err := d.Data[0].Do("KEYS", "*"); err != nil || strings.Contains(keys, "viewer") || !strings.Contains(keys, "drm:{") {
					t.Errorf("keys %q, %v", keys, err)
				}
			}
			d.Close()
			wantReply(t, "the first, on its lease", first.segment("seg_2.m4s"), 200, "")
			wantReply(t, "a manifest without the server", g.get(t, "/demo/manifest.mpd?token="+viewerToken(t, "other", nil)), 503, "state_unavailable")
		})
	}
}
