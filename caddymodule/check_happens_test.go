package caddymodule

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token/cat"
)

const happeningSites = `
http://rated.test:PORT {
	drm {
		tenant rated
		license_server clearkey
		token jwt {
			algorithms HS256
			secret {env.TEST_TOKEN_SECRET}
		}
		limit requests 2 per 1h by subject
	}
	file_server {
		root TESTDATA
	}
}
http://gated.test:PORT {
	drm {
		tenant gated
		license_server clearkey
		token jwt {
			algorithms HS256
			secret {env.TEST_TOKEN_SECRET}
		}
		require_license 0s
	}
	file_server {
		root TESTDATA
	}
}
http://once.test:PORT {
	drm {
		tenant once
		license_server clearkey
		token cat {
			key k1 HS256 {env.TEST_CAT_SECRET}
		}
	}
	file_server {
		root TESTDATA
	}
}
`

const vendorCheckSite = `
http://:PORT {
	drm {
		license_server clearkey
		token akamai {
			key {env.TEST_HEX_KEY}
		}
		token flussonic {
			key {env.TEST_TOKEN_SECRET}
			name stream_token
		}
		token signed {
			key {env.TEST_TOKEN_SECRET}
		}
	}
	file_server {
		root TESTDATA
	}
}
`

// TestCheckTakesTokensOfAllKinds: what is one text is taken as such, whatever its kind; a bad one is refused for what it is.
func TestCheckTakesTokensOfAllKinds(t *testing.T) {
	t.Setenv("TEST_HEX_KEY", testHexKey)
	g, admin := adminGateway(t, vendorCheckSite)
	secret, hexKey := writeKey(t, "secret", []byte(testTokenSecret)), writeKey(t, "hex", []byte(testHexKey))
	for name, test := range map[string]struct {
		mint []string
		want string
	}{
		"akamai":           {[]string{"akamai", "--key-file", hexKey, "--acl", "/demo/*"}, "allowed"},
		"akamai elsewhere": {[]string{"akamai", "--key-file", hexKey, "--acl", "/other/*"}, "token_scope"},
		"flussonic":        {[]string{"flussonic", "--key-file", secret, "--stream", "demo", "--ip", "127.0.0.1"}, "allowed"},
		"flussonic, other": {[]string{"flussonic", "--key-file", secret, "--stream", "other", "--ip", "127.0.0.1"}, "token_invalid"},
		"signed":           {[]string{"signed", "--key-file", secret, "--prefix", "/demo"}, "allowed"},
		"signed elsewhere": {[]string{"signed", "--key-file", secret, "--prefix", "/other"}, "token_scope"},
	} {
		minted, err := runToken(t, "", test.mint...)
		if err != nil {
			t.Fatal(err)
		}
		said := check(t, admin, CheckRequest{URL: "http://" + g.addr + "/demo/manifest.mpd", Token: minted})
		if said.Reason != test.want {
			t.Errorf("%s: %s (%s), want %s", name, said.Reason, said.Rule, test.want)
		}
	}
}

// TestCheckSaysWhatHappens: what the command says of a request is what becomes of the request behind it, and asking changes nothing.
func TestCheckSaysWhatHappens(t *testing.T) {
	t.Setenv("TEST_CAT_SECRET", testCATSecret)
	g, admin := adminGateway(t, happeningSites)
	host := ""
	happens := func(what, target, want string) reply {
		t.Helper()
		target = strings.Replace(target, "http://"+g.addr, "", 1)
		var said CheckReport
		for range 3 {
			said = check(t, admin, CheckRequest{URL: "http://" + host + ":" + g.port + target})
		}
		res := g.get(t, target, "Host", host+":"+g.port)
		happened := res.reason()
		if happened == "" {
			happened = "allowed"
		}
		if happened != want || said.Reason != want || said.Status != res.status || said.Allowed != (want == "allowed") {
			t.Errorf("%s: happened %d %s, said %d %s (%s), want %s", what, res.status, happened, said.Status, said.Reason, said.Rule, want)
		}
		return res
	}

	host = "rated.test"
	manifest := "/demo/manifest.mpd?token=" + viewerToken(t, "viewer", nil)
	happens("the first of two", manifest, "allowed")
	happens("the second of two", manifest, "allowed")
	happens("the third of two", manifest, "rate_limited")
	happens("another viewer", "/demo/manifest.mpd?token="+viewerToken(t, "another", nil), "allowed")
	happens("a scheme that does not exist", "/demo/manifest.mpd?drm=rot13&token="+viewerToken(t, "third", nil), "query_invalid")
	happens("key formats that do not exist", "/demo/master.m3u8?keyformat=x&token="+viewerToken(t, "third", nil), "query_invalid")

	host = "once.test"
	once := "/demo/manifest.mpd?CAT=" + catToken(t, cat.Replay, 1, cat.ID, []byte("once-"+strconv.FormatInt(time.Now().UnixNano(), 36)))
	happens("a token for one use", once, "allowed")
	happens("its second use", once, "token_replayed")

	host = "gated.test"
	res := happens("a manifest", "/demo/manifest.mpd?token="+viewerToken(t, "viewer", nil), "allowed")
	links := mpdLinks(t, "http://gated.test:"+g.port+"/demo/manifest.mpd", res.body)
	segment := func(name string) string {
		return strings.Replace(linkTo(t, links, "media", name).url, "http://gated.test:"+g.port, "", 1)
	}
	happens("the first segment", segment("/video/360p/seg_1.m4s"), "allowed")
	happens("the first segment again", segment("/video/360p/seg_1.m4s"), "allowed")
	happens("one without a license", segment("/video/360p/seg_2.m4s"), "license_required")
	kid := defaultKIDPattern.FindStringSubmatch(string(res.body))[1]
	entry, made := g.revoke(t, admin, map[string]any{"kind": "key", "value": kid, "for": "1h"})
	if made.status != http.StatusCreated {
		t.Fatalf("%d %s", made.status, made.body)
	}
	happens("a segment of a revoked key", segment("/video/360p/seg_1.m4s"), "revoked")
	g.send(t, http.MethodDelete, "http://"+admin+"/drm/revocations/"+entry.ID)
	happens("the key again", segment("/video/360p/seg_1.m4s"), "allowed")
}
