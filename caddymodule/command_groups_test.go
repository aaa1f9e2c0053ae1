package caddymodule

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

const groupsCaddyfile = `{
	drm {
		group premium {
			level high
			license temporary 4h {
				renew 90m
			}
			rotate 10
			systems widevine playready fairplay
			hdcp 2.2
		}
		group download {
			license persistent 720h {
				rental 720h
				playback 48h
			}
			scheme cbcs
			systems widevine
			clear_lead 90s
			playready_header 4.3
			pssh_in_init
		}
		group trailers
	}
}
:8080
`

// groupsCLI runs `caddy drm groups …`.
func groupsCLI(t *testing.T, args ...string) (out, complaint string, ok bool) {
	t.Helper()
	return printed(t, groupsCommand(), args...)
}

func TestGroupsCommand(t *testing.T) {
	dir := t.TempDir()
	file, broken, plain := filepath.Join(dir, "Caddyfile"), filepath.Join(dir, "broken.json"), filepath.Join(dir, "plain.Caddyfile")
	writeFile(t, file, groupsCaddyfile)
	writeFile(t, plain, ":8080\n")
	writeFile(t, broken, `{"apps":{"drm":{"groups":{"a":{"level":"high"},"b":{"level":"x"},"c":null}}}}`)
	for _, test := range []struct {
		rule      string
		args      []string
		ok        bool
		out, says []string
	}{
		{"every group", []string{"--config", file}, true, []string{
			"premium\n  level high, temporary license of 4h, renewed after 1h30m, rotate 10m, scheme auto, hdcp 2.2\n",
			"HDCP-LEVEL=TYPE-1", "security level 5 (HW_SECURE_ALL), audio 3 (HW_SECURE_CRYPTO), HDCP_V2_2, can_renew\n",
			"SL3000, audio SL2000, digital video output protection level 300, HDCP Type 1\n", "fairplay   HDCP TYPE-1\n",
			`com.widevine.alpha {"initDataTypes":["cenc"],`, `"robustness":"3000"`, `com.apple.fps {"initDataTypes":["sinf","skd"],`,
			"download\n  level low, persistent license of 720h, rental 720h, playback 48h, scheme cbcs, hdcp none, clear lead 1m30s, PlayReady header 4.3, pssh in init\n",
			"can_persist", "warning     playready_header: PlayReady is not among the systems",
			"trailers\n  level low, temporary license, scheme auto, hdcp none\n", "HDCP-LEVEL=NONE\n  live cenc  keys that are derived change every 168h\n", "keys in clear", `org.w3.clearkey {"initDataTypes":["cenc"]`,
		}, nil},
		{"one by its name", []string{"--config", file, "trailers"}, true, []string{"trailers\n"}, nil},
		{"none of that name", []string{"--config", file, "gone"}, false, nil, []string{`"gone"`}},
		{"no groups", []string{"--config", plain, "--adapter", "caddyfile"}, true, []string{"no groups"}, nil},
		{"groups that cannot work", []string{"--config", broken}, false, []string{"refused     systems: ClearKey", `refused  level "x"`, "refused  want a group"}, nil},
		{"no file", []string{"--config", filepath.Join(dir, "gone")}, false, nil, []string{"gone"}},
	} {
		t.Run(test.rule, func(t *testing.T) {
			out, complaint, ok := groupsCLI(t, test.args...)
			if ok != test.ok {
				t.Errorf("success: %v, %s", ok, complaint)
			}
			for _, part := range test.out {
				if !strings.Contains(squeezed(out), squeezed(part)) {
					t.Errorf("%q is not in\n%s", part, out)
				}
			}
			for _, part := range test.says {
				if !strings.Contains(complaint, part) {
					t.Errorf("the complaint %q has no %q", complaint, part)
				}
			}
		})
	}
	if out, _, _ := groupsCLI(t, "--config", file, "trailers"); strings.Contains(out, "premium") {
		t.Errorf("other groups are printed as well:\n%s", out)
	}
}

// squeezed makes one space of each run of spaces: the width of columns is no part of the test.
func squeezed(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n")
}

func TestGroupsCommandAsJSON(t *testing.T) {
	file := filepath.Join(t.TempDir(), "Caddyfile")
	writeFile(t, file, groupsCaddyfile)
	out, complaint, ok := groupsCLI(t, "--config", file, "--json")
	var reports []GroupReport
	if err := json.Unmarshal([]byte(out), &reports); err != nil || !ok {
		t.Fatalf("%v, %s:\n%s", err, complaint, out)
	}
	if len(reports) != 3 || reports[1].Name != "premium" || reports[1].HDCPLevel != "TYPE-1" || len(reports[1].Systems) != 3 || reports[1].Group.Level != "high" {
		t.Fatalf("%+v", reports)
	}
	widevine, playReady, fairPlay := reports[1].Systems[0], reports[1].Systems[1], reports[1].Systems[2]
	if widevine.System != "widevine" || widevine.Widevine.VideoSecurityLevel != 5 || widevine.Widevine.RenewalDelaySeconds != 5400 || widevine.PlayReady != nil ||
		playReady.PlayReady.SecurityLevel != 3000 || playReady.EME.VideoCapabilities[0].Robustness != "3000" || fairPlay.FairPlay.HDCP != "TYPE-1" {
		t.Errorf("%+v", reports[1].Systems)
	}
	if reports[0].LiveRotate != "" || reports[1].LiveRotate != "" || reports[2].LiveRotate != "168h" {
		t.Error("what holds for live cenc is said of other groups than those that say nothing of rotation and may have cenc")
	}
	if len(reports[0].Warnings) == 0 || reports[0].Systems[0].EME.SessionTypes[0] != "persistent-license" {
		t.Errorf("%+v", reports[0])
	}
}

func TestDurationText(t *testing.T) {
	for d, want := range map[time.Duration]string{
		4 * time.Hour: "4h", 90 * time.Minute: "1h30m", 10 * time.Minute: "10m", 90 * time.Second: "1m30s", 20 * time.Second: "20s", time.Hour + time.Second: "1h0m1s",
	} {
		if got := durationText(caddy.Duration(d)); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
}
