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
	scheme  drm.ProtectionScheme
	// clear lists content types that stay clear.
	clear    string
	license  string
	sets     []dash.AdaptationSet
	sidecars []address.Target
	err      error
}

var testKID = drm.KID{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}

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
	p := dash.Protection{Scheme: g.scheme, KID: testKID, LicenseURL: g.license}
	if kind := set.Representations[0].ContentType; kind != "" && strings.Contains(g.clear, kind) {
		p = dash.Protection{}
	}
	for _, rep := range set.Representations {
		s := address.Seal{Kind: address.SealMedia, Asset: g.asset, Scheme: p.Scheme, Class: drm.ClassShared, Init: rep.Init.Path, Template: rep.Media}
		p.Tracks = append(p.Tracks, dash.TrackProtection{Elements: g.elements(s, "")})
	}
	return p, nil
}

func (g *gateway) Sidecar(_ context.Context, target address.Target, _ string) ([]string, error) {
	if g.err != nil {
		return nil, g.err
	}
	g.sidecars = append(g.sidecars, target)
	return g.elements(address.Seal{Kind: address.SealSidecar, Asset: g.asset}, target.Path), nil
}

// The types below read an MPD as a player does that looks at local names: independent of the package under test.
type (
	playerMPD struct {
		BaseURL  []string       `xml:"BaseURL"`
		Location []string       `xml:"Location"`
		Period   []playerPeriod `xml:"Period"`
	}
	playerPeriod struct {
		BaseURL  []string         `xml:"BaseURL"`
		Template []playerTemplate `xml:"SegmentTemplate"`
		Set      []playerSet      `xml:"AdaptationSet"`
	}
	playerSet struct {
		BaseURL    []string           `xml:"BaseURL"`
		Template   []playerTemplate   `xml:"SegmentTemplate"`
		Protection []playerProtection `xml:"ContentProtection"`
		Rep        []playerRep        `xml:"Representation"`
	}
	playerRep struct {
		ID        string           `xml:"id,attr"`
		Bandwidth string           `xml:"bandwidth,attr"`
		BaseURL   []string         `xml:"BaseURL"`
		Template  []playerTemplate `xml:"SegmentTemplate"`
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
}

// play returns every kind of URL that a player would make of the MPD at from: init and one media segment, with number 7
// and time 900, per Representation.
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
				media, init := "", ""
				for _, level := range [][]playerTemplate{period.Template, set.Template, rep.Template} {
					for _, t := range level {
						if t.Media != nil {
							media = *t.Media
						}
						if t.Init != nil {
							init = *t.Init
						}
					}
				}
				if media == "" {
					urls = append(urls, fetched{url: base, sidecar: true, protected: len(set.Protection) > 0})
					continue
				}
				for _, text := range []string{init, media} {
					u, err := base.Parse(fill(text, rep))
					if err != nil {
						return nil, m, err
					}
					urls = append(urls, fetched{url: u, protected: len(set.Protection) > 0})
				}
			}
		}
	}
	return urls, m, nil
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
	if a.Session != g.session {
		return "", fmt.Errorf("%s: session %q", f.url, a.Session)
	}
	kind := address.SealMedia
	if f.sidecar {
		kind = address.SealSidecar
	}
	if _, err := g.sealer.Open(a.Seal, kind, a.Path); err != nil {
		return "", fmt.Errorf("%s: %w", f.url, err)
	}
	clean := string(a.Path)
	if f.url.RawQuery != "" {
		clean += "?" + f.url.RawQuery
	}
	return clean, nil
}
