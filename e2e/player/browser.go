package player

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// Browser is one running Chromium. Each session in it has its own storage, cache and cookies. It may be used by several
// goroutines; more than two sessions at a time are too many for a small machine.
type Browser struct {
	ctx     context.Context
	cancel  func()
	dataDir string
	files   map[string]pageFile
}

// Start launches Chromium and reads the player bundles. Missing tools are an error that says how to install them.
// The browser ends with Close or when ctx ends.
func Start(ctx context.Context) (*Browser, error) {
	path, err := testtools.Chromium()
	if err != nil {
		return nil, err
	}
	files, err := loadPageFiles()
	if err != nil {
		return nil, err
	}
	dataDir, err := os.MkdirTemp("", "caddy-drm-browser-")
	if err != nil {
		return nil, fmt.Errorf("starting Chromium: %w", err)
	}
	allocator, cancelAllocator := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.UserDataDir(dataDir),
		chromedp.NoSandbox, // the tests run as root in containers
		chromedp.DisableGPU,
		chromedp.IgnoreCertErrors, // servers under test sign their own
		chromedp.WindowSize(800, 600),
		chromedp.WSURLReadTimeout(60*time.Second),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		// A page that the harness answers itself has no address; it must reach the loopback address without a prompt.
		chromedp.Flag("disable-features", "Translate,LocalNetworkAccessChecks,PrivateNetworkAccessRespectPreflightResults"),
	)...)
	browserCtx, cancelBrowser := chromedp.NewContext(allocator)
	b := &Browser{ctx: browserCtx, dataDir: dataDir, files: files, cancel: func() {
		cancelBrowser()
		cancelAllocator()
	}}
	// The first call starts the process; its context must not have a timeout of its own.
	if err := chromedp.Do(browserCtx, chromedp.Navigate("about:blank")); err != nil {
		b.Close()
		return nil, fmt.Errorf("starting Chromium: %w", err)
	}
	return b, nil
}

// Close ends the browser and all of its sessions.
func (b *Browser) Close() {
	_ = chromedp.Cancel(b.ctx) // waits for the process, so that its folder can be removed
	b.cancel()
	_ = os.RemoveAll(b.dataDir)
}
