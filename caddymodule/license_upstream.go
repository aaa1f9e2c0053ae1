package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/licensing"
	"github.com/caddy-drm/caddy-drm/licensing/vendor"
)

var errLicenseServer = errors.New("no license server answers")

// question is what is asked of the license servers of a system.
type question struct {
	header http.Header
	query  string
	body   []byte
}

// question puts a challenge into the words of the vendor.
func (s *licenseServer) question(g licensing.Grant, c licensing.Challenge) (question, error) {
	asked, err := s.vendor.Ask(g, c)
	if err != nil {
		return question{}, fmt.Errorf("putting the request into the words of the vendor: %w", err)
	}
	q := question{header: make(http.Header), body: c.Body, query: queryOf(asked)}
	contentType := "application/octet-stream"
	switch s.system {
	case drm.SystemPlayReady:
		contentType = licensing.PlayReadyContentType
		q.header["SOAPAction"] = []string{licensing.PlayReadyAction(c)} // some servers want it spelled like this
	case drm.SystemFairPlay:
		contentType, _ = s.spc.ContentType()
		q.body = s.spc.Ask(c.Body)
	}
	if asked.Body != nil {
		q.body, contentType = asked.Body, asked.ContentType
	}
	q.header.Set("Content-Type", contentType)
	for name, value := range asked.Header {
		q.header.Set(name, value)
	}
	return q, nil
}

func queryOf(r vendor.Request) string {
	values := make(url.Values, len(r.Query))
	for name, value := range r.Query {
		values.Set(name, value)
	}
	return strings.Trim(values.Encode()+"&"+r.RawQuery, "&")
}

// ask sends a question to the first server that answers. Each attempt behind the first takes from the budget of retries, and a server that
// keeps failing is left alone for a while, so that a dead one costs the next viewer nothing.
func (s *licenseServer) ask(ctx context.Context, q question) (keysource.HTTPResponse, error) {
	select {
	case s.waiting <- struct{}{}:
		defer func() { <-s.waiting }()
	default:
		return keysource.HTTPResponse{}, fmt.Errorf("%w: %d requests wait for it already", errLicenseServer, licenseWaiting)
	}
	ctx, cancel := context.WithTimeout(ctx, licenseTimeout)
	defer cancel()
	s.budget.Earn()
	last := fmt.Errorf("%w: all of them are left alone for a while", errLicenseServer)
	asked := false
	for _, upstream := range s.attempts() {
		if asked && !s.budget.Spend() {
			break
		}
		if !upstream.breaker.Allow(time.Now()) {
			continue
		}
		asked = true
		answer, err := s.send(ctx, upstream, q)
		if err == nil {
			return answer, nil
		}
		if last = err; ctx.Err() != nil {
			break
		}
	}
	return keysource.HTTPResponse{}, last
}

// attempts are the servers in their order; a single one is asked twice.
func (s *licenseServer) attempts() []*licenseUpstream {
	if len(s.upstreams) == 1 {
		return []*licenseUpstream{s.upstreams[0], s.upstreams[0]}
	}
	return s.upstreams
}

// send asks one server. An answer that says that the server is out, or sends us elsewhere, is an error.
func (s *licenseServer) send(ctx context.Context, upstream *licenseUpstream, q question) (keysource.HTTPResponse, error) {
	answer, err := s.transport.exchange(ctx, http.MethodPost, withQuery(upstream.url, q.query), q.header, q.body)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		upstream.breaker.Abandon()
		return answer, ctx.Err()
	case err != nil:
		upstream.breaker.Settle(time.Now(), false)
		return answer, fmt.Errorf("%w: %w", errLicenseServer, err)
	case isOut(answer.Status):
		upstream.breaker.Settle(time.Now(), false)
		return answer, fmt.Errorf("%w: status %d", errLicenseServer, answer.Status)
	}
	upstream.breaker.Settle(time.Now(), true)
	return answer, nil
}

// isOut reports whether a status says that another server, or the same in a moment, may answer. 500 is not among them: it is how servers
// of PlayReady refuse.
func isOut(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}
