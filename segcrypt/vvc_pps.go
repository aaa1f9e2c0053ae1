package segcrypt

import "bytes"

// vvcSubstreams is how many substreams the data of a slice has: one for each tile, or with entropy coding synchronization one
// for each row of CTUs in each tile. All but the first have an entry point in the slice header.
type vvcSubstreams struct{ tiles, rows uint32 }

// vvcPPS holds what the length of picture and slice headers depends on, and the NAL unit that it was read from.
type vvcPPS struct {
	raw                      []byte
	spsID                    uint32
	height                   uint32 // luma samples
	ctuLog2                  uint   // of a partitioned picture
	outputFlag               bool
	noPartition              bool
	rectSlices               bool
	columns                  uint32
	rowHeights               []uint32        // of tile rows, in CTUs
	slices                   []vvcSubstreams // of rectangular slices
	cabacInit                bool
	refIdxDefault            [2]uint32
	list1Index               bool
	weightedPred, weightedBi bool
	cuQPDelta                bool
	chromaToolOffsets        bool
	sliceChromaOffsets       bool
	chromaOffsetList         bool
	deblockOverride          bool
	deblockDisabled          bool
	deblockInPH              bool
	refListsInPH, saoInPH    bool
	alfInPH, weightsInPH     bool
	qpDeltaInPH              bool
	phExtension, shExtension bool
}

// Limits of the highest level that also bound loops (A.4.1).
const (
	vvcMaxTiles, vvcMaxSlices = 33, 1000 // tiles in a row and in a column
	vvcMaxSamples             = 1 << 16
)

// tiles is the number of tiles in a picture.
func (q *vvcPPS) tiles() uint32 { return q.columns * uint32(len(q.rowHeights)) }

// addPPS reads a picture parameter set NAL unit (7.3.2.5).
func (p *vvcParams) addPPS(nal []byte) error {
	r := bitReader{buf: nal, escaped: true}
	q := &vvcPPS{rectSlices: true, columns: 1}
	r.skip(16)
	id := r.u(6)
	q.spsID = r.u(4)
	r.skip(1)
	width := r.ueMax(vvcMaxSamples, errVVCParam)
	q.height = r.ueMax(vvcMaxSamples, errVVCParam)
	if r.flag() {
		for range 4 {
			r.ue()
		}
	}
	if r.flag() {
		for range 4 {
			r.se()
		}
	}
	q.outputFlag, q.noPartition = r.flag(), r.flag()
	if r.flag() { // pps_subpic_id_mapping_present_flag
		if !q.noPartition && r.ue() != 0 {
			r.fail(errVVCSubpics)
		}
		r.u(uint(r.ueMax(15, errVVCParam)) + 1)
	}
	if !q.noPartition {
		q.partition(&r, width)
	}
	q.inter(&r)
	q.quantization(&r)
	q.deblocking(&r)
	if !q.noPartition {
		q.refListsInPH, q.saoInPH, q.alfInPH = r.flag(), r.flag(), r.flag()
		q.weightsInPH = (q.weightedPred || q.weightedBi) && q.refListsInPH && r.flag()
		q.qpDeltaInPH = r.flag()
	}
	q.phExtension, q.shExtension = r.flag(), r.flag()
	if r.flag() { // pps_extension_flag: could change slice headers
		r.fail(errVVCParam)
	}
	r.trailingBits(errVVCParam)
	if r.err != nil {
		return r.err
	}
	q.raw = bytes.Clone(nal)
	p.pps[id] = q
	return nil
}

// partition reads from pps_log2_ctu_size_minus5 to pps_loop_filter_across_slices_enabled_flag.
func (q *vvcPPS) partition(r *bitReader, width uint32) {
	q.ctuLog2 = uint(r.u(2)) + 5
	ctus := func(samples uint32) uint32 { return (samples + 1<<q.ctuLog2 - 1) >> q.ctuLog2 }
	columns, rows := r.ueMax(vvcMaxTiles-1, errVVCParam)+1, r.ueMax(vvcMaxTiles-1, errVVCParam)+1
	var sizes [vvcMaxTiles]uint32
	q.columns = uint32(len(vvcTileSizes(r, sizes[:0], columns, ctus(width))))
	q.rowHeights = append(q.rowHeights, vvcTileSizes(r, sizes[:0], rows, ctus(q.height))...)
	if r.err != nil {
		return
	}
	if q.tiles() > 1 {
		r.skip(1)
		q.rectSlices = r.flag()
	}
	single := true
	if q.rectSlices {
		if single = r.flag(); single {
			q.slices = []vvcSubstreams{q.substreams(0, q.columns, uint32(len(q.rowHeights)))}
		} else {
			q.rectangles(r)
		}
	}
	if !q.rectSlices || single || len(q.slices) > 1 {
		r.skip(1)
	}
}

// vvcTileSizes reads the explicit widths or heights of tiles, in CTUs; the last of them goes on to the end of the picture.
func vvcTileSizes(r *bitReader, sizes []uint32, explicit, left uint32) []uint32 {
	size := uint32(0)
	for ; explicit > 0 && r.err == nil; explicit-- {
		if size = r.ue() + 1; size > left || size == 0 {
			r.fail(errVVCParam)
			return sizes
		}
		sizes, left = append(sizes, size), left-size
	}
	for left > 0 && r.err == nil {
		if len(sizes) == vvcMaxTiles {
			r.fail(errVVCParam)
			return sizes
		}
		size = min(size, left)
		sizes, left = append(sizes, size), left-size
	}
	return sizes
}

// substreams counts those of the rectangle of tiles whose first is tile.
func (q *vvcPPS) substreams(tile, columns, rows uint32) vvcSubstreams {
	first := tile / q.columns
	s := vvcSubstreams{tiles: columns * rows}
	for _, height := range q.rowHeights[first : first+rows] {
		s.rows += columns * height
	}
	return s
}

// rectangles reads the layout of rectangular slices and fills q.slices (7.3.2.5; 6.5.1, equation 21).
func (q *vvcPPS) rectangles(r *bitReader) {
	slices := r.ueMax(vvcMaxSlices-1, errVVCParam) + 1
	jumps := slices > 2 && r.flag() // pps_tile_idx_delta_present_flag
	tile, height := uint32(0), uint32(1)
	for uint32(len(q.slices)) < slices && r.err == nil {
		column, row, rows := tile%q.columns, tile/q.columns, uint32(len(q.rowHeights))
		if row >= rows {
			r.fail(errVVCParam)
			return
		}
		if uint32(len(q.slices)) == slices-1 { // the last takes what is left
			q.slices = append(q.slices, q.substreams(tile, q.columns-column, rows-row))
			return
		}
		width := uint32(1)
		if column != q.columns-1 {
			width += r.ueMax(q.columns-column-1, errVVCParam)
		}
		switch {
		case row == rows-1:
			height = 1
		case jumps || column == 0:
			height = 1 + r.ueMax(rows-row-1, errVVCParam)
		}
		if height > rows-row {
			r.fail(errVVCParam)
		}
		if r.err != nil {
			return
		}
		if width == 1 && height == 1 && q.rowHeights[row] > 1 {
			q.tileSlices(r, q.rowHeights[row])
		} else {
			q.slices = append(q.slices, q.substreams(tile, width, height))
		}
		switch {
		case uint32(len(q.slices)) >= slices:
		case jumps:
			tile = uint32(int64(tile) + int64(r.se()))
		default:
			if tile += width; tile%q.columns == 0 {
				tile += (height - 1) * q.columns
			}
		}
	}
	if uint32(len(q.slices)) != slices {
		r.fail(errVVCParam)
	}
}

// tileSlices reads the slices that one tile of so many rows of CTUs is cut into.
func (q *vvcPPS) tileSlices(r *bitReader, left uint32) {
	n := r.ueMax(left-1, errVVCParam)
	if n == 0 {
		q.slices = append(q.slices, vvcSubstreams{1, left})
		return
	}
	size := uint32(0)
	for ; n > 0 && r.err == nil; n-- {
		if size = r.ue() + 1; size > left || size == 0 {
			r.fail(errVVCParam)
			return
		}
		q.slices, left = append(q.slices, vvcSubstreams{1, size}), left-size
	}
	for left > 0 && r.err == nil {
		size = min(size, left)
		q.slices, left = append(q.slices, vvcSubstreams{1, size}), left-size
	}
}

// inter reads from pps_cabac_init_present_flag to pps_pic_width_minus_wraparound_offset.
func (q *vvcPPS) inter(r *bitReader) {
	q.cabacInit = r.flag()
	for i := range q.refIdxDefault {
		q.refIdxDefault[i] = r.ueMax(14, errVVCParam) + 1
	}
	q.list1Index = r.flag()
	q.weightedPred, q.weightedBi = r.flag(), r.flag()
	if r.flag() {
		r.ue()
	}
}

// quantization reads from pps_init_qp_minus26 to the chroma offset lists.
func (q *vvcPPS) quantization(r *bitReader) {
	r.se()
	q.cuQPDelta = r.flag()
	if q.chromaToolOffsets = r.flag(); !q.chromaToolOffsets {
		return
	}
	r.se()
	r.se()
	joint := r.flag()
	if joint {
		r.se()
	}
	q.sliceChromaOffsets = r.flag()
	if q.chromaOffsetList = r.flag(); !q.chromaOffsetList {
		return
	}
	n := r.ueMax(5, errVVCParam) + 1
	for range n {
		r.se()
		r.se()
		if joint {
			r.se()
		}
	}
}

// deblocking reads from pps_deblocking_filter_control_present_flag to pps_cr_tc_offset_div2.
func (q *vvcPPS) deblocking(r *bitReader) {
	if !r.flag() {
		return
	}
	q.deblockOverride, q.deblockDisabled = r.flag(), r.flag()
	q.deblockInPH = !q.noPartition && q.deblockOverride && r.flag()
	if !q.deblockDisabled {
		q.deblockOffsets(r)
	}
}

// deblockOffsets reads the filter offsets of a parameter set, picture or slice.
func (q *vvcPPS) deblockOffsets(r *bitReader) {
	n := 2
	if q.chromaToolOffsets {
		n = 6
	}
	for range n {
		r.se()
	}
}
