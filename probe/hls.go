package probe

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/inspect"
)

// openHLS reads a multivariant playlist with all that it names, or a media playlist.
func (p *prober) openHLS(ctx context.Context, url, text string) ([]*stretch, error) {
	p.report.Live = false
	if !strings.Contains(text, "#EXT-X-STREAM-INF") && !strings.Contains(text, "#EXT-X-I-FRAME-STREAM-INF") {
		return p.openMedia(mediaPlaylist{name: "playlist", url: url}, text)
	}
	var all []*stretch
	for _, playlist := range p.playlists(url, text) {
		at := place{Rendition: playlist.name, Line: playlist.line}
		p.progress("fetching the playlist of %s", playlist.name)
		res, ok := p.get(ctx, at, ref{url: playlist.url}, maxManifest)
		if !ok {
			continue
		}
		at.URL = public(playlist.url)
		p.checkType(at, res.ContentType, typesHLS)
		playlist.url = res.URL
		stretches, err := p.openMedia(playlist, string(res.Body))
		if err != nil {
			p.problem(ManifestBroken, at, "%v", err)
			continue
		}
		all = append(all, stretches...)
		if err := withinBounds(all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// mediaPlaylist is a media playlist that a multivariant one names.
type mediaPlaylist struct {
	name, url, kind string
	line            int
}

// playlists lists what a multivariant playlist names, each address once.
func (p *prober) playlists(base, text string) []mediaPlaylist {
	var all []mediaPlaylist
	seen := make(map[string]bool)
	add := func(m mediaPlaylist, reference string) {
		url, err := resolve(base, reference)
		if err != nil {
			p.problem(ManifestBroken, place{URL: public(base), Line: m.line}, "%v", err)
			return
		}
		if m.url = url; !seen[url] {
			seen[url] = true
			all = append(all, m)
		}
	}
	variant := ""
	for i, line := range lines(text) {
		tag, list, _ := strings.Cut(line, ":")
		a := inspect.PlaylistAttributes(list)
		switch {
		case tag == "#EXT-X-STREAM-INF":
			variant = strings.TrimSpace("variant " + or(a["RESOLUTION"], a["BANDWIDTH"]+" bit/s"))
		case tag == "#EXT-X-I-FRAME-STREAM-INF":
			add(mediaPlaylist{name: "I-frames " + or(a["RESOLUTION"], a["BANDWIDTH"]+" bit/s"), kind: kindVideo, line: i + 1}, a["URI"])
		case tag == "#EXT-X-MEDIA" && a["URI"] != "":
			kind := map[string]string{"AUDIO": kindAudio, "VIDEO": kindVideo, "SUBTITLES": kindText}[a["TYPE"]]
			add(mediaPlaylist{name: strings.ToLower(a["TYPE"]) + " " + a["NAME"] + " of " + a["GROUP-ID"], kind: kind, line: i + 1}, a["URI"])
		case line != "" && !strings.HasPrefix(line, "#") && variant != "":
			add(mediaPlaylist{name: variant, line: i + 1}, line)
			variant = ""
		}
	}
	return all
}

func lines(text string) []string {
	all := strings.Split(text, "\n")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

// mediaReader goes through a media playlist line by line.
type mediaReader struct {
	p        *prober
	playlist mediaPlaylist
	all      []*stretch
	current  *stretch // nil where the next segment begins one

	keys       []keyTag
	afterMedia bool // the next EXT-X-KEY begins a new set
	init       *ref
	initWhole  bool // the init segment is encrypted like segments
	base       *timeBase
	number     int64
	changes    int
	at         time.Duration
	duration   time.Duration
	byteRange  string
	rangeEnd   int64
	gap        bool
	iframes    bool // EXT-X-I-FRAMES-ONLY
}

// keyTag is an EXT-X-KEY.
type keyTag struct {
	a    map[string]string
	line int
}

// openMedia reads a media playlist into its stretches.
func (p *prober) openMedia(playlist mediaPlaylist, text string) ([]*stretch, error) {
	text = strings.TrimPrefix(text, "\ufeff")
	if !strings.HasPrefix(text, "#EXTM3U") {
		return nil, fmt.Errorf("no playlist")
	}
	if strings.Contains(text, "#EXT-X-DEFINE") {
		return nil, fmt.Errorf("variables (EXT-X-DEFINE), which are not resolved here")
	}
	if !strings.Contains(text, "#EXT-X-ENDLIST") {
		p.report.Live = true
	}
	r := mediaReader{p: p, playlist: playlist, base: new(timeBase)}
	for i, line := range lines(text) {
		if err := r.line(i+1, line); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return r.all, nil
}

func (r *mediaReader) line(number int, line string) (err error) {
	tag, value, _ := strings.Cut(line, ":")
	switch tag {
	case "#EXT-X-MEDIA-SEQUENCE":
		r.number, err = strconv.ParseInt(value, 10, 64)
	case "#EXTINF":
		text, _, _ := strings.Cut(value, ",")
		seconds, parseErr := strconv.ParseFloat(text, 64)
		if parseErr != nil || seconds < 0 || seconds > 1e6 {
			return fmt.Errorf("EXTINF without a duration")
		}
		r.duration = time.Duration(seconds * float64(time.Second))
	case "#EXT-X-BYTERANGE":
		r.byteRange = value
	case "#EXT-X-GAP":
		r.gap = true
	case "#EXT-X-I-FRAMES-ONLY":
		r.iframes = true
	case "#EXT-X-DISCONTINUITY":
		r.base, r.current = new(timeBase), nil
	case "#EXT-X-KEY":
		r.key(keyTag{inspect.PlaylistAttributes(value), number})
	case "#EXT-X-MAP":
		err = r.initSegment(inspect.PlaylistAttributes(value))
	default:
		if line != "" && !strings.HasPrefix(line, "#") {
			err = r.segment(number, line)
		}
	}
	return err
}

// key notes a key. One of another format stands beside those that are there; behind a segment a new set begins (8216, 4.3.2.4).
func (r *mediaReader) key(k keyTag) {
	if r.afterMedia || k.a["METHOD"] == "NONE" {
		r.keys = nil
	}
	r.afterMedia, r.current = false, nil
	if k.a["METHOD"] == "NONE" {
		return
	}
	for i, other := range r.keys {
		if other.a["KEYFORMAT"] == k.a["KEYFORMAT"] && other.a["URI"] == k.a["URI"] {
			r.keys[i] = k
			return
		}
	}
	r.keys = append(r.keys, k)
}

func (r *mediaReader) initSegment(a map[string]string) error {
	url, err := resolve(r.playlist.url, a["URI"])
	if err != nil {
		return fmt.Errorf("EXT-X-MAP: %w", err)
	}
	r.init, r.current = &ref{url: url}, nil
	if a["BYTERANGE"] != "" {
		if r.init.byteRange, _, err = hlsRange(a["BYTERANGE"], 0); err != nil {
			return err
		}
	}
	r.initWhole = false
	for _, k := range r.keys {
		r.initWhole = r.initWhole || k.a["METHOD"] == schemeWhole
	}
	return nil
}

func (r *mediaReader) segment(line int, reference string) error {
	url, err := resolve(r.playlist.url, reference)
	if err != nil {
		return err
	}
	at := segment{ref: ref{url: url}, start: r.at, duration: r.duration, number: r.number, line: line}
	if r.byteRange != "" {
		if at.byteRange, r.rangeEnd, err = hlsRange(r.byteRange, r.rangeEnd); err != nil {
			return err
		}
	}
	skip := r.gap
	r.at, r.number, r.byteRange, r.duration, r.gap, r.afterMedia = r.at+r.duration, r.number+1, "", 0, false, true
	if skip {
		return nil
	}
	if r.current == nil {
		r.begin(line)
	}
	if len(r.current.segments) >= maxSegments {
		return errTooMany
	}
	r.current.segments = append(r.current.segments, at)
	return nil
}

// begin begins a stretch.
func (r *mediaReader) begin(line int) {
	r.changes++
	s := &stretch{rendition: r.playlist.name, kind: r.playlist.kind, line: line, init: r.init, base: r.base, iframes: r.iframes}
	if r.changes > 1 {
		s.period = fmt.Sprintf("key from line %d", line)
	}
	s.protection = r.protection(s)
	s.protection.initEncrypted = r.initWhole
	r.all, r.current = append(r.all, s), s
}

// protection reads the keys that hold.
func (r *mediaReader) protection(s *stretch) (found protection) {
	for _, k := range r.keys {
		at := s.place()
		at.Line = k.line
		scheme := schemeOfMethod(k.a["METHOD"], s.init != nil)
		if found.scheme != "" && found.scheme != scheme {
			r.p.problem(SchemeMismatch, at, "%s beside %s", scheme, found.scheme)
		}
		found.scheme, s.line = scheme, k.line
		if id := k.a["KEYID"]; id != "" {
			kid, err := drm.ParseKID(strings.TrimPrefix(strings.TrimPrefix(id, "0x"), "0X"))
			switch {
			case err != nil:
				r.p.problem(ManifestBroken, at, "KEYID %q is none", id)
			case len(found.kids) > 0 && found.kids[0] != kid:
				r.p.problem(KIDMismatch, at, "KEYID %s beside %s", kid, found.kids[0])
			default:
				found.kids = []drm.KID{kid}
			}
		}
		if iv := k.a["IV"]; iv != "" {
			parsed, err := hex.DecodeString(strings.TrimPrefix(strings.TrimPrefix(iv, "0x"), "0X"))
			if err != nil || len(parsed) != drm.KeySize {
				r.p.problem(ManifestBroken, at, "an IV that is none")
			} else {
				found.iv = parsed
			}
		}
		r.keyURI(&found, k, at)
	}
	return found
}

// keyURI reads where a key comes from.
func (r *mediaReader) keyURI(found *protection, k keyTag, at place) {
	uri, format := k.a["URI"], strings.ToLower(or(k.a["KEYFORMAT"], "identity"))
	signal := systemSignal{line: k.line}
	switch {
	case format == "identity" || format == "org.w3.clearkey":
		if format == "identity" && strings.HasPrefix(uri, "data:") {
			found.keyURI = uri
			return
		}
		url, err := resolve(r.playlist.url, uri)
		if err != nil {
			r.p.problem(ManifestBroken, at, "the URI of the key: %v", err)
			return
		}
		if format == "identity" {
			found.keyURI = url
			return
		}
		signal.system, signal.licenseURL = drm.SystemClearKey, url
	case format == "com.apple.streamingkeydelivery":
		signal.system = drm.SystemFairPlay
	case format == "com.microsoft.playready":
		signal.system = drm.SystemPlayReady
	default:
		id, err := drm.ParseKID(strings.TrimPrefix(format, "urn:uuid:"))
		if err != nil {
			r.p.note("KEYFORMAT %q is none that is known here", k.a["KEYFORMAT"])
			return
		}
		signal.system = drm.SystemID(id)
	}
	if header, data, ok := strings.Cut(uri, ";base64,"); ok && strings.HasPrefix(header, "data:") {
		r.p.readSignal(&signal, at, data)
	}
	found.systems = append(found.systems, signal)
}

// schemeOfMethod is the scheme of a METHOD (8216bis, 4.4.4.4).
func schemeOfMethod(method string, fragmented bool) string {
	switch {
	case method == "SAMPLE-AES-CTR", method == "SAMPLE-AES-CENC":
		return "cenc"
	case method == schemeSamples && fragmented:
		return "cbcs"
	}
	return method
}

// hlsRange turns length@offset into the value of a Range field; without an offset it begins at next.
func hlsRange(text string, next int64) (value string, end int64, err error) {
	lengthText, offsetText, hasOffset := strings.Cut(text, "@")
	length, err := strconv.ParseInt(lengthText, 10, 64)
	if err == nil && hasOffset {
		next, err = strconv.ParseInt(offsetText, 10, 64)
	}
	if err != nil || length <= 0 || next < 0 || length > 1<<50 || next > 1<<60 {
		return "", 0, fmt.Errorf("a byte range that is none")
	}
	return fmt.Sprintf("bytes=%d-%d", next, next+length-1), next + length, nil
}
