package caddymodule

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/caddy-drm/caddy-drm/token"
)

// assetConditionsKind is the first byte of what a session of a one-address token carries.
const assetConditionsKind = 'A'

// assetConditions hold a session to one asset. Its scope alone would not: the directory of one title may be above that of another,
// which has keys of its own.
type assetConditions struct {
	asset string
	inner token.Conditions // what the token itself demanded; nil if it demanded no more
}

func init() {
	conditionKinds[assetConditionsKind] = parseAssetConditions // not in the literal: what is inside may be of every kind
}

// Check implements token.Conditions.
func (c assetConditions) Check(req token.Request) error {
	switch {
	case req.Asset != c.asset:
		return fmt.Errorf("%w: it is for another asset", token.ErrScope)
	case c.inner != nil:
		return c.inner.Check(req)
	}
	return nil
}

// AppendBinary implements token.Conditions: kind(1) asset(len 2, bytes) inner.
func (c assetConditions) AppendBinary(dst []byte) ([]byte, error) {
	if len(c.asset) > 1<<16-1 {
		return nil, errors.New("the name of the asset is too long for a session")
	}
	dst = binary.BigEndian.AppendUint16(append(dst, assetConditionsKind), uint16(len(c.asset)))
	dst = append(dst, c.asset...)
	if c.inner == nil {
		return dst, nil
	}
	return c.inner.AppendBinary(dst)
}

func parseAssetConditions(b []byte) (token.Conditions, error) {
	malformed := errors.New("conditions of an asset that are cut short")
	if len(b) < 3 {
		return nil, malformed
	}
	end := 3 + int(binary.BigEndian.Uint16(b[1:]))
	if end > len(b) {
		return nil, malformed
	}
	c := assetConditions{asset: string(b[3:end])}
	if end == len(b) {
		return c, nil
	}
	if b[end] == assetConditionsKind {
		return nil, errors.New("conditions of an asset inside of others")
	}
	inner, err := parseConditions(b[end:])
	if err != nil {
		return nil, err
	}
	c.inner = inner
	return c, nil
}
