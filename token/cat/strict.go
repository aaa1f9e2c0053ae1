package cat

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/fxamacker/cbor/v2"
)

// Limits of a token. CTA-5007-B, 4.4, has receivers take 4096 bytes; nothing that it defines nests deeper than 9.
const (
	maxTokenBytes = 4096
	maxTokenChars = (maxTokenBytes*4 + 2) / 3
	maxDepth      = 10
	maxElements   = 64
)

// decoder reads what checkDeterministic has let through.
var decoder = mustDecMode(cbor.DecOptions{
	DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, MaxNestedLevels: maxDepth,
	MaxArrayElements: maxElements, MaxMapPairs: maxElements, IntDec: cbor.IntDecConvertSignedOrFail, UTF8: cbor.UTF8RejectInvalid,
	NaN: cbor.NaNDecodeForbidden, Inf: cbor.InfDecodeForbidden, BignumTag: cbor.BignumTagForbidden,
	MapKeyByteString: cbor.MapKeyByteStringForbidden,
})

// encoder writes the deterministic form (RFC 8949, 4.2.1).
var encoder = mustEncMode(cbor.CoreDetEncOptions())

func mustDecMode(o cbor.DecOptions) cbor.DecMode {
	mode, err := o.DecMode()
	if err != nil {
		panic(err) // constants
	}
	return mode
}

func mustEncMode(o cbor.EncOptions) cbor.EncMode {
	mode, err := o.EncMode()
	if err != nil {
		panic(err) // constants
	}
	return mode
}

var (
	errCBOR             = errors.New("not well-formed CBOR")
	errNotDeterministic = errors.New("CBOR that is not deterministic")
	errDeep             = errors.New("CBOR nested too deep, or too long")
	errTag              = errors.New("a tag where none is allowed")
	errNumber           = errors.New("a number that is none")
)

// decodeStrict reads one data item that fills b: maps as map[any]any, arrays as []any, integers as int64.
func decodeStrict(b []byte) (any, error) {
	rest, err := checkDeterministic(b, 0)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, errors.New("bytes behind the end")
	}
	var v any
	if err := decoder.Unmarshal(b, &v); err != nil {
		return nil, errCBOR // the cause may quote what it found
	}
	return v, nil
}

// checkDeterministic checks that the first data item of b has the one form of its value, but for the order of maps, which
// CTA-5007-B, 4.5, leaves free, and that it has neither NaN, −0, nor a tag other than those of addresses. It returns the bytes
// behind the item.
func checkDeterministic(b []byte, depth int) (rest []byte, err error) {
	if depth > maxDepth {
		return nil, errDeep
	}
	major, value, rest, err := readHead(b)
	if err != nil {
		return nil, err
	}
	items := value
	switch major {
	case 0, 1:
		return rest, nil
	case 2, 3:
		if value > uint64(len(rest)) {
			return nil, errCBOR
		}
		return rest[value:], nil
	case 5:
		items = 2 * min(value, maxElements+1)
	case 6:
		if value != tagIPv4 && value != tagIPv6 {
			return nil, errTag
		}
		items = 1
	case 7:
		return rest, checkSimple(b, value)
	}
	if items > 2*maxElements {
		return nil, errDeep
	}
	for range items {
		if rest, err = checkDeterministic(rest, depth+1); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// readHead reads the first byte of an item and the number that follows it, which must be in its shortest form.
func readHead(b []byte) (major byte, value uint64, rest []byte, err error) {
	if len(b) == 0 {
		return 0, 0, nil, errCBOR
	}
	major, info := b[0]>>5, b[0]&31
	if info < 24 {
		return major, uint64(info), b[1:], nil
	}
	if info > 27 {
		return 0, 0, nil, errNotDeterministic // reserved, or of indefinite length
	}
	size := 1 << (info - 24)
	if len(b) < 1+size {
		return 0, 0, nil, errCBOR
	}
	var wide [8]byte
	copy(wide[8-size:], b[1:1+size])
	value = binary.BigEndian.Uint64(wide[:])
	if least := [...]uint64{24, 1 << 8, 1 << 16, 1 << 32}[info-24]; major != 7 && value < least {
		return 0, 0, nil, errNotDeterministic
	}
	return major, value, b[1+size:], nil
}

// checkSimple judges the items of major type 7: of the simple values false, true, null and undefined, which is read as null, of the
// floats finite ones other than −0, in the shortest form that holds them.
func checkSimple(b []byte, value uint64) error {
	switch b[0] & 31 {
	case 20, 21, 22, 23:
		return nil
	case 25:
		if value == 0x8000 || value&0x7c00 == 0x7c00 {
			return errNumber
		}
		return nil
	case 26:
		return checkFloat(float64(math.Float32frombits(uint32(value))), isHalf)
	case 27:
		return checkFloat(math.Float64frombits(value), func(f float64) bool { return float64(float32(f)) == f })
	default:
		return errCBOR
	}
}

func checkFloat(f float64, fitsShorter func(float64) bool) error {
	switch {
	case math.IsNaN(f), math.IsInf(f, 0):
		return errNumber
	case fitsShorter(f):
		return errNotDeterministic // −0 is among these
	}
	return nil
}

// isHalf reports whether a finite number has a form of 16 bits: 11 significant bits, the last one at 2⁻²⁴ or above.
func isHalf(f float64) bool {
	fraction, _ := math.Frexp(f)
	return math.Abs(f) <= 65504 && isWhole(f*(1<<24)) && isWhole(fraction*(1<<11))
}

func isWhole(f float64) bool { return f == math.Trunc(f) }
