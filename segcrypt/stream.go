package segcrypt

import "errors"

// errChunkSize is for a chunk that would not end within the caller's bound.
var errChunkSize = errors.New("the chunk is larger than the limit")

// NextChunk returns how many bytes of b the first whole chunk takes: a moof and its mdat, and the boxes before them. It returns
// 0 while b does not hold a whole one; the end of a stream may be boxes that belong to no chunk, which Stream.Plan takes as
// well. limit bounds the chunk.
//
// The error, a *FormatError, says that b will never begin with a chunk, whatever follows: a box that has no place in a media
// segment, an mdat without moof, a size that is no size, or one past the limit. It is found as soon as the box header is there.
func NextChunk(b []byte, limit int) (int, error) {
	inMoof := false
	for off := 0; len(b)-off >= 8; {
		if be32(b, off) == 1 && len(b)-off < 16 {
			return 0, nil
		}
		x, err := nextBox(b, off, max(len(b), limit))
		switch {
		case errors.Is(err, errBoxTruncated):
			return 0, formatErrorf("segment", off, "%w", errChunkSize)
		case err != nil:
			return 0, atPath("segment", off, err)
		case x.end > limit:
			return 0, formatErrorf(x.typ.String(), off, "%w", errChunkSize)
		}
		if _, ok := topLevel[x.typ]; !ok && x.typ != typMdat && x.typ != typUUID {
			return 0, formatErrorf(x.typ.String(), off, "%w", errTopLevel)
		}
		switch {
		case x.typ == typMdat && !inMoof:
			return 0, formatErrorf("mdat", off, "%w", errStrayMdat)
		case x.typ != typMdat && inMoof:
			return 0, formatErrorf("moof", off, "%w", errNoMdat)
		case x.end > len(b):
			return 0, nil
		case x.typ == typMdat:
			return x.end, nil
		}
		inMoof = x.typ == typMoof
		off = x.end
	}
	return 0, nil
}

// Stream plans the chunks of one segment, or of a live channel, as they come. What a chunk takes from earlier ones, such as
// parameter sets in-band and the references of AV1, is carried on, so that the chunks' protected forms one behind the other are
// that of the whole segment (but for sidx and ssix, which describe more than a chunk and are left out). It belongs to one
// goroutine.
type Stream struct {
	protector     *Protector
	states, spare []codecState // by track
	lead          lead         // as the first chunk has decided
}

// NewStream begins a stream, with what the init segment says and nothing more.
func (p *Protector) NewStream() *Stream {
	n := len(p.init.tracks)
	return &Stream{protector: p, states: make([]codecState, n), spare: make([]codecState, n), lead: lead{clearUntil: p.clearUntil}}
}

// Plan is Protector.Plan for the next chunk, or for boxes without a chunk at the end. On error the stream is as it was before:
// after ErrParameterSets, Prime may bring what is missing.
func (s *Stream) Plan(chunk Clear) (*Segment, error) {
	segment := newSegment(s.protector)
	if err := s.advance(&segment.plan, chunk); err != nil {
		segment.Release()
		return nil, err
	}
	segment.cut = segment.size
	return segment, nil
}

// Prime learns from an earlier chunk, or several, that are not sent. Its errors are those of Plan.
func (s *Stream) Prime(clear Clear) error {
	segment := newSegment(s.protector)
	defer segment.Release()
	return s.advance(&segment.plan, clear)
}

// advance plans a chunk with a copy of the states, which becomes valid only when all went well.
func (s *Stream) advance(pl *plan, chunk Clear) error {
	for i := range s.states {
		s.spare[i].take(&s.states[i])
	}
	pl.lead = s.lead
	if err := pl.buildFrom(chunk, s.protector.init, s.protector.scheme, s.spare); err != nil {
		return err
	}
	s.states, s.spare, s.lead = s.spare, s.states, pl.lead
	return nil
}
