package caddymodule

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

const signalingGroups = "\t\tgroup premium {\n\t\t\tlevel high\n\t\t\tscheme cbcs\n\t\t\tsystems widevine playready fairplay\n\t\t\thdcp 2.2\n\t\t\tpssh_in_init\n\t\t}\n"

const signalingSite = `
http://:PORT {
	root ROOT
	drm {
		tenant signals
		group premium
		license_url widevine https://license.example/wv?title={http.drm.asset}
		license_url playready https://license.example/pr?a=1&b=2
		license_url fairplay skd://key/{kid}
		OPTIONS
	}
	file_server
}
`

func startSignaling(t *testing.T, root, options string) *gateway {
	t.Helper()
	g := newGateway(t)
	g.load(t, withGroups(signalingGroups)+strings.NewReplacer("ROOT", root, "OPTIONS", options).Replace(signalingSite))
	return g
}

func descriptor(t *testing.T, mpd string, system drm.SystemID) string {
	t.Helper()
	found := regexp.MustCompile(`(?s)<ContentProtection schemeIdUri="urn:uuid:` + system.String() + `".*?(?:/>|</ContentProtection>)`).FindString(mpd)
	if found == "" {
		t.Fatalf("nothing for %s in\n%s", system.Word(), mpd)
	}
	return found
}

func textOf(t *testing.T, xml, element string) []byte {
	t.Helper()
	match := regexp.MustCompile(`<` + element + `[^>]*>([^<]*)<`).FindStringSubmatch(xml)
	if match == nil {
		t.Fatalf("no %s in %s", element, xml)
	}
	b, err := base64.StdEncoding.DecodeString(match[1])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSignalsInDASH: what each system is told names the key of the set, and goes into the init segment as well.
func TestSignalsInDASH(t *testing.T) {
	g := startSignaling(t, "TESTDATA", "")
	mpd := string(g.mustGet(t, "/demo/manifest.mpd").body)
	kid, err := drm.ParseKID(defaultKIDPattern.FindStringSubmatch(mpd)[1])
	if err != nil {
		t.Fatal(err)
	}
	widevine := descriptor(t, mpd, drm.SystemWidevine)
	box, rest, err := drm.ParsePssh(textOf(t, widevine, "cenc:pssh"))
	if err != nil || len(rest) > 0 {
		t.Fatal(err)
	}
	said, err := drm.ParseWidevineInit(box.Data)
	if err != nil || len(said.KIDs) != 1 || said.KIDs[0] != kid || said.Scheme != drm.SchemeCbcs {
		t.Errorf("Widevine is told %+v, %v", said, err)
	}
	if !strings.Contains(widevine, `robustness="HW_SECURE_ALL"`) || !strings.Contains(widevine, ">https://license.example/wv?title=/demo/<") {
		t.Errorf("Widevine: %s", widevine)
	}
	playready := descriptor(t, mpd, drm.SystemPlayReady)
	records, err := drm.ParsePlayReadyObject(textOf(t, playready, "mspr:pro"))
	if err != nil || len(records) != 1 {
		t.Fatalf("%v, %v", records, err)
	}
	header, err := drm.ParsePlayReadyHeader(records[0].Value)
	if err != nil || header.Version != drm.PlayReady43 || len(header.Keys) != 1 || header.Keys[0].KID != kid || header.LicenseURL != "https://license.example/pr?a=1&b=2" {
		t.Errorf("PlayReady is told %+v, %v", header, err)
	}
	descriptor(t, mpd, drm.SystemFairPlay)
	if strings.Contains(mpd, "/.drm/") || strings.Contains(mpd, drm.SystemClearKey.String()) {
		t.Error("ClearKey is signaled, which the group leaves out")
	}
	init := g.mustGet(t, linkTo(t, g.links(t, "/demo/manifest.mpd"), "init", "/video/360p/init.mp4").url).body
	for _, system := range []drm.SystemID{drm.SystemCommon, drm.SystemWidevine, drm.SystemPlayReady} {
		if n := bytes.Count(init, append([]byte("pssh"), append(initVersion(system), system[:]...)...)); n != 1 {
			t.Errorf("%d boxes of %s in the init segment", n, system.Word())
		}
	}
}

// TestNoSessionKeysWhereMediaPasses: what the origin has protected is not opened by a key of ours, and a player that asks for it is refused.
func TestNoSessionKeysWhereMediaPasses(t *testing.T) {
	g := startSignaling(t, "TESTDATA", "protected_input pass")
	if master := string(g.mustGet(t, "/demo/master.m3u8").body); strings.Contains(master, "#EXT-X-SESSION-KEY:") {
		t.Errorf("keys are announced in\n%s", master)
	}
}

// TestTransportStreamsOfGroupsWithoutClearKey: players fetch the keys of transport streams in clear, which such a group does not give.
func TestTransportStreamsOfGroupsWithoutClearKey(t *testing.T) {
	root := t.TempDir()
	playlist := "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n1.ts\n#EXT-X-ENDLIST\n"
	if err := os.WriteFile(filepath.Join(root, "ts.m3u8"), []byte(playlist), 0o600); err != nil {
		t.Fatal(err)
	}
	wantReply(t, "a playlist that nobody could play", startSignaling(t, root, "").get(t, "/ts.m3u8"), http.StatusBadGateway, "media_unsupported")
}

// initVersion is the version and the flags of a system's box.
func initVersion(system drm.SystemID) []byte {
	if system == drm.SystemCommon {
		return []byte{1, 0, 0, 0}
	}
	return []byte{0, 0, 0, 0}
}

// TestSignalsInHLS: a line for each system that HLS knows, and the HDCP level with the variants.
func TestSignalsInHLS(t *testing.T) {
	g := startSignaling(t, "TESTDATA", "")
	master := string(g.mustGet(t, "/demo/master.m3u8").body)
	if !strings.Contains(master, "HDCP-LEVEL=TYPE-1") {
		t.Errorf("no HDCP level in\n%s", master)
	}
	if n := strings.Count(master, "#EXT-X-SESSION-KEY:"); n != 3 {
		t.Errorf("%d EXT-X-SESSION-KEY, want one for each system:\n%s", n, master)
	}
	playlist := linkTo(t, g.links(t, "/demo/master.m3u8"), "playlist", "/video/360p.m3u8")
	text := string(g.mustGet(t, playlist.url).body)
	for _, line := range regexp.MustCompile(`(?m)^#EXT-X-SESSION-KEY:(.*)$`).FindAllStringSubmatch(master, -1) {
		if !strings.Contains(text, "#EXT-X-KEY:"+line[1]+"\n") {
			t.Errorf("the media playlist has no key %s", line[1])
		}
	}
	for _, want := range []string{
		`METHOD=SAMPLE-AES,URI="data:text/plain;base64,`, `KEYFORMAT="urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"`,
		`KEYFORMAT="com.microsoft.playready"`, `URI="skd://key/`, `KEYFORMAT="com.apple.streamingkeydelivery"`,
	} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%q stands %d times in\n%s", want, strings.Count(text, want), text)
		}
	}
	if strings.Contains(text, "/.drm/") {
		t.Error("a key in clear is offered")
	}
}

// TestRenditionsOfALevel: a device that the token calls low does not see UHD under level high, and nothing at all where there is nothing else.
func TestRenditionsOfALevel(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Join(root, "demo"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "demo", name), []byte("#EXTM3U\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const uhd, sd = "#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=3840x2160\nuhd.m3u8\n", "#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=640x360\nsd.m3u8\n"
	write("all.m3u8", uhd+sd)
	write("uhd-only.m3u8", uhd)
	g := startSignaling(t, root, "token jwt {\n\t\t\talgorithms HS256\n\t\t\tsecret {env.TEST_TOKEN_SECRET}\n\t\t}")
	for _, test := range []struct {
		level, name    string
		status         int
		reason         string
		hasUHD, hasAny bool
	}{
		{"low", "all.m3u8", 200, "", false, true},
		{"medium", "all.m3u8", 200, "", false, true},
		{"high", "all.m3u8", 200, "", true, true},
		{"", "all.m3u8", 200, "", true, true}, // left to the license server
		{"low", "uhd-only.m3u8", http.StatusForbidden, "level_denied", false, false},
	} {
		claims := map[string]any{}
		if test.level != "" {
			claims["level"] = test.level
		}
		res := g.get(t, "/demo/"+test.name+"?token="+viewerToken(t, "viewer-"+test.level, claims))
		wantReply(t, test.level+" "+test.name, res, test.status, test.reason)
		if got := bytes.Contains(res.body, []byte("3840x2160")); got != test.hasUHD || bytes.Contains(res.body, []byte("640x360")) != test.hasAny {
			t.Errorf("level %q sees\n%s", test.level, res.body)
		}
	}
}

// TestSegmentsOfALevel: where all tracks share a key, a device that cannot have a rendition gets none of its segments by address either.
func TestSegmentsOfALevel(t *testing.T) {
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "demo"), os.DirFS(filepath.Join(testdata(t), "demo"))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "demo", "video", "360p", "init.mp4")
	init, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const widthAt = 28 // in VisualSampleEntry, from its code (14496-12, 12.1.3.2)
	at := bytes.LastIndex(init, []byte("avc1")) + widthAt
	copy(init[at:], []byte{3840 >> 8, 3840 & 0xff, 2160 >> 8, 2160 & 0xff})
	if err := os.WriteFile(file, init, 0o600); err != nil {
		t.Fatal(err)
	}
	g := startSignaling(t, root, "token jwt {\n\t\t\talgorithms HS256\n\t\t\tsecret {env.TEST_TOKEN_SECRET}\n\t\t}")
	tokenOf := func(level string) string { return viewerToken(t, "viewer-"+level, map[string]any{"level": level}) }
	links := g.links(t, "/demo/manifest.mpd?token="+tokenOf("high"))
	session := regexp.MustCompile(`~s\.[^/]*/`)
	for suffix, denied := range map[string]bool{"/video/360p/seg_1.m4s": true, "/video/180p/seg_1.m4s": false, "/audio/en/seg_1.m4s": false} {
		segment := linkTo(t, links, "media", suffix).url
		wantReply(t, "level high", g.get(t, segment), 200, "")
		status, reason := 200, ""
		if denied {
			status, reason = 403, "level_denied"
		}
		wantReply(t, "level low "+suffix, g.get(t, session.ReplaceAllString(segment, "")+"?token="+tokenOf("low")), status, reason)
	}
}
