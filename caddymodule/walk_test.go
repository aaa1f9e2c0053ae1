package caddymodule

import (
	"encoding/xml"
	"math"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// link is one URL that leaves in a manifest. The readers below are small and know nothing of our rewriters.
type link struct {
	url  string // absolute
	kind string // playlist, init, media, text, key, license
}

// cleanPath is the path of the link without the elements of ours.
func (l link) cleanPath(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(l.url)
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

func (l link) isMedia() bool { return l.kind == "init" || l.kind == "media" }

func resolve(t *testing.T, base, ref string) string {
	t.Helper()
	b, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	u, err := b.Parse(ref)
	if err != nil {
		t.Fatalf("reference %q: %v", ref, err)
	}
	return u.String()
}

var uriAttribute = regexp.MustCompile(`URI="([^"]*)"`)

// playlistLinks lists what a playlist refers to.
func playlistLinks(t *testing.T, at string, body []byte) []link {
	t.Helper()
	var links []link
	for _, line := range strings.Split(string(body), "\n") {
		line = strings.TrimSpace(line)
		match := uriAttribute.FindStringSubmatch(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#") && match == nil:
		case !strings.HasPrefix(line, "#"):
			links = append(links, link{resolve(t, at, line), kindOfName(line)})
		case strings.HasPrefix(line, "#EXT-X-KEY") || strings.HasPrefix(line, "#EXT-X-SESSION-KEY"):
			kind := "key"
			if strings.Contains(line, "org.w3.clearkey") {
				kind = "license"
			}
			links = append(links, link{resolve(t, at, match[1]), kind})
		case strings.HasPrefix(line, "#EXT-X-MAP"):
			links = append(links, link{resolve(t, at, match[1]), "init"})
		default:
			links = append(links, link{resolve(t, at, match[1]), kindOfName(match[1])})
		}
	}
	return links
}

func kindOfName(ref string) string {
	u, err := url.Parse(ref)
	if err != nil {
		return "media"
	}
	switch path.Ext(u.Path) {
	case ".m3u8":
		return "playlist"
	case ".vtt":
		return "text"
	default:
		return "media"
	}
}

type mpdTemplate struct {
	Timescale int    `xml:"timescale,attr"`
	Duration  int    `xml:"duration,attr"`
	Start     int    `xml:"startNumber,attr"`
	Init      string `xml:"initialization,attr"`
	Media     string `xml:"media,attr"`
	Timeline  []struct {
		D int `xml:"d,attr"`
		R int `xml:"r,attr"`
	} `xml:"SegmentTimeline>S"`
}

// count is the number of segments.
func (s mpdTemplate) count(seconds float64) int {
	if s.Duration > 0 {
		return int(math.Ceil(seconds * float64(s.Timescale) / float64(s.Duration)))
	}
	n := 0
	for _, entry := range s.Timeline {
		n += entry.R + 1
	}
	return n
}

// inherit returns s with what it does not say itself (ISO/IEC 23009-1, 5.3.9.1).
func (s *mpdTemplate) inherit(outer *mpdTemplate) *mpdTemplate {
	switch {
	case s == nil:
		return outer
	case outer == nil:
		return s
	}
	merged := *s
	if merged.Timescale == 0 {
		merged.Timescale = outer.Timescale
	}
	if merged.Start == 0 {
		merged.Start = outer.Start
	}
	if merged.Duration == 0 && len(merged.Timeline) == 0 {
		merged.Duration, merged.Timeline = outer.Duration, outer.Timeline
	}
	return &merged
}

type mpdDocument struct {
	Duration string `xml:"mediaPresentationDuration,attr"`
	BaseURL  string `xml:"BaseURL"`
	Periods  []struct {
		BaseURL string `xml:"BaseURL"`
		Sets    []struct {
			BaseURL    string       `xml:"BaseURL"`
			MIME       string       `xml:"mimeType,attr"`
			Template   *mpdTemplate `xml:"SegmentTemplate"`
			Laurl      []string     `xml:"ContentProtection>Laurl"`
			Represents []struct {
				ID       string       `xml:"id,attr"`
				BaseURL  string       `xml:"BaseURL"`
				Template *mpdTemplate `xml:"SegmentTemplate"`
			} `xml:"Representation"`
		} `xml:"AdaptationSet"`
	} `xml:"Period"`
}

// mpdLinks lists what an MPD refers to.
func mpdLinks(t *testing.T, at string, body []byte) []link {
	t.Helper()
	var doc mpdDocument
	if err := xml.Unmarshal(body, &doc); err != nil {
		t.Fatalf("reading the MPD: %v", err)
	}
	seconds, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimPrefix(doc.Duration, "PT"), "S"), 64)
	if err != nil {
		t.Fatalf("duration %q: %v", doc.Duration, err)
	}
	var links []link
	base := resolve(t, at, doc.BaseURL)
	for _, period := range doc.Periods {
		for _, set := range period.Sets {
			for _, laurl := range set.Laurl {
				links = append(links, link{resolve(t, at, strings.TrimSpace(laurl)), "license"})
			}
			outer := resolve(t, resolve(t, base, period.BaseURL), set.BaseURL)
			for _, r := range set.Represents {
				template := r.Template.inherit(set.Template)
				here := resolve(t, outer, r.BaseURL)
				if template == nil {
					links = append(links, link{here, "text"})
					continue
				}
				fill := func(text string, number int) string {
					return resolve(t, here, strings.NewReplacer("$RepresentationID$", r.ID, "$Number$", strconv.Itoa(number)).Replace(text))
				}
				links = append(links, link{fill(template.Init, 0), "init"})
				for i := range template.count(seconds) {
					links = append(links, link{fill(template.Media, template.Start+i), "media"})
				}
			}
		}
	}
	return links
}

// links fetches a manifest, and the playlists below it, and lists every URL in them, each once.
func (g *gateway) links(t *testing.T, manifest string, pairs ...string) []link {
	t.Helper()
	if strings.HasPrefix(manifest, "/") {
		manifest = "http://" + g.addr + manifest
	}
	body := g.mustGet(t, manifest, pairs...).body
	if strings.Contains(manifest, ".mpd") {
		return mpdLinks(t, manifest, body)
	}
	seen := make(map[link]bool)
	var all []link
	for queue := playlistLinks(t, manifest, body); len(queue) > 0; queue = queue[1:] {
		l := queue[0]
		if seen[l] {
			continue
		}
		seen[l] = true
		all = append(all, l)
		if l.kind == "playlist" {
			queue = append(queue, playlistLinks(t, l.url, g.mustGet(t, l.url, pairs...).body)...)
		}
	}
	return all
}

// linkTo returns the first link of a kind whose clean path ends in suffix.
func linkTo(t *testing.T, links []link, kind, suffix string) link {
	t.Helper()
	for _, l := range links {
		if l.kind == kind && (suffix == "" || strings.HasSuffix(l.cleanPath(t), suffix)) {
			return l
		}
	}
	t.Fatalf("no %s link to %q among %d", kind, suffix, len(links))
	return link{}
}

// pathOf is the escaped path of a URL.
func pathOf(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u.EscapedPath()
}

// sealOf is the seal element in a URL, with its tilde.
func sealOf(t *testing.T, text string) string {
	t.Helper()
	for _, element := range strings.Split(pathOf(t, text), "/") {
		if strings.HasPrefix(element, "~") && !strings.HasPrefix(element, "~s.") {
			return element
		}
	}
	t.Fatalf("no seal in %s", text)
	return ""
}
