package caddymodule

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/internal/redistest"
	"github.com/caddy-drm/caddy-drm/token"
	"github.com/caddy-drm/caddy-drm/token/cat"
)

// What the test plants. Nothing in them has a pattern that could stand somewhere by accident.
const (
	plantedKID     = "3b9d5c7e1f20486ab1c4d6e8f0a21357"
	plantedKey     = "c6a1f4e29b7d30588e3c52d7a90b64f1"
	plantedRedis   = "redis-password-4Jq7Tz1mVx9Lw2Ks"
	plantedBackend = "Bearer backend-8Rn3Yc5uHd0Pe6Gb"
	plantedViewer  = "viewer-5Fk8Wq2xNs7Ja1Ld"
)

// plantedHead logs everything to a file and shows what Caddy has to show.
const plantedHead = `{
	admin ADMIN
	persist_config off
	auto_https off
	grace_period 2s
	metrics
	storage file_system STORAGE
	log {
		output file DIR/gateway.log
		level DEBUG
	}
	drm {
		secret {env.TEST_DRM_SECRET}
`

// plantedGlobal shares state with a server that refuses the password.
const plantedGlobal = plantedHead + `		geo_database country TESTDATA/geo/example-country.mmdb
		state redis {
			address STATE_SERVER
			username gateway
			password {env.TEST_REDIS_PASSWORD}
			tls {
				ca STATE_CERT
			}
			revocations fail_open
		}
	}
}
http://:PORT {
	log {
		output file DIR/access.log
		format filter {
			request>uri drm
			request>headers>Referer delete
			request>headers>Cta-Common-Access-Token delete
			resp_headers>Location delete
			resp_headers>Cta-Common-Access-Token delete
			wrap json
		}
	}
	drm {
		tenant planted
		scheme cenc
		keys static DIR/planted.json
		license_server clearkey
		token signed {
			key {env.TEST_TOKEN_SECRET}
		}
		token cat {
			key k1 HS256 {env.TEST_CAT_SECRET}
			renew k1
		}
		entitlement BACKEND/check {
			authorization {env.TEST_CREDENTIAL}
			cache 1s
		}
		limit streams 4 by subject
		session cookie
		cors https://play.example.com
	}
	reverse_proxy ORIGIN
}
`

// planted is a secret, and where it may be seen.
type planted struct {
	name, text string
	raw        []byte // the bytes that the text stands for; nil if it is the text itself
	// forViewer is true for what the viewer may be told: the session, and who it is.
	forViewer bool
}

// spellings are the forms in which the secret could show.
func (p planted) spellings() []string {
	all := []string{p.text, base64.StdEncoding.EncodeToString([]byte(p.text))[:len(p.text)], hex.EncodeToString([]byte(p.text))}
	if b := p.raw; b != nil {
		guid := slices.Clone(b[:16]) // PlayReady's order
		binary.LittleEndian.PutUint32(guid, binary.BigEndian.Uint32(b))
		binary.LittleEndian.PutUint16(guid[4:], binary.BigEndian.Uint16(b[4:]))
		binary.LittleEndian.PutUint16(guid[6:], binary.BigEndian.Uint16(b[6:]))
		digits := hex.EncodeToString(b)
		all = append(all, string(b), digits, strings.ToUpper(digits), digits[:8]+"-"+digits[8:12], hex.EncodeToString(guid),
			strings.TrimRight(base64.StdEncoding.EncodeToString(b), "="), base64.RawURLEncoding.EncodeToString(b),
			strings.TrimRight(base64.StdEncoding.EncodeToString(guid), "="), strings.Trim(fmt.Sprint(b[:8]), "[]"))
	}
	return all
}

// seenIn returns the spelling of the secret that stands in the text, or nothing.
func (p planted) seenIn(text []byte) string {
	for _, spelling := range p.spellings() {
		if bytes.Contains(text, []byte(spelling)) {
			return spelling
		}
	}
	return ""
}

// search looks for what was planted.
type search struct {
	t       *testing.T
	secrets []planted
}

// find fails the test if a secret stands in text. Viewers are given their session, and know who they are.
func (s search) find(where string, text []byte, forViewer bool) {
	s.t.Helper()
	for _, secret := range s.secrets {
		if spelling := secret.seenIn(text); spelling != "" && !(secret.forViewer && forViewer) {
			s.t.Errorf("%s shows %s: …%.120q", where, secret.name, text[max(0, bytes.Index(text, []byte(spelling))-40):])
		}
	}
}

func (s search) answered(what string, res reply) {
	s.t.Helper()
	var header bytes.Buffer
	_ = res.header.Write(&header) // a buffer takes everything
	s.find(what+", in its header", header.Bytes(), true)
	s.find(what, res.body, true)
}

// plantedSite is a gateway with everything that it may not show.
type plantedSite struct {
	*gateway
	admin   string
	keys    string // the file with the content key
	backend *entitlementBackend
	origin  *scriptedOrigin
}

func startPlanted(t *testing.T) plantedSite {
	t.Helper()
	d, err := redistest.Start("tls", t.TempDir()) // it asks for a password, and ours is another one
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	for name, value := range map[string]string{"TEST_CAT_SECRET": testCATSecret, "TEST_REDIS_PASSWORD": plantedRedis, "TEST_CREDENTIAL": plantedBackend} {
		t.Setenv(name, value)
	}
	s := plantedSite{admin: "127.0.0.1:" + freePort(t), backend: &entitlementBackend{}, origin: &scriptedOrigin{}}
	s.backend.say(200, `{"allow":true,"check_after":1}`, nil)
	s.gateway = newGateway(t, "ADMIN", s.admin, "STATE_SERVER", strings.Join(d.Addresses, " "), "STATE_CERT", d.CertFile,
		"BACKEND", s.backend.start(t), "ORIGIN", s.origin.start(t))
	s.keys = filepath.Join(s.dir, "planted.json")
	if err := os.WriteFile(s.keys, []byte(`{"keys":[{"kid":"`+plantedKID+`","key":"`+plantedKey+`","scheme":"cenc"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.load(t, plantedGlobal)
	return s
}

// TestNothingPlantedShows covers row 39 for what came with tokens, sessions, backends and shared state: after requests of every kind, good and
// bad, no secret is found in logs, metrics, the admin endpoint, the stacks of a crash, files or answers, but a key in its license.
func TestNothingPlantedShows(t *testing.T) {
	g := startPlanted(t)
	signed := signedToken(t, time.Now().Add(time.Hour), token.Claims{Subject: plantedViewer, Scope: []string{"/demo"}})
	common := catToken(t, cat.Subject, plantedViewer)
	renewable := catToken(t, cat.Expires, time.Now().Unix()+30, cat.IssuedAt, time.Now().Unix(), cat.Renewal, labels{0: 2, 1: 600})
	first := g.mustGet(t, "/demo/master.m3u8?keyformat=identity&token="+signed)
	cookies := (&http.Response{Header: first.header}).Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies %v", cookies)
	}
	session := cookies[0].Value
	s := search{t, []planted{
		{"the deployment secret", testSecretHex, unhex(t, testSecretHex), false}, {"the key of signed tokens", testTokenSecret, nil, false},
		{"the key of Common Access Tokens", testCATSecret, unhex(t, testCATSecret), false}, {"the content key", plantedKey, unhex(t, plantedKey), false},
		{"the password of Redis", plantedRedis, nil, false}, {"the credential for the backend", plantedBackend[7:], nil, false},
		{"a signed token", signed[len(signed)-30:], nil, false}, {"a Common Access Token", common[len(common)-30:], nil, false},
		{"a token that is renewed", renewable[len(renewable)-30:], nil, false}, {"a session", session, nil, true}, {"a viewer", plantedViewer, nil, true},
	}}
	for _, target := range []string{
		"/demo/manifest.mpd?token=" + signed, "/demo/manifest.mpd?cat=" + common, "/demo/manifest.mpd?token=" + signed + "&cat=" + common,
		"/demo/manifest.mpd?token=" + signed[:len(signed)-1], "/demo/manifest.mpd?cat=" + common + "AAAA", "/demo-av1/manifest.mpd?token=" + signed,
		"/demo/~s." + session + "/manifest.mpd", "/demo/nothing.mpd?token=" + signed, "/demo/video/360p/seg_1.m4s?token=" + signed, "/demo/a;b?token=" + signed,
		"/demo/manifest.mpd?token=" + signed + "&token=" + signed + "x", "/" + signed + "/demo/manifest.mpd", "/demo/manifest.mpd?%zz&token=" + signed,
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost} {
			s.answered(method, g.send(t, method, target, "Origin", "https://play.example.com", "Referer", "https://a.example/?token="+signed))
		}
	}
	s.answered("a header", g.get(t, "/demo/manifest.mpd", "Authorization", "Bearer "+signed, "Cookie", "caddy_drm_session="+session))
	if renewed := g.mustGet(t, "/demo/manifest.mpd", catField, renewable); renewed.header.Get(catField) == "" {
		t.Error("no token is renewed")
	}
	g.follow(s, first.body, cookies[0].Name+"="+session)
	g.breakThings(s, signed)
	g.searchForOperators(s)
}

// follow asks for what a playlist names. Only the key's own address gives the key, so that the search proves to find what is there.
func (g plantedSite) follow(s search, master []byte, cookie string) {
	t, at := s.t, "http://"+g.addr+"/demo/master.m3u8"
	links := playlistLinks(t, at, master)
	media := linkTo(t, links, "playlist", "360p.m3u8").url
	links = append(links, playlistLinks(t, media, g.mustGet(t, media, "Cookie", cookie).body)...)
	key := planted{text: plantedKey, raw: unhex(t, plantedKey)}
	given := 0
	for _, l := range links {
		res := g.get(t, l.url, "Cookie", cookie)
		switch {
		case l.kind != "key":
			s.answered(l.kind, res)
		case key.seenIn(res.body) != "":
			given++
		}
	}
	if given == 0 {
		t.Error("no key was given out")
	}
}

// breakThings fails where failures are written down.
func (g plantedSite) breakThings(s search, signed string) {
	t := s.t
	for status, answer := range map[int]string{500: "", 403: `{"allow":false}`, 200: `{"allow":`} {
		g.backend.say(status, answer, nil)
		res := g.get(t, "/demo/manifest.mpd?token="+tokenFor(t, "/demo", "/of-"+strconv.Itoa(status)))
		if res.status < 400 {
			t.Errorf("a backend that answers %d: %d", status, res.status)
		}
		s.answered("a backend that fails", res)
	}
	g.backend.say(200, `{"allow":true}`, nil)
	g.origin.play(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true })
	s.answered("a broken origin", g.get(t, "/demo/manifest.mpd?token="+signed))
	g.load(t, plantedGlobal+"# reloaded\n")
	_, res := g.revoke(t, g.admin, map[string]any{"kind": "subject", "value": plantedViewer, "for": "1h"})
	if res.status/100 == 2 {
		t.Error("a revocation reached a server that refuses us")
	}
	s.find("a revocation that fails", res.body, false)
}

// searchForOperators searches what an operator, a scraper or a support engineer gets to see.
func (g plantedSite) searchForOperators(s search) {
	t := s.t
	for _, path := range []string{"/metrics", "/config/", "/drm/revocations", "/debug/vars", "/debug/pprof/goroutine?debug=2", "/reverse_proxy/upstreams"} {
		res := g.get(t, "http://"+g.admin+path)
		if len(res.body) == 0 {
			t.Errorf("%s is empty", path)
		}
		s.find("admin "+path, res.body, false)
	}
	said := map[string][]string{"gateway.log": {"shared state", "request refused", "token_ambiguous"}, "access.log": {"handled request", "REDACTED"}}
	err := filepath.WalkDir(g.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path == g.keys {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, want := range said[filepath.Base(path)] {
			if !bytes.Contains(text, []byte(want)) {
				t.Errorf("%s does not say %q: %.2000s", filepath.Base(path), want, text)
			}
		}
		delete(said, filepath.Base(path))
		s.find("the file "+filepath.Base(path), text, false)
		return nil
	})
	if err != nil || len(said) > 0 {
		t.Errorf("no file for %v: %v", said, err)
	}
}
