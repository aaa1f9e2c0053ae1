package entitlement

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/caddy-drm/caddy-drm/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testNow = time.Unix(1_767_225_600, 0)

// backendServer runs an HTTP backend and returns its URL.
func backendServer(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server.URL + "/auth?site=7"
}

func newBackend(t *testing.T, config HTTPConfig) *HTTP {
	t.Helper()
	h, err := NewHTTP(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

var testQuestion = Question{
	Event: Start, Tenant: "north", Asset: "/vod/demo/", Path: "/vod/demo/a.mpd", Host: "media.example", Protocol: "dash", Token: "secret&token", Subject: "viewer",
	Device: "tv", TokenID: "0123456789abcdef", Addr: netip.MustParseAddr("192.0.2.7"), Country: "AT", ASN: 64500, UserAgent: "Player/1", Referer: "https://a.example/",
	AssetClients: 3, Clients: 9,
}

func TestPostJSON(t *testing.T) {
	var seen map[string]any
	answer := `{"allow":true,"subject":"7","plans":["gold"],"countries":["at"],"paths":["/vod/"],"max_streams":2,"level":"high","expires":1767229200,"check_after":60,"reason":"paid"}`
	at := backendServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.RawQuery != "site=7" || r.Header.Get("Authorization") != "Bearer test" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		seen = nil
		_ = json.NewDecoder(r.Body).Decode(&seen)
		_, _ = io.WriteString(w, answer)
	})
	h := newBackend(t, HTTPConfig{URL: at, Authorization: "Bearer test"})
	got, err := h.Ask(t.Context(), testQuestion)
	if err != nil {
		t.Fatal(err)
	}
	want := Answer{Allowed: true, Holds: time.Minute, Claims: token.Claims{
		Subject: "7", Plans: []string{"gold"}, Countries: []string{"AT"}, Scope: []string{"/vod"}, MaxStreams: 2, Level: "high", Expires: time.Unix(1767229200, 0),
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	told := map[string]any{
		"event": "start", "tenant": "north", "host": "media.example", "asset": "/vod/demo/", "path": "/vod/demo/a.mpd", "protocol": "dash",
		"token_sha256": "d4dccc6f9c8e6f2f2e9c7c3f", "token_id": "0123456789abcdef", "subject": "viewer", "device": "tv", "address": "192.0.2.7", "country": "AT",
		"asn": 64500.0, "user_agent": "Player/1", "referer": "https://a.example/", "number": 0.0, "duration": 0.0, "asset_clients": 3.0, "clients": 9.0,
	}
	if digest, _ := seen["token_sha256"].(string); len(digest) != 64 {
		t.Errorf("token_sha256 %q", digest)
	}
	told["token_sha256"] = seen["token_sha256"]
	if diff := cmp.Diff(told, seen); diff != "" {
		t.Error(diff)
	}
	withToken := newBackend(t, HTTPConfig{URL: at, Authorization: "Bearer test", SendToken: true})
	if _, err := withToken.Ask(t.Context(), testQuestion); err != nil || seen["token"] != "secret&token" || seen["token_sha256"] != nil {
		t.Errorf("%v, %v", seen, err)
	}
	for text, allowed := range map[string]string{
		`{"allow":false}`: "no", `{"allow":true}`: "yes", `{}`: "unknown", ``: "unknown", `{"allow":true,"only_on":"tv"}`: "unknown", `{"allow":true}{}`: "unknown",
		`{"allow":true,"countries":[]}`: "unknown", `{"allow":true,"paths":["vod"]}`: "unknown", `{"allow":true,"countries":["Austria"]}`: "unknown",
		`{"allow":true,"max_streams":-1}`: "unknown", `{"allow":true,"check_after":-1}`: "unknown", `{"allow":"yes"}`: "unknown", `[]`: "unknown",
		`{"allow":true,"reason":"` + strings.Repeat("x", maxAnswer) + `"}`: "unknown",
	} {
		answer = text
		got, err := h.Ask(t.Context(), testQuestion)
		said := map[bool]string{true: "yes", false: "no"}[got.Allowed]
		if err != nil {
			said = "unknown"
		}
		if said != allowed {
			t.Errorf("%.60s: %s, %v", text, said, err)
		}
	}
}

func TestFlussonic(t *testing.T) {
	var seen url.Values
	header := http.Header{}
	at := backendServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("%s", r.Method)
		}
		seen = r.URL.Query()
		for name, values := range header {
			w.Header()[name] = values
		}
	})
	h := newBackend(t, HTTPConfig{URL: at, Method: Flussonic})
	header.Set("X-AuthDuration", "30")
	header.Set("X-UserId", "7")
	header.Set("X-Max-Sessions", "2")
	got, err := h.Ask(t.Context(), testQuestion)
	if err != nil || !got.Allowed || got.Holds != 30*time.Second || got.Claims.Subject != "7" || got.Claims.MaxStreams != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	want := url.Values{
		"site": {"7"}, "name": {"vod/demo"}, "proto": {"dash"}, "ip": {"192.0.2.7"}, "request_type": {"new_session"}, "request_number": {"0"}, "stream_clients": {"3"},
		"total_clients": {"9"}, "token": {"secret&token"}, "host": {"media.example"}, "country": {"AT"}, "user_agent": {"Player/1"}, "referer": {"https://a.example/"},
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
	update := testQuestion
	update.Event, update.Number, update.Playback, update.Duration = Update, 4, "abc", 90*time.Second
	if _, err := h.Ask(t.Context(), update); err != nil || seen.Get("request_type") != "update_session" || seen.Get("request_number") != "4" || seen.Get("session_id") != "abc" || seen.Get("duration") != "90" {
		t.Errorf("%v, %v", seen, err)
	}
	header.Set("X-Unique", "true")
	if got, err := h.Ask(t.Context(), update); err != nil || got.Claims.MaxStreams != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	for name, value := range map[string]string{"X-AuthDuration": "soon", "X-Max-Sessions": "-1"} {
		header = http.Header{name: {value}}
		if _, err := h.Ask(t.Context(), update); err == nil {
			t.Errorf("%s: %s is accepted", name, value)
		}
	}
	if h.Explains() {
		t.Error("a question to such a backend counts")
	}
}

func TestStatuses(t *testing.T) {
	status := 0
	elsewhere := backendServer(t, func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") })
	at := backendServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", elsewhere)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"allow":true}`)
	})
	h := newBackend(t, HTTPConfig{URL: at})
	for code, want := range map[int]string{
		200: "yes", 401: "no", 402: "no", 403: "no", 404: "no", 410: "no", 451: "no", 201: "unknown", 302: "unknown", 307: "unknown", 400: "unknown", 429: "unknown", 500: "unknown", 503: "unknown",
	} {
		status = code
		got, err := h.Ask(t.Context(), testQuestion)
		said := map[bool]string{true: "yes", false: "no"}[got.Allowed]
		if err != nil {
			said = "unknown"
			if got.Allowed || strings.Contains(err.Error(), "secret") {
				t.Errorf("%d: %+v, %v", code, got, err)
			}
		}
		if said != want {
			t.Errorf("%d: %s, want %s", code, said, want)
		}
	}
}

func TestBackendsThatFail(t *testing.T) {
	slow := backendServer(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not look whether the client is there
		<-r.Context().Done()
	})
	broken := backendServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"allow":true}`)
	})
	large := backendServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Large", strings.Repeat("x", 4*maxHeader))
	})
	for name, at := range map[string]string{"slow": slow, "broken off": broken, "a large header": large, "not there": "http://127.0.0.1:1/"} {
		for _, method := range []Method{PostJSON, Flussonic} {
			h := newBackend(t, HTTPConfig{URL: at, Method: method, Timeout: 100 * time.Millisecond})
			got, err := h.Ask(t.Context(), testQuestion)
			if err == nil || got.Allowed || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "token") {
				t.Errorf("%s by %s: %+v, %v", name, method, got, err)
			}
		}
	}
}

func TestHTTPConfigs(t *testing.T) {
	for at, config := range map[string]HTTPConfig{
		"": {}, "/auth": {}, "ftp://a.example/": {}, "https://u:p@a.example/": {}, "http://a.example/": {}, "http://10.0.0.1/": {}, "https://a.example/#x": {},
		"https://a.example/": {Method: "get"}, "https://b.example/": {Timeout: time.Minute}, "https://c.example/": {Timeout: -1},
	} {
		config.URL = at
		if _, err := NewHTTP(config); err == nil {
			t.Errorf("%q is accepted", at)
		}
	}
	for at, config := range map[string]HTTPConfig{
		"https://a.example/": {}, "http://localhost:1/": {}, "http://127.0.0.1/": {}, "http://[::1]/": {}, "http://auth.internal/": {Plaintext: true},
	} {
		config.URL = at
		h := newBackend(t, config)
		h.Close()
	}
	for address, refused := range map[string]bool{"127.0.0.1:80": false, "10.1.2.3:80": false, "[fd00::1]:80": false, "93.184.216.34:80": true, "[2001:db8::1]:80": true} {
		if err := refusePublic("tcp", address, nil); (err != nil) != refused {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// script is a Backend of tests.
type script struct {
	mu       sync.Mutex
	answer   Answer
	err      error
	asked    []Question
	hold     chan struct{} // if set, answers wait for it
	explains bool
}

func (s *script) Ask(ctx context.Context, q Question) (Answer, error) {
	s.mu.Lock()
	s.asked = append(s.asked, q)
	answer, err, hold := s.answer, s.err, s.hold
	s.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return Answer{}, ctx.Err()
		}
	}
	return answer, err
}

func (s *script) Explains() bool { return s.explains }

func (s *script) say(answer Answer, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer, s.err = answer, err
}

func (s *script) questions() []Question {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func yes(holds time.Duration) Answer { return Answer{Allowed: true, Holds: holds} }

func TestCache(t *testing.T) {
	backend := &script{answer: yes(10 * time.Minute)}
	c := NewCache(backend, CacheConfig{MaxAge: time.Minute})
	defer c.Close()
	ask := func(after time.Duration, want string, questions int) {
		t.Helper()
		answer, _, err := c.Ask(t.Context(), testQuestion, testNow.Add(after))
		said := map[bool]string{true: "yes", false: "no"}[answer.Allowed]
		if err != nil {
			said = "unknown"
			if !errors.Is(err, token.ErrEntitlementUnknown) {
				t.Errorf("%v", err)
			}
		}
		if got := len(backend.questions()); said != want || got != questions {
			t.Errorf("after %s: %s, %d questions; want %s, %d", after, said, got, want, questions)
		}
	}
	ask(0, "yes", 1)
	ask(59*time.Second, "yes", 1)
	backend.say(Answer{}, nil)
	ask(61*time.Second, "no", 2)
	ask(65*time.Second, "no", 2)
	backend.say(yes(0), nil)
	ask(67*time.Second, "yes", 3) // a refusal is believed for seconds
	backend.say(Answer{}, errors.New("down"))
	ask(10*time.Minute, "unknown", 4)
	ask(10*time.Minute+500*time.Millisecond, "unknown", 4) // and left alone for one
	ask(10*time.Minute+2*time.Second, "unknown", 5)
	backend.say(yes(0), nil)
	ask(10*time.Minute+4*time.Second, "yes", 6)
	other := testQuestion
	other.Addr = netip.MustParseAddr("192.0.2.8")
	if _, fresh, err := c.Ask(t.Context(), other, testNow.Add(10*time.Minute+4*time.Second)); err != nil || !fresh {
		t.Error("another viewer is given an answer that is not about him")
	}
}

func TestOnFailure(t *testing.T) {
	for how, want := range map[Failure][2]bool{FailDeny: {false, false}, FailAllow: {true, true}, FailCached: {true, false}} { // known, and not
		backend := &script{answer: yes(0)}
		c := NewCache(backend, CacheConfig{OnFailure: how})
		if _, _, err := c.Ask(t.Context(), testQuestion, testNow); err != nil {
			t.Fatal(err)
		}
		backend.say(Answer{}, errors.New("down"))
		stranger := testQuestion
		stranger.Token = "another"
		for i, q := range []Question{testQuestion, stranger} {
			answer, _, err := c.Ask(t.Context(), q, testNow.Add(time.Hour))
			if answer.Allowed != want[i] || (err == nil) != want[i] {
				t.Errorf("%s, question %d: %t, %v", how, i, answer.Allowed, err)
			}
		}
		if answer, _, _ := c.Ask(t.Context(), testQuestion, testNow.Add(25*time.Hour)); answer.Allowed != (how == FailAllow) {
			t.Errorf("%s: an answer of yesterday counts: %t", how, answer.Allowed)
		}
		c.Close()
	}
}

func TestOneQuestionForAllWhoAsk(t *testing.T) {
	backend := &script{answer: yes(0), hold: make(chan struct{})}
	c := NewCache(backend, CacheConfig{MaxWaiting: 1})
	defer c.Close()
	var group sync.WaitGroup
	var allowed atomic.Int32
	leaving, leave := context.WithCancel(t.Context())
	for i := range 100 {
		group.Go(func() {
			ctx := t.Context()
			if i == 0 {
				ctx = leaving
			}
			if answer, _, err := c.Ask(ctx, testQuestion, testNow); err == nil && answer.Allowed {
				allowed.Add(1)
			}
		})
	}
	for len(backend.questions()) == 0 {
		time.Sleep(time.Millisecond)
	}
	stranger := testQuestion
	stranger.Token = "another"
	if _, _, err := c.Ask(t.Context(), stranger, testNow); !errors.Is(err, token.ErrEntitlementUnknown) {
		t.Errorf("in excess of what may wait: %v", err)
	}
	leave()
	close(backend.hold)
	group.Wait()
	if n := len(backend.questions()); allowed.Load() < 99 || n > 2 { // those who come when it is over are given the answer
		t.Errorf("%d allowed, %d questions", allowed.Load(), n)
	}
}

// settled waits until no question about the playback is under way.
func settled(t *testing.T, l *Leases, playback [8]byte) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		l.mu.Lock()
		known, ok := l.leases.get(playback)
		asking := ok && known.asking
		l.mu.Unlock()
		if !asking {
			return
		}
	}
	t.Fatal("the question has no end")
}

func TestLeases(t *testing.T) {
	playback := [8]byte{1}
	for how, whenDown := range map[Failure]error{FailDeny: token.ErrEntitlementUnknown, FailAllow: nil, FailCached: nil} {
		t.Run(string(how), func(t *testing.T) {
			backend := &script{answer: yes(time.Minute)}
			l := NewLeases(backend, LeasesConfig{OnFailure: how, Extend: time.Hour})
			defer l.Close()
			l.Start(playback, testQuestion, yes(time.Minute), testNow)
			check := func(after time.Duration, want error, questions int) time.Time {
				t.Helper()
				renew, err := l.Check(playback, Question{}, testNow.Add(after), false)
				settled(t, l, playback)
				if got := len(backend.questions()); !errors.Is(err, want) || got != questions {
					t.Errorf("after %s: %v, %d questions; want %v, %d", after, err, got, want, questions)
				}
				return renew
			}
			if renew := check(30*time.Second, nil, 0); !renew.Equal(testNow.Add(time.Minute + time.Hour)) {
				t.Errorf("renewed until %s", renew)
			}
			check(61*time.Second, nil, 1) // asks behind the request
			if renew := check(100*time.Second, nil, 1); !renew.Equal(testNow.Add(121*time.Second + time.Hour)) {
				t.Errorf("renewed until %s", renew)
			}
			q := backend.questions()[0]
			if q.Event != Update || q.Number != 1 || q.Token != testQuestion.Token || q.Playback != "0100000000000000" || q.Duration != 61*time.Second || q.Clients != 1 || q.AssetClients != 1 {
				t.Errorf("%+v", q)
			}
			backend.say(Answer{}, nil)
			check(3*time.Minute, nil, 2) // what was said before counts until there is another answer
			check(3*time.Minute+time.Second, token.ErrNotEntitled, 2)
			backend.say(yes(time.Minute), nil)
			check(4*time.Minute, token.ErrNotEntitled, 3)
			check(4*time.Minute+time.Second, nil, 3)
			backend.say(Answer{}, errors.New("down"))
			check(6*time.Minute, nil, 4)
			check(6*time.Minute+time.Second, whenDown, 4)
			backend.say(yes(time.Minute), nil)
			check(7*time.Minute, whenDown, 5)
			check(7*time.Minute+time.Second, nil, 5)
		})
	}
}

func TestLeasesOfOtherNodes(t *testing.T) {
	backend := &script{answer: Answer{}}
	l := NewLeases(backend, LeasesConfig{Extend: time.Hour})
	defer l.Close()
	if renew, err := l.Check([8]byte{1}, testQuestion, testNow, true); err != nil || !renew.IsZero() || len(backend.questions()) != 0 {
		t.Errorf("an explanation: %s, %v", renew, err)
	}
	if renew, err := l.Check([8]byte{1}, testQuestion, testNow, false); err != nil || !renew.IsZero() {
		t.Errorf("at first: %s, %v", renew, err)
	}
	settled(t, l, [8]byte{1})
	if _, err := l.Check([8]byte{1}, testQuestion, testNow, false); !errors.Is(err, token.ErrNotEntitled) {
		t.Errorf("then: %v", err)
	}
	if _, err := l.Check([8]byte{}, testQuestion, testNow, false); err != nil {
		t.Errorf("a session without a playback: %v", err)
	}
	needs := NewLeases(backend, LeasesConfig{NeedsToken: true})
	defer needs.Close()
	if _, err := needs.Check([8]byte{1}, testQuestion, testNow, false); err != nil || len(backend.questions()) != 1 {
		t.Errorf("a playback whose token is elsewhere: %v, %d questions", err, len(backend.questions()))
	}
}

func TestLeasesAreBounded(t *testing.T) {
	l := NewLeases(&script{}, LeasesConfig{MaxPlaybacks: 10})
	defer l.Close()
	for i := range 100 {
		q := testQuestion
		q.Asset = fmt.Sprint(i % 2)
		l.Start([8]byte{byte(i)}, q, yes(0), testNow)
	}
	if ofAsset, all := l.Counts("0"); ofAsset != 5 || all != 10 {
		t.Errorf("%d of %d", ofAsset, all)
	}
	l.Start([8]byte{200}, testQuestion, yes(0), testNow.Add(time.Hour)) // nobody watches the others any more
	if ofAsset, all := l.Counts("0"); ofAsset != 0 || all != 1 || len(l.assets) != 1 {
		t.Errorf("%d of %d, %v", ofAsset, all, l.assets)
	}
	hold := make(chan struct{})
	busy := NewLeases(&script{hold: hold}, LeasesConfig{MaxWaiting: 1})
	for i := range 3 {
		if _, err := busy.Check([8]byte{byte(i + 1)}, testQuestion, testNow, false); err != nil {
			t.Error(err)
		}
	}
	busy.Close() // ends what is asked
}

// innerVerifier admits one token.
type innerVerifier struct{ claims token.Claims }

func (v innerVerifier) Verify(_ context.Context, raw string, req token.Request) (token.Claims, error) {
	if raw != "good" {
		return token.Claims{}, token.ErrSignature
	}
	return v.claims, v.claims.Check(req)
}

func TestVerifier(t *testing.T) {
	backend := &script{explains: true}
	hour := testNow.Add(time.Hour)
	request := token.Request{Now: testNow, Path: "/vod/demo/a.mpd", Host: "media.example", Country: "AT", Header: func(string) []string { return []string{strings.Repeat("x", 4096)} }}
	inner := innerVerifier{token.Claims{Subject: "7", Expires: hour, Scope: []string{"/vod"}, Countries: []string{"AT", "DE"}, MaxStreams: 3}}
	for name, test := range map[string]struct {
		inner  token.Verifier
		raw    string
		answer Answer
		err    error
		want   token.Claims
		fails  error
	}{
		"only the backend": {nil, "opaque", Answer{Allowed: true, Holds: time.Minute, Claims: token.Claims{Subject: "x"}}, nil, token.Claims{Subject: "x", Expires: testNow.Add(time.Minute)}, nil},
		"an end":           {nil, "opaque", Answer{Allowed: true, Claims: token.Claims{Expires: hour}}, nil, token.Claims{Expires: hour}, nil},
		"an end that was":  {nil, "opaque", Answer{Allowed: true, Claims: token.Claims{Expires: testNow}}, nil, token.Claims{}, token.ErrExpired},
		"no":               {nil, "opaque", Answer{}, nil, token.Claims{}, token.ErrNotEntitled},
		"no answer":        {nil, "opaque", Answer{}, errors.New("down"), token.Claims{}, token.ErrEntitlementUnknown},
		"nothing":          {nil, "", yes(0), nil, token.Claims{}, token.ErrMissing},
		"too long":         {nil, strings.Repeat("x", maxOpaqueToken+1), yes(0), nil, token.Claims{}, token.ErrMalformed},
		"other paths":      {nil, "opaque", Answer{Allowed: true, Claims: token.Claims{Scope: []string{"/live"}}}, nil, token.Claims{}, token.ErrScope},
		"a bad token":      {inner, "bad", yes(0), nil, token.Claims{}, token.ErrSignature},
		"a good token":     {inner, "good", yes(0), nil, inner.claims, nil},
		"both restrict": {inner, "good", Answer{Allowed: true, Claims: token.Claims{
			Subject: "8", Countries: []string{"AT", "CH"}, Scope: []string{"/vod/demo", "/live"}, MaxStreams: 2, Plans: []string{"gold"}, Expires: testNow.Add(time.Minute),
		}}, nil, token.Claims{Subject: "7", Countries: []string{"AT"}, Scope: []string{"/vod/demo"}, MaxStreams: 2, Plans: []string{"gold"}, Expires: testNow.Add(time.Minute)}, nil},
		"no country is left":     {inner, "good", Answer{Allowed: true, Claims: token.Claims{Countries: []string{"CH"}}}, nil, token.Claims{}, token.ErrNotEntitled},
		"no path is left":        {inner, "good", Answer{Allowed: true, Claims: token.Claims{Scope: []string{"/vodka"}}}, nil, token.Claims{}, token.ErrScope},
		"no more than the token": {inner, "good", Answer{Allowed: true, Claims: token.Claims{Expires: testNow.Add(24 * time.Hour), MaxStreams: 9, Scope: []string{"/"}}}, nil, inner.claims, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := NewCache(backend, CacheConfig{})
			defer c.Close()
			backend.say(test.answer, test.err)
			v := &Verifier{Inner: test.inner, Cache: c}
			scope := &Scope{Tenant: "north", Asset: "/vod/demo/"}
			ctx := WithScope(t.Context(), scope)
			for _, verify := range []func(context.Context, string, token.Request) (token.Claims, error){v.Verify, v.Explain} {
				got, err := verify(ctx, test.raw, request)
				if !errors.Is(err, test.fails) {
					t.Fatalf("%v, want %v", err, test.fails)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Error(diff)
				}
			}
			if test.fails == nil && (scope.Question.Tenant != "north" || !scope.Answer.Allowed || len(scope.Question.UserAgent) != maxField) {
				t.Errorf("%+v", scope)
			}
		})
	}
	t.Run("an explanation counts nothing", func(t *testing.T) {
		c := NewCache(backend, CacheConfig{})
		defer c.Close()
		backend.say(yes(0), nil)
		v := &Verifier{Cache: c}
		if _, err := v.Explain(t.Context(), "opaque", request); err != nil {
			t.Error(err)
		}
		if asked := backend.questions(); asked[len(asked)-1].Event != Check {
			t.Errorf("%+v", asked[len(asked)-1])
		}
		backend.explains = false
		before := len(backend.questions())
		if _, err := v.Explain(t.Context(), "opaque", request); !errors.Is(err, token.ErrEntitlementUnknown) || len(backend.questions()) != before {
			t.Errorf("%v", err)
		}
		if _, err := v.Verify(t.Context(), "opaque", request); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Explain(t.Context(), "opaque", request); err != nil {
			t.Errorf("what is known already: %v", err)
		}
	})
}
