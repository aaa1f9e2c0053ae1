package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// The example as it stands is a valid configuration: Caddy provisions all of it, and opens no port.
func TestExampleIsValid(t *testing.T) {
	long(t)
	binary, err := gatewayBinary()
	if err != nil {
		t.Fatal(err)
	}
	root, err := testtools.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "validate", "--adapter", "caddyfile", "--config", "Caddyfile.example")
	dir := t.TempDir()
	cmd.Dir, cmd.Env = root, append(os.Environ(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Valid configuration") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Every stream that the example's page offers is what its name says: there, or refused for the reason that it shows.
func TestExampleStreams(t *testing.T) {
	e := sharedExample(t)
	var page struct {
		Streams []struct{ Name, DASH, HLS, Scheme string }
	}
	if err := json.Unmarshal(mustGet(t, e.url+"/config.json").body, &page); err != nil {
		t.Fatal(err)
	}
	if len(page.Streams) < 5 {
		t.Fatalf("the page offers %d streams", len(page.Streams))
	}
	refused := map[string]struct {
		status int
		reason string
	}{
		"Demo, members only": {http.StatusUnauthorized, "token_missing"},
		"Demo, blocked here": {http.StatusForbidden, "country_denied"},
	}
	for _, stream := range page.Streams {
		for _, manifest := range []string{stream.DASH, stream.HLS} {
			a := get(t, e.url+manifest)
			if want, ok := refused[stream.Name]; ok {
				checkRefusal(t, a, want.status, want.reason)
				continue
			}
			if a.status != http.StatusOK || !strings.Contains(string(a.body), "/~") {
				t.Errorf("%s: %s", stream.Name, a)
			}
			if manifest == stream.DASH && stream.Scheme != "" && !strings.Contains(string(a.body), `value="`+stream.Scheme+`"`) {
				t.Errorf("%s is not %s", stream.Name, stream.Scheme)
			}
		}
	}
}

// The media lie in clear below the example's root, and no address leads to them.
func TestExampleServesNothingClear(t *testing.T) {
	e := sharedExample(t)
	for _, block := range []string{"/vod", "/cenc", "/cbcs", "/members", "/austria", "/elsewhere"} {
		for _, path := range []string{
			"/demo/video/360p/init.mp4", "/demo/video/360p/seg_1.m4s", "/demo/video/360p/seg_1.M4S", "/demo/video/360p/seg_1.m4s?x=1",
			"/demo/audio/en/seg_1.m4s", "/demo//video/360p/seg_1.m4s", "/demo/video/360p/%73eg_1.m4s", "/demo/x/../video/360p/seg_1.m4s",
			"/demo/video/360p/", "/demo/subs/en.vtt", "/tokens/signed.key", "/README.md", "/",
		} {
			a := get(t, e.url+block+path)
			if a.status != http.StatusNotFound {
				t.Errorf("%s; want 404", a)
			}
		}
	}
	for _, path := range []string{"/demo/video/360p/seg_1.m4s", "/testdata/tokens/signed.key", "/tokens/signed.key"} {
		if a := get(t, e.url+path); a.status == http.StatusOK && !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
			t.Errorf("%s", a)
		}
	}
}
