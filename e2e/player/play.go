package player

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// Player names a web player.
type Player string

// The players.
const (
	Shaka  Player = "shaka"  // DASH and HLS
	DashJS Player = "dashjs" // DASH
	HlsJS  Player = "hlsjs"  // HLS

	VideoJS Player = "videojs" // DASH and HLS, with its plugin for EME
)

// Options says what to play and how.
type Options struct {
	Player Player
	// URL is the manifest: https, or http on 127.0.0.1 or localhost.
	URL string
	// LicenseURL is configured in the player. Empty means that the manifest must say it: dashif:Laurl in DASH, the URI of
	// the EXT-X-KEY of org.w3.clearkey for hls.js. Shaka prefers the manifest's Laurl even when this is set.
	LicenseURL string
	// Config is merged into the player's own configuration, a value that encodes to a JSON object: for Shaka what
	// player.configure takes, for dash.js updateSettings, for hls.js the constructor. Nil means no change.
	Config any
	// DRM is the member for the player of the gateway's player configuration, a value that encodes to what the player takes it for. It
	// takes the place of LicenseURL, and of what the harness knows about licenses itself.
	DRM any
	// KeyIDFilter makes hls.js ask for the key that EXT-X-KEY names instead of those in the init segment's pssh: needed
	// when the keys differ and each pssh lists only one.
	KeyIDFilter bool
	// CrossOrigin gives the page an origin of its own instead of the manifest's.
	CrossOrigin bool
	// TokenURL answers with an access token, which the page sends in Authorization with manifests. It is asked for a new one after each
	// TokenEvery, as an app asks its server.
	TokenURL   string
	TokenEvery time.Duration
	// Header is sent with every request of the page.
	Header map[string]string
	// Silent says that the title has no audio; otherwise audio that is not decoded is a failure.
	Silent bool
	// FrameRate is 25 frames per second unless set.
	FrameRate float64
	// Timeout bounds each step: starting, a seek, a switch. 45 s unless set, which suits a loaded small machine; a failed
	// step takes as long only if the player reports no fatal error.
	Timeout time.Duration
}

// pagePath is the path below which the harness answers requests itself.
const pagePath = "/.player/"

// foreignOrigin is the page's origin with CrossOrigin. Nothing listens there; *.localhost counts as secure.
const foreignOrigin = "http://page.localhost"

// Play opens a page, loads the URL and returns once pictures and sound have advanced by a second. If they do not, it
// closes the page and returns a *PlaybackError. ctx bounds the start only; the session ends with Close or the browser.
func (b *Browser) Play(ctx context.Context, o Options) (*Session, error) {
	s, err := b.page(o)
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		var failed *PlaybackError
		if errors.As(err, &failed) {
			failed.Picture, _ = s.Read(ctx) // a screen that cannot be read shows nothing
		}
		s.Close()
		return nil, err
	}
	return s, nil
}

// page opens a page of its own for a session.
func (b *Browser) page(o Options) (*Session, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" {
		return nil, errors.New("playing: the URL is not absolute")
	}
	o.Timeout = cmp.Or(o.Timeout, 45*time.Second)
	o.FrameRate = cmp.Or(o.FrameRate, 25)
	origin := u.Scheme + "://" + u.Host
	if o.CrossOrigin {
		origin = foreignOrigin
	}
	tab, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	s := &Session{options: o, tab: tab, cancel: cancel, log: newRequestLog()}
	if err := s.open(b.files, origin); err != nil {
		s.Close()
		return nil, fmt.Errorf("opening the player page: %w", err)
	}
	return s, nil
}

// open prepares the tab and loads the page.
func (s *Session) open(files map[string]pageFile, origin string) error {
	if err := chromedp.Listen(s.tab, func(event any) {
		if paused, ok := event.(*fetch.EventRequestPaused); ok {
			go answer(s.tab, files, paused) // a listener must not wait for the browser
			return
		}
		s.log.observe(event)
	}); err != nil {
		return err
	}
	patterns := []*fetch.RequestPattern{{URLPattern: origin + pagePath + "*"}}
	if _, err := chromedp.Call(s.tab, fetch.Enable, fetch.EnableParams{Patterns: patterns}); err != nil {
		return err
	}
	if len(s.options.Header) > 0 {
		header := network.Headers{}
		for name, value := range s.options.Header {
			header[name] = value
		}
		if _, err := chromedp.Call(s.tab, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: header}); err != nil {
			return err
		}
	}
	return chromedp.Do(s.tab, chromedp.Navigate(origin+pagePath+"index.html"))
}

// answer fulfills a request for one of the page's own files.
func answer(tab context.Context, files map[string]pageFile, paused *fetch.EventRequestPaused) {
	response := fetch.FulfillRequestParams{RequestID: paused.RequestID, ResponseCode: http.StatusNotFound}
	if _, name, ok := strings.Cut(paused.Request.URL, pagePath); ok {
		if file, ok := files[name]; ok {
			response.ResponseCode = http.StatusOK
			response.Body = file.body
			response.ResponseHeaders = []*fetch.HeaderEntry{{Name: "Content-Type", Value: file.contentType}}
		}
	}
	// An error means that the tab is gone, and then nobody waits for the answer.
	_, _ = cdp.Call(tab, chromedp.FromContext(tab).Target, fetch.FulfillRequest, response)
}

// start runs the page's start function.
func (s *Session) start(ctx context.Context) error { return s.load(ctx, "starting", "start") }

// load calls one of the functions of the page that take the options.
func (s *Session) load(ctx context.Context, doing, function string) error {
	config := s.options.Config
	if config == nil {
		config = struct{}{}
	}
	options, err := json.Marshal(map[string]any{
		"player": s.options.Player, "url": s.options.URL, "licenseURL": s.options.LicenseURL, "config": config, "drm": s.options.DRM,
		"keyIDFilter": s.options.KeyIDFilter, "silent": s.options.Silent, "frameRate": s.options.FrameRate,
		"timeout":  s.options.Timeout.Milliseconds(),
		"tokenURL": s.options.TokenURL, "tokenEvery": max(1, s.options.TokenEvery.Milliseconds()),
	})
	if err != nil {
		return fmt.Errorf("encoding the player's configuration: %w", err)
	}
	_, err = s.step(ctx, doing, fmt.Sprintf("harness.%s(%s)", function, options))
	return err
}
