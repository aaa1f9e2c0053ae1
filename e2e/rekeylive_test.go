package e2e_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/e2e/player"
)

// rekeyWhileWatching replaces all keys of the channel by one node. The manifests of both name new keys at once, and the player goes on with them
// until what it knew from before is long gone.
func rekeyWhileWatching(t *testing.T, nodes *nodesOf, s *player.Session) {
	t.Helper()
	at := resultOf(t, s).CurrentTime
	playInTime(t, s, at+1)
	before := manifestKeys(t, nodes)
	posted := askWith(t, http.MethodPost, "http://"+nodes.gateways[0].admin+"/drm/rekeys", "", `{"title":"/live/","note":"test"}`,
		http.Header{"Content-Type": {"application/json"}})
	if posted.status != http.StatusCreated {
		t.Fatal(posted)
	}
	var after []string
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		first, second := manifestKeys(t, nodes), manifestKeys(t, nodes) // of one node each
		after = append(first, second...)
		if !slices.ContainsFunc(after, func(kid string) bool { return slices.Contains(before, kid) }) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("manifests still name keys that were replaced")
		}
	}
	playInTime(t, s, at+1+1.6*rekeyGrace.Seconds())
	result := resultOf(t, s)
	if p, err := s.Read(testContext(t)); err != nil || !p.Corners {
		t.Errorf("after the re-key there is no whole picture: %v", err)
	}
	checkSmooth(t, result)
	after = append(after, manifestKeys(t, nodes)...)
	if !slices.ContainsFunc(result.UsableKeys(), func(kid string) bool { return slices.Contains(after, kid) }) {
		t.Errorf("the player has no key of the new ones:\n%s", result)
	}
}

var defaultKIDs = regexp.MustCompile(`default_KID="([^"]+)"`)

// manifestKeys are the KIDs in an MPD of the channel, in both schemes.
func manifestKeys(t *testing.T, nodes *nodesOf) (kids []string) {
	t.Helper()
	for _, scheme := range []string{"cenc", "cbcs"} {
		for _, match := range defaultKIDs.FindAllStringSubmatch(string(mustGet(t, nodes.URL+"/live/live.mpd?drm="+scheme).body), -1) {
			kids = append(kids, strings.ReplaceAll(strings.ToLower(match[1]), "-", ""))
		}
	}
	return kids
}
