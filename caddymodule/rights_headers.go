package caddymodule

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Header fields about rights.
const (
	// headerOpens says with a refusal when the title can be watched, in RFC 3339.
	headerOpens = "Drm-Opens"
	// headerAttribution names the authors of a work: text in UTF-8, percent-encoded but for letters, digits and -._~.
	headerAttribution = "Drm-Attribution"
)

// setLicenseLinks lets a manifest and a license say under which license the work was made public, where it is from (RFC 8288;
// `license` of RFC 4946, `via` of RFC 4287) and whom to name. URLs were checked when the catalog was read; nothing here ends a
// header or a link.
func (q *request) setLicenseLinks() {
	if q.identity.title == nil {
		return
	}
	header, license := q.w.Header(), q.identity.title.License
	if license.URL != "" {
		header.Add("Link", "<"+license.URL+`>; rel="license"`)
	}
	if license.Source != "" {
		header.Add("Link", "<"+license.Source+`>; rel="via"`)
	}
	if license.Attribution != "" {
		header.Set(headerAttribution, strings.ReplaceAll(url.QueryEscape(license.Attribution), "+", "%20"))
	}
}

// cacheMedia is the Cache-Control of media: an hour, or until what the admission rests on ends. A cache that cannot ask then has
// to give up (must-revalidate) rather than show what may not be shown.
func (q *request) cacheMedia() string {
	if q.identity.until.IsZero() {
		return cachePrivateMedia
	}
	left := q.identity.until.Sub(q.now())
	if left >= cacheMediaFor {
		return cachePrivateMedia
	}
	return "private, max-age=" + strconv.Itoa(int(max(0, left)/time.Second)) + ", must-revalidate"
}

// cacheMediaFor is the age in cachePrivateMedia.
const cacheMediaFor = time.Hour
