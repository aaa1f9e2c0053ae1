package hls

import (
	"strconv"
	"strings"

	"github.com/caddy-drm/caddy-drm/address"
)

// byteRange is the value of EXT-X-BYTERANGE and of BYTERANGE (8216bis, 4.4.4.2). The zero value is none, and means all of
// a resource.
type byteRange struct {
	length, offset uint64
	placed         bool // offset is given
}

// parseByteRange reads n[@o].
func parseByteRange(s string) (byteRange, error) {
	length, offset, placed := strings.Cut(s, "@")
	b := byteRange{placed: placed}
	var err error
	if b.length, err = parseCount(length); err != nil || b.length == 0 {
		return byteRange{}, errByteRange
	}
	if placed {
		if b.offset, err = parseCount(offset); err != nil {
			return byteRange{}, errByteRange
		}
	}
	return b, nil
}

// parseCount reads a decimal-integer (8216bis, 4.2) of up to 63 bits.
func parseCount(s string) (uint64, error) {
	if !isDigits(s) {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseUint(s, 10, 63)
}

// rangeChain places ranges without an offset: such a range begins where the one before, of the same resource, ended.
type rangeChain struct{ last Resource }

// place returns the bytes of target that b stands for, and takes them as the ones before the next.
func (c *rangeChain) place(target address.Target, b byteRange) (Resource, error) {
	resource := Resource{Target: target}
	if b == (byteRange{}) {
		c.last = resource
		return resource, nil
	}
	offset := b.offset
	if !b.placed {
		if c.last.Range.IsZero() || c.last.Target != target {
			return Resource{}, errByteRangeOffset
		}
		offset = c.last.Range.End()
	}
	var err error
	if resource.Range, err = address.NewRange(offset, b.length); err != nil {
		return Resource{}, errByteRange
	}
	c.last = resource
	return resource, nil
}

// rangeAttribute returns the BYTERANGE of the line at hand.
func (r *rewriter) rangeAttribute() (byteRange, error) {
	a, ok := find(r.attrs, attrByteRange)
	if !ok {
		return byteRange{}, nil
	}
	if !a.quoted {
		return byteRange{}, r.fault(errByteRange)
	}
	text, err := r.variables.expand(r.line.value[a.start:a.end])
	if err != nil {
		return byteRange{}, r.fault(err)
	}
	b, err := parseByteRange(text)
	if err != nil {
		return byteRange{}, r.fault(err)
	}
	return b, nil
}

// byteRangeTag keeps an EXT-X-BYTERANGE for the next URI line. The tag is dropped: a protected range is a resource of
// its own.
func (r *rewriter) byteRangeTag(l line) error {
	if r.media.byteRange != (byteRange{}) {
		return r.fault(errTwice)
	}
	b, err := parseByteRange(strings.TrimLeft(l.value, " \t"))
	if err != nil {
		return r.fault(err)
	}
	r.media.byteRange = b
	return nil
}
