package caddymodule

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-drm/caddy-drm/keysource"
)

// Defaults and bounds of questions to key servers.
const (
	keyServerTimeout     = 4 * time.Second
	keyServerMostTimeout = time.Minute
	keyServerMaxAnswer   = 1 << 20
	keyServerMostAnswer  = 4 << 20
	keyServerConnections = 16
)

// KeyServerConn says how a key server is reached. The address is fixed: no redirect is followed, and nothing that a viewer sends becomes part
// of the host. Certificates are always verified.
type KeyServerConn struct {
	// URL is https, or http on this machine.
	URL string `json:"url,omitempty"`
	// Username and Password are sent as Basic authentication; Password is a placeholder {env.*} or {file.*}.
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	// Bearer is sent as a bearer token: a placeholder {env.*} or {file.*}.
	Bearer string `json:"bearer,omitempty"`
	// Headers are sent as they are named: placeholders {env.*} or {file.*}.
	Headers map[string]string `json:"headers,omitempty"`
	// ClientCertificate is the path of a PEM file, ClientKey a placeholder for its private key, {env.*} or {file.*}.
	ClientCertificate string `json:"client_certificate,omitempty"`
	ClientKey         string `json:"client_key,omitempty"`
	// CA is the path of a PEM file with the authorities that are trusted. Default: those of the system.
	CA string `json:"ca,omitempty"`
	// Timeout bounds one attempt. Default 4s, at most 1m.
	Timeout caddy.Duration `json:"timeout,omitempty"`
	// MaxSize bounds an answer, in bytes. Default 1 MiB, at most 4 MiB.
	MaxSize int64 `json:"max_size,omitempty"`
}

// connOptions are the words of a block that are about the connection.
func (c *KeyServerConn) connOptions(d *caddyfile.Dispenser) options {
	return options{
		"basic": func() error {
			if !d.NextArg() {
				return d.ArgErr()
			}
			c.Username = d.Val()
			return secretArg(d, &c.Password)
		},
		"bearer": func() error { return secretArg(d, &c.Bearer) },
		"header": repeatable(func() error {
			if !d.NextArg() {
				return d.ArgErr()
			}
			name, value := d.Val(), ""
			if err := secretArg(d, &value); err != nil {
				return err
			}
			if c.Headers == nil {
				c.Headers = make(map[string]string)
			}
			if _, ok := c.Headers[name]; ok {
				return d.Errf("header %q stands twice", name)
			}
			c.Headers[name] = value
			return nil
		}),
		"client_certificate": func() error {
			if !d.NextArg() {
				return d.ArgErr()
			}
			c.ClientCertificate = d.Val()
			return secretArg(d, &c.ClientKey)
		},
		"ca":       func() error { return oneArg(d, &c.CA) },
		"timeout":  func() error { return durationArg(d, &c.Timeout) },
		"max_size": func() error { return sizeArg(d, &c.MaxSize) },
	}
}

// with adds more words to those of the connection.
func (o options) with(more options) options {
	maps.Copy(o, more)
	return o
}

// checkKeyServerURL checks what a template of a URL comes to. Placeholders of a title may stand in path and query only.
func checkKeyServerURL(text string) error {
	host, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(text, "https://"), "http://"), "/")
	plain := strings.NewReplacer("{", "", "}", "").Replace(text)
	u, err := url.Parse(plain)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || strings.ContainsAny(host, "{}?") ||
		u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return errors.New("url: want https without credentials, or http on this machine")
	}
	return nil
}

// parseTitleTemplate reads a template. In a Caddyfile {scheme} is short for the one of the request, which has none here.
func parseTitleTemplate(text string) (keysource.Template, error) {
	return keysource.ParseTemplate(strings.ReplaceAll(text, "{http.request.scheme}", "{scheme}"))
}

// template reads the URL.
func (c *KeyServerConn) template() (keysource.Template, error) {
	if err := checkKeyServerURL(c.URL); err != nil {
		return keysource.Template{}, err
	}
	t, err := parseTitleTemplate(c.URL)
	if err != nil {
		return keysource.Template{}, fmt.Errorf("url: %w", err)
	}
	return t, nil
}

// fixedURL reads the URL of a server that is told the title in the request itself.
func (c *KeyServerConn) fixedURL() (string, error) {
	if strings.ContainsAny(c.URL, "{}") {
		return "", errors.New("url: the title goes into the request, and not into the URL")
	}
	return c.URL, checkKeyServerURL(c.URL)
}

// keyTransport carries questions to one key server.
type keyTransport struct {
	client  *http.Client
	headers http.Header
	query   url.Values // secrets that the server wants in the URL
	maxSize int64
	peer    string // what errors call the server
}

// transport opens nothing yet.
func (c *KeyServerConn) transport() (*keyTransport, error) {
	t := &keyTransport{headers: make(http.Header), maxSize: c.MaxSize, peer: "the key server"}
	if t.maxSize == 0 {
		t.maxSize = keyServerMaxAnswer
	}
	timeout := time.Duration(c.Timeout)
	if timeout == 0 {
		timeout = keyServerTimeout
	}
	if timeout < 0 || timeout > keyServerMostTimeout || t.maxSize < 0 || t.maxSize > keyServerMostAnswer {
		return nil, errors.New("timeout or max_size: want at most 1m and 4MiB")
	}
	if err := c.credentials(t.headers); err != nil {
		return nil, err
	}
	config, err := c.tls()
	if err != nil {
		return nil, err
	}
	transport, _ := http.DefaultTransport.(*http.Transport)
	transport = transport.Clone()
	transport.TLSClientConfig = config
	transport.MaxConnsPerHost = keyServerConnections
	transport.MaxResponseHeaderBytes = 64 << 10
	transport.DisableCompression = true // so that max_size bounds what is read
	t.client = &http.Client{
		Timeout: timeout, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return t, nil
}

func (c *KeyServerConn) credentials(headers http.Header) error {
	if c.Username != "" && c.Bearer != "" {
		return errors.New("basic and bearer: want one of them")
	}
	if c.Username != "" {
		password, err := resolveSecretText(c.Password)
		if err != nil {
			return fmt.Errorf("basic: %w", err)
		}
		r := http.Request{Header: headers}
		r.SetBasicAuth(c.Username, password)
	}
	if c.Bearer != "" {
		token, err := resolveSecretText(c.Bearer)
		if err != nil {
			return fmt.Errorf("bearer: %w", err)
		}
		headers.Set("Authorization", "Bearer "+token)
	}
	for name, placeholder := range c.Headers {
		value, err := resolveSecretText(placeholder)
		if err != nil {
			return fmt.Errorf("header: %w", err)
		}
		if strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == ':' }) || name == "" {
			return errors.New("header: the name of a field has letters, digits and hyphens")
		}
		headers.Set(name, value)
	}
	return nil
}

func (c *KeyServerConn) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		text, err := readBounded(c.CA, maxKeyFile)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("ca: %s holds no certificate", c.CA)
		}
	}
	if c.ClientCertificate != "" {
		certificate, err := readBounded(c.ClientCertificate, maxKeyFile)
		if err != nil {
			return nil, fmt.Errorf("client_certificate: %w", err)
		}
		key, err := resolveSecretText(c.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("client_certificate: %w", err)
		}
		pair, err := tls.X509KeyPair(certificate, []byte(key))
		if err != nil {
			return nil, errors.New("client_certificate: certificate and private key do not go together")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// Do implements keysource.Transport.
func (t *keyTransport) Do(ctx context.Context, r keysource.HTTPRequest) (keysource.HTTPResponse, error) {
	header := make(http.Header, len(r.Header))
	for name, value := range r.Header {
		header.Set(name, value)
	}
	return t.exchange(ctx, r.Method, withQuery(r.URL, t.query.Encode()), header, r.Body)
}

// exchange sends header and body, with what is configured in front of them, and reads the answer within its bounds.
func (t *keyTransport) exchange(ctx context.Context, method, target string, header http.Header, body []byte) (keysource.HTTPResponse, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return keysource.HTTPResponse{}, errors.New("the title makes no URL")
	}
	maps.Copy(req.Header, header)
	maps.Copy(req.Header, t.headers)
	res, err := t.client.Do(req)
	if err != nil {
		var inURL *url.Error
		if errors.As(err, &inURL) {
			err = inURL.Err // without the URL, whose query may hold a credential
		}
		return keysource.HTTPResponse{}, fmt.Errorf("asking %s: %w", t.peer, err)
	}
	defer func() { _ = res.Body.Close() }()
	if coding := res.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return keysource.HTTPResponse{}, fmt.Errorf("%s compressed its answer, which nobody asked for", t.peer)
	}
	answer := keysource.HTTPResponse{Status: res.StatusCode, Header: make(map[string]string, len(res.Header))}
	if answer.Body, err = io.ReadAll(io.LimitReader(res.Body, t.maxSize+1)); err != nil {
		return keysource.HTTPResponse{}, errors.New("reading the answer of " + t.peer)
	}
	if int64(len(answer.Body)) > t.maxSize {
		return keysource.HTTPResponse{}, fmt.Errorf("the answer of %s is larger than %d bytes", t.peer, t.maxSize)
	}
	for name, values := range res.Header {
		if len(values) > 0 {
			answer.Header[textproto.CanonicalMIMEHeaderKey(name)] = values[0]
		}
	}
	return answer, nil
}

// bundled makes a source of what asks a key server.
func bundled(f keysource.Fetcher) *keysource.Bundled {
	return keysource.NewBundled(keysource.NewResilient(f, time.Now, keysource.ResilientOptions{Jitter: jitter}))
}

// RecipientConfig is a certificate to which keys are encrypted on their way, and its private key.
type RecipientConfig struct {
	// Certificate is the path of a PEM file, with an RSA key of at least 2048 bits.
	Certificate string `json:"certificate"`
	// Key is a placeholder {env.*} or {file.*} for the private key in PEM.
	Key string `json:"key"`
}

func unmarshalRecipient(d *caddyfile.Dispenser, into **RecipientConfig) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	*into = &RecipientConfig{Certificate: d.Val()}
	return secretArg(d, &(*into).Key)
}

// read returns nothing for no recipient.
func (c *RecipientConfig) read() (*x509.Certificate, *rsa.PrivateKey, error) {
	if c == nil {
		return nil, nil, nil
	}
	certificate, err := readCertificate(c.Certificate)
	if err != nil {
		return nil, nil, fmt.Errorf("recipient: %w", err)
	}
	text, err := resolveSecretText(c.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("recipient: %w", err)
	}
	key, err := parseRSAKey(text)
	if err != nil {
		return nil, nil, fmt.Errorf("recipient: %w", err)
	}
	return certificate, key, nil
}

// readCertificate reads the first certificate of a PEM file.
func readCertificate(path string) (*x509.Certificate, error) {
	path, err := caddy.NewReplacer().ReplaceOrErr(path, true, true)
	if err != nil {
		return nil, err
	}
	text, err := readBounded(path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return certificate, nil
}

var errRSAKey = errors.New("want an RSA private key in PEM, PKCS #1 or #8")

func parseRSAKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errRSAKey
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errRSAKey
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errRSAKey
	}
	return key, nil
}
