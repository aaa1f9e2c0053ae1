package segcrypt

import (
	"errors"
	"fmt"
)

// Constants of the VP9 bitstream specification, section 3, and of its Annex B (superframes).
const (
	vp9NumRefs, vp9RefsPerFrame   = 8, 3
	vp9MaxFrames                  = 8 // in a superframe
	vp9SyncCode                   = 0x498342
	vp9ColorRGB                   = 7
	vp9MinTileSB64, vp9MaxTileB64 = 4, 64
)

var (
	errVP9Value      = errors.New("a VP9 frame header has a value out of range")
	errVP9Superframe = errors.New("the frames of a VP9 superframe do not add up to the sample")
	errVP9Reference  = fmt.Errorf("%w: a VP9 frame takes its size from a frame that was not read", ErrParameterSets)
)

// vp9State is what frame headers hand on to later ones: the widths of the reference frames (0 for one that was not read),
// which decide how many bits tile_info has. Copying it takes a snapshot.
type vp9State struct {
	widths [vp9NumRefs]uint32
}

// walk adds the frames of one sample to runs: of each frame the uncompressed header stays clear, and after the last the
// superframe index (VP Codec ISO Media File Format Binding, Common Encryption).
func (st *vp9State) walk(sample []byte, runs *subsampleBuilder) error {
	var sizes [vp9MaxFrames]int
	frames, index, err := vp9Superframe(sample, &sizes)
	if err != nil {
		return err
	}
	at := 0
	for _, size := range sizes[:frames] {
		if size == 0 {
			continue
		}
		header, err := st.header(sample[at : at+size])
		if err != nil {
			return err
		}
		runs.add(header, size-header)
		at += size
	}
	runs.add(index, 0)
	return nil
}

// vp9Superframe reads the superframe index at the end of a sample: how many frames there are, their sizes, and its own size.
// A sample without one is one frame (VP9, Annex B.2 and B.3).
//
//	marker(1) ( frame_size, little-endian, 1 to 4 bytes ) × frames marker(1)        marker: 110, size bytes − 1 (2 bits), frames − 1 (3 bits)
func vp9Superframe(b []byte, sizes *[vp9MaxFrames]int) (frames, index int, err error) {
	sizes[0] = len(b)
	if len(b) == 0 {
		return 0, 0, nil
	}
	marker := b[len(b)-1]
	sizeBytes := int(marker>>3&3) + 1
	frames = int(marker&7) + 1
	index = 2 + frames*sizeBytes
	if marker>>5 != 6 || index > len(b) || b[len(b)-index] != marker {
		return 1, 0, nil
	}
	left := len(b) - index
	at := left + 1
	for i := range frames {
		size := uint64(0)
		for j := range sizeBytes {
			size |= uint64(b[at+j]) << (8 * j)
		}
		at += sizeBytes
		if size > uint64(left) {
			return 0, 0, errVP9Superframe
		}
		sizes[i] = int(size)
		left -= int(size)
	}
	if left != 0 {
		return 0, 0, errVP9Superframe
	}
	return frames, index, nil
}

// vp9Parser reads one uncompressed_header (VP9, 6.2) for its length.
type vp9Parser struct {
	bitReader
	st      *vp9State
	profile uint32
	width   uint32
}

// header returns the bytes of the uncompressed header of a frame, trailing bits included, and notes what later frames need.
func (st *vp9State) header(frame []byte) (int, error) {
	p := vp9Parser{bitReader: bitReader{buf: frame}, st: st}
	if p.u(2) != 2 {
		p.fail(errVP9Value)
	}
	p.profile = p.u(1) | p.u(1)<<1
	if p.profile == 3 && p.flag() {
		p.fail(errVP9Value)
	}
	if p.flag() { // show_existing_frame: nothing else follows
		p.skip(3)
		return p.bytesRead(), p.err
	}
	refresh := p.frame()
	p.filters()
	p.segmentation()
	p.tiles()
	if p.u(16) == 0 { // header_size_in_bytes, of the compressed header
		p.fail(errVP9Value)
	}
	if p.err != nil {
		return 0, p.err
	}
	for i := range st.widths {
		if refresh>>i&1 == 1 {
			st.widths[i] = p.width
		}
	}
	return p.bytesRead(), nil
}

// frame reads from frame_type to frame_context_idx and returns refresh_frame_flags.
func (p *vp9Parser) frame() (refresh uint32) {
	inter, shown, resilient := p.flag(), p.flag(), p.flag()
	refresh = 0xff
	if !inter {
		p.sync()
		p.color()
		p.frameSize()
		p.renderSize()
	} else {
		intraOnly := !shown && p.flag()
		if !resilient {
			p.skip(2)
		}
		if intraOnly {
			refresh = p.intraOnly()
		} else {
			refresh = p.interFrame()
		}
	}
	if !resilient {
		p.skip(2)
	}
	p.skip(2)
	return refresh
}

func (p *vp9Parser) sync() {
	if p.u(24) != vp9SyncCode {
		p.fail(errVP9Value)
	}
}

// color reads color_config.
func (p *vp9Parser) color() {
	if p.profile >= 2 {
		p.skip(1)
	}
	if p.u(3) == vp9ColorRGB {
		p.skip(uint64(p.profile & 1))
		return
	}
	p.skip(1)
	if p.profile&1 == 1 {
		p.skip(3)
	}
}

func (p *vp9Parser) intraOnly() (refresh uint32) {
	p.sync()
	if p.profile > 0 {
		p.color()
	}
	refresh = p.u(8)
	p.frameSize()
	p.renderSize()
	return refresh
}

func (p *vp9Parser) interFrame() (refresh uint32) {
	refresh = p.u(8)
	var refs [vp9RefsPerFrame]uint32
	for i := range refs {
		refs[i] = p.u(3)
		p.skip(1)
	}
	found := false
	for _, i := range refs {
		if found = p.flag(); !found {
			continue
		}
		if p.width = p.st.widths[i]; p.width == 0 {
			p.fail(errVP9Reference)
		}
		break
	}
	if !found {
		p.frameSize()
	}
	p.renderSize()
	p.skip(1)
	if !p.flag() { // is_filter_switchable
		p.skip(2)
	}
	return refresh
}

func (p *vp9Parser) frameSize() {
	p.width = p.u(16) + 1
	p.skip(16)
}

func (p *vp9Parser) renderSize() {
	if p.flag() {
		p.skip(32)
	}
}

// filters reads loop_filter_params and quantization_params.
func (p *vp9Parser) filters() {
	p.skip(9)
	if p.flag() && p.flag() {
		for range 4 + 2 {
			p.optional(7)
		}
	}
	p.skip(8)
	for range 3 {
		p.optional(5)
	}
}

// optional reads a flag and, if it is set, n bits.
func (p *vp9Parser) optional(n uint64) {
	if p.flag() {
		p.skip(n)
	}
}

// segmentation reads segmentation_params.
func (p *vp9Parser) segmentation() {
	if !p.flag() {
		return
	}
	if p.flag() {
		for range 7 {
			p.optional(8)
		}
		if p.flag() {
			for range 3 {
				p.optional(8)
			}
		}
	}
	if !p.flag() {
		return
	}
	p.skip(1)
	featureBits := [4]uint64{8 + 1, 6 + 1, 2, 0} // two are signed
	for range 8 {
		for _, n := range featureBits {
			p.optional(n)
		}
	}
}

// tiles reads tile_info; its length depends on the width of the frame.
func (p *vp9Parser) tiles() {
	if p.err != nil {
		return
	}
	columns := ((p.width+7)>>3 + 7) >> 3
	least, most := uint32(0), uint32(1)
	for vp9MaxTileB64<<least < columns {
		least++
	}
	for columns>>most >= vp9MinTileSB64 {
		most++
	}
	for most--; least < most && p.flag(); {
		least++
	}
	p.optional(1)
}
