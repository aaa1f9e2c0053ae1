package segcrypt

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// Limits of a segment index. A day of 2 s segments has 43,200; the origin is asked once for each index that lies elsewhere.
const (
	maxIndexEntries = 1 << 16
	maxIndexBoxes   = 4096    // sidx boxes of one file
	maxIndexFetches = 256     // of them outside of the range that was read first
	maxIndexBytes   = 4 << 20 // asked for outside of that range
	maxIndexDepth   = 4
	// indexWindow is what is asked for first of a nested index, whose size is in its header.
	indexWindow = 4096
	maxFileSize = 1<<63 - 1
)

// IndexEntry is one subsegment of a single-file track.
type IndexEntry struct {
	Offset, Size   uint64 // bytes in the file; Size is not zero
	Time, Duration uint64 // ticks of the index's timescale; Duration is not zero
}

// Index says where the subsegments of a single-file track lie. Entries come one after the other, in the file and in time.
type Index struct {
	Timescale uint32 // ticks per second, not zero
	Entries   []IndexEntry
	digest    [16]byte
}

// Digest names the index: two with the same digest have the same entries, so that a number picks the same bytes and times.
func (x *Index) Digest() [16]byte { return x.digest }

// ReadIndex reads the segment index of a file from b, the bytes at offset. It may span other boxes, and may begin or end with
// some of the media around it, as an @indexRange that is not exact does. An index that another refers to is looked for in b
// and else asked for by fetch, which returns exactly the bytes [offset, offset+length) of the file; with a nil fetch it is an
// error. Both hierarchies and chains of indexes are followed, at most 256 fetches and 4 MiB far.
//
// Of several indexes one behind the other, those with the reference_ID of the first are read as one. It returns a
// *FormatError, with an offset in the file, for an index that is damaged, that goes back in the file or in time, or that has
// more than 65,536 entries, and the error of fetch as it is. Nothing of b is kept.
//
// Source: 14496-12, 8.16.3.
func ReadIndex(b Clear, offset uint64, fetch func(offset, length uint64) (Clear, error)) (*Index, error) {
	if offset > maxFileSize-uint64(len(b)) {
		return nil, sidxError(offset, errIndexRange)
	}
	r := indexReader{first: fileBytes{b, offset}, fetch: fetch, seen: map[uint64]bool{}}
	if err := r.readAll(); err != nil {
		return nil, err
	}
	r.index.digest = r.index.sum()
	return &r.index, nil
}

var (
	errIndexMissing   = errors.New("there is no segment index (sidx)")
	errIndexEmpty     = errors.New("the segment index has no entries")
	errIndexVersion   = errors.New("the version of the segment index is not 0 or 1")
	errIndexTimescale = errors.New("the timescale is zero, or not that of the first segment index")
	errIndexStream    = errors.New("the segment index is of another stream than the one that refers to it")
	errIndexReference = errors.New("a reference has no size or no duration")
	errIndexOrder     = errors.New("a subsegment begins before the end of the one in front of it")
	errIndexRange     = errors.New("an offset or time reaches past 2^63-1")
	errIndexLimit     = errors.New("the segment indexes have too many entries, boxes or levels")
	errIndexFetch     = errors.New("the nested segment index has not arrived whole")
)

// sidxError is a FormatError in the segment index at a place in a file.
func sidxError(offset uint64, err error) error {
	return &FormatError{Path: "sidx", Offset: int64(min(offset, maxFileSize)), Err: err}
}

func (x *Index) sum() [16]byte {
	h := sha256.New()
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 32), x.Timescale)
	h.Write(b)
	for _, e := range x.Entries {
		b = binary.BigEndian.AppendUint64(b[:0], e.Offset)
		b = binary.BigEndian.AppendUint64(b, e.Size)
		b = binary.BigEndian.AppendUint64(b, e.Time)
		h.Write(binary.BigEndian.AppendUint64(b, e.Duration))
	}
	return [16]byte(h.Sum(nil))
}

// fileBytes are the bytes at an offset of a file.
type fileBytes struct {
	b      []byte
	offset uint64
}

func (f fileBytes) end() uint64 { return f.offset + uint64(len(f.b)) }

// from returns the bytes of f from an offset on, if that lies inside.
func (f fileBytes) from(offset uint64) (fileBytes, bool) {
	if offset < f.offset || offset >= f.end() {
		return fileBytes{}, false
	}
	return fileBytes{f.b[offset-f.offset:], offset}, true
}

// indexReader collects the entries of all indexes of a file.
type indexReader struct {
	first   fileBytes
	fetch   func(offset, length uint64) (Clear, error)
	fetched int
	bytes   uint64 // fetched
	stream  uint32 // reference_ID of the first index
	seen    map[uint64]bool
	index   Index
	// end and until are where the last entry ends, in the file and in time.
	end, until uint64
}

// readAll reads the indexes of the first range that no index in front of them has led to.
func (r *indexReader) readAll() error {
	for at := r.first; ; {
		s, err := nextIndex(at, len(r.seen) == 0)
		if err != nil {
			return err
		}
		if s == nil {
			break
		}
		if !r.seen[s.offset] && (len(r.seen) == 0 || s.stream() == r.stream) {
			if err := r.read(*s, 1); err != nil {
				return err
			}
		}
		var ok bool
		if at, ok = r.first.from(s.end()); !ok {
			break
		}
	}
	if len(r.index.Entries) == 0 {
		return sidxError(r.first.offset, errIndexEmpty)
	}
	return nil
}

// nextIndex returns the first whole sidx box of f, or nil if media or the end of f comes before it; then needed makes an error.
func nextIndex(f fileBytes, needed bool) (*segmentIndex, error) {
	for off := 0; off < len(f.b); {
		if len(f.b)-off >= 8 {
			if typ := fourCC(be32(f.b, off+4)); typ == typMoof || typ == typMdat {
				break
			}
		}
		b, err := nextBox(f.b, off, len(f.b))
		if err != nil {
			// A range that is not exact may end inside of a box, but not of the index that it is for.
			if needed || len(f.b)-off >= 8 && fourCC(be32(f.b, off+4)) == typSidx {
				return nil, sidxError(f.offset+uint64(off), err)
			}
			return nil, nil
		}
		if b.typ == typSidx {
			return parseSidx(fileBytes{f.b[b.off:b.end], f.offset + uint64(b.off)}, b.header)
		}
		off = b.end
	}
	if needed {
		return nil, sidxError(f.offset, errIndexMissing)
	}
	return nil, nil
}
