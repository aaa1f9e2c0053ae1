package caddymodule

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/keysource/speke"
)

func init() {
	caddy.RegisterModule(new(KeyServer))
	httpcaddyfile.RegisterHandlerDirective("drm_key_server", parseKeyServer)
	httpcaddyfile.RegisterDirectiveOrder("drm_key_server", httpcaddyfile.Before, "respond")
}

// Bounds of KeyServer.
const (
	keyServerMaxRequest = 256 << 10
	// minKeyServerSecret is the least length of a client's secret, in bytes.
	minKeyServerSecret = 16
)

// KeyServer gives packagers and other gateways the content keys that this deployment derives, by SPEKE 1.0, 2.0 and 2.1 or as plain CPIX.
//
// Every caller is one of Clients, and gets keys of that client's tenant only. A key that gateways use is given if its KID comes out again for
// the tenant, the content and the groups of the client; any other KID gets a key of its own, which opens nothing of anybody else.
//
// Answers: 200; 400 for what is no CPIX document; 401 without credentials that are known; 403 without TLS; 405 for other methods than GET,
// which is answered empty, and POST; 413 for more than 256 KiB; 422 for what SPEKE does not allow.
type KeyServer struct {
	// Secret is the deployment secret, a placeholder {env.*} or {file.*}. Default: that of the app drm.
	Secret string `json:"secret,omitempty"`
	// Clients are who may ask.
	Clients []KeyServerClient `json:"clients,omitempty"`
	// AllowClear gives keys in clear, inside of TLS alone, to who sends no certificate to encrypt them to. Default: refused.
	AllowClear bool `json:"allow_clear,omitempty"`
	// Plaintext answers requests that came without TLS. It is for a proxy on this machine that ends TLS.
	Plaintext bool `json:"plaintext,omitempty"`

	server  *speke.Server
	clients []keyClient
	logger  *zap.Logger
}

// KeyServerClient is one caller, known by one of three credentials.
type KeyServerClient struct {
	// Tenant is whose keys the client gets: `tenant` of a site, or by default the site's host.
	Tenant string `json:"tenant"`
	// Groups are the DRM groups whose keys it gets. Default: those of titles without a group.
	Groups []string `json:"groups,omitempty"`
	// Bearer is a token, a placeholder {env.*} or {file.*}.
	Bearer string `json:"bearer,omitempty"`
	// Username and Password are for Basic authentication; Password is a placeholder as above.
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	// Certificate is the SHA-256 of a client certificate, in hexadecimal digits. Caddy's TLS has to ask for it and verify it
	// (client_auth with mode require_and_verify).
	Certificate string `json:"certificate,omitempty"`
}

// keyClient holds digests of credentials, so that comparing them tells nothing of their length either.
type keyClient struct {
	tenant      string
	groups      []string
	secret      [sha256.Size]byte // of the value of Authorization, or zero
	certificate [sha256.Size]byte // or zero
}

// CaddyModule returns the module's registration.
func (*KeyServer) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.drm_key_server", New: func() caddy.Module { return new(KeyServer) }}
}

// Provision resolves the secrets.
func (k *KeyServer) Provision(ctx caddy.Context) error {
	k.logger = ctx.Logger()
	app, err := ctx.App("drm")
	if err != nil {
		return err
	}
	config := speke.ServerConfig{AllowClear: k.AllowClear, Signal: signalOf}
	if k.Secret != "" {
		config.Secret, err = resolveSecret(k.Secret)
	} else {
		shared, _ := app.(*App)
		config.Secret, err = shared.sharedSecret()
	}
	if err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	if k.server, err = speke.NewServer(config); err != nil {
		return err
	}
	if len(k.Clients) == 0 {
		return errors.New("clients: want at least one, or nobody could ask")
	}
	for i, c := range k.Clients {
		client, err := c.compile()
		if err != nil {
			return fmt.Errorf("client %d: %w", i+1, err)
		}
		if slices.ContainsFunc(k.clients, client.sameCredential) {
			return fmt.Errorf("client %d: the credential of another client again", i+1)
		}
		k.clients = append(k.clients, client)
	}
	return nil
}

func (c KeyServerClient) compile() (keyClient, error) {
	client := keyClient{tenant: c.Tenant, groups: c.Groups}
	if c.Tenant == "" {
		return client, errors.New("want a tenant")
	}
	if countSet(c.Bearer, c.Username, c.Certificate) != 1 {
		return client, errors.New("want exactly one of bearer, basic and certificate")
	}
	if c.Certificate != "" {
		b, err := hex.DecodeString(strings.ReplaceAll(c.Certificate, ":", ""))
		if err != nil || len(b) != sha256.Size {
			return client, errors.New("certificate: want the SHA-256 of a certificate, 64 hexadecimal digits")
		}
		client.certificate = [sha256.Size]byte(b)
		return client, nil
	}
	placeholder := c.Bearer
	if placeholder == "" {
		placeholder = c.Password
	}
	secret, err := resolveSecretText(placeholder)
	if err != nil {
		return client, err
	}
	if len(secret) < minKeyServerSecret {
		return client, fmt.Errorf("the secret has fewer than %d bytes", minKeyServerSecret)
	}
	r := http.Request{Header: make(http.Header)}
	if c.Username != "" {
		r.SetBasicAuth(c.Username, secret)
	} else {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	client.secret = sha256.Sum256([]byte(r.Header.Get("Authorization")))
	return client, nil
}

func (c keyClient) sameCredential(o keyClient) bool {
	return c.secret == o.secret && c.certificate == o.certificate
}

// ServeHTTP implements caddyhttp.MiddlewareHandler. It never calls the next handler: what is below this one is not for callers of it.
func (k *KeyServer) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	w.Header().Set("Cache-Control", "no-store")
	if r.TLS == nil && !k.Plaintext {
		http.Error(w, "keys are given over TLS only", http.StatusForbidden)
		return nil
	}
	client, ok := k.authenticate(r)
	if !ok {
		k.logger.Warn("key request without credentials that are known")
		w.Header().Set("WWW-Authenticate", `Basic realm="content keys", charset="UTF-8"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return nil
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead: // the heartbeat of SPEKE 1
		w.WriteHeader(http.StatusOK)
		return nil
	case http.MethodPost:
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "want a POST", http.StatusMethodNotAllowed)
		return nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, keyServerMaxRequest))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			http.Error(w, "the document is too large", http.StatusRequestEntityTooLarge)
		} // else the client is gone
		return nil // answered
	}
	answer := k.server.Answer(speke.Question{
		Tenant: client.tenant, Groups: client.groups, Version: r.Header.Get("X-Speke-Version"), Body: body,
	})
	k.logger.Info("key request", zap.String("tenant", client.tenant), zap.Int("status", answer.Status))
	for name, value := range answer.Header {
		w.Header().Set(name, value)
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(answer.Status)
	_, _ = w.Write(answer.Body)
	return nil
}

// authenticate returns the client that a request comes from. All clients are compared, so that time tells nothing.
func (k *KeyServer) authenticate(r *http.Request) (found keyClient, ok bool) {
	var secret, certificate [sha256.Size]byte
	if values := r.Header.Values("Authorization"); len(values) == 1 {
		secret = sha256.Sum256([]byte(values[0]))
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		certificate = sha256.Sum256(r.TLS.PeerCertificates[0].Raw)
	}
	var none [sha256.Size]byte
	for _, c := range k.clients {
		bySecret := c.secret != none && subtle.ConstantTimeCompare(c.secret[:], secret[:]) == 1
		byCertificate := c.certificate != none && subtle.ConstantTimeCompare(c.certificate[:], certificate[:]) == 1
		if bySecret || byCertificate {
			found, ok = c, true
		}
	}
	return found, ok
}

func parseKeyServer(helper httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	k := new(KeyServer)
	return k, k.UnmarshalCaddyfile(helper.Dispenser)
}

// UnmarshalCaddyfile reads
//
//	drm_key_server [<matcher>] {
//		secret {env.NAME}|{file./path}
//		client <tenant> {
//			bearer      {env.NAME}|{file./path}
//			basic       <user> {env.NAME}|{file./path}
//			certificate <sha256>
//			groups      <name...>
//		}
//		allow_clear
//		plaintext
//	}
func (k *KeyServer) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	flag := func(into *bool) func() error {
		return func() error {
			*into = true
			if d.NextArg() {
				return d.ArgErr()
			}
			return nil
		}
	}
	return eachOption(d, options{
		"secret":      func() error { return secretArg(d, &k.Secret) },
		"client":      repeatable(func() error { return k.unmarshalClient(d) }),
		"allow_clear": flag(&k.AllowClear),
		"plaintext":   flag(&k.Plaintext),
	})
}

func (k *KeyServer) unmarshalClient(d *caddyfile.Dispenser) error {
	var c KeyServerClient
	if err := oneArg(d, &c.Tenant); err != nil {
		return err
	}
	err := eachOption(d, options{
		"bearer": func() error { return secretArg(d, &c.Bearer) },
		"basic": func() error {
			if !d.NextArg() {
				return d.ArgErr()
			}
			c.Username = d.Val()
			return secretArg(d, &c.Password)
		},
		"certificate": func() error { return oneArg(d, &c.Certificate) },
		"groups":      func() error { return someArgs(d, &c.Groups) },
	})
	k.Clients = append(k.Clients, c)
	return err
}

// Interface guards
var (
	_ caddy.Provisioner           = (*KeyServer)(nil)
	_ caddyhttp.MiddlewareHandler = (*KeyServer)(nil)
	_ caddyfile.Unmarshaler       = (*KeyServer)(nil)
)
