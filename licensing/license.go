package licensing

import (
	"encoding/base64"
	"slices"

	"github.com/caddy-drm/caddy-drm/drm"
)

// BuildClearKeyLicense returns the license, a JSON Web Key set, for those keys of allowed that req asks for, in the order of the
// request:
//
//	{"keys":[{"kty":"oct","kid":"<base64url>","k":"<base64url>"}],"type":"temporary"}
//
// with the type of the session that asks, which compares the two. Keys that were not asked for stay out, and so do KIDs that are not allowed: a player plays the tracks it has keys for. It
// returns ErrNoKeys when nothing remains. Both values are 22 characters without padding; browsers refuse any other form.
//
// Source: EME, Clear Key, "License Format"; RFC 7517, 5; RFC 7518, 6.4.
func BuildClearKeyLicense(allowed []drm.ContentKey, req ClearKeyRequest) ([]byte, error) {
	const perKey = len(`{"kty":"oct","kid":"","k":""},`) + 2*22
	license := append(make([]byte, 0, len(`{"keys":[],"type":"persistent-license"}`)+perKey*len(req.KIDs)), `{"keys":[`...)
	given := 0
	for i, kid := range req.KIDs {
		key, ok := lookupKey(allowed, kid)
		if !ok || slices.Contains(req.KIDs[:i], kid) { // of 64 at most
			continue
		}
		if given > 0 {
			license = append(license, ',')
		}
		given++
		license = appendJWK(license, key)
	}
	if given == 0 {
		return nil, ErrNoKeys
	}
	sessionType := SessionTemporary
	if req.Type != "" {
		sessionType = req.Type
	}
	license = append(append(license, `],"type":"`...), sessionType...)
	return append(license, `"}`...), nil
}

// BuildClearKeyAcknowledgment returns the answer to a license release, after which a Clear Key CDM forgets its record of the license:
//
//	{"kids":["<base64url>"]}
//
// Source: EME, Clear Key, "License Release Acknowledgement Format".
func BuildClearKeyAcknowledgment(release ClearKeyRequest) []byte {
	b := []byte(`{"kids":[`)
	for i, kid := range release.KIDs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), kid.Base64URL()...), '"')
	}
	return append(b, `]}`...)
}

// appendJWK writes one symmetric key. base64url needs no JSON escapes.
func appendJWK(dst []byte, key drm.ContentKey) []byte {
	secret := key.Secret()
	dst = append(dst, `{"kty":"oct","kid":"`...)
	kid := key.KID()
	dst = base64.RawURLEncoding.AppendEncode(dst, kid[:])
	dst = append(dst, `","k":"`...)
	dst = base64.RawURLEncoding.AppendEncode(dst, secret[:])
	return append(dst, `"}`...)
}

// RawKey returns the 16 bytes of the key named kid, the whole body of a key file of the HLS identity key format, or ErrNoKeys
// when kid is not among allowed.
//
// Source: RFC 8216, 5.
func RawKey(allowed []drm.ContentKey, kid drm.KID) ([]byte, error) {
	key, ok := lookupKey(allowed, kid)
	if !ok {
		return nil, ErrNoKeys
	}
	secret := key.Secret()
	return secret[:], nil
}

// lookupKey searches a list of at most a few hundred keys, once per license.
func lookupKey(keys []drm.ContentKey, kid drm.KID) (drm.ContentKey, bool) {
	for _, k := range keys {
		if k.KID() == kid && !k.IsZero() {
			return k, true
		}
	}
	return drm.ContentKey{}, false
}
