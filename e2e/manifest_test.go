package e2e_test

import (
	"encoding/xml"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// track is one protected track as a manifest of the gateway names it.
type track struct {
	folder   string // its clear folder below the title's: "video/360p"
	kid      string
	init     string // URL
	segments []string
	license  string // URL of the Clear Key license
	rawKey   string // URL of the identity key, in HLS if offered
}

// cleanPath is the path of a URL without the elements that the gateway put in.
func cleanPath(t *testing.T, target string) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for _, element := range strings.Split(u.Path, "/") {
		if !strings.HasPrefix(element, "~") {
			kept = append(kept, element)
		}
	}
	return strings.Join(kept, "/")
}

// folderOf returns the folder of a track below its title's, which is where the manifest lies.
func folderOf(t *testing.T, manifest, init string) string {
	t.Helper()
	title := cleanPath(t, resolve(t, manifest, "."))
	folder, ok := strings.CutPrefix(cleanPath(t, init), title)
	if !ok {
		t.Fatalf("the init segment does not lie below %s", title)
	}
	return strings.TrimSuffix(folder, "/init.mp4")
}

func resolve(t *testing.T, base, reference string) string {
	t.Helper()
	from, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	to, err := from.Parse(reference)
	if err != nil {
		t.Fatal(err)
	}
	return to.String()
}

// The parts of an MPD that say where the segments are and what protects them.
type mpd struct {
	Duration string `xml:"mediaPresentationDuration,attr"`
	Sets     []struct {
		Protections []struct {
			KID   string `xml:"default_KID,attr"`
			Laurl string `xml:"Laurl"`
		} `xml:"ContentProtection"`
		Template        segmentTemplate `xml:"SegmentTemplate"`
		Representations []struct {
			ID      string `xml:"id,attr"`
			BaseURL string `xml:"BaseURL"`
		} `xml:"Representation"`
	} `xml:"Period>AdaptationSet"`
}

type segmentTemplate struct {
	Timescale   float64 `xml:"timescale,attr"`
	StartNumber int     `xml:"startNumber,attr"`
	Duration    float64 `xml:"duration,attr"`
	Init        string  `xml:"initialization,attr"`
	Media       string  `xml:"media,attr"`
	Timeline    []struct {
		Repeat int `xml:"r,attr"`
	} `xml:"SegmentTimeline>S"`
}

// segments returns how many segments the template stands for.
func (s segmentTemplate) segments(t *testing.T, duration string) int {
	t.Helper()
	n := 0
	for _, entry := range s.Timeline {
		n += 1 + entry.Repeat
	}
	if n > 0 {
		return n
	}
	length, err := time.ParseDuration(strings.ToLower(strings.TrimPrefix(duration, "PT")))
	if err != nil || s.Duration == 0 {
		t.Fatalf("duration %q, segment duration %v", duration, s.Duration)
	}
	return int(length.Seconds()*s.Timescale/s.Duration + 0.5)
}

// dashTracks reads the protected tracks of an MPD, and returns the URLs of the others apart.
func dashTracks(t *testing.T, manifest string) (tracks []track, sidecars []string) {
	t.Helper()
	return parseMPD(t, manifest, mustGet(t, manifest).body)
}

func parseMPD(t *testing.T, manifest string, body []byte) (tracks []track, sidecars []string) {
	t.Helper()
	var doc mpd
	if err := xml.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	for _, set := range doc.Sets {
		for _, r := range set.Representations {
			base := resolve(t, manifest, r.BaseURL)
			if set.Template.Media == "" {
				sidecars = append(sidecars, base)
				continue
			}
			tr := track{}
			for _, p := range set.Protections {
				tr.kid, tr.license = tr.kid+p.KID, tr.license+p.Laurl // each stands in one of the two
			}
			expand := func(template string, number int) string {
				return resolve(t, base, strings.NewReplacer("$RepresentationID$", r.ID, "$Number$", strconv.Itoa(number)).Replace(template))
			}
			tr.init = expand(set.Template.Init, 0)
			for i := range set.Template.segments(t, doc.Duration) {
				tr.segments = append(tr.segments, expand(set.Template.Media, set.Template.StartNumber+i))
			}
			tr.folder = folderOf(t, manifest, tr.init)
			tracks = append(tracks, tr)
		}
	}
	return tracks, sidecars
}

var (
	uriAttribute = regexp.MustCompile(`URI="([^"]*)"`)
	kidAttribute = regexp.MustCompile(`KEYID=0x([0-9A-Fa-f]{32})`)
)

// playlists returns the URLs of the media playlists of a multivariant playlist, those of subtitles apart.
func playlists(t *testing.T, manifest string, body []byte) (media, subtitles []string) {
	t.Helper()
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		uri := uriAttribute.FindStringSubmatch(line)
		switch {
		case strings.HasPrefix(line, "#EXT-X-MEDIA:TYPE=SUBTITLES") && uri != nil:
			subtitles = append(subtitles, resolve(t, manifest, uri[1]))
		case strings.HasPrefix(line, "#EXT-X-MEDIA:") && uri != nil:
			media = append(media, resolve(t, manifest, uri[1]))
		case line != "" && line[0] != '#':
			media = append(media, resolve(t, manifest, line))
		}
	}
	return media, subtitles
}

// hlsTracks reads the tracks of a multivariant playlist through its media playlists.
func hlsTracks(t *testing.T, manifest string) (tracks []track) {
	t.Helper()
	media, _ := playlists(t, manifest, mustGet(t, manifest).body)
	for _, playlist := range media {
		tracks = append(tracks, parsePlaylist(t, manifest, playlist, mustGet(t, playlist).body))
	}
	return tracks
}

func parsePlaylist(t *testing.T, manifest, playlist string, body []byte) (tr track) {
	t.Helper()
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		uri := uriAttribute.FindStringSubmatch(line)
		switch {
		case strings.HasPrefix(line, "#EXT-X-KEY:") && strings.Contains(line, `KEYFORMAT="identity"`):
			tr.rawKey = uri[1]
			tr.kid = tr.rawKey[strings.LastIndexByte(tr.rawKey, '/')+1:]
		case strings.HasPrefix(line, "#EXT-X-KEY:"):
			tr.license, tr.kid = uri[1], kidAttribute.FindStringSubmatch(line)[1]
		case strings.HasPrefix(line, "#EXT-X-MAP:"):
			tr.init = resolve(t, playlist, uri[1])
			tr.folder = folderOf(t, manifest, tr.init)
		case line != "" && line[0] != '#':
			tr.segments = append(tr.segments, resolve(t, playlist, line))
		}
	}
	return tr
}

// title is what the tests know of a folder of testdata.
type title struct {
	name      string
	tracks    []string // folders
	segments  int      // of each track
	low       int      // height of the smaller rendition; the other has 360
	lowFolder string
	seeks     []float64 // seconds
}

var titles = []title{
	{"demo", []string{"video/360p", "video/180p", "audio/en"}, 20, 180, "video/180p", []float64{5.6, 33.2}},
	{"demo-av1", []string{"video/360p", "video/144p", "audio/en"}, 6, 144, "video/144p", []float64{1.96, 6.04}},
}

// checkTracks fails unless the manifest names exactly the tracks of the title, each whole.
func (ti title) checkTracks(t *testing.T, tracks []track) {
	t.Helper()
	found := map[string]int{}
	for _, tr := range tracks {
		found[tr.folder] = len(tr.segments)
	}
	want := map[string]int{}
	for _, folder := range ti.tracks {
		want[folder] = ti.segments
	}
	if fmt.Sprint(found) != fmt.Sprint(want) || len(tracks) != len(want) {
		t.Fatalf("tracks and segments: %v, want %v", found, want)
	}
}
