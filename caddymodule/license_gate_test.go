package caddymodule

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

const gatedSite = "http://:PORT {\n\tdrm {\n\ttenant gated\n\tlicense_server clearkey\n\ttoken jwt {\n\talgorithms HS256\n\tsecret {env.TEST_TOKEN_SECRET}\n\t}\n" +
	"\trequire_license 1s\n\tkeys derived {\n\tper track_class\n\t}\n}\n\tfile_server {\n\troot TESTDATA\n}\n}\n"

// TestSegmentsNeedALicense: the init segment and one segment of each track come before the license, all others after it.
func TestSegmentsNeedALicense(t *testing.T) {
	g := startGateway(t, gatedSite)
	play := func(subject string) (links []link, mpd string) {
		at := "http://" + g.addr + "/demo/manifest.mpd?token=" + viewerToken(t, subject, nil)
		body := g.mustGet(t, at).body
		return mpdLinks(t, at, body), string(body)
	}
	links, mpd := play("viewer")
	segment := func(links []link, name string) reply { return g.get(t, linkTo(t, links, "media", name).url) }
	wantReply(t, "an init segment", g.get(t, linkTo(t, links, "init", "/video/360p/init.mp4").url), 200, "")
	wantReply(t, "the first segment", segment(links, "/video/360p/seg_1.m4s"), 200, "")
	wantReply(t, "the first segment again", segment(links, "/video/360p/seg_1.m4s"), 200, "")
	wantReply(t, "the first segment of another track", segment(links, "/audio/en/seg_1.m4s"), 200, "")
	start := time.Now()
	wantReply(t, "the second segment", segment(links, "/video/360p/seg_2.m4s"), http.StatusForbidden, "license_required")
	if waited := time.Since(start); waited < time.Second {
		t.Errorf("it waited for %s", waited)
	}
	// The license comes while a segment waits.
	answered := make(chan reply)
	go func() { answered <- segment(links, "/video/360p/seg_3.m4s") }()
	time.Sleep(50 * time.Millisecond)
	url := laurlPattern.FindStringSubmatch(mpd)[1]
	var kids []string
	for _, kid := range defaultKIDPattern.FindAllStringSubmatch(mpd, -1) {
		kids = append(kids, kid[1])
	}
	if len(kids) < 2 {
		t.Fatalf("keys %v, want one for each class", kids)
	}
	if keys, res := g.license(t, url, kids[0]); len(keys) != 1 {
		t.Fatalf("%d %s", res.status, res.body)
	}
	wantReply(t, "a segment that waited", <-answered, 200, "")
	wantReply(t, "the second segment, with the license", segment(links, "/video/360p/seg_2.m4s"), 200, "")
	wantReply(t, "a segment under another key", segment(links, "/audio/en/seg_2.m4s"), http.StatusForbidden, "license_required")
	others, _ := play("another")
	wantReply(t, "another session's first", segment(others, "/video/360p/seg_1.m4s"), 200, "")
	wantReply(t, "another session's second", segment(others, "/video/360p/seg_2.m4s"), http.StatusForbidden, "license_required")
}

// TestRequireLicenseNeedsSessions: what cannot be told apart cannot be gated.
func TestRequireLicenseNeedsSessions(t *testing.T) {
	g := newGateway(t)
	for options, want := range map[string]string{
		"require_license": "tokens",
		"require_license 1m\n" + strings.TrimSpace(gatedTokenOptions):                                  "at most",
		"require_license\ndelivery behind_cdn\nsession query\n" + strings.TrimSpace(gatedTokenOptions): "behind_cdn",
	} {
		err := g.tryLoad(globalBlock + "http://:PORT {\n\tdrm {\n\tlicense_server clearkey\n" + options + "\n}\n\tfile_server\n}\n")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", options, err)
		}
	}
}

const gatedTokenOptions = "token jwt {\n\talgorithms HS256\n\tsecret {env.TEST_TOKEN_SECRET}\n\t}\n"

// TestTheLeadNeedsNoLicense: what is clear is given before the license, and so is the first segment behind it.
func TestTheLeadNeedsNoLicense(t *testing.T) {
	for _, cache := range []string{"segment_cache off", "segment_cache 16MiB"} {
		g := newGateway(t)
		g.load(t, strings.Replace(withGroups("\t\tgroup lead {\n\t\t\tclear_lead 6s\n\t\t}\n"), "segment_cache off", cache, 1)+
			strings.Replace(gatedSite, "require_license 1s", "require_license 100ms\n\tgroup lead", 1))
		at := "http://" + g.addr + "/demo/manifest.mpd?token=" + viewerToken(t, "viewer", nil)
		mpd := g.mustGet(t, at).body
		segment := func(number string) reply {
			return g.get(t, linkTo(t, mpdLinks(t, at, mpd), "media", "/video/360p/seg_"+number+".m4s").url)
		}
		for range 2 { // the second time they may be in the cache
			for _, number := range []string{"1", "2", "3"} {
				wantReply(t, "segment "+number+" of the lead", segment(number), 200, "")
			}
			wantReply(t, "the first behind it", segment("4"), 200, "")
			wantReply(t, "the second behind it", segment("5"), http.StatusForbidden, "license_required")
		}
		keys, _ := g.license(t, laurlPattern.FindStringSubmatch(string(mpd))[1], defaultKIDPattern.FindStringSubmatch(string(mpd))[1])
		if len(keys) != 1 {
			t.Fatal("no license")
		}
		wantReply(t, "the second behind it, with the license", segment("5"), 200, "")
		links := g.links(t, strings.Replace(at, "manifest.mpd", "master.m3u8", 1))
		wantReply(t, "a segment of the lead in HLS, under another session", g.get(t, linkTo(t, links, "media", "/video/360p/seg_2.m4s").url), 200, "")
	}
}

// TestAReleasedLicenseGrantsNothing: who gives a license back gets no segments for it, and who gets one does.
func TestAReleasedLicenseGrantsNothing(t *testing.T) {
	l := startLicensed(t, "", "require_license 100ms")
	at := "http://" + l.addr + "/demo/manifest.mpd?token=" + l.token
	mpd := l.manifest(t, l.token)
	links := mpdLinks(t, at, []byte(mpd))
	segment := func(number string) reply {
		return l.get(t, linkTo(t, links, "media", "/video/360p/seg_"+number+".m4s").url)
	}
	url, kids := licenseURLIn(t, mpd, drm.SystemWidevine), kidsIn(t, mpd)
	wantReply(t, "the first segment", segment("1"), 200, "")
	content := append(wireField(1, []byte("client")), wireField(2, wireField(3, wireField(1, wireField(1, []byte("id")))))...)
	release := append([]byte{8, 1}, wireField(2, append(content, 3<<3, 3))...)
	for _, step := range []struct {
		name      string
		challenge []byte
		status    int
		reason    string
	}{
		{"a release", release, http.StatusForbidden, "license_required"}, {"a request", widevineChallenge(1, kids...), 200, ""},
	} {
		if res := l.sendBody(t, http.MethodPost, url, step.challenge); res.status != 200 {
			t.Fatalf("%s: %d %s", step.name, res.status, res.reason())
		}
		wantReply(t, "the second segment", segment("2"), step.status, step.reason)
	}
}
