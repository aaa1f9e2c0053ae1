package caddymodule

import (
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
)

// Limits of a license request: real ones have some hundred bytes and come at once.
const (
	maxLicenseRequest     = 64 << 10
	licenseRequestTimeout = 10 * time.Second
)

// serveClearKeyLicense answers a license request of a Clear Key CDM with the keys of the title that its URL is sealed
// for, as far as they were asked for (EME, Clear Key). The Content-Type of the request says nothing reliable: players
// send none, or JSON, or octets.
func (q *request) serveClearKeyLicense() error {
	body, err := q.readLicenseBody(maxLicenseRequest)
	if err != nil {
		return err
	}
	asked, err := licensing.ParseClearKeyRequest(body)
	if err != nil {
		return err
	}
	q.license.challenge.KIDs = asked.KIDs
	keys, err := q.licensedKeys(asked.KIDs)
	if err != nil {
		return err
	}
	license, err := licensing.BuildClearKeyLicense(keys, asked)
	if err != nil {
		return err
	}
	if err := q.recordGrant(grantedAs(keys)); err != nil {
		return err
	}
	q.writeSecret("application/json", license)
	return nil
}

// serveRawKey answers for the URI of an EXT-X-KEY of format identity: 16 octets (RFC 8216, 5).
func (q *request) serveRawKey() error {
	kid, err := drm.ParseKID(q.addr.Endpoint[2])
	if err != nil {
		return errNotOurs
	}
	q.license.challenge.KIDs = []drm.KID{kid}
	keys, err := q.licensedKeys(q.license.challenge.KIDs)
	if err != nil {
		return err
	}
	key, err := licensing.RawKey(keys, kid)
	if err != nil {
		return errNotOurs
	}
	if err := q.recordGrant(grantedAs(keys)); err != nil {
		return err
	}
	q.writeSecret("application/octet-stream", key)
	return nil
}

// recordGrant remembers and audits keys that are about to leave in clear.
func (q *request) recordGrant(keys []licensing.GrantedKey) error {
	if err := q.grantLicense(keys); err != nil {
		return err
	}
	q.auditGrant(licenseOutcome{result: resultGrant, keys: keys})
	return nil
}

// grantedAs is for keys whose class does not matter.
func grantedAs(keys []drm.ContentKey) []licensing.GrantedKey {
	granted := make([]licensing.GrantedKey, len(keys))
	for i, key := range keys {
		granted[i].Key = key
	}
	return granted
}

// writeSecret sends keys to the one who asked, and to no cache.
func (q *request) writeSecret(contentType string, body []byte) {
	q.setLicenseLinks()
	header := q.w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Cache-Control", cacheNoStore)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	countServed(q.kind, 0)
	q.w.WriteHeader(http.StatusOK)
	if q.r.Method != http.MethodHead {
		_, _ = q.w.Write(body) // the client may be gone
	}
}
