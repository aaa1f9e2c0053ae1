package probe

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

var errURL = errors.New("not a reference to http or https")

// ref is something to fetch.
type ref struct {
	url       string
	byteRange string // of a Range field, empty for the whole
}

// segment is a media segment as the manifest lists it.
type segment struct {
	ref
	// start is when it begins on the clock of its stretch, and duration how long it lasts.
	start, duration time.Duration
	number          int64
	line            int
}

// The kinds of stretches.
const (
	kindVideo = "video"
	kindAudio = "audio"
	kindText  = "text"
	kindImage = "image"
)

// stretch is a part of a rendition that has one init segment and one key.
type stretch struct {
	rendition  string
	kind       string // empty where the manifest does not say
	period     string
	line       int
	protection protection
	init       *ref
	// segments come in their order. If exact, decode times are those of the segments; else they may differ by a constant, see base.
	segments []segment
	exact    bool
	base     *timeBase
	// iframes says that segments are ranges that end with an I-frame, and not with a chunk.
	iframes bool
	// periodStart is that of a Period of DASH.
	periodStart time.Duration
}

// timeBase is what decode times of a rendition of HLS differ by from the sum of durations. Stretches between two discontinuities share it.
type timeBase struct {
	known bool
	by    time.Duration
}

func (s *stretch) name() string {
	if s.period == "" {
		return s.rendition
	}
	return s.rendition + ", " + s.period
}

func (s *stretch) place() place { return place{Rendition: s.rendition, Period: s.period, Line: s.line} }

// protection is what a manifest says of the key of a stretch.
type protection struct {
	// scheme is cenc, cbcs, AES-128 or SAMPLE-AES, or whatever else the manifest says; empty for clear.
	scheme string
	// kids are default_KID or KEYID, empty if the manifest names none.
	kids    []drm.KID
	systems []systemSignal
	// keyURI gives the key in clear (KEYFORMAT identity).
	keyURI string
	iv     []byte // of EXT-X-KEY, nil without
	// initEncrypted says that the init segment is encrypted like the segments, with AES-128.
	initEncrypted bool
}

// systemSignal is what a manifest says to one DRM system.
type systemSignal struct {
	system     drm.SystemID
	licenseURL string
	pssh       []drm.Pssh
	objects    [][]byte // PlayReady Objects outside of boxes
	line       int
}

// whole reports whether segments are encrypted from their first byte to their last.
func (p protection) whole() bool { return p.scheme == schemeWhole }

// The schemes of HLS that have names of their own.
const (
	schemeWhole   = "AES-128"
	schemeSamples = "SAMPLE-AES" // in transport streams and packed audio; cbcs in fragmented MP4
)

// openManifest fetches the manifest and returns what there is to probe.
func (p *prober) openManifest(ctx context.Context) ([]*stretch, error) {
	p.opened = p.o.Now()
	stretches, err := p.readManifest(ctx)
	clear(p.first)
	for _, s := range stretches {
		if _, known := p.first[s.rendition]; !known && len(s.segments) > 0 {
			p.first[s.rendition] = s.periodStart + s.segments[0].start
		}
	}
	return stretches, err
}

func (p *prober) readManifest(ctx context.Context) ([]*stretch, error) {
	p.progress("fetching the manifest")
	res, err := p.fetcher.Fetch(ctx, Request{Method: "GET", URL: p.o.URL, Limit: maxManifest})
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: no answer: %w", ErrManifest, err)
	case res.Status != 200:
		return nil, fmt.Errorf("%w: status %s", ErrManifest, statusText(res))
	case res.Cut:
		return nil, fmt.Errorf("%w: more than %d bytes", ErrManifest, maxManifest)
	}
	p.heed(res.Notice)
	text := strings.TrimSpace(strings.TrimPrefix(string(res.Body), "\ufeff"))
	at := place{URL: public(p.o.URL)}
	switch {
	case strings.HasPrefix(text, "#EXTM3U"):
		p.report.Kind = "HLS"
		p.checkType(at, res.ContentType, typesHLS)
		return p.openHLS(ctx, res.URL, text)
	case strings.HasPrefix(text, "<"):
		p.report.Kind = "DASH"
		p.checkType(at, res.ContentType, typesDASH)
		return p.openDASH(ctx, res.URL, []byte(text))
	}
	return nil, fmt.Errorf("%w: neither an MPD nor a playlist", ErrManifest)
}

// heed notes what the gateway says of a manifest.
func (p *prober) heed(notice string) {
	if notice == "one_key" {
		p.note("the channel is live, under cenc, and never changes its key: IVs of cenc meet some day. The log of the gateway says why; want rotate in the DRM group, or cbcs")
	}
}

// withinBounds refuses manifests that list more than is kept.
func withinBounds(all []*stretch) error {
	listed := 0
	for _, s := range all {
		listed += len(s.segments)
	}
	if len(all) > maxStretches || listed > maxListed {
		return fmt.Errorf("%w: more than %d renditions and keys, or %d segments", ErrManifest, maxStretches, maxListed)
	}
	return nil
}

// readSignal reads what stands for a system in a manifest: boxes and PlayReady Objects in base64.
func (p *prober) readSignal(s *systemSignal, at place, text string) {
	data, err := decodeBase64(text)
	if err != nil {
		p.problem(PsshMismatch, at, "signal of %s: not base64", s.system.Name())
		return
	}
	if len(data) >= 8 && string(data[4:8]) == "pssh" {
		boxes, err := drm.ParsePsshs(data)
		if err != nil {
			p.problem(PsshMismatch, at, "signal of %s: %v", s.system.Name(), err)
			return
		}
		s.pssh = append(s.pssh, boxes...)
		return
	}
	s.objects = append(s.objects, data)
}

// decodeBase64 reads either alphabet, with or without padding and white space.
func decodeBase64(text string) ([]byte, error) {
	text = strings.Join(strings.Fields(text), "")
	text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
}

// Content types that players expect. Of media they look at the bytes alone, but what calls itself a page is one.
var (
	typesDASH  = []string{"application/dash+xml", "video/vnd.mpeg.dash.mpd", "application/xml", "text/xml"}
	typesHLS   = []string{"application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl", "audio/x-mpegurl", "application/mpegurl"}
	typesMedia = []string{"video/", "audio/", "application/mp4", "application/octet-stream", "binary/octet-stream"}
	typesText  = []string{"text/vtt", "application/ttml+xml", "application/x-subrip", "application/mp4", "video/", "audio/", "text/plain", "application/octet-stream", "binary/octet-stream"}
	typesImage = []string{"image/", "application/octet-stream", "binary/octet-stream"}
)

// checkType compares a Content-Type with those that are expected, which may be beginnings. None at all is only noted.
func (p *prober) checkType(at place, contentType string, wanted []string) {
	name, _, _ := strings.Cut(contentType, ";")
	name = strings.ToLower(strings.TrimSpace(name))
	if name == "" {
		p.note("no Content-Type: %s", at.URL)
		return
	}
	for _, prefix := range wanted {
		if strings.HasPrefix(name, prefix) {
			return
		}
	}
	p.problem(ContentType, at, "Content-Type %q", name)
}
