package dash

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
)

// Resource is a file of the site, or a range of it.
type Resource = address.Resource

// Representation is what a Protector learns about one Representation; attributes of the AdaptationSet are inherited. Its
// segments are named in one of three ways: by Media, by Index or, if List is set, one by one.
type Representation struct {
	ID          string
	MIMEType    string
	Codecs      string
	ContentType string // @contentType, else what the MIME type says: audio, video, text, image, application
	// Width and Height are in pixels, Bandwidth in bits per second; zero when not given.
	Width, Height, Bandwidth uint32
	// Init is the initialization segment.
	Init Resource
	// Media is the template of the clean paths of the media segments of a SegmentTemplate. Queries stay in the MPD and are
	// not part of it.
	Media address.Template
	// Index is the segment index (sidx) of a SegmentBase, in the file that also holds Init and the media.
	Index Resource
	// List is set for a SegmentList.
	List bool
	// Timescale and Epoch are set with Options.Rotation, once the times of the segments are known: a segment with decode time t, in
	// ticks of the timescale, begins where the clock of the crypto periods says (t-Epoch)/Timescale seconds.
	Timescale uint32
	Epoch     int64
	// ClearUntil is set with Options.ClearLead: where the lead ends in the media.
	ClearUntil MediaTime
}

// AdaptationSet is what a Protector learns about an AdaptationSet, or one crypto period of it.
type AdaptationSet struct {
	Period int // index of the Period in the document, from 0
	// CryptoPeriod is the index of the crypto period; zero without Options.Rotation. Generation is that of its keys.
	CryptoPeriod    uint32
	Generation      uint32
	ID, ContentType string
	Representations []Representation
}

// Key is a key and what is said about it.
type Key struct {
	KID drm.KID
	// Systems are signaled in this order, behind the generic descriptor.
	Systems []System
}

// Protection is a Protector's answer for an AdaptationSet.
type Protection struct {
	// Passes is set for tracks that came protected: they are sealed, and their signals stay as they are. Only Tracks is used
	// besides.
	Passes bool
	// Scheme is zero for what stays clear; only text and data may.
	Scheme drm.ProtectionScheme
	// KID and Systems are the key of all Representations that name no other.
	KID     drm.KID
	Systems []System
	// Further are the keys of Representations that do not share the first. The AdaptationSet is written once for each key, with
	// its own Representations, under an id of its own, and players are told that they may switch between these sets.
	Further []Key
	// Tracks holds one answer for each Representation, in order.
	Tracks []TrackProtection
}

// TrackProtection is a Protector's answer for one Representation. Elements are the path elements that a URL gets: a session
// ("~s.…"), a seal ("~…"), in this order. A seal is needed even where the segments stay clear.
type TrackProtection struct {
	// Drop takes the Representation out; a set that has no other goes with it. Nothing else is used then.
	Drop bool
	// Key is 0 for Protection.KID, n for Protection.Further[n-1].
	Key int
	// Elements are those of every URL of a Representation with Media or Index.
	Elements []string
	// Timeline is what the index of a Representation with Index says.
	Timeline *Timeline
	// Segment returns the elements of one URL of a Representation with List. It is called for Init and then for each media
	// segment, in order.
	Segment func(Resource) (elements []string, err error)
}

// Timeline says when the segments of a single file are played. The n-th of them, from 1, gets the number n in its URL.
type Timeline struct {
	Timescale uint32 // ticks per second, not zero
	Segments  []TimelineSegment
}

// TimelineSegment is one segment of a Timeline, in ticks. Duration is not zero, and none begins before the end of the one in
// front of it.
type TimelineSegment struct{ Time, Duration uint64 }

// Protector decides how the content of an MPD is protected. Its methods are called in document order, one at a time.
type Protector interface {
	// AdaptationSet decides for segmented media. The caller fetches and parses initialization segments and indexes.
	AdaptationSet(ctx context.Context, set AdaptationSet) (Protection, error)
	// Sidecar decides for a single text or image resource, such as a WebVTT file, and returns its path elements.
	Sidecar(ctx context.Context, target address.Target, mimeType string) (elements []string, err error)
	// Thumbnails decides for pictures that a template names, and returns its path elements. Their set is left out if the error is
	// ErrLeftOut.
	Thumbnails(ctx context.Context, media address.Template) (elements []string, err error)
}

// Options is what Rewrite needs besides the document.
type Options struct {
	// Base is the clean path of the MPD, with the origins whose absolute URLs are its own.
	Base address.Base
	// From is the escaped path as requested, elements of ours included. Without them it must be the path of Base.
	From      string
	Protector Protector
	// PassProtected accepts ContentProtection, and keeps it byte for byte, over AdaptationSets for which the Protector says that
	// they pass. Without it, any is ErrAlreadyProtected.
	PassProtected bool
	// ReplaceProtection takes every ContentProtection out, at all levels, and puts those of the Protector in their place: the
	// segments are clear, whatever the MPD says. It excludes PassProtected, and a Protector that lets tracks pass gets
	// ErrAlreadyProtected.
	ReplaceProtection bool
	// Rotation is when keys change, if they do.
	Rotation Rotation
	// ClearLead is how much of the beginning of a static MPD stays clear. A dynamic one has no beginning, and no lead.
	ClearLead time.Duration
	// SessionQuery, if set, is the query parameter that carries the session of a URL in place of its path element. Session is
	// the session of the manifest itself then, if it has one: a Location gets it.
	SessionQuery, Session string
}

// Rewrite returns mpd with protection signaled and every URL sealed. Bytes that need no change are the same.
//
// mpd is at most 16 MiB of UTF-8. The result is nil with every error: a *SyntaxError for what the document says, an error
// that wraps the Protector's own, ErrOptions for a misuse. Time and memory grow with the size of the document: repeat
// counts of a SegmentTimeline are never expanded. Rewrite keeps nothing and is safe for concurrent use.
func Rewrite(ctx context.Context, mpd []byte, o Options) ([]byte, error) {
	edits, err := rewrite(ctx, mpd, o)
	if err != nil {
		return nil, err
	}
	return splice(mpd, edits)
}

// rewrite returns the edits that Rewrite applies.
func rewrite(ctx context.Context, mpd []byte, o Options) ([]edit, error) {
	from, err := address.Parse(o.From)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: requested path: %w", ErrOptions, err)
	case from.Path != o.Base.Path():
		return nil, fmt.Errorf("%w: requested path is not the path of the manifest", ErrOptions)
	case o.Protector == nil:
		return nil, fmt.Errorf("%w: no protector", ErrOptions)
	case o.PassProtected && o.ReplaceProtection:
		return nil, fmt.Errorf("%w: protection that stays and is replaced", ErrOptions)
	case strings.ContainsFunc(o.SessionQuery+o.Session, notInElement):
		return nil, fmt.Errorf("%w: a session that no query can carry as it is", ErrOptions)
	}
	if err := o.checkRotation(); err != nil {
		return nil, err
	}
	session := from.Session
	if session == "" && o.SessionQuery != "" {
		session = o.Session
	}
	doc, err := parse(mpd, o.signals())
	if err != nil {
		return nil, err
	}
	r := &rewriter{ctx: ctx, doc: doc, Options: o, session: session, layer: layer{number: 1}, layers: 1}
	if err := r.rewriteMPD(doc.root); err != nil {
		return nil, err
	}
	switch {
	case r.hadVideo && !r.hasVideo:
		return nil, doc.errorAt(doc.root, ErrNoVideo)
	case r.sealed == 0 && !r.dynamic():
		return nil, doc.errorAt(doc.root, ErrNothingSealed)
	}
	r.removeStrays(0, len(mpd))
	r.declarePrefixes()
	return r.edits, nil
}

// signals says what becomes of the protection that the document signals.
func (o *Options) signals() signals {
	switch {
	case o.PassProtected:
		return passSignals
	case o.ReplaceProtection:
		return replaceSignals
	default:
		return refuseSignals
	}
}

// rewriter collects the edits of one document.
type rewriter struct {
	Options
	layer
	ctx      context.Context
	doc      *document
	session  string // the session in the requested path, or empty
	layers   int    // there were so far
	written  int    // bytes of all edits
	asked    int    // Representations that the protector was asked about
	sealed   int    // Representations that got a seal
	hadVideo bool   // there was a video Representation
	hasVideo bool   // one is left
	parts    int    // Periods that were written, with Rotation
	counted  bool   // which of them exist follows from the clock
	edge     int64  // where the segments that are listed end, in nanoseconds since 1970
	replaced bool   // some of them have keys that were replaced
	gone     bool   // some of them are not listed, since their keys are not given any more
	begin    int64  // where those that are listed begin, as edge, if some are gone
	segment  int64  // the length of the first of them, in nanoseconds
	// runs are the SegmentTimelines that were read.
	runs map[*node]readTimeline
	// clearLeads is how much of each Period is in the clear lead, in nanoseconds; nil without one.
	clearLeads []int64
}

func (r *rewriter) dynamic() bool { return isDynamic(r.doc.root) }

func (r *rewriter) rewriteMPD(mpd *node) error {
	base, chosen, err := r.resolvePlace(mpd, place{base: r.Base})
	if err != nil {
		return err
	}
	r.clean(mpd, chosen)
	r.rewriteLocations(mpd)
	var periods []*node
	for _, n := range mpd.children {
		if n.is("Period") {
			periods = append(periods, n)
		}
	}
	r.readClearLeads(periods)
	if r.Rotation.cuts() {
		return r.rotatePeriods(periods, base)
	}
	for index, n := range periods {
		period, err := r.readPeriod(n, base, index)
		if err != nil {
			return err
		}
		if err := r.nameGeneration(period); err != nil {
			return err
		}
		if err := r.writePeriod(period, &part{period: index, generation: r.Rotation.Generation}); err != nil {
			return err
		}
	}
	return nil
}

// rotatePeriods writes all Periods, each as one for each crypto period.
func (r *rewriter) rotatePeriods(periods []*node, base place) error {
	times, err := r.readTimes(periods)
	if err != nil {
		return err
	}
	for index, n := range periods {
		period, err := r.readPeriod(n, base, index)
		if err != nil {
			return err
		}
		period.times = times[index]
		if err := r.rotatePeriod(period); err != nil {
			return err
		}
	}
	if len(periods) > 0 && r.parts == 0 {
		return r.doc.errorf(r.doc.root, "%w: no Period has segments yet", ErrStructure)
	}
	if err := r.checkEdge(); err != nil {
		return err
	}
	if err := r.shortenWindow(); err != nil {
		return err
	}
	return r.keepReloading()
}

// periodPlan is a Period as it was read.
type periodPlan struct {
	node   *node
	chosen *node // its own BaseURL, or nil
	index  int
	sets   []*setPlan
	times  periodTimes // only for Rotation
}

func (r *rewriter) readPeriod(n *node, outer place, index int) (*periodPlan, error) {
	here, chosen, err := r.resolvePlace(n, outer)
	if err != nil {
		return nil, err
	}
	p := &periodPlan{node: n, chosen: chosen, index: index}
	for _, set := range n.children {
		if !set.is("AdaptationSet") {
			continue
		}
		s, err := r.readSet(set, here)
		if err != nil {
			return nil, err
		}
		p.sets = append(p.sets, s)
	}
	r.placeClearLead(p)
	return p, nil
}

// writePeriod writes one part of a Period, or all of it.
func (r *rewriter) writePeriod(p *periodPlan, part *part) error {
	r.clean(p.node, p.chosen)
	for _, s := range p.sets {
		if !s.segmented {
			continue
		}
		if err := r.ask(s, part); err != nil {
			return err
		}
		if err := r.decide(s, part); err != nil {
			return err
		}
	}
	nameGroups(p.sets)
	for _, s := range p.sets {
		for _, g := range s.groups {
			for _, i := range g.tracks {
				if err := r.retime(s.tracks[i], part, true); err != nil {
					return err
				}
			}
		}
	}
	for _, s := range p.sets {
		if err := r.writeSet(s, part); err != nil {
			return err
		}
	}
	return nil
}
