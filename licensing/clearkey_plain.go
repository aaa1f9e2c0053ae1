package licensing

import (
	"bytes"
	"encoding/base64"
	"slices"

	"github.com/caddy-drm/caddy-drm/drm"
)

// What stands around the KIDs in the request that every browser sends.
const (
	plainBegin = `{"kids":["`
	plainNext  = `","`
	plainEnd   = `"],"type":"temporary"}`
	kidTextLen = 22
)

var kidEncoding = base64.RawURLEncoding.Strict()

// readPlainRequest reads a request that is, byte for byte, in the form of the example in EME, as browsers write it:
//
//	{"kids":["<base64url, 22 characters>", …],"type":"temporary"}
//
// It finds nothing in any other, sound or not, and whoever asked reads on with care: JSON has many ways to write the same, and
// this is the one that thousands of players ask for at once. A KID named twice counts once, as for that reader.
func readPlainRequest(body []byte) (r ClearKeyRequest, found bool) {
	list, begins := bytes.CutPrefix(body, []byte(plainBegin))
	list, ends := bytes.CutSuffix(list, []byte(plainEnd))
	count := (len(list) + len(plainNext)) / (kidTextLen + len(plainNext))
	if !begins || !ends || count == 0 || count > MaxClearKeyKIDs || len(list) != count*(kidTextLen+len(plainNext))-len(plainNext) {
		return ClearKeyRequest{}, false
	}
	kids := make([]drm.KID, 0, count)
	for i := range count {
		at := i * (kidTextLen + len(plainNext))
		if i > 0 && string(list[at-len(plainNext):at]) != plainNext {
			return ClearKeyRequest{}, false
		}
		var kid drm.KID
		// The decoder skips line breaks; then there are fewer than 16 bytes.
		if n, err := kidEncoding.Decode(kid[:], list[at:at+kidTextLen]); err != nil || n != len(kid) {
			return ClearKeyRequest{}, false
		}
		if !slices.Contains(kids, kid) {
			kids = append(kids, kid)
		}
	}
	return ClearKeyRequest{KIDs: kids, Type: SessionTemporary}, true
}
