package caddymodule

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/licensing"
	"github.com/caddy-drm/caddy-drm/policy"
)

// The results of license requests.
const (
	resultGrant       = "grant"
	resultDenial      = "denial"
	resultRenewal     = "renewal"
	resultRelease     = "release"
	resultCertificate = "certificate"
	resultStored      = "stored"
)

var metricLicenses = prometheus.NewCounterVec(prometheus.CounterOpts{
	Namespace: "caddy", Subsystem: "drm", Name: "licenses_total",
	Help: "License requests, by system, result and reason.",
}, []string{"system", "result", "reason"})

// licenseOutcome is what came of a license request that was not refused.
type licenseOutcome struct {
	result string
	keys   []licensing.GrantedKey
	kids   []string
	ends   time.Time
}

// purposeResults are what comes of license requests that are answered, by what they are for.
var purposeResults = map[licensing.Purpose]string{
	licensing.PurposeLicense: resultGrant, licensing.PurposeRenewal: resultRenewal, licensing.PurposeRelease: resultRelease,
	licensing.PurposeCertificate: resultCertificate, licensing.PurposeAcknowledgment: resultStored,
}

// licenseEnd is when a license is over that was issued on these terms; zero if nothing ends it.
func licenseEnd(g licensing.Grant) time.Time {
	if d := g.Group.License.Duration; d > 0 {
		return g.Now.Add(d)
	}
	return g.Ends
}

// auditGrant writes the record of a license that was given, or of one that was renewed or released.
func (q *request) auditGrant(o licenseOutcome) {
	if o.result != resultCertificate {
		o.kids = slices.Grow(o.kids, len(o.keys))
		for _, key := range o.keys {
			o.kids = append(o.kids, key.Key.KID().String())
		}
	}
	fields := append(make([]zap.Field, 0, 2), zap.Strings("kids", o.kids))
	if !o.ends.IsZero() {
		fields = append(fields, zap.Time("ends", o.ends))
	}
	q.audit(o.result, string(policy.ReasonAllowed), fields...)
}

// auditDenial writes the record of a license request that was refused. Of what a request names before it is allowed nothing is known. Not every
// stranger has a record of his own.
func (q *request) auditDenial(a answer) {
	if kindSystems[q.kind] == ([16]byte{}) {
		return
	}
	var more []zap.Field
	if q.isStranger() {
		unrecorded, ok := q.strangers.take(q.now())
		if !ok {
			q.countLicense(resultDenial, a.reason)
			return
		}
		if unrecorded > 0 {
			more = append(more, zap.Uint64("unrecorded", unrecorded))
		}
	}
	var kids []string
	for _, kid := range q.license.challenge.KIDs {
		kids = append(kids, kid.String())
	}
	q.audit(resultDenial, a.reason, append(more, zap.Int("status", a.status), zap.Strings("kids", kids))...)
}

func (q *request) countLicense(result, reason string) {
	metricLicenses.WithLabelValues(kindSystems[q.kind].Word(), result, reason).Inc()
}

// audit writes one record on the logger of licenses: who is a pseudonym, and no token, key or address is in it.
func (q *request) audit(result, reason string, more ...zap.Field) {
	q.countLicense(result, reason)
	if entry := q.licenseLogger.Check(zap.InfoLevel, "license "+result); entry != nil {
		fields := make([]zap.Field, 0, 12)
		entry.Write(append(append(fields,
			zap.String("result", result), zap.String("reason", reason), zap.String("system", kindSystems[q.kind].Word()), zap.String("tenant", q.tenant),
			zap.String("asset", string(q.seal.Asset)), zap.String("group", q.seal.Group), zap.String("subject", q.pseudonym()),
			zap.String("country", q.identity.place.Country.String()),
		), more...)...)
	}
}

// Types of problems that DASH-IF defines for license servers (Guidelines, content protection and security).
const (
	problemNotAuthorized = "https://dashif.org/drm-problems/not-authorized"
	problemInsufficient  = "https://dashif.org/drm-problems/insufficient-proof-of-authorization"
)

// problemType names the kind of a refusal, where there is a name for it: license requests that are not authorized, by who asks or for want of
// a token.
func (q *request) problemType(a answer) string {
	if kindSystems[q.kind] == ([16]byte{}) {
		return "about:blank"
	}
	switch a.status {
	case http.StatusUnauthorized:
		return problemInsufficient
	case http.StatusForbidden, http.StatusUnavailableForLegalReasons:
		return problemNotAuthorized
	default:
		return "about:blank"
	}
}

// maxRetryAfter bounds what a license server may tell players to wait, in seconds.
const maxRetryAfter = 3600

// answerOfLicenseServer is how a refusal of a license server is counted and logged.
func answerOfLicenseServer(refusal keysource.HTTPResponse) answer {
	a := answer{status: refusal.Status, reason: "license_server_refused", level: zap.InfoLevel}
	if a.status >= http.StatusInternalServerError {
		a.level = zap.WarnLevel
	}
	if seconds, err := strconv.Atoi(refusal.Header["Retry-After"]); err == nil && seconds > 0 {
		a.retryAfter = time.Duration(min(seconds, maxRetryAfter)) * time.Second
	} else if a.status == http.StatusTooManyRequests {
		a.retryAfter = retryAfterUnavailable
	}
	return a
}
