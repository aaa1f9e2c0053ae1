package segcrypt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// indexBox is a sidx in words; see segmentIndex for the layout.
type indexBox struct {
	version           byte
	stream, timescale uint32
	earliest, first   uint64
	references        [][2]uint32 // size, with the bit of reference_type, and duration
}

const toIndex = 1 << 31 // reference_type

func (x indexBox) build() []byte {
	b := n32(uint32(x.version)<<24, x.stream, x.timescale)
	if x.version == 0 {
		b = append(b, n32(uint32(x.earliest), uint32(x.first))...)
	} else {
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, x.earliest), x.first)
	}
	b = append(b, n32(uint32(len(x.references)))...)
	for _, r := range x.references {
		b = append(b, n32(r[0], r[1], 0x90000000)...)
	}
	return mk("sidx", b)
}

// index is a box of stream 1 at 1,000 ticks per second.
func index(earliest, first uint64, references ...[2]uint32) []byte {
	return indexBox{0, 1, 1000, earliest, first, references}.build()
}

func blank(n int) []byte { return make([]byte, n) }

// readFile reads the index in the bytes [from, to) of a file, with the rest of the file to fetch from.
func readFile(file []byte, from, to int) (*Index, int, error) {
	fetches := 0
	x, err := ReadIndex(file[from:to], uint64(from), func(offset, length uint64) (Clear, error) {
		fetches++
		if offset > uint64(len(file)) || length > uint64(len(file))-offset {
			return nil, errShort
		}
		return file[offset : offset+length], nil
	})
	return x, fetches, err
}

var errShort = errors.New("past the end of the file")

// indexFile is a file, the range of it that is read first, and what comes of that.
type indexFile struct {
	file     []byte
	from, to int
	offsets  [3]uint64
	fetches  int
}

// indexFiles are files whose index says the same: 100, 200 and 300 bytes for 5, 5 and 6 ticks from tick 10. Where the media
// lie differs.
func indexFiles() map[string]indexFile {
	one, two, three := [2]uint32{100, 5}, [2]uint32{200, 5}, [2]uint32{300, 6}
	lead := mk("ftyp", blank(12)) // 20 bytes in front of the index
	flat := index(10, 0, one, two, three)
	n := uint64(len(flat))
	at := func(first uint64) [3]uint64 { return [3]uint64{first, first + 100, first + 300} }
	large := append(put32(put32(nil, 1), uint32(typSidx)), binary.BigEndian.AppendUint64(nil, n+8)...)
	// A box of 1 reference has 44 bytes, one of 2 has 56.
	inner, rest := index(10, 0, one, two), index(20, 0, three)
	front := slices.Concat(index(10, 0, [2]uint32{toIndex | 56, 10}, [2]uint32{toIndex | 44, 6}), index(10, 44, one, two), index(20, 300, three))
	tree := slices.Concat(
		index(10, 0, [2]uint32{toIndex | (56 + 300), 10}, [2]uint32{toIndex | (44 + 300), 6}), inner, mk("moof", blank(92)), blank(200), rest, blank(300))
	chain := slices.Concat(index(10, 0, one, [2]uint32{toIndex | 600, 11}), mk("moof", blank(92)),
		index(15, 0, two, [2]uint32{toIndex | 344, 6}), blank(200), rest, blank(300))
	return map[string]indexFile{
		"one box":                 {slices.Concat(lead, flat), 20, 20 + int(n), at(20 + n), 0},
		"version 1":               {indexBox{1, 1, 1000, 10, 0, [][2]uint32{one, two, three}}.build(), 0, 76, at(76), 0},
		"first_offset":            {index(10, 1000, one, two, three), 0, int(n), at(n + 1000), 0},
		"a size of 64 bits":       {slices.Concat(large, flat[8:]), 0, int(n) + 8, at(n + 8), 0},
		"other boxes around":      {slices.Concat(mk("styp", blank(8)), mk("free", blank(4)), flat, mk("ssix", n32(0, 0)), mk("moof", blank(500))[:30]), 0, 28 + int(n) + 16 + 30, at(28 + n), 0},
		"cut box behind":          {slices.Concat(flat, mk("ssix", blank(50))[:20]), 0, int(n) + 20, at(n), 0},
		"cut header behind":       {slices.Concat(flat, blank(5)), 0, int(n) + 5, at(n), 0},
		"one behind the other":    {slices.Concat(index(10, 44, one, two), index(20, 300, three)), 0, 100, at(100), 0},
		"another stream's behind": {slices.Concat(flat, indexBox{0, 2, 48000, 0, 0, [][2]uint32{{7, 7}}}.build()), 0, int(n) + 44, at(n), 0},
		"a tree in front":         {front, 0, 156, at(156), 0},
		"a tree in front, cut":    {front, 0, 56, at(156), 2},
		"a tree between media":    {tree, 0, 56, [3]uint64{112, 212, 456}, 2},
		"a tree, all of it":       {tree, 0, len(tree), [3]uint64{112, 212, 456}, 0},
		"a chain":                 {chain, 0, 56, [3]uint64{56, 212, 456}, 2},
		"a chain, all of it":      {chain, 0, len(chain), [3]uint64{56, 212, 456}, 0},
		"a chain, cut in a box":   {chain, 0, 170, [3]uint64{56, 212, 456}, 2},
	}
}

func TestReadIndex(t *testing.T) {
	for name, test := range indexFiles() {
		t.Run(name, func(t *testing.T) {
			x, fetches, err := readFile(test.file, test.from, test.to)
			if err != nil {
				t.Fatal(err)
			}
			want := []IndexEntry{{test.offsets[0], 100, 10, 5}, {test.offsets[1], 200, 15, 5}, {test.offsets[2], 300, 20, 6}}
			if diff := cmp.Diff(want, x.Entries); diff != "" || x.Timescale != 1000 {
				t.Errorf("timescale %d\n%s", x.Timescale, diff)
			}
			if fetches != test.fetches {
				t.Errorf("fetched %d times, want %d", fetches, test.fetches)
			}
		})
	}
}

// TestReadIndexFollowsLongChains: a chain of 1,000 indexes is as deep as one.
func TestReadIndexFollowsLongChains(t *testing.T) {
	const links = 1000
	var file []byte
	for i := range uint32(links - 1) {
		left := links - 1 - i
		file = slices.Concat(file, index(uint64(2*i), 0, [2]uint32{10, 2}, [2]uint32{toIndex | (left*66 - 12), 2 * left}), blank(10))
	}
	file = slices.Concat(file, index(2*(links-1), 0, [2]uint32{10, 2}), blank(10))
	x, fetches, err := readFile(file, 0, len(file))
	if err != nil || len(x.Entries) != links || fetches != 0 {
		t.Fatal(err, x, fetches)
	}
	if last := x.Entries[links-1]; last != (IndexEntry{uint64(len(file)) - 10, 10, 2 * (links - 1), 2}) {
		t.Errorf("%+v", last)
	}
	if _, fetches, err = readFile(file, 0, 56); !errors.Is(err, errIndexLimit) || fetches != maxIndexFetches {
		t.Errorf("%v after %d fetches", err, fetches)
	}
}

// TestReadIndexFetchesLongIndexes: the window is asked for first, then the whole box.
func TestReadIndexFetchesLongIndexes(t *testing.T) {
	many := make([][2]uint32, 1000)
	for i := range many {
		many[i] = [2]uint32{10, 1}
	}
	nested := slices.Concat(mk("styp", blank(16)), index(0, 0, many...))
	file := slices.Concat(index(0, 0, [2]uint32{toIndex | uint32(len(nested)+10_000), 1000}), nested, blank(10_000))
	x, fetches, err := readFile(file, 0, 44)
	if err != nil || len(x.Entries) != 1000 || fetches != 2 {
		t.Fatal(err, fetches)
	}
}

func TestReadIndexRefuses(t *testing.T) {
	good := index(10, 0, [2]uint32{100, 5})
	changed := func(at int, b ...byte) []byte {
		c := bytes.Clone(good)
		copy(c[at:], b)
		return c
	}
	nest := func(levels int) []byte {
		b := slices.Concat(good, blank(100))
		for range levels {
			// A second reference, so that the first is not the tail of a chain.
			b = slices.Concat(index(10, 0, [2]uint32{toIndex | uint32(len(b)), 5}, [2]uint32{100, 5}), b, blank(100))
		}
		return b
	}
	full := make([][2]uint32, 65_535)
	for i := range full {
		full[i] = [2]uint32{1, 1}
	}
	tests := map[string]struct {
		file   []byte
		want   error
		offset int64
	}{
		"empty":                     {nil, errIndexMissing, 0},
		"no index":                  {mk("free", blank(30)), errIndexMissing, 0},
		"media first":               {slices.Concat(mk("moof"), good), errIndexMissing, 0},
		"cut":                       {good[:len(good)-1], errBoxTruncated, 0},
		"second cut":                {slices.Concat(good, good[:20]), errBoxTruncated, 44},
		"too short":                 {mk("sidx", blank(20)), errBoxLength, 0},
		"too short for version 1":   {mk("sidx", []byte{1}, blank(27)), errBoxLength, 0},
		"more bytes than entries":   {mk("sidx", good[8:], blank(12)), errBoxLength, 0},
		"more entries than bytes":   {changed(31, 2), errBoxLength, 0},
		"2^16-1 entries in 1":       {changed(30, 255, 255), errBoxLength, 0},
		"version 2":                 {changed(8, 2), errIndexVersion, 0},
		"timescale 0":               {changed(16, 0, 0, 0, 0), errIndexTimescale, 0},
		"box size 0":                {changed(0, 0, 0, 0, 0), errBoxOpenEnded, 0},
		"box size 7":                {changed(0, 0, 0, 0, 7), errBoxSize, 0},
		"no entries":                {index(0, 0), errIndexEmpty, 0},
		"size 0":                    {index(0, 0, [2]uint32{0, 5}), errIndexReference, 0},
		"duration 0":                {index(0, 0, [2]uint32{5, 0}), errIndexReference, 0},
		"first_offset near 2^64":    {indexBox{1, 1, 1, 0, math.MaxUint64 - 20, [][2]uint32{{1, 1}}}.build(), errIndexRange, 0},
		"first_offset near 2^63":    {indexBox{1, 1, 1, 0, maxFileSize - 52 - 9, [][2]uint32{{10, 1}}}.build(), errIndexRange, 0},
		"time past 2^63":            {indexBox{1, 1, 1, 1 << 63, 0, [][2]uint32{{1, 1}}}.build(), errIndexRange, 0},
		"time near 2^63":            {indexBox{1, 1, 1, maxFileSize - 1, 0, [][2]uint32{{1, 2}}}.build(), errIndexRange, 0},
		"second goes back in time":  {slices.Concat(index(10, 100, [2]uint32{100, 5}), index(14, 200, [2]uint32{100, 5})), errIndexOrder, 44},
		"second goes back in file":  {slices.Concat(index(10, 100, [2]uint32{100, 5}), index(15, 155, [2]uint32{100, 5})), errIndexOrder, 44},
		"second has a timescale":    {slices.Concat(good, indexBox{0, 1, 90000, 900, 200, [][2]uint32{{1, 1}}}.build()), errIndexTimescale, 44},
		"nested of another stream":  {slices.Concat(index(0, 0, [2]uint32{toIndex | 44, 5}), indexBox{0, 2, 1000, 0, 0, [][2]uint32{{1, 1}}}.build()), errIndexStream, 44},
		"nested is media":           {slices.Concat(index(0, 0, [2]uint32{toIndex | 44, 5}), mk("moof", blank(36))), errIndexMissing, 44},
		"nested is longer than it":  {slices.Concat(index(0, 0, [2]uint32{toIndex | 43, 5}), good), errBoxTruncated, 44},
		"nested is past the end":    {index(0, 0, [2]uint32{toIndex | 44, 5}), errShort, -1},
		"five levels":               {nest(4), errIndexLimit, 4 * 56},
		"an index twice":            {slices.Concat(index(10, 0, [2]uint32{toIndex | 44, 5}, [2]uint32{toIndex | 44, 5}), index(10, 0, [2]uint32{toIndex | 44, 5}), good), errIndexOrder, 100},
		"more than 2^16 entries":    {slices.Concat(index(0, 786_452, full...), index(65_535, 65_535, full...)), errIndexLimit, 786_452},
		"nested claims 4 GiB":       {slices.Concat(index(0, 0, [2]uint32{toIndex | 0x7fffffff, 5}), n32(0x7ffffffe, uint32(typSidx)), blank(5000)), errIndexLimit, 44},
		"nested has a long free":    {slices.Concat(index(0, 0, [2]uint32{toIndex | 10_000, 5}), mk("free", blank(5000)), good, blank(5000)), errBoxTruncated, 44},
		"more boxes than are taken": {slices.Repeat(index(0, 0), maxIndexBoxes+1), errIndexLimit, 32 * maxIndexBoxes},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			to := len(test.file)
			if name == "nested claims 4 GiB" || name == "nested has a long free" {
				to = 44
			}
			x, _, err := readFile(test.file, 0, to)
			if x != nil || !errors.Is(err, test.want) {
				t.Fatalf("%v, %v; want %v", x, err, test.want)
			}
			var fe *FormatError
			if errors.As(err, &fe) != (test.offset >= 0) || fe != nil && fe.Offset != test.offset {
				t.Errorf("%v, want offset %d", err, test.offset)
			}
		})
	}
	t.Run("nothing to fetch with", func(t *testing.T) {
		if x, err := ReadIndex(index(0, 0, [2]uint32{toIndex | 44, 5}), 0, nil); x != nil || !errors.Is(err, errIndexMissing) {
			t.Error(x, err)
		}
	})
	t.Run("a range past 2^63", func(t *testing.T) {
		if x, err := ReadIndex(good, math.MaxUint64-10, nil); x != nil || !errors.Is(err, errIndexRange) {
			t.Error(x, err)
		}
	})
	t.Run("fetch gives less", func(t *testing.T) {
		x, err := ReadIndex(index(0, 0, [2]uint32{toIndex | 44, 5}), 0, func(uint64, uint64) (Clear, error) { return good[:43], nil })
		if x != nil || !errors.Is(err, errIndexFetch) {
			t.Error(x, err)
		}
	})
}

// TestIndexDigest: what changes the meaning of a number changes the digest, and the form of the boxes does not.
func TestIndexDigest(t *testing.T) {
	base := indexBox{0, 1, 1000, 10, 0, [][2]uint32{{100, 5}, {200, 5}}}
	read := func(x indexBox, offset uint64) [16]byte {
		t.Helper()
		got, err := ReadIndex(x.build(), offset, nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.Digest()
	}
	want := read(base, 100)
	same := base
	same.version, same.stream = 1, 9 // 8 bytes longer
	if read(same, 92) != want {
		t.Error("the digest depends on the form of the box")
	}
	for name, change := range map[string]func(x *indexBox){
		"timescale": func(x *indexBox) { x.timescale++ },
		"time":      func(x *indexBox) { x.earliest++ },
		"offset":    func(x *indexBox) { x.first++ },
		"size":      func(x *indexBox) { x.references[0][0]++ },
		"duration":  func(x *indexBox) { x.references[1][1]++ },
		"count":     func(x *indexBox) { x.references = x.references[:1] },
	} {
		other := base
		other.references = slices.Clone(base.references)
		change(&other)
		if read(other, 100+uint64(len(base.build())-len(other.build()))) == want { // ends at the same byte
			t.Errorf("the digest does not depend on the %s", name)
		}
	}
}

// TestReadIndexOfPackagers compares the index of files that others wrote with the boxes in the files.
func TestReadIndexOfPackagers(t *testing.T) {
	m := loadMedia(t, "avc")
	dir := t.TempDir()
	packaged, muxed := filepath.Join(dir, "packaged.mp4"), filepath.Join(dir, "muxed.mp4")
	runTool(t, testtools.Packager, "in="+m.path+",stream=video,output="+packaged, "--segment_duration", "1", "--fragment_duration", "0.5")
	runTool(t, testtools.FFmpeg, "-v", "error", "-i", m.path, "-c", "copy", "-movflags", "+dash+global_sidx+frag_keyframe+skip_trailer", muxed)
	for _, path := range []string{packaged, muxed} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			sidx, moofs := box{}, []uint64(nil)
			if err := eachBox(file, 0, len(file), "file", func(b box) error {
				switch b.typ {
				case typSidx:
					sidx = b
				case typMoof:
					moofs = append(moofs, uint64(b.off))
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			x, fetches, err := readFile(file, sidx.off, sidx.end)
			if err != nil || fetches != 0 || len(x.Entries) < 2 {
				t.Fatal(x, fetches, err)
			}
			end := uint64(sidx.end)
			for i, e := range x.Entries {
				if e.Offset != end || !slices.Contains(moofs, e.Offset) {
					t.Errorf("entry %d at %d is no moof behind the one in front of it", i, e.Offset)
				}
				end = e.Offset + e.Size
			}
			if end != uint64(len(file)) {
				t.Errorf("entries end at %d of %d bytes", end, len(file))
			}
			whole, _, err := readFile(file, 0, len(file)/2)
			if err != nil || whole.Digest() != x.Digest() {
				t.Errorf("read from half of the file: %v", err)
			}
		})
	}
}

// FuzzReadIndex holds for every file: an error comes without a result; entries come one after the other, inside what numbers
// can say; and what is asked for stays within its bounds.
func FuzzReadIndex(f *testing.F) {
	for _, test := range indexFiles() {
		f.Add(test.file, uint16(test.from), uint16(test.to))
	}
	f.Add(indexBox{1, 1, 1, maxFileSize - 1, maxFileSize - 100, [][2]uint32{{1, 2}, {toIndex | 9, 1}}}.build(), uint16(0), uint16(100))
	f.Fuzz(func(t *testing.T, file []byte, from, to uint16) {
		end := min(int(to), len(file))
		start := min(int(from), end)
		x, fetches, err := readFile(file, start, end)
		if fetches > maxIndexFetches {
			t.Fatal("fetched", fetches)
		}
		if err != nil {
			var fe *FormatError
			if x != nil || !errors.As(err, &fe) && !errors.Is(err, errShort) {
				t.Fatal(x, err)
			}
			return
		}
		if x.Timescale == 0 || len(x.Entries) == 0 || len(x.Entries) > maxIndexEntries {
			t.Fatal(x)
		}
		var at, now uint64
		for _, e := range x.Entries {
			if e.Size == 0 || e.Duration == 0 || e.Offset < at || e.Time < now {
				t.Fatalf("%+v behind %d bytes and %d ticks", e, at, now)
			}
			if at, now = e.Offset+e.Size, e.Time+e.Duration; at > maxFileSize || now > maxFileSize {
				t.Fatalf("%+v", e)
			}
		}
		again, _, err := readFile(bytes.Clone(file), start, end)
		if err != nil || again.Digest() != x.Digest() || !slices.Equal(again.Entries, x.Entries) {
			t.Fatal("read twice, and not the same", err)
		}
	})
}
