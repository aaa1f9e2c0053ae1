package segcrypt

import (
	"bytes"
	"slices"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// ssixBox builds an ssix: a list of ranges, each a level and a size, per subsegment.
func ssixBox(subsegments ...[]uint32) []byte {
	b := n32(0, uint32(len(subsegments)))
	for _, ranges := range subsegments {
		b = put32(b, uint32(len(ranges)))
		b = append(b, n32(ranges...)...)
	}
	return mk("ssix", b)
}

// level is one range of an ssix.
func level(n, size uint32) uint32 { return n<<24 | size }

// TestSsix: ranges follow the moofs that grew; where a range ends inside a moof, or the box is not of this segment, it is left
// out.
func TestSsix(t *testing.T) {
	one, two := defaultChunk().build(), with(func(c *chunkParts) { c.runs = simpleRun(10, 10, 140) })
	size := func(b []byte) uint32 { return uint32(len(b)) }
	const grown1, grown2 = 53 + 8*2, 53 + 8*3 // senc 16+8N, saiz 17, saio 20
	ssixSize := func(subsegments ...[]uint32) uint32 { return size(ssixBox(subsegments...)) }
	twoRanges := [][]uint32{{level(0, size(one)-60), level(1, 60)}, {level(0, size(two))}}
	both := func(first uint32) []byte { return sidxBox(0, first, size(one), size(two)) }
	bothOut := func(first uint32) []byte { return sidxBox(0, first, size(one)+grown1, size(two)+grown2) }
	for name, tc := range map[string]struct{ in, want []byte }{
		"a range to the end of a sample": {
			slices.Concat(both(ssixSize(twoRanges...)), ssixBox(twoRanges...)),
			slices.Concat(bothOut(ssixSize(twoRanges...)), ssixBox([]uint32{level(0, size(one)-60+grown1), level(1, 60)}, []uint32{level(0, size(two)+grown2)})),
		},
		"less than the subsegment": {
			slices.Concat(both(28), ssixBox([]uint32{}, []uint32{level(3, 0)})),
			slices.Concat(bothOut(28), ssixBox([]uint32{}, []uint32{level(3, 0)})),
		},
		"ends in a moof":           {slices.Concat(both(32), ssixBox([]uint32{level(0, 50)}, []uint32{level(0, 1)})), bothOut(0)},
		"longer than subsegment":   {slices.Concat(both(32), ssixBox([]uint32{level(0, size(one)+size(two))}, []uint32{level(0, 0)})), bothOut(0)},
		"too few subsegments":      {slices.Concat(both(24), ssixBox([]uint32{level(0, 0)})), bothOut(0)},
		"too many subsegments":     {slices.Concat(both(28), ssixBox([]uint32{}, []uint32{}, []uint32{})), bothOut(0)},
		"a range count of 2^32-1":  {slices.Concat(both(24), mk("ssix", n32(0, 2, 1<<32-1, 0))), bothOut(0)},
		"cut":                      {slices.Concat(both(12), mk("ssix", n32(0))), bothOut(0)},
		"without sidx":             {ssixBox([]uint32{level(0, 0)}), nil},
		"behind a sidx of nothing": {slices.Concat(sidxBox(0, 0, 1), ssixBox([]uint32{level(0, 0)})), nil},
	} {
		t.Run(name, func(t *testing.T) {
			pr := newTestProtector(t, initParts{}.build(), testProtection(drm.SchemeCenc))
			seg := slices.Concat(tc.in, one, two)
			out := mustProtect(t, pr, seg)
			media := mustProtect(t, pr, slices.Concat(one, two))
			if !bytes.Equal(out, slices.Concat(tc.want, media)) {
				t.Errorf("got  %x\nwant %x", out[:len(out)-len(media)], tc.want)
			}
			checkWriteTo(t, pr, seg, out)
		})
	}
}

// TestSidxTree: an index of indexes, each in front of what it describes, stays right.
func TestSidxTree(t *testing.T) {
	one, two := defaultChunk().build(), with(func(c *chunkParts) { c.runs = simpleRun(10, 10, 140) })
	tree := func(grown1, grown2 uint32) []byte {
		a, b := uint32(len(one))+grown1, uint32(len(two))+grown2
		leaf := sidxBox(0, 0, a)
		top := sidxBox(0, 0, 1<<31|uint32(len(leaf))+a, 1<<31|uint32(len(leaf))+b)
		return slices.Concat(top, leaf, one, sidxBox(0, 0, b), two)
	}
	pr := newTestProtector(t, initParts{}.build(), testProtection(drm.SchemeCenc))
	out, want := mustProtect(t, pr, tree(0, 0)), tree(53+16, 53+24)
	var got [][]byte
	index := func(b []byte) (boxes [][]byte) {
		for off := 0; off < len(b); {
			x, err := nextBox(b, off, len(b))
			if err != nil {
				t.Fatal(err)
			}
			if x.typ == typSidx {
				boxes = append(boxes, b[x.off:x.end])
			}
			off = x.end
		}
		return boxes
	}
	if got = index(out); !slices.EqualFunc(got, index(want), bytes.Equal) {
		t.Errorf("got  %x\nwant %x", got, index(want))
	}
}
