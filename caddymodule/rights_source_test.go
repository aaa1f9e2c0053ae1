package caddymodule

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// openCatalog opens a source as the app does, on a storage of the test.
func openCatalog(t *testing.T, dir string, source RightsSource, clock *testClock) (*rightsCatalog, *observer.ObservedLogs, error) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	c := &rightsCatalog{
		RightsSource: source, name: "shop", storage: &certmagic.FileStorage{Path: filepath.Join(dir, "storage")}, logger: zap.New(core),
		clock: func() time.Time { return *clock.at.Load() },
	}
	return c, logs, c.open()
}

// look is one turn of watch.
func (c *rightsCatalog) look(t *testing.T) error {
	t.Helper()
	err := c.refresh(t.Context())
	c.report(err)
	c.store(t.Context())
	return err
}

// groupNow is the group of the one title, which tells the versions apart.
func groupNow(c *rightsCatalog) string {
	catalog := c.current.Catalog(c.clock())
	if catalog == nil {
		return "no catalog"
	}
	return catalog.Titles()[0].Group
}

func catalogOf(group string) string {
	return fmt.Sprintf("titles: [{path: /, group: %s, territories: world, model: free}]", group)
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func errorsIn(logs *observer.ObservedLogs) (texts []string) {
	for _, entry := range logs.FilterLevelExact(zap.ErrorLevel).All() {
		texts = append(texts, entry.Message+fmt.Sprint(entry.ContextMap()["error"]))
	}
	return texts
}

func TestACatalogFileThatChanges(t *testing.T) {
	dir, clock := t.TempDir(), setClock(t, showAt)
	file := filepath.Join(dir, "rights.yaml")
	writeFile(t, file, catalogOf("one"))
	c, logs, err := openCatalog(t, dir, RightsSource{Source: file}, clock)
	if err != nil || groupNow(c) != "one" {
		t.Fatal(err, groupNow(c))
	}
	if err := c.look(t); err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, catalogOf("second"))
	if err := c.look(t); err != nil || groupNow(c) != "second" {
		t.Errorf("%v, %s", err, groupNow(c))
	}
	// A bad version is refused as a whole, said once, and looked at again.
	writeFile(t, file, catalogOf("third")+"\ntittles: []")
	for range 3 {
		if err := c.look(t); err == nil || groupNow(c) != "second" {
			t.Errorf("%v, %s", err, groupNow(c))
		}
	}
	if got := errorsIn(logs); len(got) != 1 || !strings.Contains(got[0], `line 2: unknown field "tittles"`) {
		t.Errorf("logged %q", got)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := c.look(t); err == nil || groupNow(c) != "second" || len(errorsIn(logs)) != 2 {
		t.Errorf("%v, %s", err, groupNow(c))
	}
	writeFile(t, file, catalogOf("fourth"))
	if err := c.look(t); err != nil || groupNow(c) != "fourth" {
		t.Errorf("%v, %s", err, groupNow(c))
	}
}

func TestTheLastGoodCatalogIsKeptInStorage(t *testing.T) {
	dir, clock := t.TempDir(), setClock(t, showAt)
	file := filepath.Join(dir, "rights.yaml")
	writeFile(t, file, catalogOf("good"))
	source := RightsSource{Source: file, StaleAfter: 3600e9}
	c, _, err := openCatalog(t, dir, source, clock)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.look(t); err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, "broken")
	clock.set(showAt.Add(30 * time.Minute))
	restarted, logs, err := openCatalog(t, dir, source, clock)
	if err != nil || groupNow(restarted) != "good" || len(errorsIn(logs)) != 1 {
		t.Fatal(err)
	}
	// Its age goes on: a restart makes nothing fresh.
	clock.set(showAt.Add(time.Hour))
	if groupNow(restarted) != "no catalog" {
		t.Error("the catalog of a restarted node is younger than it was")
	}
	// What was never good is no start, and neither is another source.
	if _, _, err := openCatalog(t, t.TempDir(), source, clock); err == nil {
		t.Error("started with a broken catalog")
	}
	other := filepath.Join(dir, "other.yaml")
	writeFile(t, other, "broken")
	if _, _, err := openCatalog(t, dir, RightsSource{Source: other}, clock); err == nil {
		t.Error("started with the catalog of another source")
	}
}

func TestStaleCatalogs(t *testing.T) {
	for stale, want := range map[string]string{"": "no catalog", wordDeny: "no catalog", wordKeep: "good"} {
		dir, clock := t.TempDir(), setClock(t, showAt)
		file := filepath.Join(dir, "rights.yaml")
		writeFile(t, file, catalogOf("good"))
		c, logs, err := openCatalog(t, dir, RightsSource{Source: file, StaleAfter: 60e9, Stale: stale}, clock)
		if err != nil {
			t.Fatal(err)
		}
		clock.set(showAt.Add(59 * time.Second))
		if err := c.look(t); err != nil { // confirmed
			t.Fatal(err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		clock.set(showAt.Add(118 * time.Second))
		if err := c.look(t); err == nil || groupNow(c) != "good" {
			t.Errorf("%q: %v, %s before the bound", stale, err, groupNow(c))
		}
		clock.set(showAt.Add(119 * time.Second))
		if err := c.look(t); err == nil || groupNow(c) != want {
			t.Errorf("%q: %v, %s; want %s", stale, err, groupNow(c), want)
		}
		if got := errorsIn(logs); len(got) != 2 || !strings.Contains(got[1], "stale") {
			t.Errorf("%q: logged %q", stale, got)
		}
	}
}

// catalogServer answers with what it is told, and remembers what it was asked.
type catalogServer struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	text   string
	etag   string
	asked  []http.Header
}

func newCatalogServer(t *testing.T) *catalogServer {
	s := &catalogServer{status: http.StatusOK}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, r.Header)
		w.Header().Set("ETag", s.etag)
		switch {
		case s.status/100 == 3:
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(s.status)
		case s.status != http.StatusOK:
			w.WriteHeader(s.status)
		case s.etag != "" && r.Header.Get("If-None-Match") == s.etag:
			w.WriteHeader(http.StatusNotModified)
		default:
			_, _ = w.Write([]byte(s.text))
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *catalogServer) say(status int, etag, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.etag, s.text = status, etag, text
}

func TestACatalogByURL(t *testing.T) {
	dir, clock, server := t.TempDir(), setClock(t, showAt), newCatalogServer(t)
	source := RightsSource{Source: server.URL + "/catalog?key=very-secret", Refresh: 60e9, StaleAfter: 3600e9}
	c, logs, err := openCatalog(t, dir, source, clock)
	if err != nil || groupNow(c) != "no catalog" || len(server.asked) != 0 {
		t.Fatalf("%v, %s, %d requests: the network is no matter of validation", err, groupNow(c), len(server.asked))
	}
	step := func(what, want string, fails bool) {
		t.Helper()
		if err := c.look(t); (err != nil) != fails || groupNow(c) != want {
			t.Errorf("%s: %v, %s; want %s", what, err, groupNow(c), want)
		}
	}
	server.say(200, `"v1"`, catalogOf("one"))
	step("the first", "one", false)
	clock.set(showAt.Add(50 * time.Minute))
	step("not modified", "one", false)
	if got := server.asked[1].Get("If-None-Match"); got != `"v1"` {
		t.Errorf("asked with ETag %q", got)
	}
	clock.set(showAt.Add(100 * time.Minute)) // more than an hour after the first, less after it was confirmed
	for _, status := range []int{500, 404, 302, 204} {
		server.say(status, `"v2"`, "")
		step(fmt.Sprint(status), "one", true)
	}
	server.say(200, `"v2"`, "<html>Sorry</html>")
	step("a page", "one", true)
	if got := server.asked[len(server.asked)-1].Get("If-None-Match"); got != `"v1"` {
		t.Errorf("asked with the ETag %q of what was refused", got)
	}
	server.say(200, `"v3"`, catalogOf("three"))
	step("a new one", "three", false)
	server.Close()
	step("out", "three", true)
	for _, text := range errorsIn(logs) {
		if strings.Contains(text, "very-secret") {
			t.Errorf("logged %s", text)
		}
	}
	restarted, _, err := openCatalog(t, dir, source, clock)
	if err != nil || groupNow(restarted) != "three" {
		t.Errorf("restarted while the source is out: %v, %s", err, groupNow(restarted))
	}
}

// Under a running gateway: the site follows its catalog, whoever watches is judged by the new one, and nobody is let in while
// there is none.
func TestASiteFollowsItsCatalog(t *testing.T) {
	server := newCatalogServer(t)
	server.say(503, "", "")
	setClock(t, showAt)
	g := newGateway(t)
	g.load(t, strings.Replace(rightsBlock, "DIR/rights.yaml", server.URL, 1)+strings.Replace(rightsSite, "root DIR", "root TESTDATA", 1))
	wait := func(want string) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			res := g.get(t, withToken("/demo/manifest.mpd", rightsJWT(t, nil)))
			if res.reason() == want {
				if want == "rights_unavailable" && res.status != 503 {
					t.Errorf("status %d", res.status)
				}
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%d %s, want %q", res.status, res.reason(), want)
			}
		}
	}
	wait("rights_unavailable")
	server.say(200, "", "titles: [{path: /demo/, territories: world, model: free}]")
	wait("")
	media := linkTo(t, rightsLinks(t, g, "/demo/", rightsJWT(t, nil)), "media", "seg_1.m4s").url
	g.mustGet(t, media)
	server.say(200, "", "titles: [{path: /demo/, territories: DE, model: free}]")
	wait("rights_territory")
	if res := g.get(t, media); res.reason() != "rights_territory" {
		t.Errorf("a segment that was in memory: %d %s", res.status, res.reason())
	}
	server.say(200, "", "titles: {}")
	time.Sleep(1500 * time.Millisecond)
	wait("rights_territory")
}
