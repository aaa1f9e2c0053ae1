package segcrypt

import "encoding/binary"

// segmentIndex is a sidx box with all of its bytes.
//
//	version(1) flags(3) reference_ID(4) timescale(4) [earliest_presentation_time first_offset](8 or 16)
//	reserved(2) reference_count(2) ( reference_type(1 bit) referenced_size(31 bits) subsegment_duration(4) SAP(4) ) × n
//
// Source: 14496-12, 8.16.3.
type segmentIndex struct {
	fileBytes
	payload    int // offset of version in b
	references int // offset of the first reference in b
	earliest   uint64
	anchor     uint64 // offset in the file of what the first reference is for
}

func (s *segmentIndex) stream() uint32    { return be32(s.b, s.payload+4) }
func (s *segmentIndex) timescale() uint32 { return be32(s.b, s.payload+8) }

// indexReference is one reference of a segmentIndex.
type indexReference struct {
	index          bool // to another sidx, not to media
	size, duration uint32
}

func (s *segmentIndex) count() int { return (len(s.b) - s.references) / sidxReferenceBytes }

func (s *segmentIndex) reference(i int) indexReference {
	at := s.references + i*sidxReferenceBytes
	word := be32(s.b, at)
	return indexReference{index: word>>31 == 1, size: word & 0x7fffffff, duration: be32(s.b, at+4)}
}

// parseSidx reads the fixed fields of the box that f is all of.
func parseSidx(f fileBytes, header int) (*segmentIndex, error) {
	s := &segmentIndex{fileBytes: f, payload: header, references: header + 24}
	if len(f.b) < s.references {
		return nil, sidxError(f.offset, errBoxLength)
	}
	var first uint64
	switch f.b[header] {
	case 0:
		s.earliest, first = uint64(be32(f.b, header+12)), uint64(be32(f.b, header+16))
	case 1:
		if s.references += 8; len(f.b) < s.references {
			return nil, sidxError(f.offset, errBoxLength)
		}
		s.earliest, first = be64(f.b, header+12), be64(f.b, header+20)
	default:
		return nil, sidxError(f.offset, errIndexVersion)
	}
	count := int(binary.BigEndian.Uint16(f.b[s.references-2:]))
	switch {
	case len(f.b)-s.references != count*sidxReferenceBytes:
		return nil, sidxError(f.offset, errBoxLength)
	case s.timescale() == 0:
		return nil, sidxError(f.offset, errIndexTimescale)
	case first > maxFileSize-f.end() || s.earliest > maxFileSize:
		return nil, sidxError(f.offset, errIndexRange)
	}
	s.anchor = f.end() + first
	return s, nil
}

// read adds the entries of s and of the indexes that it refers to. The last reference of a chain is followed in the same
// call: a chain is long, but not deep.
func (r *indexReader) read(s segmentIndex, depth int) error {
	for {
		if err := r.enter(&s, depth); err != nil {
			return err
		}
		at, now := s.anchor, s.earliest
		var next *segmentIndex
		for i := range s.count() {
			ref := s.reference(i)
			switch {
			case ref.size == 0 || ref.duration == 0:
				return sidxError(s.offset, errIndexReference)
			case uint64(ref.size) > maxFileSize-at || uint64(ref.duration) > maxFileSize-now:
				return sidxError(s.offset, errIndexRange)
			case !ref.index:
				if err := r.add(&s, IndexEntry{Offset: at, Size: uint64(ref.size), Time: now, Duration: uint64(ref.duration)}); err != nil {
					return err
				}
			default:
				nested, err := r.nested(at, uint64(ref.size))
				if err != nil {
					return err
				}
				if i == s.count()-1 {
					next = nested
				} else if err := r.read(*nested, depth+1); err != nil {
					return err
				}
			}
			at, now = at+uint64(ref.size), now+uint64(ref.duration)
		}
		if next == nil {
			return nil
		}
		s = *next
	}
}

// enter counts s and compares it with the first index.
func (r *indexReader) enter(s *segmentIndex, depth int) error {
	if len(r.seen) == 0 {
		r.stream, r.index.Timescale = s.stream(), s.timescale()
	}
	switch {
	case len(r.seen) >= maxIndexBoxes || depth > maxIndexDepth:
		return sidxError(s.offset, errIndexLimit)
	case s.stream() != r.stream:
		return sidxError(s.offset, errIndexStream)
	case s.timescale() != r.index.Timescale:
		return sidxError(s.offset, errIndexTimescale)
	case r.seen[s.offset]:
		return sidxError(s.offset, errIndexOrder)
	}
	r.seen[s.offset] = true
	return nil
}

// add appends an entry of s, which may not go back.
func (r *indexReader) add(s *segmentIndex, e IndexEntry) error {
	switch {
	case len(r.index.Entries) >= maxIndexEntries:
		return sidxError(s.offset, errIndexLimit)
	case e.Offset < r.end || e.Time < r.until:
		return sidxError(s.offset, errIndexOrder)
	}
	r.index.Entries = append(r.index.Entries, e)
	r.end, r.until = e.Offset+e.Size, e.Time+e.Duration
	return nil
}

// nested returns the index in the size bytes at offset: the box itself, perhaps with the media that it is for.
func (r *indexReader) nested(offset, size uint64) (*segmentIndex, error) {
	f, ok := r.first.from(offset)
	if !ok {
		return r.fetchNested(offset, size)
	}
	if uint64(len(f.b)) > size {
		f.b = f.b[:size]
	}
	if s, err := nextIndex(f, true); err == nil || uint64(len(f.b)) == size {
		return s, err
	}
	return r.fetchNested(offset, size) // the first range ends inside of it
}

// fetchNested asks for the beginning of what a reference is for, and again if the index there is longer.
func (r *indexReader) fetchNested(offset, size uint64) (*segmentIndex, error) {
	f, err := r.fetchBytes(offset, min(size, indexWindow))
	if err != nil {
		return nil, err
	}
	need, err := bytesToIndexEnd(f)
	if err != nil {
		return nil, err
	}
	if need > uint64(len(f.b)) {
		if need > size {
			return nil, sidxError(offset, errBoxTruncated)
		}
		if f, err = r.fetchBytes(offset, need); err != nil {
			return nil, err
		}
	}
	return nextIndex(f, true)
}

// bytesToIndexEnd returns how many bytes of f, from its start, reach to the end of its first sidx; f may be cut off there.
func bytesToIndexEnd(f fileBytes) (uint64, error) {
	for off := 0; ; {
		if len(f.b)-off < 8 {
			return 0, sidxError(f.offset, errIndexMissing)
		}
		if fourCC(be32(f.b, off+4)) == typSidx {
			// A largesize of 64 bits would say more than the count of 16 bits allows.
			return uint64(off) + uint64(be32(f.b, off)), nil
		}
		b, err := nextBox(f.b, off, len(f.b))
		if err != nil {
			return 0, sidxError(f.offset+uint64(off), err)
		}
		off = b.end
	}
}

func (r *indexReader) fetchBytes(offset, length uint64) (fileBytes, error) {
	switch {
	case r.fetch == nil:
		return fileBytes{}, sidxError(offset, errIndexMissing)
	case r.fetched >= maxIndexFetches || length > maxIndexBytes-r.bytes:
		return fileBytes{}, sidxError(offset, errIndexLimit)
	}
	r.fetched, r.bytes = r.fetched+1, r.bytes+length
	b, err := r.fetch(offset, length)
	if err != nil {
		return fileBytes{}, err
	}
	if uint64(len(b)) != length {
		return fileBytes{}, sidxError(offset, errIndexFetch)
	}
	return fileBytes{b, offset}, nil
}
