package probe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Fetcher carries requests to servers. An error means that there is no answer; it names no URL. Redirects are followed, and bodies cut at
// the limit. Implementations observe ctx.
type Fetcher interface {
	Fetch(ctx context.Context, r Request) (Response, error)
}

// Request is a question to a server.
type Request struct {
	// Method is GET or POST; URL is absolute.
	Method, URL string
	// Range is the value of a Range field, if not empty.
	Range string
	// Body is that of a POST. ContentType and SOAPAction are the fields of those names, if not empty.
	Body                    []byte
	ContentType, SOAPAction string
	// Limit is how many bytes of the answer are wanted at most.
	Limit int64
}

// Response is an answer, whatever its status.
type Response struct {
	Status int
	// URL is where the answer came from after redirects.
	URL string
	// ContentType is the field of that name; Reason the one by which this gateway says why it refuses.
	ContentType, Reason string
	// Notice is the field by which this gateway tells operators of a manifest, in one word.
	Notice string
	Body   []byte
	// Cut says that the body is longer than the limit.
	Cut bool
}

// Options say what is probed.
type Options struct {
	// URL is that of the manifest, with whatever credentials its query has.
	URL string
	// Segments is how many segments are probed of each rendition in each crypto period: the first, the last, and some between them. Default 3.
	Segments int
	// All probes every segment.
	All bool
	// Watch is how long a live manifest is followed after that.
	Watch time.Duration
	// Now is the clock, and Sleep a pause that ends early with an error when the context does.
	Now   func() time.Time
	Sleep func(ctx context.Context, pause time.Duration) error
	// Progress is told what is going on, in a line without its end; nil for nobody.
	Progress func(line string)
}

// Bounds of what is fetched and kept.
const (
	maxManifest  = 8 << 20
	maxInit      = 4 << 20
	maxSegment   = 128 << 20
	maxLicense   = 1 << 20
	maxStretches = 4096
	maxSegments  = 100_000 // of one stretch
	maxListed    = 1 << 20 // of a manifest
	maxProblems  = 500

	defaultSegments = 3
)

// ErrManifest is returned when there is nothing to probe: the manifest does not come, or is none.
var ErrManifest = errors.New("the manifest cannot be probed")

type prober struct {
	fetcher Fetcher
	o       Options
	report  *Report

	inits    map[string]*initResult
	licenses map[licenseQuestion]licenseAnswer
	answers  map[string]bool // license servers that were asked without a device
	proven   map[drm.KID]bool
	leaks    map[string]bool // addresses that were tried without our elements

	hasMedia bool                     // something but text and images was probed
	opened   time.Time                // when the manifest came
	first    map[string]time.Duration // when the first segment of a rendition begins
}

// Run probes a presentation. The error is ErrManifest, or that of the context; what is wrong with the presentation is in the report.
func Run(ctx context.Context, fetcher Fetcher, o Options) (*Report, error) {
	if o.Segments <= 0 {
		o.Segments = defaultSegments
	}
	p := &prober{
		fetcher: fetcher, o: o, report: &Report{URL: public(o.URL)},
		inits: make(map[string]*initResult), licenses: make(map[licenseQuestion]licenseAnswer), answers: make(map[string]bool),
		proven: make(map[drm.KID]bool), leaks: make(map[string]bool), first: make(map[string]time.Duration),
	}
	stretches, err := p.openManifest(ctx)
	if err != nil {
		return nil, err
	}
	for i, s := range stretches {
		p.progress("%d/%d %s", i+1, len(stretches), s.name())
		p.count(s)
		p.probeStretch(ctx, s, p.choose(s))
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	if o.Watch > 0 && p.report.Live {
		if err := p.watch(ctx, stretches); err != nil {
			return nil, err
		}
	}
	p.finish()
	return p.report, nil
}

// choose returns the segments of a stretch that are probed.
func (p *prober) choose(s *stretch) []segment {
	n := p.o.Segments
	switch {
	case p.o.All || len(s.segments) <= n:
		return s.segments
	case n == 1:
		return s.segments[:1]
	}
	chosen := make([]segment, 0, n)
	for i := range n {
		chosen = append(chosen, s.segments[i*(len(s.segments)-1)/(n-1)])
	}
	return chosen
}

func (p *prober) progress(format string, args ...any) {
	if p.o.Progress != nil {
		p.o.Progress(fmt.Sprintf(format, args...))
	}
}

// get fetches what has to be there. What is wrong with the answer is a problem of where.
func (p *prober) get(ctx context.Context, at place, r ref, limit int64) (Response, bool) {
	res, err := p.fetcher.Fetch(ctx, Request{Method: "GET", URL: r.url, Range: r.byteRange, Limit: limit})
	return p.accept(at, r, limit, res, err)
}

// accept says whether an answer is what was asked for.
func (p *prober) accept(at place, r ref, limit int64, res Response, err error) (Response, bool) {
	at.URL = public(r.url)
	switch {
	case err != nil:
		p.problem(NotFetched, at, "no answer: %v", err)
	case res.Status != 200 && (r.byteRange == "" || res.Status != 206):
		p.problem(NotFetched, at, "status %s", statusText(res))
	case res.Cut:
		p.problem(NotFetched, at, "more than %d bytes", limit)
	default:
		if r.byteRange != "" && res.Status == 200 { // the server knows no ranges
			var err error
			if res.Body, err = cut(res.Body, r.byteRange); err != nil {
				p.problem(NotFetched, at, "%v", err)
				return Response{}, false
			}
		}
		return res, true
	}
	return Response{}, false
}

// cut takes the range of a request out of a whole body.
func cut(b []byte, byteRange string) ([]byte, error) {
	var first, last int64
	if _, err := fmt.Sscanf(byteRange, "bytes=%d-%d", &first, &last); err != nil {
		return nil, fmt.Errorf("the range %q is none", byteRange)
	}
	if first < 0 || last < first || last >= int64(len(b)) {
		return nil, fmt.Errorf("the range %q lies outside of the %d bytes", byteRange, len(b))
	}
	return b[first : last+1], nil
}

func statusText(res Response) string {
	if res.Reason != "" {
		return fmt.Sprintf("%d (%s)", res.Status, res.Reason)
	}
	return fmt.Sprint(res.Status)
}
