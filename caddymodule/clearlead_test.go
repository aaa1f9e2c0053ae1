package caddymodule

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/caddy-drm/caddy-drm/segcrypt"
)

// leadGroups are groups with a clear lead of 6 seconds, of 4 seconds and a hair more or not, and without one.
const leadGroups = `		group lead {
			clear_lead 6s
		}
		group exact {
			clear_lead 4s
		}
		group hair {
			clear_lead 4001ms
		}
		group turning {
			clear_lead 6s
			rotate 4s
		}
		group none
`

// leadSite gives each of the groups a prefix.
func leadSite(groups ...string) string {
	site := "http://:PORT {\n"
	for _, group := range groups {
		site += "\thandle_path /" + group + "/* {\n\t\tdrm {\n\t\t\ttenant lead\n\t\t\tlicense_server clearkey\n\t\t\tgroup " + group + "\n\t\t}\n\t\treverse_proxy ORIGIN\n\t}\n"
	}
	return site + "}\n"
}

// leadTrack is what the tests know of a track from its init segment.
type leadTrack struct {
	timescale uint64
	entries   int
	protected bool
}

func readLeadTrack(t *testing.T, init []byte) leadTrack {
	t.Helper()
	file, err := mp4.DecodeFile(bytes.NewReader(init))
	if err != nil {
		t.Fatal(err)
	}
	trak := file.Init.Moov.Trak
	stsd := trak.Mdia.Minf.Stbl.Stsd
	return leadTrack{
		uint64(trak.Mdia.Mdhd.Timescale), len(stsd.Children), stsd.Children[0].Type() == "encv" || stsd.Children[0].Type() == "enca",
	}
}

// leadSegment is what the tests know of a segment.
type leadSegment struct {
	start       uint64 // tfdt of the first traf, in ticks
	payload     []byte
	description uint32
	auxiliary   bool // senc, saiz or saio
}

func readLeadSegment(t *testing.T, segment []byte) (s leadSegment) {
	t.Helper()
	file, err := mp4.DecodeFile(bytes.NewReader(segment))
	if err != nil {
		t.Fatal(err)
	}
	first := file.Segments[0].Fragments[0].Moof.Traf
	s.start, s.description = first.Tfdt.BaseMediaDecodeTime(), first.Tfhd.SampleDescriptionIndex
	for _, seg := range file.Segments {
		for _, fragment := range seg.Fragments {
			s.payload = append(s.payload, fragment.Mdat.Data...)
			for _, traf := range fragment.Moof.Trafs {
				s.auxiliary = s.auxiliary || traf.Saiz != nil || traf.Saio != nil || traf.Senc != nil
			}
		}
	}
	return s
}

// checkLead fetches every segment that a manifest names. Those that begin before the lead ends are the bytes of the origin, all others
// are not, and it returns how many there are of both.
func checkLead(t *testing.T, g *gateway, o *formsOrigin, prefix, manifest string, lead time.Duration) (clear, encrypted int) {
	t.Helper()
	var track leadTrack
	for _, l := range g.links(t, prefix+manifest) {
		if l.kind != "init" && l.kind != "media" {
			continue
		}
		body := g.mustGet(t, l.url).body
		if l.kind == "init" {
			track = readLeadTrack(t, body)
			continue
		}
		seg := readLeadSegment(t, body)
		inLead := seg.start*uint64(time.Second) < uint64(lead)*track.timescale
		source := o.read(t, strings.TrimPrefix(l.cleanPath(t), prefix))
		isClear := bytes.Contains(source, seg.payload)
		if isClear != inLead {
			t.Errorf("%s%s: the segment at %d/%d leaves clear: %t", prefix, manifest, seg.start, track.timescale, isClear)
		}
		if !isClear && leaks(behindMoof(body), source, pieceOfCbcs) {
			t.Errorf("%s%s: the segment at %d/%d holds clear bytes", prefix, manifest, seg.start, track.timescale)
		}
		if wantsTwin := isClear; (seg.description == 2) != wantsTwin || isClear && (seg.auxiliary || track.entries != 2) || !track.protected {
			t.Errorf("%s%s: at %d/%d, clear %t: entry %d of %d, auxiliary information %t", prefix, manifest, seg.start, track.timescale, isClear,
				seg.description, track.entries, seg.auxiliary)
		}
		if isClear {
			clear++
		} else {
			encrypted++
		}
	}
	return clear, encrypted
}

// leadManifests are titles in every form that has init segments, but for live ones.
var leadManifests = []string{
	"/demo/manifest.mpd?drm=cenc", "/demo/manifest.mpd?drm=cbcs", "/demo/video/360p.m3u8?drm=cenc", "/demo/audio/en.m3u8?drm=cbcs",
	"/x/single/m.mpd?drm=cenc", "/x/single/v.m3u8?drm=cbcs", "/x/single/a.m3u8?drm=cenc",
}

// TestClearLead: what begins in the lead is served as it is, whatever manifest names it, and all else is encrypted. The boundary is
// exact to the tick.
func TestClearLead(t *testing.T) {
	o, address := newFormsOrigin(t)
	for _, cache := range []string{"off", "16MiB"} {
		g := newGateway(t, "ORIGIN", address)
		g.load(t, strings.Replace(withGroups(leadGroups), "segment_cache off", "segment_cache "+cache, 1)+leadSite("lead", "exact", "hair", "turning", "none"))
		for _, manifest := range leadManifests {
			if clear, encrypted := checkLead(t, g, o, "/lead", manifest, 6*time.Second); clear < 3 || encrypted < 15 {
				t.Errorf("%s: %d clear segments, %d encrypted", manifest, clear, encrypted)
			}
			if clear, _ := checkLead(t, g, o, "/none", manifest, 0); clear != 0 {
				t.Errorf("%s without a lead: %d clear segments", manifest, clear)
			}
		}
		checkLead(t, g, o, "/exact", "/demo/manifest.mpd?drm=cenc", 4*time.Second)
		checkLead(t, g, o, "/exact", "/demo/video/360p.m3u8?drm=cenc", 4*time.Second)
		checkLead(t, g, o, "/hair", "/demo/manifest.mpd?drm=cenc", 4001*time.Millisecond)
		checkLead(t, g, o, "/hair", "/demo/video/360p.m3u8?drm=cenc", 4001*time.Millisecond)
	}
}

// TestClearLeadOfRotatingKeys: the lead goes through crypto periods.
func TestClearLeadOfRotatingKeys(t *testing.T) {
	o, address := newFormsOrigin(t)
	g := newGateway(t, "ORIGIN", address)
	g.load(t, withGroups(leadGroups)+leadSite("turning"))
	for _, manifest := range []string{"/demo/manifest.mpd?drm=cenc", "/demo/video/360p.m3u8?drm=cenc"} {
		clear, encrypted := 0, 0
		var track leadTrack
		for _, l := range g.links(t, "/turning"+manifest) {
			if l.kind == "init" {
				track = readLeadTrack(t, g.mustGet(t, l.url).body)
			}
			if l.kind != "media" {
				continue
			}
			res := g.get(t, l.url)
			if res.status == http.StatusNotFound { // of a template: it is of another crypto period
				continue
			}
			seg := readLeadSegment(t, res.body)
			source := o.read(t, strings.TrimPrefix(l.cleanPath(t), "/turning"))
			isClear := bytes.Contains(source, seg.payload)
			if isClear != (seg.start < 6*track.timescale) {
				t.Errorf("%s: the segment at %d/%d leaves clear: %t", manifest, seg.start, track.timescale, isClear)
			}
			if isClear {
				clear++
			} else {
				encrypted++
			}
		}
		if clear < 3 || encrypted < 15 {
			t.Errorf("%s: %d clear segments, %d encrypted", manifest, clear, encrypted)
		}
	}
}

// TestClearLeadOfWhatComesInChunks: the first chunk decides, with the segment cache and without it.
func TestClearLeadOfWhatComesInChunks(t *testing.T) {
	o, address := newFormsOrigin(t)
	for _, cache := range []string{"off", "16MiB"} {
		g := newGateway(t, "ORIGIN", address)
		g.load(t, strings.Replace(withGroups(leadGroups), "segment_cache off", "segment_cache "+cache, 1)+leadSite("lead"))
		for n, wantClear := range map[int]bool{1: true, 3: true, 4: false} {
			file := fmt.Sprintf("/demo/video/360p/seg_%d.m4s", n)
			forgetSegments(t)
			o.play(o.files)
			target := linkTo(t, g.links(t, "/lead/demo/manifest.mpd?drm=cenc"), "media", file).url
			o.fault(t, file, grow)
			body := g.mustGet(t, target).body
			if got := bytes.Contains(o.read(t, file), readLeadSegment(t, body).payload); got != wantClear {
				t.Errorf("%s, segment_cache %s: clear is %t", file, cache, got)
			}
		}
	}
}

// TestClearLeadIsOfTracksAlone: live titles, I-frames, text, muxed HLS, transport streams and AES-128.
func TestClearLeadIsOfTracksAlone(t *testing.T) {
	o, address := newFormsOrigin(t)
	g := newGateway(t, "ORIGIN", address)
	g.load(t, withGroups(leadGroups)+leadSite("lead"))
	o.play(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/demo/video/live.m3u8" {
			_, _ = w.Write(bytes.Replace(bytes.Replace(clearFile(t, "demo/video/360p.m3u8"), []byte("#EXT-X-ENDLIST"), nil, 1), []byte("#EXT-X-PLAYLIST-TYPE:VOD\n"), nil, 1))
			return true
		}
		return o.files(w, r)
	})
	if clear, encrypted := checkLead(t, g, o, "/lead", "/demo/video/live.m3u8?drm=cenc", 0); clear != 0 || encrypted < 15 {
		t.Errorf("live: %d clear segments, %d encrypted", clear, encrypted)
	}
	for _, f := range allForms() {
		if f.name != "I-frame" && f.name != "transport stream, AES-128" && f.name != "packed audio, AES-128" {
			continue
		}
		f.manifest, f.nth = "/lead"+f.manifest, 0
		for _, l := range g.links(t, f.manifest) {
			if l.kind == "media" {
				body, source := g.mustGet(t, l.url).body, o.read(t, strings.TrimPrefix(l.cleanPath(t), "/lead"))
				if leaks(behindMoof(body), source, pieceOfCbcs) {
					t.Errorf("%s: %s holds clear bytes", f.name, l.cleanPath(t))
				}
			}
		}
	}
	// Both tracks of a muxed file are clear, or neither.
	clear := 0
	for _, l := range g.links(t, "/lead/x/muxed/m.m3u8?drm=cenc") {
		if l.kind != "media" {
			continue
		}
		source := o.read(t, strings.TrimPrefix(l.cleanPath(t), "/lead"))
		if seg := readLeadSegment(t, g.mustGet(t, l.url).body); bytes.Contains(source, seg.payload) {
			clear++
		} else if leaks(seg.payload, source, pieceOfCbcs) {
			t.Errorf("%s is clear in part", l.cleanPath(t))
		}
	}
	if clear != 3 {
		t.Errorf("%d clear segments of a muxed title", clear)
	}
}

// TestAddressesWithoutLeadStayEncrypted: what was sealed before a group got a lead never stands for clear bytes, whatever the group
// says now; and the addresses of another group do not either.
func TestAddressesWithoutLeadStayEncrypted(t *testing.T) {
	o, address := newFormsOrigin(t)
	g := newGateway(t, "ORIGIN", address)
	load := func(option string) {
		g.load(t, withGroups("\t\tgroup lead {\n\t\t\t"+option+"\n\t\t}\n")+leadSite("lead"))
	}
	load("level low")
	var old []string
	for _, manifest := range []string{"/lead/demo/manifest.mpd?drm=cenc", "/lead/demo/video/360p.m3u8?drm=cenc"} {
		old = append(old, linkTo(t, g.links(t, manifest), "media", "video/360p/seg_1.m4s").url)
	}
	load("clear_lead 6s")
	source := o.read(t, "/demo/video/360p/seg_1.m4s")
	for _, target := range old {
		if seg := readLeadSegment(t, g.mustGet(t, target).body); bytes.Contains(source, seg.payload) || seg.description == 2 {
			t.Errorf("an address without a lead stands for clear bytes: %s", target)
		}
	}
}

// TestClearLeadBehindCDN: what leaves clear is private, is asked for with the session of its viewer, and is never given to the CDN for
// all. DASH has one address for all segments of a track, and so no lead.
func TestClearLeadBehindCDN(t *testing.T) {
	t.Setenv("TEST_PULL_SECRET", pullSecret)
	g := newGateway(t)
	site := strings.Replace(cdnSite("query", "pull_auth header X-Pull {env.TEST_PULL_SECRET}"), "drm {\n", "drm {\n\tgroup lead\n", 1)
	g.load(t, withGroups(leadGroups)+site)
	token := "&token=" + tokenFor(t, "/demo")
	clear, public := 0, 0
	for _, l := range g.links(t, "/demo/video/360p.m3u8?drm=cenc"+token) {
		if !l.isMedia() {
			continue
		}
		if sessionIn(t, l.url) == "" {
			res := g.mustGet(t, l.url, "X-Pull", pullSecret)
			if !strings.HasPrefix(res.header.Get("Cache-Control"), "public") || l.kind == "media" && readLeadSegment(t, res.body).description == 2 {
				t.Errorf("%s: %q", l.url, res.header.Get("Cache-Control"))
			}
			public++
			continue
		}
		res := g.mustGet(t, l.url)
		if got := res.header.Get("Cache-Control"); !strings.HasPrefix(got, "private") {
			t.Errorf("%s: %q", l.url, got)
		}
		if l.kind == "media" {
			if clear++; readLeadSegment(t, res.body).description != 2 {
				t.Errorf("%s is private and encrypted", l.url)
			}
		}
		if res := g.get(t, strings.Split(l.url, "?")[0], "X-Pull", pullSecret); res.status != 401 {
			t.Errorf("%s for the CDN: %d", l.url, res.status)
		}
	}
	if clear != 3 || public != 18 { // 17 segments and their init segment
		t.Errorf("%d clear segments, %d public ones", clear, public)
	}
	for _, l := range g.links(t, "/demo/manifest.mpd?drm=cenc"+token) {
		if l.kind == "media" && strings.HasSuffix(l.cleanPath(t), "360p/seg_1.m4s") {
			if res := g.mustGet(t, l.url, "X-Pull", pullSecret); readLeadSegment(t, res.body).description == 2 {
				t.Error("DASH has a lead behind a CDN")
			}
		}
	}
}

// TestProtectorsOfLeads: a Protector with a lead is never taken for one without.
func TestProtectorsOfLeads(t *testing.T) {
	names := map[string]bool{}
	for _, until := range []uint64{0, 1, segcrypt.ClearAlways} {
		names[protectorName([16]byte{}, segcrypt.Protection{ClearUntil: until})] = true
	}
	if len(names) != 3 {
		t.Errorf("%d names for 3 Protectors", len(names))
	}
}

// behindMoof is the contents of the first mdat and what comes behind: a moof may be the same in clear and protected form, in parts.
func behindMoof(segment []byte) []byte {
	_, contents, _ := bytes.Cut(segment, []byte("mdat"))
	return contents
}
