package caddymodule

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/segcrypt"
	"github.com/caddy-drm/caddy-drm/state"
)

func (g *gateway) revoke(t *testing.T, admin string, body map[string]any) (state.Revocation, reply) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	res := g.sendBody(t, http.MethodPost, "http://"+admin+"/drm/revocations", text, "Content-Type", "application/json")
	var entry state.Revocation
	if res.status == http.StatusCreated {
		if err := json.Unmarshal(res.body, &entry); err != nil {
			t.Fatal(err)
		}
	}
	return entry, res
}

func TestRevocations(t *testing.T) {
	g, admin := adminGateway(t, strings.Replace(streamSite, "OPTIONS", "limit streams 9 by subject", 1))
	claims := map[string]any{"device": "tv"}
	token := viewerToken(t, "viewer", claims)
	watching := g.play(t, "demo", token)
	segment := watching.segment("seg_1.m4s")
	wantReply(t, "before", segment, 200, "")
	for name, body := range map[string]map[string]any{
		"subject": {"kind": "subject", "value": "viewer"},
		"device":  {"kind": "device", "value": "tv", "tenant": "streams"},
		"token":   {"kind": "token", "value": "id-of-viewer"},
		"title":   {"kind": "title", "value": "/demo/video"},
		"asset":   {"kind": "title", "value": "/demo/"},
	} {
		t.Run(name, func(t *testing.T) {
			body["for"] = "1h"
			entry, res := g.revoke(t, admin, body)
			if res.status != http.StatusCreated {
				t.Fatalf("%d %s", res.status, res.body)
			}
			if bytes.Contains(res.body, []byte("viewer")) || bytes.Contains(res.body, []byte(`"tv"`)) {
				t.Errorf("the entry names a viewer: %s", res.body)
			}
			wantReply(t, "a session that was", watching.segment("seg_1.m4s"), 403, "revoked")
			if name != "title" {
				wantReply(t, "the token", g.get(t, "/demo/manifest.mpd?token="+token), 403, "revoked")
				wantReply(t, "a license", watching.license(), 403, "revoked")
			}
			list := g.mustGet(t, "http://"+admin+"/drm/revocations")
			if !bytes.Contains(list.body, []byte(entry.ID)) || !bytes.Contains(list.body, []byte(`"fresh":true`)) {
				t.Errorf("the list is %s", list.body)
			}
			if res := g.send(t, http.MethodDelete, "http://"+admin+"/drm/revocations/"+entry.ID); res.status != http.StatusNoContent {
				t.Errorf("lifting: %d %s", res.status, res.body)
			}
			wantReply(t, "after", watching.segment("seg_1.m4s"), 200, "")
		})
	}
	t.Run("another tenant", func(t *testing.T) {
		entry, _ := g.revoke(t, admin, map[string]any{"kind": "subject", "value": "viewer", "tenant": "other", "for": "1h"})
		wantReply(t, "this one", watching.segment("seg_1.m4s"), 200, "")
		g.send(t, http.MethodDelete, "http://"+admin+"/drm/revocations/"+entry.ID)
	})
	t.Run("survives a restart", func(t *testing.T) {
		_, res := g.revoke(t, admin, map[string]any{"kind": "subject", "value": "viewer", "for": "1h", "note": "a leak"})
		if res.status != http.StatusCreated {
			t.Fatalf("%d %s", res.status, res.body)
		}
		key, err := (&MemoryState{}).Key()
		if err != nil || key == "" {
			t.Fatal(err)
		}
		g.load(t, globalBlock+strings.Replace(streamSite, "OPTIONS", "", 1)) // the same storage
		wantReply(t, "the token", g.get(t, "/demo/manifest.mpd?token="+token), 403, "revoked")
	})
}

// TestRevokedKeys: neither the key nor what it encrypts is served, whether it is in the cache or not.
func TestRevokedKeys(t *testing.T) {
	g, admin := adminGateway(t, strings.Replace(streamSite, "OPTIONS", "", 1))
	links := g.links(t, "/demo/master.m3u8?drm=cenc&keyformat=identity&token="+viewerToken(t, "viewer", nil))
	key, segment := linkTo(t, links, "key", "").url, linkTo(t, links, "media", "seg_1.m4s").url
	g.mustGet(t, key)
	g.mustGet(t, segment)
	kid := key[strings.LastIndexByte(key, '/')+1:]
	entry, res := g.revoke(t, admin, map[string]any{"kind": "key", "value": kid, "for": "1h"})
	if res.status != http.StatusCreated {
		t.Fatalf("%d %s", res.status, res.body)
	}
	wantReply(t, "the key", g.get(t, key), 403, "revoked")
	wantReply(t, "the segment", g.get(t, segment), 403, "revoked")
	g.send(t, http.MethodDelete, "http://"+admin+"/drm/revocations/"+entry.ID)
	g.mustGet(t, key)
	g.mustGet(t, segment)
}

// TestRevokedKeysAndPassingMedia: what leaves as it came has no key of ours that could be revoked.
func TestRevokedKeysAndPassingMedia(t *testing.T) {
	init, err := segcrypt.ParseInit(clearFile(t, "demo/video/360p/init.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := drm.NewContentKey(drm.KID{1}, bytes.Repeat([]byte{7}, drm.KeySize), bytes.Repeat([]byte{9}, drm.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	protector, err := segcrypt.NewProtector(init, segcrypt.Protection{Scheme: drm.SchemeCbcs, Key: key, IVSecret: [32]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	clear := clearFile(t, "demo/video/360p/seg_1.m4s")
	segment, err := protector.Plan(clear)
	if err != nil {
		t.Fatal(err)
	}
	const playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://a\",KEYFORMAT=\"com.apple.streamingkeydelivery\",KEYFORMATVERSIONS=\"1\"\n" +
		"#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:2,\nseg_1.m4s\n#EXT-X-ENDLIST\n"
	files := map[string]string{"/p/v.m3u8": playlist, "/p/init.mp4": string(protector.Init()), "/p/seg_1.m4s": string(segment.AppendTo(nil))}
	origin := &scriptedOrigin{}
	origin.play(func(w http.ResponseWriter, r *http.Request) bool {
		return answerAt(r.URL.Path, files[r.URL.Path])(w, r)
	})
	g, admin := adminGateway(t, strings.Replace(passingSite, "ORIGIN", origin.start(t), 1))
	passes := linkTo(t, g.links(t, "/p/v.m3u8"), "media", "/seg_1.m4s").url
	if _, res := g.revoke(t, admin, map[string]any{"kind": "key", "value": foreignKID, "for": "1h"}); res.status != http.StatusCreated {
		t.Fatalf("%d %s", res.status, res.body)
	}
	wantReply(t, "a segment that passes", g.get(t, passes), 200, "")
}

func TestRevocationsAreRefused(t *testing.T) {
	g, admin := adminGateway(t, strings.Replace(streamSite, "OPTIONS", "", 1))
	for name, body := range map[string]map[string]any{
		"no time":          {"kind": "subject", "value": "x"},
		"two times":        {"kind": "subject", "value": "x", "for": "1h", "expires": "2999-01-01T00:00:00Z"},
		"no duration":      {"kind": "subject", "value": "x", "for": "long"},
		"the past":         {"kind": "subject", "value": "x", "for": "-1h"},
		"no kind":          {"value": "x", "for": "1h"},
		"no clean path":    {"kind": "title", "value": "/a/../b", "for": "1h"},
		"an unknown field": {"kind": "subject", "value": "x", "for": "1h", "tenants": "a"},
	} {
		if _, res := g.revoke(t, admin, body); res.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, res.status, res.body)
		}
	}
	for _, ask := range []struct {
		method, path string
		status       int
	}{{"PUT", "/drm/revocations", 405}, {"GET", "/drm/revocations/0", 405}, {"DELETE", "/drm/revocations/0", 404}} {
		if res := g.send(t, ask.method, "http://"+admin+ask.path); res.status != ask.status {
			t.Errorf("%s %s: %d", ask.method, ask.path, res.status)
		}
	}
}

// TestRevokeCommand drives the command against the admin endpoint.
func TestRevokeCommand(t *testing.T) {
	g, admin := adminGateway(t, strings.Replace(streamSite, "OPTIONS", "", 1))
	token := viewerToken(t, "viewer", nil)
	run := func(args ...string) (string, error) {
		cmd := revokeCommand()
		cmd.SetArgs(append(args, "--address", admin))
		var o revokeOptions
		o.values = make(map[state.RevocationKind]*string)
		for _, kind := range state.RevocationKinds {
			o.values[kind] = new(string)
		}
		if err := cmd.ParseFlags(append(args, "--address", admin)); err != nil {
			t.Fatal(err)
		}
		for _, kind := range state.RevocationKinds {
			*o.values[kind], _ = cmd.Flags().GetString(string(kind))
		}
		o.life, _ = cmd.Flags().GetDuration("for")
		o.list, _ = cmd.Flags().GetBool("list")
		o.lift, _ = cmd.Flags().GetString("lift")
		o.admin.address, _ = cmd.Flags().GetString("address")
		var out bytes.Buffer
		err := o.run(&out)
		return out.String(), err
	}
	out, err := run("--subject", "viewer", "--for", "1h")
	if err != nil {
		t.Fatal(err)
	}
	var entry state.Revocation
	if err := json.Unmarshal([]byte(out), &entry); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	wantReply(t, "the token", g.get(t, "/demo/manifest.mpd?token="+token), 403, "revoked")
	if out, err := run("--list"); err != nil || !strings.Contains(out, entry.ID) {
		t.Errorf("%s, %v", out, err)
	}
	if _, err := run("--lift", entry.ID); err != nil {
		t.Error(err)
	}
	wantReply(t, "the token", g.get(t, "/demo/manifest.mpd?token="+token), 200, "")
	for _, wrong := range [][]string{{}, {"--list", "--lift", "x"}, {"--subject", "x"}, {"--subject", "x", "--device", "y", "--for", "1h"}} {
		if _, err := run(wrong...); err == nil {
			t.Errorf("%v is accepted", wrong)
		}
	}
}

// TestWithoutAListOfRevocations: a node that never saw the list does not know whom to refuse.
func TestWithoutAListOfRevocations(t *testing.T) {
	for options, want := range map[string]int{"": 503, "revocations fail_open": 200, "revocations fail_closed 1m": 503} {
		g := newGateway(t)
		redis := "state redis {\n\taddress 127.0.0.1:" + freePort(t) + "\n\t" + options + "\n}\n\tsegment_cache off"
		g.load(t, strings.Replace(globalBlock, "segment_cache off", redis, 1)+strings.Replace(streamSite, "OPTIONS", "", 1))
		got := g.get(t, "/demo/manifest.mpd?token="+viewerToken(t, "viewer", nil))
		if got.status != want || want == 503 && (got.reason() != "state_unavailable" || got.header.Get("Retry-After") == "") {
			t.Errorf("%q: %d %s, want %d", options, got.status, got.reason(), want)
		}
	}
}
