package web

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// TestWhatIsOverFits: the status of keys whose session is closed is longer than that of others, and is read whole.
func TestWhatIsOverFits(t *testing.T) {
	p := open(t, startBrowser(t), serve(t), 1280, 900)
	p.choose("Protected", "shaka", "dash", testToken)
	p.do(chromedp.Click("#load"))
	p.waitFor(playing)
	p.choose("Clear", "shaka", "dash", "")
	p.do(chromedp.Click("#load"))
	p.waitFor(`document.getElementById("keys").innerText.includes("session closed")`)
	const wide = `(() => { const box = document.getElementById("keys").closest(".scroll"); return box.scrollWidth - box.clientWidth })()`
	if over := eval[int64](p, wide); over > 0 {
		t.Errorf("the keys are %d px wider than their panel", over)
	}
}

// TestAlarmsAreOfWhatIsAsked: what was said of one stream does not stand beside the wish for a URL.
func TestAlarmsAreOfWhatIsAsked(t *testing.T) {
	p := open(t, startBrowser(t), serve(t), 1280, 900)
	const alarms = `document.getElementById("alerts").childElementCount`
	p.choose("Blocked", "shaka", "dash", "")
	p.do(chromedp.Click("#load"))
	p.waitFor(alarms + " > 0")
	p.choose("", "shaka", "dash", "")
	p.do(chromedp.Click("#load"))
	p.waitFor(`document.getElementById("status-text").innerText.startsWith("Enter the URL")`)
	if eval[int](p, alarms) > 0 {
		t.Errorf("beside the wish for a URL:\n%s", eval[string](p, `document.getElementById("alerts").innerText`))
	}
}
