package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
	"github.com/caddy-drm/caddy-drm/web/players"
)

// startBrowser starts a Chromium of the test's own, with extra flags.
func startBrowser(t *testing.T, extra ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	program, err := testtools.Chromium()
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.WSURLReadTimeout(60*time.Second))
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), append(options, extra...)...)
	browser, endBrowser := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		endBrowser()
		endAllocator()
	})
	// The first call starts the process; a timeout here would end the browser with it.
	if err := chromedp.Do(browser, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	return browser
}

// tab is one page under test.
type tab struct {
	t       *testing.T
	ctx     context.Context
	mu      sync.Mutex
	console []string // errors, warnings and exceptions
}

// open loads the player page in a new tab and waits until it is ready.
func open(t *testing.T, browser context.Context, url string, width, height int64) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(browser)
	t.Cleanup(end)
	p := &tab{t: t, ctx: ctx}
	messages := chromedp.Console(ctx)
	go func() {
		for message, err := range messages {
			if err != nil {
				return
			}
			switch message.Type {
			case chromedp.ConsoleError, chromedp.ConsoleWarning, chromedp.ConsoleException:
				p.mu.Lock()
				p.console = append(p.console, fmt.Sprintf("%s (%s)", message, message.URL))
				p.mu.Unlock()
			}
		}
	}()
	p.do(chromedp.EmulateViewport(width, height), chromedp.Navigate(url))
	p.waitFor("document.documentElement.dataset.ready === 'true'")
	return p
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// eval returns the value of a JavaScript expression, which may be a promise.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// waitFor polls until a JavaScript condition holds.
func (p *tab) waitFor(condition string) {
	p.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !eval[bool](p, "Boolean("+condition+")") {
		if time.Now().After(deadline) {
			p.t.Fatalf("waiting for %s\nconsole: %q\npage:\n%s", condition, p.messages(), p.text())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (p *tab) text() string { return eval[string](p, "document.body.innerText") }

func (p *tab) messages() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.console...)
}

// choose sets the form as a viewer would.
func (p *tab) choose(stream, player, format, token string) {
	p.t.Helper()
	script, err := testtools.FillIn(stream, player, format, token)
	if err != nil {
		p.t.Fatal(err)
	}
	eval[bool](p, script)
}

// screenshot keeps a picture of the whole page when go test runs with -artifacts.
func (p *tab) screenshot(name string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.t.ArtifactDir(), name+".png"), png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// serve starts the page, and the streams that the tests play, on one loopback address: a secure context, as Encrypted
// Media Extensions demand.
func serve(t *testing.T) string {
	t.Helper()
	demo, err := testtools.Testdata("demo")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Title: "caddy-drm",
		Streams: []Stream{
			{Name: "Clear", DASH: "/clear/manifest.mpd", HLS: "/clear/master.m3u8", Note: "The demo as it lies in the store."},
			{Name: "Protected", DASH: "/cbcs/manifest.mpd", HLS: "/cbcs/master.m3u8", Scheme: "cbcs", Token: true, Note: "Needs a token."},
			{Name: "Protected, counter mode", DASH: "/cenc/manifest.mpd", HLS: "/cenc/master.m3u8", Scheme: "cenc", Token: true},
			{Name: "Wrong key", DASH: "/wrong/manifest.mpd", HLS: "/wrong/master.m3u8", Scheme: "cbcs", Token: true},
			{Name: "Bare", DASH: "/bare/manifest.mpd", HLS: "/bare/master.m3u8"},
			{Name: "Signed", DASH: "/signed/manifest.mpd", HLS: "/signed/master.m3u8"},
			{Name: "Grouped", DASH: "/grouped/manifest.mpd"},
			{Name: "Blocked", DASH: "/blocked/manifest.mpd"},
		},
		Players: players.FS,
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/player/", http.StripPrefix("/player", Handler(cfg)))
	mux.HandleFunc("/clear/.drm/config/default.json", func(w http.ResponseWriter, _ *http.Request) { servePlayerConfig(w, "") })
	for _, path := range []string{"/bare/", "/signed/", "/grouped/"} {
		mux.Handle(path, http.StripPrefix(path, media(demo)))
	}
	mux.HandleFunc("/signed/.drm/config/default.json", func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusForbidden, "token_scope") })
	mux.HandleFunc("/grouped/.drm/config/default.json", func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusNotFound, "not_found") })
	mux.Handle("/clear/", http.StripPrefix("/clear/", media(demo)))
	mux.HandleFunc("/blocked/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusUnavailableForLegalReasons, "country_denied")
	})
	for _, o := range []struct{ path, scheme, key string }{
		{"cenc", "cenc", testKeyHex}, {"cbcs", "cbcs", testKeyHex}, {"wrong", "cbcs", wrongHex},
	} {
		mux.Handle("/"+o.path+"/", http.StripPrefix("/"+o.path, newProtectedOrigin(t, demo, o.path, o.scheme, o.key)))
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL + "/player/"
}

// media serves a folder with the types that players want.
func media(folder string) http.Handler {
	files := http.FileServer(http.Dir(folder))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if contentType := mediaTypes[filepath.Ext(r.URL.Path)]; contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		files.ServeHTTP(w, r)
	})
}

var mediaTypes = map[string]string{
	".mpd": "application/dash+xml", ".m3u8": "application/vnd.apple.mpegurl", ".vtt": "text/vtt",
	".mp4": "video/mp4", ".m4s": "video/iso.segment",
}

func refuse(w http.ResponseWriter, status int, reason string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"title":"Refused","status":%d,"reason":%q}`, status, reason)
}

// mustNotHold fails if the page shows one of the secrets anywhere, in text or in markup.
func (p *tab) mustNotHold(secrets ...string) {
	p.t.Helper()
	markup := strings.ToLower(eval[string](p, "document.documentElement.outerHTML + ' ' + location.href + ' ' + document.body.innerText"))
	for _, secret := range secrets {
		if strings.Contains(markup, strings.ToLower(secret)) {
			p.t.Errorf("the page shows a secret that begins with %q", secret[:4])
		}
	}
}
