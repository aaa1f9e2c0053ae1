package segcrypt

import (
	"cmp"
	"errors"
	"math"
	"slices"
)

// trackRun is one trun: samples of one track that lie one behind the other.
type trackRun struct {
	box   box
	traf  int // index into plan.trafs
	first int // index of the first sample in plan.samples
	count int
	at    int64 // where the samples begin in the segment
	size  int   // of all samples

	inFile bool // until placeRuns: at counts from the start of a file
}

// dataBase is what the data_offset of a traf's runs counts from: a place in the segment, or in a file that we see only part
// of, when it comes from base_data_offset.
type dataBase struct {
	at     int64
	inFile bool
}

var (
	errDataPlace  = errors.New("samples lie before mdat or on top of others")
	errDataPast   = errors.New("samples reach past the end of mdat")
	errDataUnused = errors.New("bytes of mdat belong to no sample")
	errDataBase   = errors.New("base_data_offset is out of range")
)

// implicitBase is the base of a traf that names none: the moof for the first one, the end of the data before for the others.
//
// Source: 14496-12, 8.8.7.1.
func (pl *plan) implicitBase(f *fragment) dataBase {
	if len(pl.runs) == f.firstRun {
		return dataBase{at: int64(f.moof.off)}
	}
	last := &pl.runs[len(pl.runs)-1]
	return dataBase{last.at + int64(last.size), last.inFile}
}

// dataBase returns the base that h names, or else the implicit one.
func (h *tfhd) dataBase(f *fragment, implicit dataBase) (dataBase, error) {
	switch {
	case h.flags&tfhdBaseOffset != 0:
		if h.base >= 1<<62 {
			return dataBase{}, errDataBase
		}
		return dataBase{int64(h.base), true}, nil
	case h.flags&tfhdBaseIsMoof != 0:
		return dataBase{at: int64(f.moof.off)}, nil
	}
	return implicit, nil
}

// readTrun appends one track run and its samples.
//
//	version(1) flags(3) sample_count(4) [data_offset(4)] [first_sample_flags(4)]
//	( [duration(4)] [size(4)] [flags(4)] [composition_time_offset(4)] ) × sample_count
//
// Without data_offset the first run of a traf begins at the base, and others where the run before ended (14496-12, 8.8.8.1).
func (pl *plan) readTrun(f *fragment, t *trackFragment, b box, base dataBase) error {
	p := b.payload()
	if b.header != 8 || b.end-p < 8 {
		return errBoxLength
	}
	r := trackRun{box: b, traf: len(pl.trafs), first: len(pl.samples), at: base.at, inFile: base.inFile}
	flags, count := be32(pl.seg, p)&0xffffff, be32(pl.seg, p+4)
	p += 8
	switch n := len(pl.runs); {
	case flags&trunDataOffset != 0:
		if b.end-p < 4 {
			return errBoxLength
		}
		r.at += int64(int32(be32(pl.seg, p)))
		p += 4
	case n > f.firstRun && pl.runs[n-1].traf == r.traf:
		r.at = pl.runs[n-1].at + int64(pl.runs[n-1].size)
	case base == dataBase{at: int64(f.moof.off)}:
		// Data at the first byte of moof cannot be meant; without any offset it is what mdat begins with.
		r.at = int64(f.mdat.payload())
	}
	if flags&trunFirstFlags != 0 {
		p += 4
	}
	stride, sizeAt := trunStride(flags)
	if p > b.end || uint64(b.end-p) != uint64(stride)*uint64(count) {
		return errBoxLength
	}
	if uint64(count) > uint64(maxSamples-len(pl.samples)) {
		return errSampleCount
	}
	r.count = int(count)
	for room := f.mdat.end - f.mdat.payload(); count > 0; count-- {
		size := t.tfhd.defaults.sampleSize
		if sizeAt >= 0 {
			size = be32(pl.seg, p+sizeAt)
		}
		p += stride
		if uint64(size) > uint64(room-r.size) {
			return errDataPast
		}
		pl.samples = append(pl.samples, sample{size: int(size)})
		r.size += int(size)
	}
	pl.runs = append(pl.runs, r)
	return nil
}

// trunStride returns the bytes per sample of a trun, and where the size is among them; -1 for nowhere.
func trunStride(flags uint32) (stride, sizeAt int) {
	sizeAt = -1
	for _, field := range [...]uint32{trunDuration, trunSize, trunFlags, trunComposed} {
		if flags&field == 0 {
			continue
		}
		if field == trunSize {
			sizeAt = stride
		}
		stride += 4
	}
	return stride, sizeAt
}

// placeRuns checks that the runs of f, in whatever order, fill mdat: every byte belongs to exactly one sample, so that no
// clear byte can stand beside them. It lists them in the order of their data in pl.order.
func (pl *plan) placeRuns(f *fragment) error {
	runs := pl.runs[f.firstRun:]
	f.shiftToSegment(runs)
	first := len(pl.order)
	for i := range runs {
		pl.order = append(pl.order, f.firstRun+i)
	}
	order := pl.order[first:]
	byPlace := func(a, b int) int { return cmp.Compare(pl.runs[a].at, pl.runs[b].at) }
	if !slices.IsSortedFunc(order, byPlace) {
		slices.SortStableFunc(order, byPlace)
	}
	start, end := int64(f.mdat.payload()), int64(f.mdat.end)
	at := start
	for _, i := range order {
		r := &pl.runs[i]
		switch {
		case r.size == 0 && r.at >= start && r.at <= end: // wherever
		case r.at < at || r.size == 0:
			return numberTraf(formatErrorf("moof/traf/trun", r.box.off, "%w", errDataPlace), r.traf-f.firstTraf+1)
		case r.at > at:
			return formatErrorf("mdat", int(at), "%w", errDataUnused)
		case int64(r.size) > end-at:
			return numberTraf(formatErrorf("moof/traf/trun", r.box.off, "%w", errDataPast), r.traf-f.firstTraf+1)
		}
		at += int64(r.size)
	}
	if at != end {
		return formatErrorf("mdat", int(at), "%w", errDataUnused)
	}
	return nil
}

// shiftToSegment turns places in a file into places in the segment. Where the segment lies in the file is not known, and files
// that were cut or joined leave it wrong; but what mdat begins with must be the first data.
func (f *fragment) shiftToSegment(runs []trackRun) {
	lowest := int64(math.MaxInt64)
	for i := range runs {
		if r := &runs[i]; r.inFile && r.size > 0 {
			lowest = min(lowest, r.at)
		}
	}
	for i := range runs {
		r := &runs[i]
		switch {
		case !r.inFile:
		case lowest == math.MaxInt64: // no data at all
			r.at = int64(f.mdat.payload())
		default:
			r.at += int64(f.mdat.payload()) - lowest
		}
		r.inFile = false
	}
}
