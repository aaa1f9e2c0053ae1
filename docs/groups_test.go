package docs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// TestGroupsAreDocumented holds the tables of docs/groups.md and the code to each other: what a group becomes, what is refused and why.
func TestGroupsAreDocumented(t *testing.T) {
	text := string(read(t, "docs/groups.md"))
	problems, warnings := drm.GroupRules()
	var rows []string
	for _, rule := range append(problems, warnings...) {
		rows = append(rows, fmt.Sprintf("| `%s` | %s |", rule.Option, rule.Reason))
	}
	if got := strings.Count(text[strings.Index(text, "## What is refused"):], "\n| `"); got != len(rows) {
		t.Errorf("docs/groups.md has %d rows of reasons, the code has %d", got, len(rows))
	}
	for level := drm.LevelLow; level <= drm.LevelHigh; level++ {
		g := drm.Group{Level: level}
		w, p := g.Widevine(), g.PlayReady()
		rows = append(rows, fmt.Sprintf("| `%s` | %d, `%s` | %d, `%s` | SL%d | SL%d | HDCP `%s` |",
			level, w.VideoSecurityLevel, w.VideoRobustness, w.AudioSecurityLevel, w.AudioRobustness, p.SecurityLevel, p.AudioSecurityLevel, g.FairPlayHDCP()))
	}
	for hdcp := drm.HDCPNone; hdcp <= drm.HDCP23; hdcp++ {
		g := drm.Group{HDCP: hdcp}
		type1 := ""
		if g.PlayReady().HDCPType1 {
			type1 = ", HDCP Type 1"
		}
		rows = append(rows, fmt.Sprintf("| `%s` | `%s` | output protection level %d%s | `%s` |", hdcp, g.Widevine().HDCP, g.PlayReady().DigitalVideoOutput, type1, g.HDCPLevel()))
	}
	for _, row := range rows {
		if !strings.Contains(text, row+"\n") {
			t.Errorf("docs/groups.md lacks\n%s", row)
		}
	}
}
