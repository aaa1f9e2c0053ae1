package segcrypt

import (
	"errors"
	"fmt"
)

// treatment is what happens to a top-level box of a media segment.
type treatment uint8

const (
	treatCopy     treatment = iota // as it is
	treatBlank                     // header kept, contents zeroed
	treatDrop                      // left out
	treatSidx                      // sizes corrected, or left out where they cannot be
	treatSsix                      // likewise
	treatFragment                  // a moof and its mdat
)

// placedBox is a top-level box of the input, or a moof with its mdat, and its place in the output.
type placedBox struct {
	box
	treatment treatment
	fragment  int // index into plan.fragments
	outOff    int
	outEnd    int
}

// topLevel is the allow-list of a media segment. Everything else could carry samples in clear past us, so it is refused.
// mfra describes places in the clear file that no player needs.
var topLevel = map[fourCC]treatment{
	typStyp: treatCopy, typPrft: treatCopy, typEmsg: treatCopy, typSidx: treatSidx, typMoof: treatFragment,
	typFree: treatBlank, typSkip: treatBlank, typSsix: treatSsix, typMfra: treatDrop,
}

var (
	errTopLevel    = errors.New("this box is not allowed in a media segment")
	errNoFragment  = errors.New("the segment has no moof")
	errNoMdat      = errors.New("moof is not followed by its mdat")
	errStrayMdat   = errors.New("mdat does not follow a moof")
	errSegmentSize = errors.New("the segment is larger than 2 GiB")
)

// scan splits the segment into boxes and fragments and checks them against the allow-list. A segment may have no fragment.
func (pl *plan) scan(seg []byte) error {
	if len(seg) > 1<<31-1 {
		return formatErrorf("segment", 0, "%w", errSegmentSize)
	}
	for off := 0; off < len(seg); {
		b, err := nextBox(seg, off, len(seg))
		if err != nil {
			return atPath("segment", off, err)
		}
		treatment, allowed := topLevel[b.typ]
		if b.typ == typMdat {
			return formatErrorf("mdat", off, "%w", errStrayMdat)
		}
		if b.typ == typUUID && isTimingUUID(seg, b) {
			treatment, allowed = treatDrop, true
		}
		if !allowed {
			return formatErrorf(b.typ.String(), off, "%w", errTopLevel)
		}
		placed := placedBox{box: b, treatment: treatment}
		if treatment == treatFragment {
			if placed.fragment, err = pl.addFragment(seg, b); err != nil {
				return err
			}
			placed.end = pl.fragments[placed.fragment].mdat.end
		}
		pl.boxes = append(pl.boxes, placed)
		off = placed.end
	}
	return nil
}

// addFragment pairs a moof with the mdat right behind it. A second mdat, or one elsewhere, is refused: players would skip
// it, and clear bytes could hide there (23000-19, 7.3.2.3: a chunk is one moof and one mdat).
func (pl *plan) addFragment(seg []byte, moof box) (int, error) {
	n := len(pl.fragments)
	if moof.end == len(seg) {
		return 0, formatErrorf(fmt.Sprintf("moof[%d]", n+1), moof.off, "%w", errNoMdat)
	}
	mdat, err := nextBox(seg, moof.end, len(seg))
	if err != nil {
		return 0, atPath("mdat", moof.end, err)
	}
	if mdat.typ != typMdat {
		return 0, formatErrorf(fmt.Sprintf("moof[%d]", n+1), moof.off, "%w", errNoMdat)
	}
	pl.fragments = append(pl.fragments, fragment{number: n + 1, moof: moof, mdat: mdat})
	return n, nil
}
