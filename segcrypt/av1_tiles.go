package segcrypt

import "math/bits"

// ns reads ns(n) (AV1, 4.10.7).
func (p *av1Parser) ns(n uint32) uint32 {
	w := uint(bits.Len32(n))
	if w == 0 {
		return 0
	}
	m := uint32(1)<<w - n
	v := p.u(w - 1)
	if v < m {
		return v
	}
	return v<<1 - m + p.u(1)
}

// tileLog2 is the smallest k with blk << k ≥ target (AV1, 5.9.16).
func tileLog2(blk, target uint32) uint32 {
	k := uint32(0)
	for uint64(blk)<<k < uint64(target) {
		k++
	}
	return k
}

// tileInfo reads tile_info (AV1, 5.9.15).
func (p *av1Parser) tileInfo() {
	sbLog2 := uint32(6)
	if p.seq.Use128x128Superblock {
		sbLog2 = 7
	}
	// Superblocks are counted in whole 8×8 units first, as MiCols and MiRows are.
	sbs := func(samples uint32) uint32 { return ((samples+7)&^7 + 1<<sbLog2 - 1) >> sbLog2 }
	cols, rows := sbs(p.frameWidth), sbs(p.height)
	if p.err != nil {
		return
	}
	maxWidth := uint32(av1MaxTileWidth) >> sbLog2
	minLog2Cols := tileLog2(maxWidth, cols)
	minLog2 := max(minLog2Cols, tileLog2(av1MaxTileArea>>(2*sbLog2), rows*cols))
	var colsLog2, rowsLog2 uint32
	if p.flag() {
		p.tileCols, colsLog2 = p.uniformTiles(cols, minLog2Cols)
		p.tileRows, rowsLog2 = p.uniformTiles(rows, minLog2-min(minLog2, colsLog2))
	} else {
		var widest uint32
		p.tileCols, widest = p.explicitTiles(cols, maxWidth)
		area := rows * cols
		if minLog2 > 0 {
			area >>= minLog2 + 1
		}
		p.tileRows, _ = p.explicitTiles(rows, max(area/max(widest, 1), 1))
		colsLog2, rowsLog2 = tileLog2(1, p.tileCols), tileLog2(1, p.tileRows)
	}
	if p.tileCols > av1MaxTiles || p.tileRows > av1MaxTiles {
		p.fail(errAV1Value)
	}
	if p.tileBits = uint(colsLog2 + rowsLog2); p.tileBits > 0 {
		p.u(p.tileBits)
		p.tileSizeBytes = int(p.u(2)) + 1
	}
}

func (p *av1Parser) uniformTiles(sbs, minLog2 uint32) (tiles, log2 uint32) {
	log2 = minLog2
	for limit := tileLog2(1, min(sbs, av1MaxTiles)); log2 < limit && p.flag(); {
		log2++
	}
	size := (sbs + 1<<log2 - 1) >> log2
	return (sbs + size - 1) / size, log2
}

func (p *av1Parser) explicitTiles(sbs, maxSize uint32) (tiles, widest uint32) {
	for start := uint32(0); start < sbs && p.err == nil; tiles++ {
		size := p.ns(min(sbs-start, maxSize)) + 1
		widest = max(widest, size)
		start += size
	}
	return tiles, widest
}
