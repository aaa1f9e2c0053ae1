package caddymodule

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// TestStrangersAreCounted: records come at once, then one for each pause, and none is lost in the count.
func TestStrangersAreCounted(t *testing.T) {
	var s strangerRecords
	now := time.Unix(1700000000, 0)
	flood := func(n int) (records int, unrecorded uint64) {
		for range n {
			if left, ok := s.take(now); ok {
				records++
				unrecorded += left
			}
		}
		return records, unrecorded
	}
	for _, step := range []struct {
		name       string
		after      time.Duration
		requests   int
		records    int
		unrecorded uint64
	}{
		{"the first", 0, 1000, strangerBurst, 0},
		{"too soon", strangerPause - 1, 1000, 0, 0},
		{"one more", 1, 1000, 1, 2000 - strangerBurst},
		{"three more, behind a clock that was set back", -time.Hour, 1000, 0, 0},
		{"from there", 3 * strangerPause, 5, 3, 1999},
		{"a day later", 24 * time.Hour, 30, strangerBurst, 2},
	} {
		now = now.Add(step.after)
		if records, unrecorded := flood(step.requests); records != step.records || unrecorded != step.unrecorded {
			t.Errorf("%s: %d records, %d without, want %d and %d", step.name, records, unrecorded, step.records, step.unrecorded)
		}
	}
}

// TestGarbageDoesNotFloodTheAudit: seals, sessions and URLs that are not ours have a few records between them and are all counted, while
// every refusal of a viewer has its own.
func TestGarbageDoesNotFloodTheAudit(t *testing.T) {
	l := startLicensed(t, "", "license_server clearkey", "widevine playready fairplay", "clearkey widevine playready fairplay", "level high", "level low", "hdcp 2.2", "")
	mpd := l.manifest(t, l.token)
	at, kid := licenseURLIn(t, mpd, drm.SystemWidevine), kidsIn(t, mpd)[0]
	garbage := map[string]string{
		"a seal":           at[:len(at)-6] + "AAAAAA",
		"half a seal":      at[:len(at)-20],
		"of another title": strings.Replace(at, "/demo/", "/demo-av1/", 1),
		"a session":        strings.Replace(at, "~s.", "~s.x", 1),
		"of ClearKey":      strings.Replace(at[:len(at)-6]+"AAAAAA", "/widevine/", "/clearkey/", 1),
		"of FairPlay":      strings.Replace(at[:len(at)-6]+"AAAAAA", "/widevine/", "/fairplay/", 1),
	}
	forged := licensesCounted(t, "widevine", "denial", "not_found")
	start := time.Now()
	for i := range 100 {
		for name, url := range garbage {
			if res := l.sendBody(t, http.MethodPost, url, widevineChallenge(1, kid)); res.status != 404 && res.status != 401 {
				t.Fatalf("%s: %d", name, res.status)
			}
		}
		if i%10 == 0 { // a viewer in between
			wantReply(t, "another title's key", l.sendBody(t, http.MethodPost, at, widevineChallenge(1, drm.KID{byte(i)})), 403, "license_no_keys")
			wantReply(t, "no challenge", l.sendBody(t, http.MethodPost, at, []byte("hello")), 400, "license_request_malformed")
		}
	}
	most := strangerBurst + int(time.Since(start)/strangerPause) + 1
	time.Sleep(strangerPause) // the next record says how many had none
	wantReply(t, "one more", l.sendBody(t, http.MethodPost, garbage["a seal"], nil), 404, "not_found")
	strangers, viewers, unrecorded := 0, 0, 0.0
	for _, record := range l.records(t) {
		if fmt.Sprint(record["subject"]) != "" {
			viewers++
			continue
		}
		strangers++
		if n, ok := record["unrecorded"].(float64); ok {
			unrecorded += n
		}
	}
	if viewers != 20 {
		t.Errorf("%d records of 20 refusals of a viewer", viewers)
	}
	if all := float64(strangers) + unrecorded; strangers > most+2 || all != 601 {
		t.Errorf("%d records of strangers for %v requests, want up to %d for 601", strangers, all, most+2)
	}
	if counted := licensesCounted(t, "widevine", "denial", "not_found") - forged; counted != 301 {
		t.Errorf("%v of 301 forged seals of Widevine are counted", counted)
	}
}
