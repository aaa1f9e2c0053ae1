package caddymodule

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/probe"
)

// printedSecret is what no output may hold: a seal, a session, a query.
var printedSecret = regexp.MustCompile(`~[A-Za-z0-9_.-]+|\?[a-z]+=[^ ]*`)

// probeCLI runs `caddy drm probe … --json` and returns what it found.
func probeCLI(t *testing.T, args ...string) (report probe.Report, ok bool) {
	t.Helper()
	cmd := probeCommand()
	var out, progress bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&progress)
	cmd.SetArgs(append([]string{"--json"}, args...))
	err := cmd.ExecuteContext(t.Context())
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("reading the report: %v\n%s%s", err, out.Bytes(), progress.Bytes())
	}
	if found := printedSecret.FindString(out.String() + progress.String()); found != "" {
		t.Errorf("%q is printed:\n%s\n%s", found, out.Bytes(), progress.Bytes())
	}
	if (err == nil) != report.OK {
		t.Errorf("the exit status is for %v, and the report says %t", err, report.OK)
	}
	return report, err == nil
}

// mustProbe is probeCLI of what has no problems.
func mustProbe(t *testing.T, args ...string) probe.Report {
	t.Helper()
	report, ok := probeCLI(t, args...)
	if !ok || len(report.Renditions) == 0 {
		t.Fatalf("%s", report.Text())
	}
	for _, r := range report.Renditions {
		if len(r.Schemes) > 0 && (r.Probed == 0 || r.Decrypted != r.Probed) {
			t.Errorf("%s: %d of %d probed segments were decrypted", r.Name, r.Decrypted, r.Probed)
		}
	}
	return report
}

// probedSite has options of a site in place of OPTIONS.
const probedSite = `
http://:PORT {
	root TESTDATA
	drm {
		tenant probed
		license_server clearkey
		OPTIONS
	}
	file_server
}
`

func TestProbeOfWhatIsRight(t *testing.T) {
	for _, test := range []struct {
		rule, options, path string
		args                []string
		keys, renditions    int
		decrypted           int
	}{
		{"DASH, cenc", "", "/demo/manifest.mpd", []string{"--drm", "cenc"}, 1, 4, 9},
		{"DASH, cbcs", "", "/demo/manifest.mpd", []string{"--drm", "cbcs"}, 1, 4, 9},
		{"HLS, cenc", "", "/demo/master.m3u8", []string{"--drm", "cenc"}, 1, 4, 9},
		{"HLS, cbcs", "", "/demo/master.m3u8", []string{"--drm", "cbcs"}, 1, 4, 9},
		{"a key for each class", "keys derived {\n\t\t\tper track_class\n\t\t}", "/demo/manifest.mpd", nil, 2, 4, 9},
		{"whole segments", "scheme aes-128", "/demo/master.m3u8", nil, 1, 4, 10},
		{"AV1", "", "/demo-av1/manifest.mpd", []string{"--segments", "1"}, 1, 4, 3},
		{"a playlist alone", "", "/demo/video/360p.m3u8", []string{"--all"}, 1, 1, 20},
	} {
		t.Run(test.rule, func(t *testing.T) {
			g := startGateway(t, strings.Replace(probedSite, "OPTIONS", test.options, 1))
			report := mustProbe(t, append(test.args, "http://"+g.addr+test.path)...)
			decrypted := 0
			for _, r := range report.Renditions {
				decrypted += r.Decrypted
			}
			if report.Keys < test.keys || len(report.Renditions) != test.renditions || decrypted != test.decrypted || report.LeaksTried == 0 {
				t.Errorf("want %d keys, %d renditions, %d decrypted segments:\n%s", test.keys, test.renditions, test.decrypted, report.Text())
			}
		})
	}
}

// TestProbeOfRotatingKeys: the segments on both sides of each change of keys are among those that are probed.
func TestProbeOfRotatingKeys(t *testing.T) {
	g := startRotating(t, "")
	for _, path := range []string{"/demo/manifest.mpd", "/demo/master.m3u8?drm=cenc"} {
		report := mustProbe(t, "http://"+g.addr+path)
		for _, r := range report.Renditions {
			if len(r.Schemes) > 0 && (r.Periods != 4 || r.Probed != 12) {
				t.Errorf("%s %s: %d periods, %d segments probed, want 4 and 12", path, r.Name, r.Periods, r.Probed)
			}
		}
		if report.Keys < 4 {
			t.Errorf("%s: %d keys", path, report.Keys)
		}
	}
}

func TestProbeWithATokenInTheQuery(t *testing.T) {
	g := streamGateway(t, "")
	token := viewerToken(t, "probing", nil)
	target := "http://" + g.addr + "/demo/manifest.mpd"
	for _, args := range [][]string{{target + "?token=" + token}, {target, "--token", token}, {target, "--header", "Authorization: Bearer " + token}} {
		mustProbe(t, append(args, "--segments", "1")...)
	}
	for _, session := range []string{"session query viewer 4h", "session cookie"} {
		g.load(t, globalBlock+strings.Replace(streamSite, "OPTIONS", session, 1))
		mustProbe(t, target+"?token="+token, "--segments", "1")
	}
	cmd := probeCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs([]string{target + "?token=" + token[:len(token)-4], "-q"})
	if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "status 401 (token_invalid)") || strings.Contains(out.String()+err.Error(), token[:20]) {
		t.Errorf("%v: %s", err, out.Bytes())
	}
}
