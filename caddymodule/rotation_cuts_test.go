package caddymodule

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/internal/redistest"
)

// Two sights of one channel whose segments differ in length, with keys that change every ten seconds: in the first the segment in front of
// the cut is still listed, which begins at 9 s and ends at 13; in the second it has left.
const (
	earlySight = `<S t="6" d="3"/><S d="4"/><S d="1"/><S d="2"/>`
	lateSight  = `<S t="14" d="2"/><S d="2"/>`
)

// writeSight makes what the origin says of the channel now.
func writeSight(t *testing.T, g *gateway, timeline string) {
	t.Helper()
	dir := filepath.Join(g.dir, "irregular")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mpd := `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" availabilityStartTime="1970-01-01T00:00:00Z" profiles="urn:mpeg:dash:profile:isoff-live:2011" ` +
		`timeShiftBufferDepth="PT60S" minBufferTime="PT2S"><Period id="p" start="PT0S"><AdaptationSet contentType="video" mimeType="video/mp4">` +
		`<SegmentTemplate timescale="1" initialization="init.mp4" media="$Time$.m4s"><SegmentTimeline>` + timeline + `</SegmentTimeline></SegmentTemplate>` +
		`<Representation id="v" bandwidth="1" codecs="avc1.4D401E" width="640" height="360"/></AdaptationSet></Period></MPD>`
	writeFile(t, filepath.Join(dir, "manifest.mpd"), mpd)
	writeFile(t, filepath.Join(dir, "init.mp4"), string(clearFile(t, "demo/video/360p/init.mp4")))
}

var secondPeriod = regexp.MustCompile(`<Period id="p-k1" start="([^"]*)"`)

// secondStart is where the gateway says that the second crypto period begins.
func secondStart(t *testing.T, g *gateway) string {
	t.Helper()
	mpd := g.mustGet(t, "/irregular/manifest.mpd?drm=cenc").body
	found := secondPeriod.FindSubmatch(mpd)
	if found == nil {
		t.Fatalf("no second crypto period in\n%s", mpd)
	}
	return string(found[1])
}

// TestNodesAgreeWhereKeysChange: nodes that first see a channel at different times say the same of where its Periods begin, if they share their
// state, and go on with what they know or see while it is out.
func TestNodesAgreeWhereKeysChange(t *testing.T) {
	d, err := redistest.Start("single", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	g := newGateway(t)
	site := strings.NewReplacer("TESTDATA", "DIR", "KEYS", "").Replace(rotatingSite)
	// Each renewal interval is a state of its own, which knows nothing but what the server does: another node.
	becomeNode := func(renew string) {
		t.Helper()
		redis := "state redis {\n\t\t\taddress " + strings.Join(d.Addresses, " ") + "\n\t\t\trevocations fail_open\n\t\t\trenew " + renew + "\n\t\t}\n\t\t"
		g.load(t, strings.Replace(withGroups(rotatingGroup), "segment_cache off", redis+"segment_cache off", 1)+site)
	}
	becomeNode("1s")
	writeSight(t, g, earlySight)
	first := secondStart(t, g)
	if first != "PT13S" {
		t.Errorf("the first node cuts at %s, want PT13S", first)
	}
	writeSight(t, g, lateSight)
	if got := secondStart(t, g); got != first {
		t.Errorf("the first node moves the Period to %s", got)
	}
	becomeNode("2s")
	if got := secondStart(t, g); got != first {
		t.Errorf("the second node cuts at %s, and the first at %s", got, first)
	}
	d.Close()
	if got := secondStart(t, g); got != first {
		t.Errorf("without the server, the second node cuts at %s", got)
	}
	becomeNode("3s")
	res := g.get(t, "/irregular/manifest.mpd?drm=cenc")
	wantReply(t, "a node that would have to guess", res, http.StatusServiceUnavailable, "state_unavailable")
	if res.header.Get("Retry-After") == "" {
		t.Error("nobody is told when to come back")
	}
	becomeNode("4s")
	writeSight(t, g, earlySight)
	if got := secondStart(t, g); got != first {
		t.Errorf("a node that sees the cut has it at %s", got)
	}
	writeSight(t, g, lateSight)
	if got := secondStart(t, g); got != first {
		t.Errorf("a node that saw the cut has it at %s", got)
	}
}

// TestCutsOutliveAReload: a node by itself remembers them as well.
func TestCutsOutliveAReload(t *testing.T) {
	g := newGateway(t)
	site := strings.NewReplacer("TESTDATA", "DIR", "KEYS", "OPTION").Replace(rotatingSite)
	g.load(t, withGroups(rotatingGroup)+strings.Replace(site, "OPTION", "", 1))
	writeSight(t, g, earlySight)
	first := secondStart(t, g)
	writeSight(t, g, lateSight)
	g.load(t, withGroups(rotatingGroup)+strings.Replace(site, "OPTION", "limit 1000 per 1s", 1))
	if got := secondStart(t, g); got != first {
		t.Errorf("the Period begins at %s before a reload, and at %s behind it", first, got)
	}
	// An encoder that begins anew is another channel, whatever its Periods are called.
	file := filepath.Join(g.dir, "irregular", "manifest.mpd")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, strings.Replace(string(text), "1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z", 1))
	if got := secondStart(t, g); got == first {
		t.Error("a channel that began anew is cut as the one before it")
	}
}

// TestNodesWithoutSharedState: who shares storage has several nodes, and is told what they do not share.
func TestNodesWithoutSharedState(t *testing.T) {
	for name, test := range map[string]struct {
		groups string
		warned bool
	}{"keys that rotate": {rotatingGroup, true}, "keys that do not": {"\t\tgroup rotating\n", false}} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			block := strings.Replace(withGroups(test.groups), "output discard", "output file DIR/all.log", 1)
			block = strings.Replace(block, "storage file_system STORAGE", "storage test_shared", 1)
			g.load(t, block+strings.Replace(rotatingSite, "KEYS", "", 1))
			if logged := readLog(t, g); strings.Contains(logged, "want state redis") != test.warned {
				t.Errorf("logged:\n%s", logged)
			}
		})
	}
}
