package caddymodule

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/address"
)

// licenseWay is a path that names a title by the seal in its address.
type licenseWay struct {
	name string
	licensePath
}

// startEveryLicense runs a site whose titles have licenses of every kind. Beside its group there is one of ClearKey alone.
func startEveryLicense(t *testing.T, options string, pairs ...string) licensed {
	t.Helper()
	return startAllPaths(t, options, append(pairs, "group premium {", "group bare {\n\t\t}\n\t\tgroup premium {")...)
}

// ways returns every way to the first key of a title, as its manifests name them to the holder of a token.
func (l licensed) ways(t *testing.T, title, token string) (ways []licenseWay) {
	t.Helper()
	paths := l.pathsOf(t, title, token)
	for _, name := range []string{"clearkey", "widevine", "playready", "fairplay", "certificate of fairplay", "key of HLS identity"} {
		ways = append(ways, licenseWay{name, paths[name]})
	}
	return ways
}

// askAt sends the request of a path to another address.
func (l licensed) askAt(t *testing.T, p licenseWay, target string) reply {
	t.Helper()
	return l.sendBody(t, p.method, target, p.body)
}

// sealIn returns the seal in the address of a license: the element behind the name of the endpoint.
func sealIn(t *testing.T, target string) string {
	t.Helper()
	match := regexp.MustCompile(`/(?:clearkey|widevine|playready|fairplay/cert|fairplay|key)/([A-Za-z0-9_-]+)`).FindStringSubmatch(target)
	if match == nil {
		t.Fatalf("no seal in %s", target)
	}
	return match[1]
}

// wantNothing: the answer is a refusal without a key in it, and no license server heard of the request.
func (l licensed) wantNothing(t *testing.T, what string, got reply, status int, reason string, granted []byte) {
	t.Helper()
	wantReply(t, what, got, status, reason)
	if bytes.Contains(got.body, granted) || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: %q, %.40q", what, got.header.Get("Cache-Control"), got.body)
	}
	if asked := l.up.asked(); len(asked) > 0 {
		t.Errorf("%s: %d requests at the license server", what, len(asked))
		l.forget()
	}
}

// TestSealsOfLicensesDoNotMove covers rows 41 and 43 for every way to a key: a seal of another kind, title, group, tenant or secret, or a
// damaged one, is 404 and nothing.
func TestSealsOfLicensesDoNotMove(t *testing.T) {
	l := startEveryLicense(t, "")
	others := l.ways(t, "demo-av1", l.token)
	links := l.links(t, "/demo/master.m3u8?token="+l.token)
	for i, p := range l.ways(t, "demo", l.token) {
		t.Run(p.name, func(t *testing.T) {
			res := l.askAt(t, p, p.url)
			if wantReply(t, "as it is named", res, 200, ""); len(res.body) == 0 {
				t.Fatal("nothing was granted")
			}
			l.forget()
			text := sealIn(t, p.url)
			addr, err := address.Parse(pathOf(t, p.url))
			if err != nil {
				t.Fatal(err)
			}
			ours := sealer(t, testSecretHex, "licenses")
			good, err := ours.Open(text, address.SealLicense, addr.Path)
			if err != nil {
				t.Fatal(err)
			}
			with := func(edit func(*address.Seal)) string {
				seal := good
				edit(&seal)
				return ours.Seal(seal, addr.Path)
			}
			seals := map[string]string{
				"another title's":         sealIn(t, others[i].url),
				"a segment's":             sealOf(t, linkTo(t, links, "media", "").url)[1:],
				"a playlist's":            sealOf(t, linkTo(t, links, "playlist", "").url)[1:],
				"of media, at the path":   with(func(s *address.Seal) { s.Kind = address.SealMedia }),
				"of a playlist":           with(func(s *address.Seal) { s.Kind = address.SealPlaylist }),
				"of a sidecar":            with(func(s *address.Seal) { s.Kind = address.SealSidecar }),
				"of a group of nobody":    with(func(s *address.Seal) { s.Group = "nobody" }),
				"of no scheme":            with(func(s *address.Seal) { s.Scheme = 0 }),
				"of another tenant":       sealer(t, testSecretHex, "other").Seal(good, addr.Path),
				"of another secret":       sealer(t, testOtherSecret, "licenses").Seal(good, addr.Path),
				"of another path":         ours.Seal(good, "/demo-av1/.drm"),
				"empty":                   "x",
				"longer":                  text + "A",
				"padded":                  text + "=",
				"with a line break":       text[:9] + "%0A" + text[9:],
				"with a session's letter": "s." + text,
			}
			if p.name != "clearkey" && p.name != "key of HLS identity" {
				seals["of a group without the system"] = with(func(s *address.Seal) { s.Group = "bare" })
			}
			for n := range len(text) {
				seals["cut"+text[n:]] = text[:n]
				other := byte('A')
				if text[n] == other {
					other = 'B'
				}
				seals["flipped"+text[n:]] = text[:n] + string(other) + text[n+1:]
			}
			for name, seal := range seals {
				l.wantNothing(t, name, l.askAt(t, p, strings.Replace(p.url, text, seal, 1)), 404, "not_found", res.body)
			}
			l.wantNothing(t, "another title's address", l.askAt(t, p, strings.Replace(p.url, "/demo/", "/demo-av1/", 1)), 404, "not_found", res.body)
			l.wantNothing(t, "above the title", l.askAt(t, p, strings.Replace(p.url, "/demo/", "/", 1)), 404, "not_found", res.body)
			l.wantNothing(t, "further elements", l.askAt(t, p, p.url+"/x"), 404, "not_found", res.body)
		})
	}
}

// TestNothingOfOneTenantGetsLicenses covers row 43: sites with the same titles, viewers, keys of tokens and license servers take no license
// address of each other, with the session or with a token; nor does the same site under another secret.
func TestNothingOfOneTenantGetsLicenses(t *testing.T) {
	paths := startEveryLicense(t, "").ways(t, "demo", viewerToken(t, "viewer-4Kd9", nil))
	for name, test := range map[string]struct {
		options string
		pairs   []string
	}{"another tenant": {"", []string{"tenant licenses", "tenant others"}}, "another secret": {"secret {env.TEST_OTHER_SECRET}", nil}} {
		l := startEveryLicense(t, test.options, test.pairs...)
		for i, own := range l.ways(t, "demo", l.token) {
			granted := l.askAt(t, own, own.url)
			wantReply(t, "its own "+own.name, granted, 200, "")
			l.forget()
			foreign, session := pathOf(t, paths[i].url), sessionIn(t, paths[i].url)
			l.wantNothing(t, name+": "+own.name, l.askAt(t, own, foreign), 404, "not_found", granted.body)
			l.wantNothing(t, name+" with a token: "+own.name, l.askAt(t, own, strings.Replace(foreign, "~s."+session+"/", "", 1)+"?token="+l.token), 404, "not_found", granted.body)
			moved := strings.Replace(pathOf(t, own.url), sessionIn(t, own.url), session, 1)
			l.wantNothing(t, name+"'s session: "+own.name, l.askAt(t, own, moved), 401, "token_invalid", granted.body)
			if l.forget(); own.name == "certificate of fairplay" || own.name == "fairplay" {
				continue // they name no key
			}
			if own.name == "key of HLS identity" {
				own.url = own.url[:strings.LastIndex(own.url, "/")] + foreign[strings.LastIndex(foreign, "/"):]
				l.wantNothing(t, name+"'s key: "+own.name, l.askAt(t, own, own.url), 404, "not_found", granted.body)
				continue
			}
			own.body = paths[i].body
			l.wantNothing(t, name+"'s key: "+own.name, l.askAt(t, own, own.url), 403, "license_no_keys", granted.body)
		}
	}
}

// TestKeysOfOneCryptoPeriod covers row 41 in time: in HLS the address of a key is for one period, and leads to no other's.
func TestKeysOfOneCryptoPeriod(t *testing.T) {
	l := startEveryLicense(t, "", "license temporary 12h", "rotate 4s")
	var keys []string
	for _, found := range l.links(t, "/demo/master.m3u8?keyformat=identity&token="+l.token) {
		if strings.Contains(found.url, "/.drm/") && found.kind == "key" && !slices.Contains(keys, found.url) {
			keys = append(keys, found.url)
		}
	}
	if len(keys) < 2 {
		t.Fatalf("%d keys", len(keys))
	}
	kidOf := func(target string) string { return target[strings.LastIndex(target, "/")+1:] }
	for i, own := range keys[:2] {
		other := keys[1-i]
		if sealIn(t, own) == sealIn(t, other) || kidOf(own) == kidOf(other) {
			t.Fatal("two periods have one seal or one key")
		}
		wantReply(t, "a key", l.get(t, own), 200, "")
		l.wantNothing(t, "the key of another period", l.get(t, strings.Replace(own, kidOf(own), kidOf(other), 1)), 404, "not_found", l.get(t, other).body)
	}
}
