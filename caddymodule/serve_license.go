package caddymodule

import (
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
)

// Limits of a license request of ClearKey: real ones have some hundred bytes, come at once, and take no place of large ones.
const (
	maxLicenseRequest     = smallBody
	licenseRequestTimeout = 10 * time.Second
)

// serveClearKeyLicense answers a license request of a Clear Key CDM with the keys of the title that its URL is sealed for, as far as they
// were asked for, and a license release with its acknowledgment (EME, Clear Key). The Content-Type of the request says nothing reliable:
// players send none, or JSON, or octets.
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
	if !q.servesClearKey() {
		return errNotOurs
	}
	group, _ := q.groupNamed(q.seal.Group)
	switch persistent := group.License.Persistent; {
	case asked.Purpose(persistent) == licensing.PurposeRelease:
		return q.releaseClearKey(asked)
	case asked.Type == licensing.SessionPersistent && !persistent:
		return licensing.ErrUnsupportedType
	}
	keys, err := q.licensedKeys(asked.KIDs)
	if err != nil {
		return err
	}
	license, err := licensing.BuildClearKeyLicense(keys, asked)
	if err != nil {
		return err
	}
	if err := q.recordGrant(keys, asked.Type); err != nil {
		return err
	}
	q.writeSecret("application/json", license)
	return nil
}

// serveRawKey answers for the URI of an EXT-X-KEY of format identity: 16 octets (RFC 8216, 5). A HEAD gets no key, and so grants none.
func (q *request) serveRawKey() error {
	keys, key, err := q.rawKey()
	if err != nil {
		return err
	}
	if q.r.Method != http.MethodHead {
		if err := q.recordGrant(keys, licensing.SessionTemporary); err != nil {
			return err
		}
	}
	q.writeSecret("application/octet-stream", key)
	return nil
}

// rawKey finds the key that the address names: in a license of one, and as it is.
func (q *request) rawKey() (keys []drm.ContentKey, key []byte, err error) {
	kid, err := drm.ParseKID(q.addr.Endpoint[2])
	if err != nil {
		return nil, nil, errNotOurs
	}
	q.license.challenge.KIDs = []drm.KID{kid}
	if keys, err = q.licensedKeys(q.license.challenge.KIDs); err != nil {
		return nil, nil, err
	}
	if key, err = licensing.RawKey(keys, kid); err != nil {
		return nil, nil, errNotOurs
	}
	return keys, key, nil
}

// recordGrant remembers and audits keys that are about to leave in clear.
func (q *request) recordGrant(keys []drm.ContentKey, wanted licensing.SessionType) error {
	lease, err := q.leaseClearKey(keys, wanted)
	if err != nil {
		return err
	}
	granted := grantedAs(keys)
	remember := q.grantLicense
	if lease.kept {
		remember = q.keepLicense
	}
	if err := remember(granted, lease.ends); err != nil {
		return err
	}
	outcome := licenseOutcome{result: resultGrant, keys: granted, ends: lease.ends}
	if lease.renewed {
		outcome.result = resultRenewal
	}
	q.auditGrant(outcome)
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

// setFields sets fields by their canonical names. Their values stand in one slice, each with no room behind it, so that who adds to one takes
// another.
func setFields(header http.Header, fields [][2]string) {
	values := make([]string, len(fields))
	for i, field := range fields {
		values[i] = field[1]
		header[field[0]] = values[i : i+1 : i+1]
	}
}

// writeSecret sends keys to the one who asked, and to no cache.
func (q *request) writeSecret(contentType string, body []byte) {
	q.setLicenseLinks()
	setFields(q.w.Header(), [][2]string{
		{"Content-Type", contentType}, {"Cache-Control", cacheNoStore}, {"X-Content-Type-Options", "nosniff"}, {"Content-Length", strconv.Itoa(len(body))},
	})
	countServed(q.kind, 0)
	q.w.WriteHeader(http.StatusOK)
	if q.r.Method != http.MethodHead {
		_, _ = q.w.Write(body) // the client may be gone
	}
}
