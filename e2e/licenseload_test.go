package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
	"github.com/caddy-drm/caddy-drm/token"
)

// licensee is a viewer in the middle of a title: the session that began with his token holds a license.
type licensee struct {
	token string
	track track  // of his session
	body  string // asks for the key of the track
}

// license is where he asks with his session, and licenseByToken with his token alone.
func (l licensee) license(t *testing.T) string { return pathAndQuery(t, l.track.license) }

func (l licensee) licenseByToken(t *testing.T) string {
	t.Helper()
	return strings.Replace(l.license(t), sessionElement.FindString(l.license(t))+"/", "", 1) + "?token=" + url.QueryEscape(l.token)
}

func pathAndQuery(t *testing.T, target string) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	return u.RequestURI()
}

// newLicensee begins a session and gets its license.
func newLicensee(t *testing.T, address, subject string) licensee {
	t.Helper()
	text, err := token.SignPrefix(signingKey(t), token.Claims{Subject: subject, Scope: []string{"/demo"}, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	manifest := address + "/demo/manifest.mpd?drm=cenc&token=" + url.QueryEscape(text)
	tracks, _ := parseMPD(t, manifest, again(t, http.MethodGet, manifest, "").body)
	l := licensee{text, tracks[0], licenseBody(t, tracks[0].kid)}
	keyIn(t, again(t, http.MethodPost, l.track.license, l.body), l.track.kid)
	return l
}

// licensingGateway gives ClearKey licenses to holders of tokens, and writes a record of each into a small file of its own.
func licensingGateway(t *testing.T, gate string) (g *gateway, address string) {
	t.Helper()
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	g = newGateway(t, fmt.Sprintf(`{
	metrics
	log {
		exclude http.handlers.drm.licenses
	}
	log licenses {
		include http.handlers.drm.licenses
		output file %s {
			roll_size 1MiB
			roll_keep 1
			roll_uncompressed
		}
	}
	drm {
		segment_cache off
	}
}
http://:%d {
	drm {
		tenant licensing
		license_server clearkey
		token signed {
			key {file.testdata/tokens/signed.key}
		}
		%s
	}
	root testdata
	file_server
}
`, filepath.Join(t.TempDir(), "licenses.log"), port, gate))
	return g, localhost(port)
}

const envLicenses = "CADDY_DRM_LICENSES"

// licensesOfRun is how many licenses each part of TestLicensesTakeNoMemory gives: `make licenses` wants a million.
func licensesOfRun(t *testing.T) int {
	t.Helper()
	text := os.Getenv(envLicenses)
	if text == "" {
		return 40_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1000 {
		t.Fatalf("%s=%s: want a number of licenses, 1000 at least", envLicenses, text)
	}
	return n
}

// However many licenses are given to however many requests of the same viewers, by session and by token, with the gate for segments and without
// it: between the first fifth of them and the last the memory in use does not grow.
func TestLicensesTakeNoMemory(t *testing.T) {
	long(t)
	total := licensesOfRun(t)
	for _, gate := range []string{"", "require_license"} {
		name := gate
		if gate == "" {
			name = "not gated"
		}
		t.Run(name, func(t *testing.T) {
			const viewers = 300
			g, address := licensingGateway(t, gate)
			var list []exchange
			for i := range viewers {
				l := newLicensee(t, address, fmt.Sprintf("viewer-%d", i))
				list = append(list, exchange{method: http.MethodPost, path: l.license(t), body: l.body})
				if gate == "" { // a gate wants sessions
					list = append(list, exchange{method: http.MethodPost, path: l.licenseByToken(t), body: l.body})
				}
				if i%10 == 0 {
					list = append(list, exchange{method: http.MethodGet, path: pathAndQuery(t, l.track.segments[5])})
				}
			}
			file, begin := writeList(t, list), time.Now()
			g.giveLicenses(t, address, file, total/5)
			early, given := g.heapMiB(t), g.licenses(t)
			g.giveLicenses(t, address, file, total)
			late, all := g.heapMiB(t), g.licenses(t)
			t.Logf("figures: heap in use after %d licenses: %.2f MiB, after %d: %.2f MiB; resident %d MiB; %.0f requests/s with those who ask", given, early, all, late,
				g.memoryMiB(t, "VmRSS"), float64(all)/time.Since(begin).Seconds())
			if late > early*1.05+1 {
				t.Errorf("the heap grew from %.2f to %.2f MiB", early, late)
			}
		})
	}
}

// giveLicenses loads the gateway until it has given so many licenses. Every answer is 200.
func (g *gateway) giveLicenses(t *testing.T, address, list string, total int) {
	t.Helper()
	for given := g.licenses(t); given < total; given = g.licenses(t) {
		length := time.Second
		if total-given > 200_000 {
			length = 10 * time.Second
		}
		if run := wrk(t, address, list, length); run.statuses != nil || run.failures > 0 || run.requests == 0 {
			t.Fatalf("%d requests, %d without an answer, unexpected: %q", run.requests, run.failures, run.statuses)
		}
	}
}

var (
	grantsCounter = regexp.MustCompile(`(?m)^caddy_drm_licenses_total\{[^}]*result="grant"[^}]*\} ([0-9.e+]+)$`)
	heapInUse     = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)
)

func (g *gateway) licenses(t *testing.T) int {
	t.Helper()
	text, err := g.adminOnce("/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	match := grantsCounter.FindStringSubmatch(text)
	if match == nil {
		t.Fatal("no count of licenses")
	}
	n, err := strconv.ParseFloat(match[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// heapMiB is what the gateway holds when all garbage is collected. Pools give up what they hold in the second collection.
func (g *gateway) heapMiB(t *testing.T) float64 {
	t.Helper()
	least := 0.0
	for range 3 {
		profile, err := g.adminOnce("/debug/pprof/heap?gc=1&debug=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		match := heapInUse.FindStringSubmatch(profile)
		if match == nil {
			t.Fatalf("no heap profile: %.100s", profile)
		}
		n, err := strconv.Atoi(match[1])
		if err != nil {
			t.Fatal(err)
		}
		if mib := float64(n) / (1 << 20); least == 0 || mib < least {
			least = mib
		}
	}
	return least
}

// Licenses and the segments that need them are asked for by many, without a pause, while the configuration is replaced again and again: every
// answer is 200, every key and every segment the same, and who was granted a license before has it after.
func TestReloadUnderLicenses(t *testing.T) {
	g, address := licensingGateway(t, "require_license 100ms")
	config, err := g.adminOnce("/config/", nil)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(config, `"require_license":{`, `"cors_origins":["https://play.example.com"],"require_license":{`, 1)
	if other == config {
		t.Fatal("the second configuration is the first one")
	}
	first := newLicensee(t, address, "viewer-0")
	key := contentKey(t, first.track.license, first.track.kid)
	segment := mustGet(t, first.track.segments[7]).body
	var viewers []licensee
	for i := range 16 {
		viewers = append(viewers, newLicensee(t, address, fmt.Sprintf("viewer-%d", i+1)))
	}
	before := g.settle(t)
	var all sync.WaitGroup
	var asked atomic.Int64
	finished := make(chan struct{})
	for i, l := range viewers {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-finished:
					return
				default:
				}
				if n%20 == 19 { // and there are new ones
					l = newLicensee(t, address, fmt.Sprintf("viewer-%d-%d", i, n))
				}
				license := again(t, http.MethodPost, l.track.license, l.body)
				got := again(t, http.MethodGet, l.track.segments[7], "")
				if license.status != http.StatusOK || got.status != http.StatusOK || !bytes.Equal(got.body, segment) {
					t.Errorf("%s; %s", license, got)
					return
				}
				if granted := keyIn(t, license, l.track.kid); granted != key {
					t.Error("another key")
				}
				asked.Add(2)
			}
		})
	}
	for i := range 8 {
		time.Sleep(250 * time.Millisecond)
		if _, err := g.adminOnce("/load", strings.NewReader([]string{other, config}[i%2])); err != nil {
			t.Error(err)
		}
	}
	close(finished)
	all.Wait()
	t.Logf("%d requests during 8 reloads", asked.Load())
	if a := again(t, http.MethodGet, first.track.segments[9], ""); a.status != http.StatusOK {
		t.Errorf("a license of before the reloads: %s", a)
	}
	if asked.Load() < 100 {
		t.Errorf("only %d requests", asked.Load())
	}
	if after := g.settle(t); after > before+20 { // connections that the test keeps have two each
		t.Errorf("%d goroutines before, %d after", before, after)
	}
}

// again asks again if the connection ended before any answer: a server that is replaced closes those that are idle, and a request that was on its
// way then has reached nobody.
func again(t *testing.T, method, target, body string) (a answer) {
	t.Helper()
	for range 5 {
		request, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || err != nil && strings.HasSuffix(err.Error(), "server closed idle connection") {
			continue
		}
		if err != nil {
			t.Errorf("asking: %v", err)
			return answer{url: target}
		}
		defer response.Body.Close()
		data, err := io.ReadAll(response.Body)
		if err != nil {
			t.Errorf("reading the answer: %v", err)
		}
		return answer{url: target, status: response.StatusCode, header: response.Header, body: data}
	}
	t.Error("no answer in five attempts")
	return answer{url: target}
}
