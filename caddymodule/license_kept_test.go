package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/internal/redistest"
	"github.com/caddy-drm/caddy-drm/licensing"
	"github.com/caddy-drm/caddy-drm/state"
	"github.com/caddy-drm/caddy-drm/token"
)

// keptGroup is a rental that devices keep: 30 days to begin, and 48 hours from then on.
const keptGroup = "\t\tgroup kept {\n\t\t\tlicense persistent 720h {\n\t\t\t\trental 720h\n\t\t\t\tplayback 48h\n\t\t\t}\n\t\t}\n"

var keptSite = strings.Replace(strings.Replace(gatedSite, "tenant gated", "tenant kept\n\tgroup kept", 1), "require_license 1s", "require_license 100ms", 1)

// startKept runs a site whose licenses are kept, with a log of licenses and an admin API.
func startKept(t *testing.T, site string) (l licensed, admin string) {
	t.Helper()
	g := newGateway(t)
	admin = "127.0.0.1:" + freePort(t)
	global := strings.Replace(withGroups(keptGroup), "output discard", "output file DIR/gateway.log\n\t\tlevel DEBUG", 1)
	g.load(t, strings.Replace(global, "admin off", "admin "+admin, 1)+site)
	return licensed{gateway: g}, admin
}

// watching is a session of a viewer with the demo title.
type watching struct {
	t     *testing.T
	g     *gateway
	links []link
	kids  []string // in base64url: of video, and of sound
	url   string   // of licenses
}

func (g *gateway) watch(t *testing.T, token string) watching {
	t.Helper()
	at := "http://" + g.addr + "/demo/manifest.mpd?token=" + token
	mpd := g.mustGet(t, at).body
	w := watching{t: t, g: g, links: mpdLinks(t, at, mpd), url: laurlPattern.FindStringSubmatch(string(mpd))[1]}
	for _, kid := range kidsIn(t, string(mpd)) {
		w.kids = append(w.kids, kid.Base64URL())
	}
	return w
}

func (w watching) segment(number string) reply {
	w.t.Helper()
	return w.g.get(w.t, linkTo(w.t, w.links, "media", "/video/360p/seg_"+number+".m4s").url)
}

// ask sends a message of a Clear Key CDM for all keys of the title; without a session type it names none.
func (w watching) ask(sessionType string) reply {
	w.t.Helper()
	message := map[string]any{"kids": w.kids}
	if sessionType != "" {
		message["type"] = sessionType
	}
	body, err := json.Marshal(message)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.g.sendBody(w.t, http.MethodPost, w.url, body)
}

// mustAsk is ask for a license of a type, which has to come with every key.
func (w watching) mustAsk(sessionType string) {
	w.t.Helper()
	res := w.ask(sessionType)
	var license struct {
		Keys []struct{ Kid string }
		Type string
	}
	if err := json.Unmarshal(res.body, &license); res.status != 200 || err != nil || license.Type != sessionType || len(license.Keys) != len(w.kids) {
		w.t.Errorf("%s: %d %s, type %q with %d keys", sessionType, res.status, res.reason(), license.Type, len(license.Keys))
	}
}

// TestKeptLicense: what a persistent license opens is on record for the viewer's device, in every session, until it is released.
func TestKeptLicense(t *testing.T) {
	l, _ := startKept(t, keptSite)
	phone := viewerToken(t, "viewer", map[string]any{"device": "phone"})
	first := l.watch(t, phone)
	if len(first.kids) < 2 {
		t.Fatalf("keys %v, want one for each class", first.kids)
	}
	wantReply(t, "the first segment", first.segment("1"), 200, "")
	wantReply(t, "the second, without a license", first.segment("2"), 403, "license_required")
	first.mustAsk("persistent-license")
	wantReply(t, "the second", first.segment("2"), 200, "")
	later := l.watch(t, phone)
	wantReply(t, "a later session, its first segment", later.segment("1"), 200, "")
	wantReply(t, "a later session, which asks for no license", later.segment("2"), 200, "")
	for name, token := range map[string]string{
		"another device": viewerToken(t, "viewer", map[string]any{"device": "tv"}), "another viewer": viewerToken(t, "other", map[string]any{"device": "phone"}),
	} {
		w := l.watch(t, token)
		wantReply(t, name+", its first segment", w.segment("1"), 200, "")
		wantReply(t, name, w.segment("2"), 403, "license_required")
	}
	released := later.ask("")
	want, _ := json.Marshal(map[string]any{"kids": later.kids})
	if released.status != 200 || !bytes.Equal(released.body, want) || released.header.Get("Content-Type") != "application/json" || released.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the release is answered %d %s %v %s", released.status, released.reason(), released.header, released.body)
	}
	wantReply(t, "released", later.segment("3"), 403, "license_required")
	wantReply(t, "released, in the session of its license", first.segment("3"), 403, "license_required")
	later.mustAsk("temporary")
	wantReply(t, "with a license of its own", later.segment("3"), 200, "")
	wantReply(t, "which the other session has not", first.segment("3"), 403, "license_required")

	var results []any
	for _, record := range l.records(t) {
		results = append(results, record["result"])
		if kids, _ := record["kids"].([]any); len(kids) != len(first.kids) || record["system"] != "clearkey" || (record["ends"] == nil) != (record["result"] == "release") {
			t.Errorf("record %v", record)
		}
	}
	if !slices.Equal(results, []any{"grant", "release", "renewal"}) {
		t.Errorf("audited %v", results)
	}
}

// TestTypesOfLicenses: where licenses are temporary, none is kept, and what names no type is a request: of an old browser, or the
// initialization data "keyids".
func TestTypesOfLicenses(t *testing.T) {
	g := startGateway(t, gatedSite)
	w := g.watch(t, viewerToken(t, "viewer", nil))
	for _, sessionType := range []string{"persistent-license", "persistent-usage-record", "Temporary"} {
		res := w.ask(sessionType)
		wantReply(t, sessionType, res, 403, "license_type_unsupported")
		if kind := problemOf(t, res); kind != problemNotAuthorized {
			t.Errorf("%s: problem type %s", sessionType, kind)
		}
	}
	wantReply(t, "the first segment", w.segment("1"), 200, "")
	wantReply(t, "after refusals", w.segment("2"), 403, "license_required")
	if res := w.ask(""); res.status != 200 || strings.Count(string(res.body), `"k":`) != len(w.kids) || !strings.HasSuffix(string(res.body), `"type":"temporary"}`) {
		t.Errorf("without a type: %d %s", res.status, res.reason())
	}
	wantReply(t, "with a license", w.segment("2"), 200, "")
}

// TestRentalWindows: the first license begins them, a further one leaves them as they are, and behind them there is none until it is
// rented anew.
func TestRentalWindows(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	clock := setClock(t, now)
	l, _ := startKept(t, keptSite)
	token := viewerToken(t, "viewer", map[string]any{"exp": now.Add(100 * 24 * time.Hour).Unix()})
	at := func(after time.Duration) watching {
		t.Helper()
		clock.set(now.Add(after))
		return l.watch(t, token)
	}
	foreign := at(0)
	foreign.kids = []string{"AAAAAAAAAAAAAAAAAAAAAA"}
	wantReply(t, "a key of no title, which begins nothing", foreign.ask("persistent-license"), 403, "license_no_keys")
	at(time.Hour).mustAsk("persistent-license")
	begun := at(48*time.Hour + 59*time.Minute)
	begun.mustAsk("persistent-license")
	begun.mustAsk("temporary")
	begun.ask("") // gains no time
	begun.mustAsk("persistent-license")
	for _, after := range []time.Duration{49 * time.Hour, 768 * time.Hour} {
		over := at(after)
		for _, sessionType := range []string{"persistent-license", "temporary"} {
			res := over.ask(sessionType)
			wantReply(t, after.String()+" "+sessionType, res, 403, "license_over")
			if kind := problemOf(t, res); kind != problemNotAuthorized || bytes.Contains(res.body, []byte(`"k"`)) {
				t.Errorf("problem %s", res.body)
			}
		}
	}
	wantOther := viewerToken(t, "other", map[string]any{"exp": now.Add(100 * 24 * time.Hour).Unix()})
	l.watch(t, wantOther).mustAsk("persistent-license")
	at(769 * time.Hour).mustAsk("persistent-license")
}

// TestRentalEndsSegments: what is on record of a license ends with the window that the first one began, whatever was asked for meanwhile, in
// the session that it was given to, too.
func TestRentalEndsSegments(t *testing.T) {
	g := newGateway(t)
	g.load(t, strings.Replace(withGroups(keptGroup), "playback 48h", "playback 3s", 1)+keptSite)
	w := g.watch(t, viewerToken(t, "viewer", nil))
	wantReply(t, "the first segment", w.segment("1"), 200, "")
	w.mustAsk("persistent-license")
	began := time.Now()
	for _, step := range []struct {
		at   time.Duration
		what string
		ask  func() reply
	}{
		{0, "a segment", func() reply { return w.segment("2") }},
		{1500 * time.Millisecond, "another license to keep", func() reply { return w.ask("persistent-license") }},
		{1500 * time.Millisecond, "another license", func() reply { return w.ask("temporary") }},
	} {
		time.Sleep(time.Until(began.Add(step.at)))
		if res := step.ask(); time.Since(began) < 2900*time.Millisecond { // a slow machine may be late
			wantReply(t, step.what+" in the window", res, 200, "")
		}
	}
	time.Sleep(time.Until(began.Add(3 * time.Second)))
	wantReply(t, "a segment behind the window", w.segment("2"), 403, "license_required")
	wantReply(t, "a license behind the window", w.ask("temporary"), 403, "license_over")
}

// TestRevokedSubscribers: who is revoked is refused the next license and segment, whether the license was to be kept or not.
func TestRevokedSubscribers(t *testing.T) {
	l, admin := startKept(t, keptSite)
	for _, sessionType := range []string{"temporary", "persistent-license"} {
		t.Run(sessionType, func(t *testing.T) {
			w := l.watch(t, viewerToken(t, "viewer", map[string]any{"device": sessionType}))
			wantReply(t, "the first segment", w.segment("1"), 200, "")
			w.mustAsk(sessionType)
			wantReply(t, "a segment", w.segment("2"), 200, "")
			entry, res := l.revoke(t, admin, map[string]any{"kind": "subject", "value": "viewer", "for": "1h"})
			if res.status != http.StatusCreated {
				t.Fatalf("%d %s", res.status, res.body)
			}
			refused := w.ask(sessionType)
			wantReply(t, "the renewal", refused, 403, "revoked")
			if kind := problemOf(t, refused); kind != problemNotAuthorized {
				t.Errorf("problem type %s", kind)
			}
			wantReply(t, "the next segment", w.segment("3"), 403, "revoked")
			wantReply(t, "a new session", l.get(t, "/demo/manifest.mpd?token="+viewerToken(t, "viewer", nil)), 403, "revoked")
			l.send(t, http.MethodDelete, "http://"+admin+"/drm/revocations/"+entry.ID)
			w.mustAsk(sessionType)
			wantReply(t, "a segment, after all", w.segment("3"), 200, "")
		})
	}
}

// TestKeptLicenseSurvivesRestarts: in Redis the record of a license and of its windows outlives the gateway.
func TestKeptLicenseSurvivesRestarts(t *testing.T) {
	d, err := redistest.Start("single", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	g := newGateway(t)
	config := strings.Replace(strings.Replace(withGroups(keptGroup), "playback 48h", "playback 6s", 1), "segment_cache off",
		"state redis {\n\taddress "+strings.Join(d.Addresses, " ")+"\n}\n", 1) + keptSite
	restart := func() watching {
		t.Helper()
		if err := caddy.Stop(); err != nil {
			t.Fatal(err)
		}
		g.load(t, config)
		return g.watch(t, viewerToken(t, "viewer", nil))
	}
	before := restart()
	before.mustAsk("persistent-license")
	began := time.Now()
	after := restart()
	if res := after.segment("1"); time.Since(began) < 5*time.Second { // a slow machine may be late
		wantReply(t, "the first segment", res, 200, "")
		wantReply(t, "the second", after.segment("2"), 200, "")
		if res := after.ask(""); res.status != 200 {
			t.Errorf("the release: %d %s", res.status, res.reason())
		}
		wantReply(t, "released", after.segment("2"), 403, "license_required")
	}
	if keys, err := d.Data[0].Do("KEYS", "*"); err != nil || strings.Contains(keys, "viewer") || strings.Contains(keys, "demo") {
		t.Errorf("keys %q, %v", keys, err)
	}
	time.Sleep(time.Until(began.Add(6*time.Second + 100*time.Millisecond)))
	wantReply(t, "a license behind the window", restart().ask("persistent-license"), 403, "license_over")
}

// TestHeadOfAKeyGrantsNothing: who asks how long a key is gets no key, and so no segments.
func TestHeadOfAKeyGrantsNothing(t *testing.T) {
	l, _ := startKept(t, strings.Replace(gatedSite, "require_license 1s", "require_license 100ms", 1))
	links := l.links(t, "/demo/master.m3u8?drm=cenc&keyformat=identity&token="+viewerToken(t, "viewer", nil))
	key := linkTo(t, links, "key", "").url
	segment := func(number string) reply {
		return l.get(t, linkTo(t, links, "media", "/video/360p/seg_"+number+".m4s").url)
	}
	wantReply(t, "the first segment", segment("1"), 200, "")
	if res := l.send(t, http.MethodHead, key); res.status != 200 || len(res.body) > 0 || res.header.Get("Content-Length") != "16" {
		t.Errorf("HEAD: %d %s, %d bytes of %s", res.status, res.reason(), len(res.body), res.header.Get("Content-Length"))
	}
	wantReply(t, "after HEAD", segment("2"), 403, "license_required")
	if records := l.records(t); len(records) > 0 {
		t.Errorf("audited %v", records)
	}
	for _, l2 := range links {
		if l2.kind == "key" {
			l.mustGet(t, l2.url)
		}
	}
	wantReply(t, "after GET", segment("2"), 200, "")
	if len(l.records(t)) == 0 {
		t.Error("no grant is audited")
	}
}

// TestKeptLicenseOfLicenseServers: an offline license of Widevine is on record like one of ClearKey, and one for streaming is not.
func TestKeptLicenseOfLicenseServers(t *testing.T) {
	l := startLicensed(t, "", "require_license 100ms", "license temporary 12h", "license persistent 12h")
	session := func(token string) (mpd string, segment func(number string) reply) {
		t.Helper()
		at := "http://" + l.addr + "/demo/manifest.mpd?token=" + token
		mpd = l.manifest(t, token)
		links := mpdLinks(t, at, []byte(mpd))
		return mpd, func(number string) reply {
			t.Helper()
			return l.get(t, linkTo(t, links, "media", "/video/360p/seg_"+number+".m4s").url)
		}
	}
	for _, test := range []struct {
		subject string
		kind    byte // 1 streaming, 2 offline
		status  int
		reason  string
	}{{"streams", 1, 403, "license_required"}, {"keeps", 2, 200, ""}} {
		token := viewerToken(t, test.subject, nil)
		mpd, first := session(token)
		url, kids := licenseURLIn(t, mpd, drm.SystemWidevine), kidsIn(t, mpd)
		wantReply(t, test.subject+", a license", l.sendBody(t, http.MethodPost, url, widevineChallenge(test.kind, kids...)), 200, "")
		wantReply(t, test.subject+", a segment", first("1"), 200, "")
		wantReply(t, test.subject+", another", first("2"), 200, "")
		_, later := session(token)
		wantReply(t, test.subject+" later, the first segment", later("1"), 200, "")
		wantReply(t, test.subject+" later", later("2"), test.status, test.reason)
		release := append([]byte{8, 1}, wireField(2, append(append(wireField(1, []byte("client")), wireField(2, wireField(3, wireField(1, wireField(1, []byte("id")))))...), 3<<3, 3))...)
		wantReply(t, test.subject+", a release", l.sendBody(t, http.MethodPost, url, release), 200, "")
		wantReply(t, test.subject+" later, released", later("3"), 403, "license_required")
	}
}

// TestOneJudgementOfKeys: a key that SD shares with HD is no key for a device that cannot have HD, and who may not see may listen.
func TestOneJudgementOfKeys(t *testing.T) {
	shared, err := (&MemoryState{}).Open(state.NewDigester([32]byte{1}), nil, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	h := &Handler{app: &App{groups: map[string]drm.Group{"premium": {Name: "premium", Level: drm.LevelHigh}}}, state: shared}
	key := func(class drm.TrackClass, kid byte) licensing.GrantedKey {
		k, err := drm.NewContentKey(drm.KID{kid}, bytes.Repeat([]byte{kid}, drm.KeySize), make([]byte, drm.KeySize))
		if err != nil {
			t.Fatal(err)
		}
		return licensing.GrantedKey{Class: class, Key: k}
	}
	split := []licensing.GrantedKey{key(drm.ClassHD, 1), key(drm.ClassSD, 1), key(drm.ClassAudio, 2), key(drm.ClassSD, 3)}
	for _, test := range []struct {
		level string
		keys  []licensing.GrantedKey
		kept  []drm.KID
	}{
		{"low", split, []drm.KID{{2}, {3}}}, {"high", split, []drm.KID{{1}, {2}, {3}}}, {"", split, []drm.KID{{1}, {2}, {3}}},
		{"low", []licensing.GrantedKey{key(drm.ClassShared, 4)}, []drm.KID{{4}}}, {"low", split[:2], nil},
	} {
		q := &request{Handler: h, site: &site{}, seal: address.Seal{Group: "premium"}, identity: identity{claims: token.Claims{Level: test.level}}}
		alone, errAlone := q.permittedAlone(test.keys)
		all, errAll := q.permitted(test.keys, nil)
		var kids []drm.KID
		for _, key := range alone {
			kids = append(kids, key.KID())
		}
		if !slices.Equal(kids, test.kept) || len(all) != len(test.kept) || (errAll != nil) != (test.kept == nil) || (errAlone != nil) != (test.kept == nil) {
			t.Errorf("level %q: %v alone (%v), %d with others (%v), want %v", test.level, kids, errAlone, len(all), errAll, test.kept)
		}
		for _, kid := range []drm.KID{{1}, {2}, {3}} {
			named := holdsAny(test.keys, []drm.KID{kid})
			if _, err := q.permitted(test.keys, []drm.KID{kid}); named && errors.Is(err, errLevel) == slices.Contains(test.kept, kid) {
				t.Errorf("level %q, a request that names %s: %v", test.level, kid, err)
			}
		}
	}
}
