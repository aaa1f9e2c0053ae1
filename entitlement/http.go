package entitlement

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Method is how a backend is spoken to.
type Method string

// The methods.
const (
	// PostJSON sends a JSON object and reads one.
	PostJSON Method = "post_json"
	// Flussonic sends what Flussonic Media Server sends to its authorization backends, and reads the headers that it reads.
	Flussonic Method = "flussonic"
)

// HTTPConfig sets an HTTP backend. URL is required.
type HTTPConfig struct {
	// URL is the backend's, without credentials. It is the only address that is ever asked: redirects are not followed.
	URL string
	// Method is PostJSON by default.
	Method Method
	// Timeout bounds one question (default 2 s).
	Timeout time.Duration
	// SendToken sends the access token itself by PostJSON, and not its digest. Flussonic's method always sends it.
	SendToken bool
	// Plaintext allows http to hosts whose addresses are private. Without it http goes to this machine only.
	Plaintext bool
	// Authorization is sent as the field of that name, if set.
	Authorization string
}

const (
	defaultTimeout = 2 * time.Second
	maxAnswer      = 64 << 10
	maxHeader      = 16 << 10
)

// HTTP is a Backend that is spoken to by HTTP. It is safe for concurrent use.
type HTTP struct {
	config HTTPConfig
	url    *url.URL
	client *http.Client
}

// NewHTTP checks config and returns its backend. It opens no connection.
func NewHTTP(config HTTPConfig) (*HTTP, error) {
	u, err := url.Parse(config.URL)
	switch {
	case err != nil:
		return nil, errors.New("the backend's URL cannot be parsed") // it may hold a secret
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Fragment != "":
		return nil, errors.New("want an absolute https URL without credentials")
	case u.Scheme == "http" && !config.Plaintext && !isThisMachine(u.Hostname()):
		return nil, errors.New("want https: by http the backend's answers could be made up on the way; plaintext allows it to private addresses")
	}
	switch config.Method {
	case "":
		config.Method = PostJSON
	case PostJSON, Flussonic:
	default:
		return nil, fmt.Errorf("method: want %s or %s", PostJSON, Flussonic)
	}
	if config.Timeout == 0 {
		config.Timeout = defaultTimeout
	}
	if config.Timeout < 0 || config.Timeout > 30*time.Second {
		return nil, errors.New("timeout: want up to 30s")
	}
	dialer := &net.Dialer{Timeout: config.Timeout, KeepAlive: 30 * time.Second}
	if u.Scheme == "http" {
		dialer.Control = refusePublic
	}
	return &HTTP{config: config, url: u, client: &http.Client{
		Timeout:       config.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: config.Timeout, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: maxHeader,
		},
	}}, nil
}

// Close releases idle connections.
func (h *HTTP) Close() { h.client.CloseIdleConnections() }

// Explains implements Backend: Flussonic's backends know no question that counts nothing.
func (h *HTTP) Explains() bool { return h.config.Method == PostJSON }

func isThisMachine(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// refusePublic keeps plaintext off the internet, whatever a name resolves to.
func refusePublic(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if addr := at.Addr().Unmap(); !addr.IsLoopback() && !addr.IsPrivate() && !addr.IsLinkLocalUnicast() {
		return errors.New("the backend's address is public, and its URL is http")
	}
	return nil
}

// Ask implements Backend.
func (h *HTTP) Ask(ctx context.Context, q Question) (Answer, error) {
	write, read := h.postJSON, readJSON
	if h.config.Method == Flussonic {
		write, read = h.flussonic, readFlussonic
	}
	req, err := write(ctx, q)
	if err != nil {
		return Answer{}, fmt.Errorf("making the question: %w", err)
	}
	if h.config.Authorization != "" {
		req.Header.Set("Authorization", h.config.Authorization)
	}
	res, err := h.client.Do(req)
	if err != nil {
		var at *url.Error
		if errors.As(err, &at) {
			err = at.Err // without the URL, which may hold the token
		}
		return Answer{}, fmt.Errorf("asking the entitlement backend: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return Answer{}, fmt.Errorf("reading the entitlement backend's answer: %w", err)
	case len(body) > maxAnswer:
		return Answer{}, errors.New("reading the entitlement backend's answer: too large")
	case isRefusal(res.StatusCode):
		return Answer{}, nil
	case res.StatusCode != http.StatusOK:
		return Answer{}, fmt.Errorf("the entitlement backend answered with status %d", res.StatusCode)
	}
	return read(res.Header, body)
}

// isRefusal reports whether a status is the backend's no, and no failure of its own.
func isRefusal(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusNotFound, http.StatusGone,
		http.StatusUnavailableForLegalReasons:
		return true
	}
	return false
}
