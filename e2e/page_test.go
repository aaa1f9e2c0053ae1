package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/caddy-drm/caddy-drm/e2e/player"
)

// viewer is somebody with a keyboard in front of the gateway's player page.
type viewer struct {
	t       *testing.T
	tab     context.Context
	mu      sync.Mutex
	console []string // errors, warnings and exceptions
}

func openPage(t *testing.T, address string) *viewer {
	t.Helper()
	tab, cancel := startBrowser(t).Tab()
	t.Cleanup(cancel)
	v := &viewer{t: t, tab: tab}
	messages := chromedp.Console(tab)
	go func() {
		for message, err := range messages {
			if err != nil {
				return
			}
			switch message.Type {
			case chromedp.ConsoleError, chromedp.ConsoleWarning, chromedp.ConsoleException:
				v.mu.Lock()
				v.console = append(v.console, message.String())
				v.mu.Unlock()
			}
		}
	}()
	v.do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(address))
	v.waitFor("document.documentElement.dataset.ready === 'true'")
	return v
}

func (v *viewer) do(steps ...chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.tab, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		v.t.Fatal(err)
	}
}

func evaluate[T any](v *viewer, expression string) T {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.tab, time.Minute)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		v.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

func (v *viewer) waitFor(condition string) {
	v.t.Helper()
	for end := time.Now().Add(time.Minute); !evaluate[bool](v, "Boolean("+condition+")"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			v.t.Fatalf("waiting for %s\nconsole: %q\npage:\n%s", condition, v.messages(), evaluate[string](v, "document.body.innerText"))
		}
	}
}

func (v *viewer) messages() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]string(nil), v.console...)
}

// tabTo presses Tab until the element that the condition describes has the focus.
func (v *viewer) tabTo(condition string) {
	v.t.Helper()
	for range 40 {
		v.do(chromedp.KeyEvent(kb.Tab))
		if evaluate[bool](v, "document.activeElement.matches("+quote(condition)+")") {
			return
		}
	}
	v.t.Fatalf("Tab never reaches %s", condition)
}

func quote(s string) string {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always encodes
	}
	return string(quoted)
}

// choose moves through the list of streams with the arrow keys.
func (v *viewer) choose(stream string) {
	v.t.Helper()
	v.tabTo("#stream")
	for range 20 {
		if evaluate[bool](v, "document.getElementById('stream').value === "+quote(stream)) {
			return
		}
		v.do(chromedp.KeyEvent(kb.ArrowDown))
	}
	v.t.Fatalf("the list has no stream %q", stream)
}

// picture reads the video, scaled to the size of the test picture.
func (v *viewer) picture() player.Picture {
	v.t.Helper()
	v.do(chromedp.ScrollIntoView("video"))
	box := evaluate[struct{ X, Y, Width, Height float64 }](v, `(() => {
		const video = document.querySelector("video");
		video.controls = false; // they cover the lower corners
		const box = video.getBoundingClientRect();
		return {x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height};
	})()`)
	ctx, cancel := context.WithTimeout(v.tab, time.Minute)
	defer cancel()
	shot, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{
		Clip: &page.Viewport{X: box.X, Y: box.Y, Width: box.Width, Height: box.Height, Scale: 641 / box.Width},
	})
	if err != nil {
		v.t.Fatal(err)
	}
	picture, err := player.ParsePicture(shot.Data)
	if err != nil {
		v.t.Fatal(err)
	}
	return picture
}

// The page that the gateway serves at its root, used with the keyboard alone.
func TestPlayerPagePlaysByKeyboard(t *testing.T) {
	e := sharedExample(t)
	for _, stream := range []string{"Demo, cenc", "AV1 and Opus, cbcs"} {
		t.Run(stream, func(t *testing.T) {
			v := openPage(t, e.url+"/")
			if title := evaluate[string](v, "document.title"); title != "caddy-drm example" {
				t.Errorf("title %q", title)
			}
			v.choose(stream)
			v.tabTo("#load")
			v.do(chromedp.KeyEvent(kb.Enter))
			// Without a gesture a browser may want one more key to play with sound; the page asks for it then.
			v.waitFor(`document.querySelector("video").readyState >= 3`)
			if evaluate[bool](v, `document.querySelector("video").paused`) {
				v.do(chromedp.KeyEvent("k"))
			}
			v.waitFor(`document.querySelector("video").currentTime > 1 && document.querySelector("video").webkitAudioDecodedByteCount > 0`)
			v.checkPicture()
			if rows := evaluate[int](v, `document.querySelectorAll("#keys tbody tr").length`); rows < 2 {
				t.Errorf("%d keys are shown, want two", rows)
			}
			if messages := v.messages(); len(messages) > 0 {
				t.Errorf("console: %q", messages)
			}
		})
	}
}

// checkPicture pauses by keyboard and compares the picture with the clock.
func (v *viewer) checkPicture() {
	v.t.Helper()
	v.do(chromedp.Focus("#stage"), chromedp.KeyEvent("k"))
	v.waitFor(`document.querySelector("video").paused`)
	at := evaluate[float64](v, `document.querySelector("video").currentTime`)
	var got player.Picture
	for range 10 { // the screen lags behind
		got = v.picture()
		if d := got.Frame - int(at*25); got.Corners && d >= -1 && d <= 1 {
			return
		}
	}
	v.t.Errorf("at %.2f s: frame %d, corners %v", at, got.Frame, got.Corners)
}

// A refused stream says why, in words, and shows nothing.
func TestPlayerPageSaysWhyNot(t *testing.T) {
	e := sharedExample(t)
	for stream, code := range map[string]string{"Demo, members only": "token_missing", "Demo, blocked here": "country_denied"} {
		t.Run(stream, func(t *testing.T) {
			v := openPage(t, e.url+"/")
			v.choose(stream)
			v.tabTo("#load")
			v.do(chromedp.KeyEvent(kb.Enter))
			v.waitFor(fmt.Sprintf(`document.getElementById("alerts").innerText.includes(%s)`, quote(code)))
			if evaluate[int](v, `document.querySelector("video").readyState`) != 0 {
				t.Error("something is loaded")
			}
		})
	}
}
