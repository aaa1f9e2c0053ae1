package probe

import (
	"context"
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// mpdRoot is what of an MPD matters here (23009-1, 5.3).
type mpdRoot struct {
	XMLName  xml.Name    `xml:"MPD"`
	Type     string      `xml:"type,attr"`
	Start    string      `xml:"availabilityStartTime,attr"`
	Update   string      `xml:"minimumUpdatePeriod,attr"`
	Depth    string      `xml:"timeShiftBufferDepth,attr"`
	Duration string      `xml:"mediaPresentationDuration,attr"`
	Periods  []mpdPeriod `xml:"Period"`
	mpdLevel
}

type mpdPeriod struct {
	ID       string   `xml:"id,attr"`
	Start    string   `xml:"start,attr"`
	Duration string   `xml:"duration,attr"`
	Sets     []mpdSet `xml:"AdaptationSet"`
	mpdLevel
}

type mpdSet struct {
	ID              string              `xml:"id,attr"`
	ContentType     string              `xml:"contentType,attr"`
	Lang            string              `xml:"lang,attr"`
	Representations []mpdRepresentation `xml:"Representation"`
	mpdLevel
}

type mpdRepresentation struct {
	ID        string `xml:"id,attr"`
	Bandwidth string `xml:"bandwidth,attr"`
	mpdLevel
}

// mpdLevel is what may stand on any level and holds for those below.
type mpdLevel struct {
	MimeType    string          `xml:"mimeType,attr"`
	Codecs      string          `xml:"codecs,attr"`
	BaseURLs    []string        `xml:"BaseURL"`
	Template    *mpdTemplate    `xml:"SegmentTemplate"`
	List        *mpdTemplate    `xml:"SegmentList"`
	Base        *mpdTemplate    `xml:"SegmentBase"`
	Protections []mpdProtection `xml:"ContentProtection"`
}

// mpdProtection is a ContentProtection element.
type mpdProtection struct {
	Scheme  string `xml:"schemeIdUri,attr"`
	Value   string `xml:"value,attr"`
	KID     string `xml:"default_KID,attr"`
	Pssh    string `xml:"pssh"`
	Object  string `xml:"pro"`
	Laurl   string `xml:"Laurl"`
	MSLaurl struct {
		URL string `xml:"licenseUrl,attr"`
	} `xml:"laurl"`
	line int
}

// UnmarshalXML implements xml.Unmarshaler: it also notes the line.
func (c *mpdProtection) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	type plain mpdProtection
	line, _ := d.InputPos()
	if err := d.DecodeElement((*plain)(c), &start); err != nil {
		return err
	}
	c.line = line
	return nil
}

// dashContext is what holds for the Representation that is being read.
type dashContext struct {
	url          string // of the MPD
	mpd          *mpdRoot
	live         bool
	now          time.Time
	availability time.Time
	depth        time.Duration
	period       *mpdPeriod
	periodStart  time.Duration
	periodLength time.Duration // zero if it is not known
}

// openDASH reads an MPD. Parts that cannot be read are problems, and the others go on.
func (p *prober) openDASH(ctx context.Context, url string, text []byte) ([]*stretch, error) {
	var mpd mpdRoot
	if err := xml.Unmarshal(text, &mpd); err != nil {
		return nil, fmt.Errorf("%w: reading XML: %s", ErrManifest, visible(err.Error()))
	}
	p.report.Live = mpd.Type == "dynamic"
	d := dashContext{url: url, mpd: &mpd, live: p.report.Live, now: p.o.Now()}
	var err error
	if d.depth, err = parseDuration(mpd.Depth); err != nil {
		return nil, fmt.Errorf("%w: timeShiftBufferDepth: %w", ErrManifest, err)
	}
	if mpd.Start != "" {
		if d.availability, err = parseInstant(mpd.Start); err != nil {
			return nil, fmt.Errorf("%w: availabilityStartTime: %w", ErrManifest, err)
		}
	}
	base, err := below(url, mpd.BaseURLs)
	if err != nil {
		return nil, fmt.Errorf("%w: BaseURL: %w", ErrManifest, err)
	}
	var all []*stretch
	for i := range mpd.Periods {
		d.period = &mpd.Periods[i]
		if err := d.timePeriod(i); err != nil {
			p.problem(ManifestBroken, place{Period: d.period.ID}, "%v", err)
			continue
		}
		all = append(all, p.openPeriod(ctx, d, base)...)
		if err := withinBounds(all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// timePeriod says when the Period begins and how long it is (23009-1, 5.3.2.1).
func (d *dashContext) timePeriod(i int) error {
	previousEnd := d.periodStart + d.periodLength
	length, err := parseDuration(d.period.Duration)
	if err != nil {
		return fmt.Errorf("Period@duration: %w", err)
	}
	switch {
	case d.period.Start != "":
		if d.periodStart, err = parseDuration(d.period.Start); err != nil {
			return fmt.Errorf("Period@start: %w", err)
		}
	case i > 0:
		d.periodStart = previousEnd
	}
	if length == 0 && i+1 < len(d.mpd.Periods) {
		if next, err := parseDuration(d.mpd.Periods[i+1].Start); err == nil && next > d.periodStart {
			length = next - d.periodStart
		}
	}
	if whole, err := parseDuration(d.mpd.Duration); length == 0 && err == nil && whole > d.periodStart {
		length = whole - d.periodStart
	}
	d.periodLength = length
	return nil
}

func (p *prober) openPeriod(ctx context.Context, d dashContext, base string) []*stretch {
	var all []*stretch
	base, err := below(base, d.period.BaseURLs)
	if err != nil {
		p.problem(ManifestBroken, place{Period: d.period.ID}, "BaseURL: %v", err)
		return nil
	}
	for i := range d.period.Sets {
		set := &d.period.Sets[i]
		setBase, err := below(base, set.BaseURLs)
		if err != nil {
			p.problem(ManifestBroken, place{Period: d.period.ID}, "BaseURL: %v", err)
			continue
		}
		for j := range set.Representations {
			representation := &set.Representations[j]
			s := &stretch{
				kind: kindOf(set, representation), period: d.period.ID, exact: true, periodStart: d.periodStart,
			}
			s.rendition = strings.TrimSpace(s.kind + " " + representation.ID)
			s.protection = p.readProtection(s, d.url, d.mpd.Protections, d.period.Protections, set.Protections, representation.Protections)
			own, err := below(setBase, representation.BaseURLs)
			if err == nil {
				err = p.listSegments(ctx, s, d, set, representation, own)
			}
			if err != nil {
				p.problem(ManifestBroken, s.place(), "%v", err)
				continue
			}
			if all = append(all, s); withinBounds(all) != nil {
				return all // which ends it
			}
		}
	}
	return all
}

// kindOf tells video, audio, text and images apart.
func kindOf(set *mpdSet, r *mpdRepresentation) string {
	mime, codecs := or(r.MimeType, set.MimeType), or(r.Codecs, set.Codecs)
	kind, _, _ := strings.Cut(or(set.ContentType, mime), "/")
	switch {
	case kind == kindText, strings.HasPrefix(mime, "text/"), strings.Contains(mime, "ttml"), strings.HasPrefix(codecs, "wvtt"), strings.HasPrefix(codecs, "stpp"):
		return kindText
	case kind == kindVideo, kind == kindAudio, kind == kindImage:
		return kind
	}
	return ""
}

// readProtection reads the ContentProtection elements that hold for a Representation.
func (p *prober) readProtection(s *stretch, url string, levels ...[]mpdProtection) protection {
	var found protection
	for _, level := range levels {
		for _, c := range level {
			at := s.place()
			at.Line = c.line
			for _, text := range strings.Fields(c.KID) {
				kid, err := drm.ParseKID(text)
				if err != nil {
					p.problem(ManifestBroken, at, "default_KID %q is none", text)
				} else if !kid.IsZero() && !contains(found.kids, kid) {
					found.kids = append(found.kids, kid)
				}
			}
			scheme := strings.ToLower(c.Scheme)
			if scheme == "urn:mpeg:dash:mp4protection:2011" {
				found.scheme, s.line = c.Value, c.line
				continue
			}
			id, err := drm.ParseKID(strings.TrimPrefix(scheme, "urn:uuid:"))
			if err != nil {
				p.note("ContentProtection %q is none that is known here", c.Scheme)
				continue
			}
			signal := systemSignal{system: drm.SystemID(id), licenseURL: p.licenseURL(url, strings.TrimSpace(or(c.Laurl, c.MSLaurl.URL))), line: c.line}
			if c.Pssh != "" {
				p.readSignal(&signal, at, c.Pssh)
			}
			if c.Object != "" {
				p.readSignal(&signal, at, c.Object)
			}
			found.systems = append(found.systems, signal)
		}
	}
	if found.scheme == "" && len(found.systems) > 0 {
		p.problem(SchemeMismatch, s.place(), "DRM systems, and no urn:mpeg:dash:mp4protection:2011 that says the scheme")
	}
	return found
}

// licenseURL makes a license URL absolute.
func (p *prober) licenseURL(base, text string) string {
	absolute, err := resolve(base, text)
	if text == "" || err != nil {
		return text
	}
	if absolute != text && !strings.Contains(text, "://") {
		p.note("the license URL %s is relative: players resolve it against their page, and not against the MPD", public(text))
	}
	return absolute
}

// below resolves the first BaseURL of a level.
func below(base string, baseURLs []string) (string, error) {
	if len(baseURLs) == 0 {
		return base, nil
	}
	return resolve(base, baseURLs[0])
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func contains(kids []drm.KID, kid drm.KID) bool {
	for _, k := range kids {
		if k == kid {
			return true
		}
	}
	return false
}
