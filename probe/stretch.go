package probe

import (
	"context"
	"slices"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/inspect"
)

// initResult is an init segment that was read once; media is nil if it cannot be.
type initResult struct{ media *inspect.Media }

// probeStretch probes some segments of a stretch. What is wrong is in the report, and stops nothing else.
func (p *prober) probeStretch(ctx context.Context, s *stretch, chosen []segment) {
	r := p.rendition(s.rendition)
	if s.protection.scheme != "" && !slices.Contains(r.Schemes, s.protection.scheme) {
		r.Schemes = append(r.Schemes, visible(s.protection.scheme))
	}
	p.hasMedia = p.hasMedia || len(chosen) > 0 && s.kind != kindText && s.kind != kindImage
	switch {
	case len(chosen) == 0:
	case s.protection.whole():
		p.probeWhole(ctx, s, chosen)
	case s.kind == kindText || s.kind == kindImage:
		p.probePlain(ctx, s, chosen)
	case s.init == nil:
		p.probeStream(ctx, s, chosen)
	default:
		p.probeFragmented(ctx, s, chosen)
	}
}

// count counts what is listed.
func (p *prober) count(s *stretch) {
	r := p.rendition(s.rendition)
	r.Periods++
	r.Listed += len(s.segments)
}

// probePlain looks whether what no scheme protects is there.
func (p *prober) probePlain(ctx context.Context, s *stretch, chosen []segment) {
	wanted := typesText
	if s.kind == kindImage {
		wanted = typesImage
	}
	for _, seg := range chosen {
		p.fetchSegment(ctx, s, seg, wanted)
	}
}

// fetchSegment fetches a segment and looks at what it is called.
func (p *prober) fetchSegment(ctx context.Context, s *stretch, seg segment, wanted []string) ([]byte, place, bool) {
	at := s.place()
	if seg.line > 0 {
		at.Line = seg.line
	}
	res, err := p.fetcher.Fetch(ctx, Request{Method: "GET", URL: seg.url, Range: seg.byteRange, Limit: maxSegment})
	if err == nil && (res.Status == 404 || res.Status == 410) && p.mayHaveLeft(s, seg) {
		p.note("%s: a segment left the window of the live manifest before its turn came", s.rendition)
		return nil, at, false
	}
	res, ok := p.accept(at, seg.ref, maxSegment, res, err)
	at.URL = public(seg.url)
	if !ok {
		return nil, at, false
	}
	p.rendition(s.rendition).Probed++
	p.checkType(at, res.ContentType, wanted)
	return res.Body, at, true
}

// mayHaveLeft reports whether a segment of a live manifest may be gone by now, because as much has been added at the other end.
func (p *prober) mayHaveLeft(s *stretch, seg segment) bool {
	return p.report.Live && s.periodStart+seg.start-p.first[s.rendition] <= p.o.Now().Sub(p.opened)
}

// probeStream probes segments without an init segment: transport streams and packed audio, in clear or with SAMPLE-AES.
func (p *prober) probeStream(ctx context.Context, s *stretch, chosen []segment) {
	if s.protection.scheme == schemeSamples {
		p.note("%s: SAMPLE-AES of transport streams and packed audio is not decrypted here", s.rendition)
		if s.protection.keyURI != "" {
			p.rawKey(ctx, s.place(), s.protection.keyURI)
		}
		for _, signal := range s.protection.systems {
			p.askWithoutDevice(ctx, signal, signal.headerKID())
		}
	}
	for _, seg := range chosen {
		body, at, ok := p.fetchSegment(ctx, s, seg, typesMedia)
		if !ok {
			continue
		}
		if kind := sniff(body); kind != containerStream && kind != containerAudio {
			p.problem(SegmentBroken, at, "neither a transport stream nor packed audio, and no init segment (EXT-X-MAP) for anything else")
		}
		p.tryBare(ctx, s, at, seg.url, body, nil)
	}
}

// probeFragmented probes fragmented MP4.
func (p *prober) probeFragmented(ctx context.Context, s *stretch, chosen []segment) {
	media := p.readInit(ctx, s)
	if media == nil {
		return
	}
	keys := p.checkInit(ctx, s, media)
	for _, seg := range chosen {
		if ctx.Err() != nil {
			return
		}
		body, at, ok := p.fetchSegment(ctx, s, seg, typesMedia)
		if !ok {
			continue
		}
		runs, err := s.open(media)(body, keys)
		if err != nil {
			p.problem(SegmentBroken, at, "%v", err)
			continue
		}
		p.checkRuns(s, at, runs)
		p.checkTime(s, at, seg, runs)
		p.tryBare(ctx, s, at, seg.url, body, media)
	}
}

// open is what opens a segment of the stretch.
func (s *stretch) open(media *inspect.Media) func([]byte, []drm.ContentKey) ([]inspect.Run, error) {
	if s.iframes {
		return media.OpenIFrame
	}
	return media.Open
}

// readInit fetches the init segment of a stretch. Nil: it cannot be read, which is a problem already.
func (p *prober) readInit(ctx context.Context, s *stretch) *inspect.Media {
	name := s.init.url + " " + s.init.byteRange
	if known, ok := p.inits[name]; ok {
		return known.media
	}
	result := new(initResult)
	p.inits[name] = result
	at := s.place()
	res, ok := p.get(ctx, at, *s.init, maxInit)
	at.URL = public(s.init.url)
	if !ok {
		return nil
	}
	p.checkType(at, res.ContentType, typesMedia)
	media, err := inspect.ReadInit(res.Body)
	if err != nil {
		p.problem(InitBroken, at, "%v", err)
		return nil
	}
	result.media = media
	p.tryBare(ctx, s, at, s.init.url, res.Body, media)
	return media
}

// checkInit compares the init segment with the manifest, and returns the keys of its tracks.
func (p *prober) checkInit(ctx context.Context, s *stretch, media *inspect.Media) (keys []drm.ContentKey) {
	at := s.place()
	at.URL = public(s.init.url)
	for _, track := range media.Tracks() {
		if track.Text {
			continue
		}
		at.Box = "moov/trak/…/" + map[bool]string{true: "sinf", false: "stsd"}[track.Protected]
		said := s.protection.scheme
		switch {
		case !track.Protected && said != "":
			p.problem(ClearSegment, at, "track %d is clear, and the manifest says %s", track.ID, said)
			continue
		case !track.Protected:
			continue
		case said == "":
			p.problem(SchemeMismatch, at, "track %d is protected, and the manifest does not say so", track.ID)
		case said != track.Scheme:
			p.problem(SchemeMismatch, at, "track %d is %s, and the manifest says %s", track.ID, track.Scheme, said)
		}
		if track.KID.IsZero() {
			p.problem(InitBroken, at, "track %d has no KID in its tenc", track.ID)
			continue
		}
		at.Box += "/schi/tenc"
		if len(s.protection.kids) > 0 && !slices.Contains(s.protection.kids, track.KID) {
			p.problem(KIDMismatch, at, "tenc of track %d names KID %s, and the manifest %s", track.ID, track.KID, s.protection.kids[0])
		}
		key, ok := p.keyFor(ctx, s, track.KID)
		if ok {
			keys = append(keys, key)
		}
		at.Box = "moov/pssh"
		p.checkSignals(at, media.Pssh(), nil, track.KID, track.Scheme, key)
		for _, signal := range s.protection.systems {
			inManifest := s.place()
			inManifest.Line = signal.line
			p.checkSignals(inManifest, signal.pssh, signal.objects, track.KID, track.Scheme, key)
		}
	}
	return keys
}

// checkRuns says what is wrong with what a segment holds.
func (p *prober) checkRuns(s *stretch, at place, runs []inspect.Run) {
	var protected, media uint64
	expected, opened, broken := false, []drm.KID(nil), false
	for _, run := range runs {
		at := at
		at.Box = run.Box
		for _, fault := range run.Faults {
			p.problem(SegmentBroken, at, "%s", fault)
			broken = true
		}
		if run.Track.Text || !run.Track.Protected {
			continue
		}
		if expected = true; !run.Short {
			protected, media = protected+run.Protected, media+run.Bytes
		}
		switch {
		case len(run.Faults) > 0:
		case !run.Marked:
			p.problem(ClearSegment, at, "no senc: the fragment says that its samples are clear, and the init segment that they are %s", run.Track.Scheme)
			broken = true
		case run.Clear:
			p.problem(ClearSegment, at, "the samples are said to be encrypted, and are %s in clear", run.Track.Format)
			broken = true
		case run.Groups:
			p.note("%s: sample groups with keys of their own are not decrypted here", s.rendition)
		case run.Verdict == inspect.Wrong:
			p.problem(WrongKey, at, "under the key of KID %s no %s comes out: %s", run.Track.KID, run.Track.Format, run.Evidence)
			broken = true
		case run.Verdict != inspect.NotOpened && run.Protected > 0 && !run.Changed && !run.Short:
			p.problem(ClearSegment, at, "decryption changes nothing")
			broken = true
		}
		if run.Verdict != inspect.NotOpened {
			opened = append(opened, run.Track.KID)
		}
		if run.Verdict == inspect.Fits {
			p.proven[run.Track.KID] = true
		}
	}
	if expected && !broken && media > 0 && protected == 0 {
		p.problem(ClearSegment, at, "senc leaves every byte clear")
		broken = true
	}
	if r := p.rendition(s.rendition); opened != nil && !broken {
		r.Decrypted++
		r.opened = append(r.opened, opened)
	}
}

// checkTime compares when a segment begins with what the manifest says. Manifests are as exact as the durations that they list, and
// presentation times differ from decode times by some frames.
func (p *prober) checkTime(s *stretch, at place, seg segment, runs []inspect.Run) {
	if seg.duration <= 0 || len(runs) == 0 || !runs[0].Timed || runs[0].Track.Timescale == 0 {
		return
	}
	at.Box = runs[0].Box + "/tfdt"
	time := ticks(int64(runs[0].Time), uint64(runs[0].Track.Timescale))
	expected := seg.start
	if !s.exact {
		if !s.base.known {
			s.base.known, s.base.by = true, time-seg.start
		}
		expected += s.base.by
	}
	if tolerance := seg.duration / 2; !about(time, expected, tolerance) {
		p.problem(TimelineMismatch, at, "it begins at %s, and the manifest says %s", seconds(time), seconds(expected))
	}
}

func seconds(d time.Duration) string { return d.Round(time.Millisecond).String() }
