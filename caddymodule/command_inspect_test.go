package caddymodule

import (
	"encoding/base64"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// inspectCLI runs `caddy drm inspect …`.
func inspectCLI(t *testing.T, stdin string, args ...string) (out, complaint string, ok bool) {
	t.Helper()
	cmd := inspectCommand()
	cmd.SetIn(strings.NewReader(stdin))
	return printed(t, cmd, args...)
}

func TestInspectCommand(t *testing.T) {
	dir := t.TempDir()
	kid := drm.KID{0x01, 15: 0x23}
	pssh := base64.StdEncoding.EncodeToString(drm.AppendWidevinePssh(nil, drm.WidevineInit{KIDs: []drm.KID{kid}, Scheme: drm.SchemeCenc}))
	broken := base64.StdEncoding.EncodeToString(drm.AppendPssh(nil, drm.Pssh{System: drm.SystemWidevine, Data: []byte{0xff}}))
	file, key, short := filepath.Join(dir, "pssh.txt"), filepath.Join(dir, "key"), filepath.Join(dir, "short")
	writeFile(t, file, pssh)
	const secret = "00112233445566778899aabbccddeeff"
	writeFile(t, key, secret+"\n")
	writeFile(t, short, secret[:30])
	init := filepath.Join(testdata(t), "demo", "audio", "en", "init.mp4")
	segment := filepath.Join(testdata(t), "demo", "audio", "en", "seg_1.m4s")
	for _, test := range []struct {
		rule      string
		stdin     string
		args      []string
		ok        bool
		out, says string
	}{
		{"a file", "", []string{file}, true, "pssh of Widevine", ""},
		{"a pipe", pssh, []string{"-"}, true, "key_id " + kid.String(), ""},
		{"keyids", `{"kids":["` + kid.Base64URL() + `"]}`, []string{"-"}, true, "initialization data keyids", ""},
		{"what is broken", broken, []string{"-"}, false, "broken: ", ""},
		{"a segment with its init segment", "", []string{segment, "--init", init, "--key", kid.String() + ":" + key}, true, "track ", ""},
		{"what is nothing", "hello", []string{"-"}, false, "", "neither a pssh box"},
		{"no file", "", []string{filepath.Join(dir, "gone")}, false, "", "gone"},
		{"a URL of another kind", "", []string{"ftp://media.example.com/seg_1.m4s?token=" + secret}, false, "", "http or https"},
		{"a server that is not there", "", []string{"http://127.0.0.1:1/seg_1.m4s?token=" + secret}, false, "", "asking 127.0.0.1:1: "},
		{"no init segment", "", []string{segment, "--init", filepath.Join(dir, "gone")}, false, "", "gone"},
		{"no key file", "", []string{file, "--key", kid.String() + ":" + filepath.Join(dir, "gone")}, false, "", "reading the file of KID " + kid.String()},
		{"a key in the flag", "", []string{file, "--key", kid.String() + ":" + secret}, false, "", "reading the file of KID"},
		{"a key without its KID", "", []string{file, "--key", secret}, false, "", "--key: want"},
		{"a key that is short", "", []string{file, "--key", kid.String() + ":" + short}, false, "", "--key: want"},
	} {
		t.Run(test.rule, func(t *testing.T) {
			out, complaint, ok := inspectCLI(t, test.stdin, test.args...)
			if ok != test.ok || !strings.Contains(out, test.out) || !strings.Contains(complaint, test.says) {
				t.Errorf("success %v, want %v\n%s%s", ok, test.ok, out, complaint)
			}
			if strings.Contains(out+complaint, secret[:30]) {
				t.Errorf("the key is in\n%s%s", out, complaint)
			}
		})
	}
}

// TestInspectURL: what a gateway answers is explained as a file is, and a URL that may hold a session or a token is in no complaint.
func TestInspectURL(t *testing.T) {
	g := startGateway(t, plainSite)
	clean := "http://" + g.addr
	links := g.links(t, "/demo/manifest.mpd")
	segment, init := linkTo(t, links, "media", "/360p/seg_1.m4s").url, linkTo(t, links, "init", "/360p/init.mp4").url
	for _, test := range []struct {
		rule      string
		args      []string
		ok        bool
		out, says string
	}{
		{"a manifest", []string{clean + "/demo/manifest.mpd"}, true, "MPD", ""},
		{"a segment with its init segment", []string{segment, "--init", init}, true, "track ", ""},
		{"a range", []string{init, "--header", "Range: bytes=0-"}, true, "KID", ""},
		{"what is refused", []string{clean + "/demo/video/360p/seg_1.m4s"}, false, "", " answers 404 not_found"},
		{"what is nothing", []string{linkTo(t, links, "text", ".vtt").url}, false, "", "what the URL answers: "},
		{"a field that is none", []string{segment, "--header", "Range"}, false, "", "--header: want"},
	} {
		t.Run(test.rule, func(t *testing.T) {
			out, complaint, ok := inspectCLI(t, "", test.args...)
			if ok != test.ok || !strings.Contains(out, test.out) || !strings.Contains(complaint, test.says) {
				t.Errorf("success %v, want %v\n%s%s", ok, test.ok, out, complaint)
			}
			if strings.Contains(complaint, "/demo/") {
				t.Errorf("the URL is in %s", complaint)
			}
		})
	}
}
