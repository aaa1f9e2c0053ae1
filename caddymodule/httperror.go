package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-drm/caddy-drm/inflight"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/licensing"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
	"github.com/caddy-drm/caddy-drm/manifest/hls"
	"github.com/caddy-drm/caddy-drm/policy"
	"github.com/caddy-drm/caddy-drm/rights"
	"github.com/caddy-drm/caddy-drm/segcrypt"
)

// Errors of this package that a row below maps to an answer.
var (
	errNotOurs         = errors.New("nothing of ours is at this address")
	errInitReplaced    = errors.New("the init segment that the address names has been replaced")
	errKeyReplaced     = errors.New("the content key that the address stands for has been replaced")
	errMethod          = errors.New("method is not allowed here")
	errQuery           = errors.New("query is not understood")
	errOutOfAsset      = errors.New("manifest refers to what is outside of its asset")
	errSidecar         = errors.New("resource is neither text nor a picture")
	errTooEarly        = errors.New("the connection's peer has not proven its address yet")
	errTokenTwice      = errors.New("more than one access token")
	errInitUnavailable = errors.New("an init segment that the manifest names cannot be had")
	errMixedSet        = errors.New("an AdaptationSet mixes text with audio or video")
	errSchemeOfHLS     = errors.New("scheme aes-128 is for HLS alone: this MPD cannot be protected")
	errKeyRevoked      = errors.New("the content key has been revoked")
	errBody            = errors.New("request body is not what a license server reads")
)

// statusClientClosedRequest is what Caddy and others log for a client that did not wait.
const statusClientClosedRequest = 499

// Header fields of ours.
const (
	headerReason = "Drm-Reason"
	// retryAfter is what a player is told to wait when a key source is out; its own cache asks again after a second.
	retryAfterUnavailable = 2 * time.Second
	// retryAfterBusy is for a gateway whose memory was taken for as long as a request waits.
	retryAfterBusy = 5 * time.Second
)

// answer is how a refusal or a failure leaves the gateway.
type answer struct {
	status int
	reason string // stable code, part of the public interface
	level  zapcore.Level
	// detail lets the error's own text be shown, where it is of this project and names boxes, tags and offsets. What handlers
	// behind the gateway say may hold addresses of the origin, and stays in the log.
	detail     bool
	retryAfter time.Duration
	header     [][2]string // what an authentic token wants to be told besides
	rule       string      // which rule of the policy it was, for the log
	// opens is when the title can be watched, if the refusal is for its time.
	opens time.Time
}

// failures is the one table of errors. The first row whose error is in the chain counts.
var failures = []struct {
	err error
	answer
}{
	{errNotOurs, answer{status: http.StatusNotFound, reason: "not_found", level: zapcore.DebugLevel}},
	{errInitReplaced, answer{status: http.StatusNotFound, reason: "init_replaced", level: zapcore.InfoLevel}},
	{errKeyReplaced, answer{status: http.StatusNotFound, reason: "key_replaced", level: zapcore.InfoLevel}},
	{errKeyRevoked, answer{status: http.StatusForbidden, reason: string(policy.ReasonRevoked), level: zapcore.InfoLevel}},
	{errPeriod, answer{status: http.StatusNotFound, reason: "period_mismatch", level: zapcore.InfoLevel}},
	{errManyPeriods, answer{status: http.StatusBadGateway, reason: "periods_too_many", level: zapcore.ErrorLevel, detail: true}},
	{errLevel, answer{status: http.StatusForbidden, reason: "level_denied", level: zapcore.InfoLevel}},
	{hls.ErrNoVariants, answer{status: http.StatusForbidden, reason: "level_denied", level: zapcore.InfoLevel}},
	{dash.ErrNoVideo, answer{status: http.StatusForbidden, reason: "level_denied", level: zapcore.InfoLevel}},
	{errLicenseRequired, answer{status: http.StatusForbidden, reason: "license_required", level: zapcore.InfoLevel}},
	{errGrantsUnavailable, answer{status: http.StatusServiceUnavailable, reason: "grants_unavailable", level: zapcore.ErrorLevel, retryAfter: retryAfterUnavailable}},
	{errCutsUnavailable, answer{
		status: http.StatusServiceUnavailable, reason: string(policy.ReasonStateUnavailable), level: zapcore.ErrorLevel, retryAfter: retryAfterUnavailable,
	}},
	{errGroupUnknown, answer{status: http.StatusServiceUnavailable, reason: "group_unknown", level: zapcore.ErrorLevel}},
	{errInitUnavailable, answer{status: http.StatusBadGateway, reason: "init_unavailable", level: zapcore.ErrorLevel}},
	{errNotProtected, answer{status: http.StatusBadGateway, reason: "media_not_protected", level: zapcore.ErrorLevel, detail: true}},
	{errMixedProtection, answer{status: http.StatusBadGateway, reason: "manifest_mixed_protection", level: zapcore.ErrorLevel, detail: true}},
	{hls.ErrMixedProtection, answer{status: http.StatusBadGateway, reason: "manifest_mixed_protection", level: zapcore.ErrorLevel, detail: true}},
	{dash.ErrMixedProtection, answer{status: http.StatusBadGateway, reason: "manifest_mixed_protection", level: zapcore.ErrorLevel, detail: true}},
	{errMixedSet, answer{status: http.StatusBadGateway, reason: "manifest_malformed", level: zapcore.ErrorLevel, detail: true}},
	{errSchemeOfHLS, answer{status: http.StatusBadGateway, reason: "scheme_unsupported", level: zapcore.ErrorLevel, detail: true}},
	{errInitElsewhere, answer{status: http.StatusBadGateway, reason: "manifest_malformed", level: zapcore.ErrorLevel, detail: true}},
	{errBareSegment, answer{status: http.StatusBadGateway, reason: "media_unsupported", level: zapcore.ErrorLevel, detail: true}},
	{errBareGroup, answer{status: http.StatusBadGateway, reason: "media_unsupported", level: zapcore.ErrorLevel, detail: true}},
	{errMP3SampleAES, answer{status: http.StatusBadGateway, reason: "media_unsupported", level: zapcore.ErrorLevel, detail: true}},
	{segcrypt.ErrUnsupportedFormat, answer{status: http.StatusBadGateway, reason: "media_unsupported", level: zapcore.ErrorLevel, detail: true}},
	{errIFrameSampleAES, answer{status: http.StatusBadGateway, reason: "media_unsupported", level: zapcore.ErrorLevel, detail: true}},
	{errNotMedia, answer{status: http.StatusBadGateway, reason: "media_malformed", level: zapcore.ErrorLevel, detail: true}},
	{errMethod, answer{status: http.StatusMethodNotAllowed, reason: "method_not_allowed", level: zapcore.DebugLevel}},
	{errQuery, answer{status: http.StatusBadRequest, reason: "query_invalid", level: zapcore.DebugLevel}},
	{errTooEarly, answer{status: http.StatusTooEarly, reason: "too_early", level: zapcore.DebugLevel}},
	{errTokenTwice, answer{status: http.StatusUnauthorized, reason: "token_ambiguous", level: zapcore.InfoLevel}},
	{errPullAuth, answer{status: http.StatusForbidden, reason: "pull_auth", level: zapcore.WarnLevel}},
	{errBody, answer{status: http.StatusBadRequest, reason: "license_request_malformed", level: zapcore.DebugLevel}},
	{licensing.ErrMalformed, answer{status: http.StatusBadRequest, reason: "license_request_malformed", level: zapcore.DebugLevel}},
	{licensing.ErrUnsupportedType, answer{status: http.StatusForbidden, reason: "license_type_unsupported", level: zapcore.InfoLevel}},
	{licensing.ErrNoKeys, answer{status: http.StatusForbidden, reason: "license_no_keys", level: zapcore.InfoLevel}},
	{errLicenseServer, answer{
		status: http.StatusServiceUnavailable, reason: "license_server_unavailable", level: zapcore.ErrorLevel, retryAfter: retryAfterUnavailable,
	}},
	{errLicenseOver, answer{status: http.StatusForbidden, reason: "license_over", level: zapcore.InfoLevel}},
	{errKeysUnread, answer{status: http.StatusForbidden, reason: "license_keys_unread", level: zapcore.InfoLevel}},
	{licensing.ErrAnswer, answer{status: http.StatusBadGateway, reason: "license_server_failed", level: zapcore.ErrorLevel}},
	{keysource.ErrUnknownKey, answer{status: http.StatusInternalServerError, reason: "key_unknown", level: zapcore.ErrorLevel}},
	{keysource.ErrUnavailable, answer{
		status: http.StatusServiceUnavailable, reason: "keys_unavailable", level: zapcore.ErrorLevel, retryAfter: retryAfterUnavailable,
	}},
	{inflight.ErrBusy, answer{status: http.StatusServiceUnavailable, reason: "busy", level: zapcore.WarnLevel, retryAfter: retryAfterBusy}},
	{inflight.ErrTooLarge, answer{status: http.StatusBadGateway, reason: "segment_too_large", level: zapcore.ErrorLevel}},
	{errOutOfAsset, answer{status: http.StatusBadGateway, reason: "manifest_out_of_asset", level: zapcore.ErrorLevel, detail: true}},
	{errSidecar, answer{status: http.StatusBadGateway, reason: "sidecar_refused", level: zapcore.ErrorLevel, detail: true}},
	{segcrypt.ErrAlreadyProtected, answer{status: http.StatusBadGateway, reason: "media_already_protected", level: zapcore.ErrorLevel, detail: true}},
	{segcrypt.ErrUnsupportedSampleEntry, answer{status: http.StatusBadGateway, reason: "media_unsupported", level: zapcore.ErrorLevel, detail: true}},
	{hls.ErrAlreadyProtected, answer{status: http.StatusBadGateway, reason: "manifest_already_protected", level: zapcore.ErrorLevel, detail: true}},
	{hls.ErrNotPlaylist, answer{status: http.StatusBadGateway, reason: "manifest_malformed", level: zapcore.ErrorLevel, detail: true}},
	{hls.ErrTooLarge, answer{status: http.StatusBadGateway, reason: "manifest_malformed", level: zapcore.ErrorLevel, detail: true}},
	{dash.ErrAlreadyProtected, answer{status: http.StatusBadGateway, reason: "manifest_already_protected", level: zapcore.ErrorLevel, detail: true}},
}

// answerFor finds the row for err. What no row knows is a failure of the gateway itself.
func answerFor(err error) answer {
	for _, row := range failures {
		if errors.Is(err, row.err) {
			return row.answer
		}
	}
	var fromOrigin *originError
	var format *segcrypt.FormatError
	var inMPD *dash.SyntaxError
	var inPlaylist *hls.SyntaxError
	switch {
	case errors.As(err, &fromOrigin):
		return answerForOrigin(fromOrigin)
	case errors.As(err, &format):
		return answer{status: http.StatusBadGateway, reason: "media_malformed", level: zapcore.ErrorLevel, detail: true}
	case errors.As(err, &inMPD), errors.As(err, &inPlaylist):
		return answer{status: http.StatusBadGateway, reason: "manifest_malformed", level: zapcore.ErrorLevel, detail: true}
	case errors.Is(err, context.DeadlineExceeded):
		return answer{status: http.StatusGatewayTimeout, reason: "timeout", level: zapcore.ErrorLevel}
	}
	return answer{status: http.StatusBadGateway, reason: "not_protectable", level: zapcore.ErrorLevel}
}

// answerForOrigin tells what is not there from an origin that does not work. A redirect is not followed and not passed
// on: either would lead around the gateway.
func answerForOrigin(err *originError) answer {
	switch err.status {
	case http.StatusNotFound, http.StatusGone:
		return answer{status: http.StatusNotFound, reason: "not_found", level: zapcore.DebugLevel}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return answer{
			status: http.StatusServiceUnavailable, reason: "origin_unavailable", level: zapcore.ErrorLevel, retryAfter: retryAfterUnavailable,
		}
	case http.StatusGatewayTimeout:
		return answer{status: http.StatusGatewayTimeout, reason: "origin_timeout", level: zapcore.ErrorLevel}
	default:
		return answer{status: http.StatusBadGateway, reason: "origin_failed", level: zapcore.ErrorLevel}
	}
}

// refusals maps the reasons of a policy to a status; the others are 403.
var refusals = map[policy.Reason]int{
	policy.ReasonTokenMissing:       http.StatusUnauthorized,
	policy.ReasonTokenAmbiguous:     http.StatusUnauthorized,
	policy.ReasonTokenInvalid:       http.StatusUnauthorized,
	policy.ReasonTokenExpired:       http.StatusUnauthorized,
	policy.ReasonTokenNotYetValid:   http.StatusUnauthorized,
	policy.ReasonTokenReplayed:      http.StatusUnauthorized,
	policy.ReasonTokenUnsupported:   http.StatusUnauthorized,
	policy.ReasonTokenUnverifiable:  http.StatusServiceUnavailable, // a failure of ours, not of the viewer
	policy.ReasonRightsUnavailable:  http.StatusServiceUnavailable, // the same
	policy.ReasonRateLimited:        http.StatusTooManyRequests,
	policy.ReasonStreamLimit:        http.StatusTooManyRequests,
	policy.ReasonStreamKicked:       http.StatusTooManyRequests,
	policy.ReasonStateUnavailable:   http.StatusServiceUnavailable, // a failure of ours, not of the viewer
	policy.ReasonSessionBinding:     http.StatusUnauthorized,
	policy.ReasonEntitlementUnknown: http.StatusServiceUnavailable,
}

// refuse answers a decision that does not allow the request.
func (q *request) refuse(d policy.Decision) error { return q.answerWith(q.refusalOf(d), nil) }

// refusalOf returns the answer to a decision that does not allow the request.
func (q *request) refusalOf(d policy.Decision) answer {
	a := answer{status: http.StatusForbidden, reason: string(d.Reason), level: zapcore.InfoLevel, retryAfter: d.RetryAfter, rule: d.Rule, opens: d.Opens}
	if status, ok := refusals[d.Reason]; ok {
		a.status = status
	}
	if d.Reason == policy.ReasonStateUnavailable && a.retryAfter == 0 {
		a.retryAfter = retryAfterUnavailable
	}
	if d.Reason.IsGeo() && q.Geo != nil && q.Geo.Status != 0 {
		a.status = q.Geo.Status
	}
	if d.Answer != nil {
		a.status, a.header = d.Answer.Status, d.Answer.Header
	}
	return a
}

// failIf is fail where there may be no error.
func (q *request) failIf(err error) error {
	if err == nil {
		return nil
	}
	return q.fail(err)
}

// fail answers an error or, if some of a representation has been sent, breaks the connection off: an answer that looks whole
// would be kept as such.
func (q *request) fail(err error) error {
	if errors.Is(err, errBrokenOff) {
		if q.r.Context().Err() == nil { // else it is the client who broke off
			a := answerFor(err)
			countRefusal(q.kind, a)
			q.log(a, err)
		}
		panic(http.ErrAbortHandler)
	}
	if q.r.Context().Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, errOriginStatus)) {
		// The client left, for which reverse_proxy answers 499 instead of an error, or closed its half of the connection and
		// still reads: it must not read a success.
		q.w.Header().Set("Cache-Control", cacheNoStore)
		q.w.WriteHeader(statusClientClosedRequest)
		return nil
	}
	return q.answerWith(answerFor(err), err)
}

// answerWith writes the answer or, if the operator asked for that, hands it to the handle_errors routes. The headers are
// set in both cases, so that a player can read the reason.
func (q *request) answerWith(a answer, err error) error {
	q.reason = a.reason
	countRefusal(q.kind, a)
	q.log(a, err)
	q.auditDenial(a)
	q.setRefusalHeaders(a)
	if q.Refusals == refusalsToErrorRoutes {
		if err == nil {
			err = errors.New(a.reason)
		}
		return caddyhttp.Error(a.status, err)
	}
	problem := map[string]any{"type": q.problemType(a), "title": http.StatusText(a.status), "status": a.status, "reason": a.reason}
	if !a.opens.IsZero() {
		problem["opens"] = rights.FormatTime(a.opens)
	}
	if a.detail && err != nil {
		problem["detail"] = err.Error()
	}
	body, err := json.Marshal(problem)
	if err != nil {
		return caddyhttp.Error(a.status, err)
	}
	header := q.w.Header()
	header.Set("Content-Type", "application/problem+json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	q.w.WriteHeader(a.status)
	if q.r.Method != http.MethodHead {
		_, _ = q.w.Write(body) // the client may be gone; the status was what mattered
	}
	return nil
}

func (q *request) log(a answer, err error) {
	if entry := q.logger.Check(a.level, "request refused"); entry != nil {
		entry.Write(zap.String("reason", a.reason), zap.Int("status", a.status), zap.String("kind", q.kind.String()),
			zap.String("path", q.loggedPath()), zap.String("rule", a.rule), zap.Error(err))
	}
}

// loggedPath is the path for a log line. Where no token is looked for in the path, somebody may send one there all the same.
func (q *request) loggedPath() string { return maskElements(string(q.addr.Path)) }

// setRefusalHeaders makes sure that no cache keeps a refusal: it is about one viewer at one moment (RFC 7725, 451 is
// cacheable unless told otherwise).
func (q *request) setRefusalHeaders(a answer) {
	header := q.w.Header()
	for _, name := range []string{"ETag", "Last-Modified", "Accept-Ranges", "Content-Range", "Content-Length", "Set-Cookie"} {
		header.Del(name)
	}
	header.Set("Cache-Control", "no-store")
	header.Set(headerReason, a.reason)
	for _, field := range a.header {
		header.Set(field[0], field[1])
	}
	if a.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int((a.retryAfter+time.Second-1)/time.Second)))
	}
	if !a.opens.IsZero() {
		header.Set(headerOpens, rights.FormatTime(a.opens))
	}
	switch a.status {
	case http.StatusMethodNotAllowed:
		header.Set("Allow", q.allowedMethods())
	case http.StatusUnauthorized:
		// RFC 6750, 3: a request without a token is told only what kind of credential is wanted.
		challenge := "Bearer"
		if a.reason != string(policy.ReasonTokenMissing) {
			challenge = `Bearer error="invalid_token"`
		}
		header.Set("WWW-Authenticate", challenge)
	case http.StatusUnavailableForLegalReasons:
		if q.Geo != nil && q.Geo.BlockedBy != "" {
			header.Set("Link", "<"+q.Geo.BlockedBy+`>; rel="blocked-by"`)
		}
	}
}

func (q *request) allowedMethods() string {
	if q.kind.asksLicense() {
		return "POST, OPTIONS"
	}
	return "GET, HEAD, OPTIONS"
}
