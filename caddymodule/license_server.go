package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
	"github.com/caddy-drm/caddy-drm/licensing/vendor"
)

// LicenseServerConfig says which license servers of one DRM system are asked, and how they are spoken to. The addresses are fixed: nothing
// that a player sends becomes part of them, no redirect is followed, and certificates are always verified. Of a player's request its body
// alone goes there.
type LicenseServerConfig struct {
	KeyServerConn
	// Fallbacks are further URLs, asked in their order when those before do not answer.
	Fallbacks []string `json:"fallbacks,omitempty"`
	// VendorRaw is how the servers are spoken to. Default: `generic`.
	VendorRaw json.RawMessage `json:"vendor,omitempty" caddy:"namespace=drm.license_servers inline_key=name"`
	// UnreadKeys is `refuse` (default) or `allow`: what happens to a request of which the gateway cannot read whose keys it asks for, where
	// the vendor's token does not say either. Allow it if the license server itself judges titles.
	UnreadKeys string `json:"unread_keys,omitempty"`
	// SPC is how servers of FairPlay are sent requests: `raw` (default), `form` or `json`. Players may use any of them.
	SPC string `json:"spc,omitempty"`
	// Certificate is the certificate of FairPlay, in DER or PEM: a file, or an https URL that is asked once an hour at most.
	Certificate string `json:"certificate,omitempty"`
}

// LicenseVendor is what the modules of the namespace drm.license_servers are.
type LicenseVendor interface {
	// Vendor returns how license servers of a system are spoken to, or an error if they cannot be.
	Vendor(system drm.SystemID) (vendor.Vendor, error)
}

const (
	// licenseConnections bounds the requests to one host at a time, and licenseWaiting all that wait for license servers of one
	// system: what is beyond is refused at once.
	licenseConnections = 128
	licenseWaiting     = 512
	// licenseTimeout bounds all attempts together: players wait some ten seconds.
	licenseTimeout = 9 * time.Second
)

// licenseServer is a configured system.
type licenseServer struct {
	system      drm.SystemID
	upstreams   []*licenseUpstream
	transport   *keyTransport
	vendor      vendor.Vendor
	budget      licensing.RetryBudget
	waiting     chan struct{}
	spc         licensing.FairPlayForm
	allowsAny   bool // requests whose keys nobody can read
	certificate *hostedCertificate
}

type licenseUpstream struct {
	url     string
	breaker licensing.Breaker
}

// compileLicenseServers opens the license servers, and asks none.
func (h *Handler) compileLicenseServers(ctx caddy.Context) error {
	h.License.servers = make(map[drm.SystemID]*licenseServer, len(h.License.Servers))
	for _, word := range sortedKeys(h.License.Servers) {
		system, err := drm.ParseSystem(word)
		if err != nil || system == drm.SystemClearKey {
			return fmt.Errorf("license.servers: %q: want widevine, playready or fairplay", word)
		}
		if !h.mayServe(system) {
			return fmt.Errorf("license_server %s: no group of this site has %s among its systems", word, word)
		}
		server, err := h.License.Servers[word].open(ctx, system)
		if err != nil {
			return fmt.Errorf("license_server %s: %w", word, err)
		}
		h.License.servers[system] = server
	}
	return nil
}

// mayServe reports whether a title of the site may be of a group with the system: by a path of the site, or by a catalog.
func (h *Handler) mayServe(system drm.SystemID) bool {
	signals := func(g drm.Group) bool { return slices.Contains(g.SignaledSystems(), system) }
	if slices.ContainsFunc(h.groups.all(), signals) {
		return true
	}
	for _, g := range h.app.groups {
		if h.Rights != nil && signals(g) {
			return true
		}
	}
	return false
}

func (c *LicenseServerConfig) open(ctx caddy.Context, system drm.SystemID) (s *licenseServer, err error) {
	if c == nil {
		return nil, errors.New("want the URL of a server")
	}
	s = &licenseServer{system: system, waiting: make(chan struct{}, licenseWaiting), allowsAny: c.UnreadKeys == wordAllow}
	for _, text := range append([]string{c.URL}, c.Fallbacks...) {
		if text, err = (&KeyServerConn{URL: text}).fixedURL(); err != nil {
			return nil, err
		}
		s.upstreams = append(s.upstreams, &licenseUpstream{url: text})
	}
	if s.transport, err = c.transport(); err != nil {
		return nil, err
	}
	s.transport.peer = "the license server"
	if transport, ok := s.transport.client.Transport.(*http.Transport); ok {
		transport.MaxConnsPerHost = licenseConnections
	}
	if s.vendor, err = c.openVendor(ctx, system); err != nil {
		return nil, err
	}
	if !isOneOf(c.UnreadKeys, "", wordAllow, wordRefuse) {
		return nil, fmt.Errorf("unread_keys: %q: want refuse or allow", c.UnreadKeys)
	}
	return s, c.openFairPlay(s)
}

func (c *LicenseServerConfig) openVendor(ctx caddy.Context, system drm.SystemID) (vendor.Vendor, error) {
	if c.VendorRaw == nil {
		return vendor.Generic{}, nil
	}
	loaded, err := ctx.LoadModule(c, "VendorRaw")
	if err != nil {
		return nil, fmt.Errorf("vendor: %w", err)
	}
	module, ok := loaded.(LicenseVendor)
	if !ok {
		return nil, errors.New("vendor: the module is none for license servers")
	}
	v, err := module.Vendor(system)
	if err != nil {
		return nil, fmt.Errorf("vendor: %w", err)
	}
	return v, nil
}

// openFairPlay reads what is for FairPlay alone.
func (c *LicenseServerConfig) openFairPlay(s *licenseServer) (err error) {
	if s.system != drm.SystemFairPlay {
		if c.SPC != "" || c.Certificate != "" {
			return errors.New("spc and certificate are for FairPlay")
		}
		return nil
	}
	if c.SPC != "" {
		if s.spc, err = licensing.ParseFairPlayForm(c.SPC); err != nil {
			return err
		}
	}
	if !s.allowsAny && !s.vendor.Binds() {
		return errors.New("unread_keys: requests of FairPlay are encrypted, so that whoever may watch one title could ask for another's key: name a vendor " +
			"whose token names the title, or say unread_keys allow if the license server judges titles itself")
	}
	if c.Certificate != "" {
		if s.certificate, err = openCertificate(c.Certificate, s.transport); err != nil {
			return fmt.Errorf("certificate: %w", err)
		}
	}
	return nil
}

// close lets go of connections that nobody uses.
func (c *LicenseConfig) close() {
	if c == nil {
		return
	}
	for _, server := range c.servers {
		server.transport.client.CloseIdleConnections()
	}
}

// unmarshalServer reads
//
//	license_server widevine|playready|fairplay <url...> {
//		vendor      generic|axinom|… { … }
//		unread_keys refuse|allow
//		spc         raw|form|json
//		certificate <file>|<url>
//		basic, bearer, header, client_certificate, ca, timeout, max_size: as of keys cpix
//	}
func (c *LicenseConfig) unmarshalServer(d *caddyfile.Dispenser, word string) error {
	if !isOneOf(word, "widevine", "playready", "fairplay") {
		return d.Errf("license_server %q: want clearkey, widevine, playready or fairplay", word)
	}
	if _, twice := c.Servers[word]; twice {
		return d.Errf("license_server %s: given twice; further URLs stand behind the first", word)
	}
	urls := d.RemainingArgs()
	if len(urls) == 0 {
		return d.ArgErr()
	}
	for _, text := range urls {
		if err := checkKeyServerURL(text); err != nil {
			return d.Errf("license_server %s: %v", word, err)
		}
	}
	server := &LicenseServerConfig{Fallbacks: urls[1:]}
	server.URL = urls[0]
	if c.Servers == nil {
		c.Servers = make(map[string]*LicenseServerConfig)
	}
	c.Servers[word] = server
	return eachOption(d, server.connOptions(d).with(options{
		"vendor": func() (err error) {
			server.VendorRaw, err = unmarshalGuest(d, "drm.license_servers.", "name")
			return err
		},
		"unread_keys": func() error { return wordArg(d, &server.UnreadKeys, wordRefuse, wordAllow) },
		"spc":         func() error { return wordArg(d, &server.SPC, "raw", "form", "json") },
		"certificate": func() error { return oneArg(d, &server.Certificate) },
	}))
}

const wordRefuse = "refuse"
