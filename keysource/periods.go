package keysource

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sync"

	"github.com/caddy-drm/caddy-drm/drm"
)

const (
	// blockPeriods is how many crypto periods are named together.
	blockPeriods = 256
	// maxIndexed bounds the names in memory, 8 bytes each: those of a hundred titles with keys for five classes in 4096 crypto periods.
	maxIndexed = 1 << 21
)

// periodIndex tells in which crypto periods of a title a key may be, of a source that tells names without asking anybody: to derive the names
// of thousands of them costs milliseconds, and anybody may ask for a key that there is not, again and again. It is safe for concurrent use.
type periodIndex struct {
	mu     sync.Mutex
	blocks map[Title][]indexedName // by their first period
	names  int                     // in all blocks
}

// indexedName is the beginning of a name, and the crypto period of the key. Blocks are in the order of names.
type indexedName struct{ begin, period uint32 }

func beginOf(kid drm.KID) uint32 { return binary.BigEndian.Uint32(kid[:]) }

// block returns the names in blockPeriods crypto periods from that of t on.
func (x *periodIndex) block(t Title, namer Namer) []indexedName {
	x.mu.Lock()
	block, known := x.blocks[t]
	x.mu.Unlock()
	if known {
		return block
	}
	of := t
	for n := range uint32(blockPeriods) {
		of.Period = t.Period + n
		kids, err := namer.KIDs(of)
		if err != nil { // it has no keys
			continue
		}
		for _, kid := range kids {
			block = append(block, indexedName{beginOf(kid), of.Period})
		}
	}
	slices.SortFunc(block, func(a, b indexedName) int { return cmp.Compare(a.begin, b.begin) })
	x.keep(t, slices.Clip(block))
	return block
}

// keep remembers a block. Where there is no room, what comes first to hand goes: who asks for more titles than there is room for does not drive
// out all that others ask for.
func (x *periodIndex) keep(t Title, block []indexedName) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, known := x.blocks[t]; known {
		return
	}
	for other, names := range x.blocks {
		if x.names+len(block) <= maxIndexed {
			break
		}
		x.names -= len(names)
		delete(x.blocks, other)
	}
	x.blocks[t] = block
	x.names += len(block)
}

// PeriodsOf returns the crypto periods from first to last, in their order, in which t may have one of kids: few of a Namer, and all of another
// source. t.Period does not matter. What it returns is for MayHold to look at.
func (c *Cached) PeriodsOf(t Title, first, last uint32, kids []drm.KID) (periods []uint32) {
	namer, ok := c.src.(Namer)
	if !ok {
		for n := range last - first + 1 {
			periods = append(periods, first+n)
		}
		return periods
	}
	for number := first / blockPeriods; number <= last/blockPeriods; number++ {
		t.Period = number * blockPeriods
		block := c.periods.block(t, namer)
		for _, kid := range kids {
			begin := beginOf(kid)
			at, _ := slices.BinarySearchFunc(block, begin, func(name indexedName, begin uint32) int { return cmp.Compare(name.begin, begin) })
			for ; at < len(block) && block[at].begin == begin; at++ {
				if period := block[at].period; first <= period && period <= last {
					periods = append(periods, period)
				}
			}
		}
	}
	slices.Sort(periods)
	return slices.Compact(periods)
}
