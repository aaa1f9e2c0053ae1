package address

import (
	"errors"
	"strconv"
)

// Range is a run of bytes of a resource. A zero Length means all of the resource; Offset is zero then.
type Range struct{ Offset, Length uint64 }

// ErrRange is returned for a range that is empty, ends past 2⁶³ − 1 or is not two decimal numbers.
var ErrRange = errors.New("not a byte range")

const maxRangeEnd = 1<<63 - 1

// NewRange returns the range of length bytes from offset.
func NewRange(offset, length uint64) (Range, error) {
	if length == 0 || offset > maxRangeEnd || length > maxRangeEnd-offset {
		return Range{}, ErrRange
	}
	return Range{Offset: offset, Length: length}, nil
}

// IsZero reports whether r is all of a resource.
func (r Range) IsZero() bool { return r == Range{} }

// End returns the offset behind the last byte, 0 for all of a resource.
func (r Range) End() uint64 { return r.Offset + r.Length }

// Header returns the value of a Range header that asks for r (RFC 9110, 14.2), or "" for all of a resource.
func (r Range) Header() string {
	if r.IsZero() {
		return ""
	}
	return "bytes=" + strconv.FormatUint(r.Offset, 10) + "-" + strconv.FormatUint(r.End()-1, 10)
}
