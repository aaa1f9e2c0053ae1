package vendor

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
)

// PlayReadyTest asks Microsoft's public test server, which is told the keys and the terms in the query, in clear: a query that anybody on
// the way may keep. It is for tests of players, and never for content of value.
//
// Source: license URLs in public code, which confirm kid, contentkey, sl, persist and firstexp.
type PlayReadyTest struct{ plainAnswer }

// Ask implements Vendor.
func (PlayReadyTest) Ask(g licensing.Grant, _ licensing.Challenge) (Request, error) {
	var parts []string
	terms := g.Group.License
	for _, key := range g.Keys {
		kid, secret := guid(key.Key.KID()), key.Key.Secret()
		options := []string{
			"kid:" + base64.StdEncoding.EncodeToString(kid[:]), "contentkey:" + base64.StdEncoding.EncodeToString(secret[:]),
			fmt.Sprintf("sl:%d", playReadyLevel(g.Group, key.Class)), fmt.Sprintf("persist:%t", terms.Persistent),
		}
		if s := seconds(terms.Duration); s > 0 {
			options = append(options, fmt.Sprintf("firstexp:%d", s))
		}
		parts = append(parts, "("+strings.Join(options, ",")+")")
	}
	// The server takes the characters of base64 as they are, and a plus sign as a space.
	return Request{RawQuery: "cfg=" + strings.ReplaceAll(strings.Join(parts, ","), "+", "%2B")}, nil
}

// guid returns a key ID in the order of PlayReady.
func guid(kid drm.KID) drm.KID {
	swapped := kid
	binary.LittleEndian.PutUint32(swapped[:], binary.BigEndian.Uint32(kid[:]))
	binary.LittleEndian.PutUint16(swapped[4:], binary.BigEndian.Uint16(kid[4:]))
	binary.LittleEndian.PutUint16(swapped[6:], binary.BigEndian.Uint16(kid[6:]))
	return swapped
}

// Binds implements Vendor: the server knows no other keys than it is told.
func (PlayReadyTest) Binds() bool { return true }
