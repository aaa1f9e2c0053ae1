package dash_test

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

// gateway is a Protector with real seals. It remembers what it was asked.
type gateway struct {
	sealer  *address.Sealer
	asset   address.Path
	session string
	inQuery bool // the session stands in the query, as s
	scheme  drm.ProtectionScheme
	// clear lists content types that stay clear.
	clear    string
	license  string
	sets     []dash.AdaptationSet
	sidecars []address.Target
	err      error
	// segmentErr is the answer for the segments of a list.
	segmentErr error
}

var testKID = drm.KID{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}

// clearKeyAt is the one system of a title whose licenses are at url, or none.
func clearKeyAt(url string) []dash.System {
	if url == "" {
		return nil
	}
	return []dash.System{{ID: drm.SystemClearKey, LicenseURL: url}}
}

func newGateway() *gateway {
	return &gateway{
		sealer:  address.NewSealer([32]byte{1}),
		asset:   "/vod/demo/",
		scheme:  drm.SchemeCbcs,
		clear:   "text application",
		license: "https://gw.example/.drm/clearkey/abc?x=1&y=2",
	}
}

func (g *gateway) elements(s address.Seal, p address.Path) []string {
	var elements []string
	if g.session != "" {
		elements = append(elements, address.SessionElement(g.session))
	}
	return append(elements, address.SealElement(g.sealer.Seal(s, p)))
}

func (g *gateway) AdaptationSet(_ context.Context, set dash.AdaptationSet) (dash.Protection, error) {
	if g.err != nil {
		return dash.Protection{}, g.err
	}
	g.sets = append(g.sets, set)
	p := dash.Protection{Scheme: g.scheme, KID: testKID, Systems: clearKeyAt(g.license)}
	if kind := set.Representations[0].ContentType; kind != "" && strings.Contains(g.clear, kind) {
		p = dash.Protection{}
	}
	for _, rep := range set.Representations {
		p.Tracks = append(p.Tracks, g.protectTrack(rep, p.Scheme))
	}
	return p, nil
}

func (g *gateway) protectTrack(rep dash.Representation, scheme drm.ProtectionScheme) dash.TrackProtection {
	s := address.Seal{
		Kind: address.SealMedia, Asset: g.asset, Scheme: scheme, Class: drm.ClassShared,
		Init: rep.Init.Path, InitRange: rep.Init.Range, Template: rep.Media, Index: rep.Index.Range,
	}
	switch {
	case rep.List:
		return dash.TrackProtection{Segment: func(part dash.Resource) ([]string, error) {
			s := s
			s.Range = part.Range
			return g.elements(s, part.Path), g.segmentErr
		}}
	case !rep.Index.Range.IsZero():
		return dash.TrackProtection{Elements: g.elements(s, rep.Index.Path), Timeline: testTimeline}
	default:
		return dash.TrackProtection{Elements: g.elements(s, "")}
	}
}

// testTimeline is what every index of the test gateway says.
var testTimeline = &dash.Timeline{Timescale: 1000, Segments: []dash.TimelineSegment{
	{Time: 500, Duration: 2000},
	{Time: 2500, Duration: 2000},
	{Time: 4500, Duration: 1500},
	{Time: 7000, Duration: 1500},
	{Time: 8500, Duration: 1500},
}}

func (g *gateway) Sidecar(_ context.Context, target address.Target, _ string) ([]string, error) {
	if g.err != nil {
		return nil, g.err
	}
	g.sidecars = append(g.sidecars, target)
	return g.elements(address.Seal{Kind: address.SealSidecar, Asset: g.asset}, target.Path), nil
}

func (g *gateway) Thumbnails(_ context.Context, media address.Template) ([]string, error) {
	if g.err != nil {
		return nil, g.err
	}
	return g.elements(address.Seal{Kind: address.SealSidecar, Asset: g.asset, Template: media}, ""), nil
}

// The types below read an MPD as a player does that looks at local names: independent of the package under test.
type (
	playerMPD struct {
		BaseURL  []string       `xml:"BaseURL"`
		Location []string       `xml:"Location"`
		Period   []playerPeriod `xml:"Period"`
	}
	playerPeriod struct {
		ID      string   `xml:"id,attr"`
		BaseURL []string `xml:"BaseURL"`
		playerSegments
		Set []playerSet `xml:"AdaptationSet"`
	}
	playerSet struct {
		BaseURL []string `xml:"BaseURL"`
		playerSegments
		Protection []playerProtection `xml:"ContentProtection"`
		Rep        []playerRep        `xml:"Representation"`
	}
	playerRep struct {
		ID        string   `xml:"id,attr"`
		Bandwidth string   `xml:"bandwidth,attr"`
		BaseURL   []string `xml:"BaseURL"`
		playerSegments
	}
	playerSegments struct {
		Template []playerTemplate `xml:"SegmentTemplate"`
		Base     []playerBase     `xml:"SegmentBase"`
		List     []playerList     `xml:"SegmentList"`
	}
	playerBase struct {
		Index *string    `xml:"indexRange,attr"`
		Init  *playerURL `xml:"Initialization"`
	}
	playerList struct {
		Init *playerURL  `xml:"Initialization"`
		URL  []playerURL `xml:"SegmentURL"`
	}
	// playerURL is an Initialization or a SegmentURL.
	playerURL struct {
		Source string `xml:"sourceURL,attr"`
		Media  string `xml:"media,attr"`
		Range  string `xml:"range,attr"`
		Part   string `xml:"mediaRange,attr"`
	}
	playerTemplate struct {
		Media *string `xml:"media,attr"`
		Init  *string `xml:"initialization,attr"`
	}
	playerProtection struct {
		Scheme string `xml:"schemeIdUri,attr"`
		Value  string `xml:"value,attr"`
		KID    string `xml:"urn:mpeg:cenc:2013 default_KID,attr"`
		Laurl  string `xml:"https://dashif.org/CPS Laurl"`
	}
)

// fetched is a URL that a player would ask for.
type fetched struct {
	url       *url.URL
	protected bool // its AdaptationSet signals protection
	sidecar   bool
	// part says which bytes of url are wanted.
	part string
}

// play returns every kind of URL that a player would make of the MPD at from: init and one media segment, with number 7
// and time 900, per Representation; of a list every segment.
func play(mpd []byte, from string) ([]fetched, playerMPD, error) {
	var m playerMPD
	if err := xml.Unmarshal(mpd, &m); err != nil {
		return nil, m, err
	}
	here, err := url.Parse("https://gw.example" + from)
	if err != nil {
		return nil, m, err
	}
	var urls []fetched
	for _, period := range m.Period {
		for _, set := range period.Set {
			for _, rep := range set.Rep {
				base := here
				for _, level := range [][]string{m.BaseURL, period.BaseURL, set.BaseURL, rep.BaseURL} {
					if base, err = join(base, level); err != nil {
						return nil, m, err
					}
				}
				made, err := playRepresentation(base, rep, period.playerSegments, set.playerSegments, rep.playerSegments)
				if err != nil {
					return nil, m, err
				}
				for _, f := range made {
					f.protected = len(set.Protection) > 0
					urls = append(urls, f)
				}
			}
		}
	}
	return urls, m, nil
}

// playRepresentation makes the URLs of one Representation from the levels that say how it is addressed, outermost first.
func playRepresentation(base *url.URL, rep playerRep, levels ...playerSegments) ([]fetched, error) {
	media, init, index := "", "", ""
	var initOf *playerURL
	var listed []playerURL
	for _, level := range levels {
		for _, t := range level.Template {
			media, init = or(t.Media, media), or(t.Init, init)
		}
		for _, b := range level.Base {
			if index = or(b.Index, index); b.Init != nil {
				initOf = b.Init
			}
		}
		for _, l := range level.List {
			if l.Init != nil {
				initOf = l.Init
			}
			if len(l.URL) > 0 {
				listed = l.URL
			}
		}
	}
	switch {
	case media != "" && init == "": // thumbnails
		made, err := playURLs(base, playerURL{Source: fill(media, rep)})
		if err == nil {
			made[0].sidecar = true
		}
		return made, err
	case media != "":
		return playURLs(base, playerURL{Source: fill(init, rep)}, playerURL{Source: fill(media, rep)})
	case index != "":
		if initOf == nil {
			first, _, _ := strings.Cut(index, "-")
			n, _ := strconv.Atoi(first)
			initOf = &playerURL{Range: "0-" + strconv.Itoa(n-1)}
		}
		made, err := playURLs(base, *initOf, playerURL{})
		if err == nil {
			made[1].part = "segment 7 of " + index
		}
		return made, err
	case len(listed) > 0 && initOf != nil:
		return playURLs(base, append([]playerURL{*initOf}, listed...)...)
	default:
		return []fetched{{url: base, sidecar: true}}, nil
	}
}

func or(value *string, otherwise string) string {
	if value == nil {
		return otherwise
	}
	return *value
}

func playURLs(base *url.URL, urls ...playerURL) ([]fetched, error) {
	var made []fetched
	for _, u := range urls {
		parsed, err := base.Parse(strings.TrimSpace(u.Source + u.Media))
		if err != nil {
			return nil, err
		}
		made = append(made, fetched{url: parsed, part: strings.TrimSpace(u.Range + u.Part)})
	}
	return made, nil
}

func join(base *url.URL, level []string) (*url.URL, error) {
	if len(level) == 0 {
		return base, nil
	}
	return base.Parse(strings.TrimSpace(level[0]))
}

func fill(template string, rep playerRep) string {
	pieces := strings.Split(template, "$")
	for i := 1; i < len(pieces); i += 2 {
		name, format, _ := strings.Cut(pieces[i], "%")
		width, _ := strconv.Atoi(strings.TrimSuffix(format, "d"))
		switch name {
		case "":
			pieces[i] = "$"
		case "RepresentationID":
			pieces[i] = rep.ID
		case "Bandwidth":
			bandwidth, _ := strconv.Atoi(rep.Bandwidth)
			pieces[i] = fmt.Sprintf("%0*d", width, bandwidth)
		case "Number":
			pieces[i] = fmt.Sprintf("%0*d", width, 7)
		case "Time":
			pieces[i] = fmt.Sprintf("%0*d", width, 900)
		}
	}
	return strings.Join(pieces, "")
}

// open checks that a player's URL is one that the gateway answers, and returns its clean path with the query.
func (g *gateway) open(f fetched) (string, error) {
	if f.url.Host != "gw.example" || f.url.Scheme != "https" {
		return "", fmt.Errorf("%s leads to another host", f.url)
	}
	a, err := address.Parse(f.url.EscapedPath())
	if err != nil {
		return "", fmt.Errorf("%s: %w", f.url, err)
	}
	rawQuery := f.url.RawQuery
	if g.inQuery {
		a.Session, rawQuery = f.url.Query().Get("s"), address.WithoutParameter(rawQuery, "s")
	}
	if a.Session != g.session {
		return "", fmt.Errorf("%s: session %q", f.url, a.Session)
	}
	kind := address.SealMedia
	if f.sidecar {
		kind = address.SealSidecar
	}
	seal, err := g.sealer.Open(a.Seal, kind, a.Path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", f.url, err)
	}
	if f.part != "" || (a.Number != 0) && seal.Index.IsZero() {
		return "", fmt.Errorf("%s: bytes %q, segment %d without an index", f.url, f.part, a.Number)
	}
	clean := string(a.Path)
	if rawQuery != "" {
		clean += "?" + rawQuery
	}
	return clean + partOf(seal, a.Number), nil
}

// partOf says in the words of play which bytes a sealed URL stands for.
func partOf(seal address.Seal, number uint64) string {
	bytes := func(r address.Range) string { return strings.TrimPrefix(r.Header(), "bytes=") }
	switch {
	case number != 0:
		return fmt.Sprintf(" segment %d of %s", number, bytes(seal.Index))
	case !seal.Index.IsZero():
		return " " + bytes(seal.InitRange)
	case !seal.Range.IsZero():
		return " " + bytes(seal.Range)
	}
	return ""
}
