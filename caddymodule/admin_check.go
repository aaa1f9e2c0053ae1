package caddymodule

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// maxCheckRequest bounds the body of POST /drm/check.
const maxCheckRequest = 64 << 10

// CheckRequest is the body of POST /drm/check: a request that nobody sends.
type CheckRequest struct {
	// URL is what a player would ask for: absolute, with scheme and host.
	URL string `json:"url"`
	// Method is GET (default), HEAD or POST.
	Method string `json:"method,omitempty"`
	// IP is the viewer's address. Default: 127.0.0.1.
	IP string `json:"ip,omitempty"`
	// Token is an access token, which may also stand in the URL or in a header.
	Token string `json:"token,omitempty"`
	// At is the instant to decide for, RFC 3339. Default: now.
	At time.Time `json:"at,omitzero"`
	// Header holds further fields of the request.
	Header http.Header `json:"header,omitempty"`
}

// CheckReport says how a request would be decided, and why. It holds no token.
type CheckReport struct {
	Allowed bool `json:"allowed"`
	// Reason is the stable code, Status that of the answer if the origin has what is asked for.
	Reason string `json:"reason"`
	Status int    `json:"status"`
	// Rule says how the rule came out that decided.
	Rule string `json:"rule,omitempty"`
	// Until is when the first thing ends that an admission rests on.
	Until time.Time `json:"until,omitzero"`
	// Server is the HTTP server of the configuration; Mode, Tenant, Asset, Kind and Path are what its site makes of the URL.
	Server  string `json:"server"`
	Mode    string `json:"mode"`
	Tenant  string `json:"tenant"`
	Asset   string `json:"asset,omitempty"`
	Kind    string `json:"kind"`
	Path    string `json:"path,omitempty"`
	Country string `json:"country,omitempty"`
	Subject string `json:"subject,omitempty"`
	// Passed are the handlers in front of the site that were not run, in order: they may have a say too.
	Passed []string `json:"passed,omitempty"`
	// Steps are the rules in the order in which they are judged.
	Steps []CheckStep `json:"steps"`
}

// CheckStep is one rule: what it looked at, and how it came out.
type CheckStep struct {
	Rule    string `json:"rule"`
	Input   string `json:"input,omitempty"`
	Outcome string `json:"outcome"`
	// Reason is set where the rule refuses.
	Reason string `json:"reason,omitempty"`
}

// serveCheck answers POST /drm/check.
func (a *AdminAPI) serveCheck(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("want POST")}
	}
	var asked CheckRequest
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxCheckRequest))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: fmt.Errorf("reading the request: %w", err)}
	}
	report, err := a.check(r.Context(), asked)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(report)
}

// check finds the site of a URL in the running configuration and lets it explain.
func (a *AdminAPI) check(ctx context.Context, asked CheckRequest) (CheckReport, error) {
	if _, err := a.app(); err != nil {
		return CheckReport{}, err
	}
	configured, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		return CheckReport{}, caddy.APIError{HTTPStatus: http.StatusNotFound, Err: err}
	}
	app, ok := configured.(*caddyhttp.App)
	if !ok {
		return CheckReport{}, caddy.APIError{HTTPStatus: http.StatusInternalServerError, Err: errors.New("the app http is another one")}
	}
	request, addr, err := asked.request(ctx)
	if err != nil {
		return CheckReport{}, caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err}
	}
	name, server, err := serverFor(app, request.URL)
	if err != nil {
		return CheckReport{}, caddy.APIError{HTTPStatus: http.StatusNotFound, Err: err}
	}
	repl := caddy.NewReplacer()
	request = caddyhttp.PrepareRequest(request, repl, noAnswer{}, server)
	caddyhttp.SetVar(request.Context(), caddyhttp.ClientIPVarKey, addr.String())
	walk := routeWalk{repl: repl, groups: make(map[string]bool)}
	handler, request, err := walk.find(server.Routes, request)
	if err != nil {
		return CheckReport{}, caddy.APIError{HTTPStatus: http.StatusNotFound, Err: err}
	}
	at := asked.At
	if at.IsZero() {
		at = time.Now()
	}
	report := handler.explain(request, asked.Token, at)
	report.Server, report.Passed = name, walk.passed
	return report, nil
}

// noAnswer is the writer of a request that is not answered.
type noAnswer struct{}

// Header implements http.ResponseWriter.
func (noAnswer) Header() http.Header { return http.Header{} }

// Write implements io.Writer.
func (noAnswer) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader implements http.ResponseWriter.
func (noAnswer) WriteHeader(int) {}

// request makes the request that is asked about.
func (c CheckRequest) request(ctx context.Context) (*http.Request, netip.Addr, error) {
	addr := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	u, err := url.Parse(c.URL)
	if err == nil && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil) {
		err = errors.New("want an absolute http or https URL")
	}
	if err == nil && c.IP != "" {
		addr, err = netip.ParseAddr(c.IP)
	}
	if err != nil {
		return nil, addr, err
	}
	method := c.Method
	if method == "" {
		method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(ctx, method, c.URL, nil)
	if err != nil {
		return nil, addr, err
	}
	r.RequestURI, r.RemoteAddr = u.RequestURI(), net.JoinHostPort(addr.String(), "0")
	for name, values := range c.Header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	if u.Scheme == "https" {
		r.TLS = &tls.ConnectionState{HandshakeComplete: true, ServerName: u.Hostname()}
	}
	return r, addr, nil
}
