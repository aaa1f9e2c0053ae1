package caddymodule

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
)

const (
	// maxCertificate bounds a certificate, in bytes.
	maxCertificate = 64 << 10
	// certificateFresh is how long one is given out before it is asked for again, and certificateRetry how long after a failure.
	certificateFresh = time.Hour
	certificateRetry = 10 * time.Second
)

// hostedCertificate is the certificate with which FairPlay encrypts its requests. It is no secret.
type hostedCertificate struct {
	url       string // empty for one from a file
	transport *keyTransport

	mu   sync.Mutex
	der  []byte
	next time.Time // when it is asked for again
}

// openCertificate reads a file now, and a URL when somebody wants the certificate.
func openCertificate(from string, transport *keyTransport) (*hostedCertificate, error) {
	c := &hostedCertificate{transport: transport}
	if isHTTPS(from) {
		c.url = from
		return c, checkKeyServerURL(from)
	}
	path, err := caddy.NewReplacer().ReplaceOrErr(from, true, true)
	if err != nil {
		return nil, err
	}
	text, err := readBounded(path, maxCertificate)
	if err != nil {
		return nil, err
	}
	c.der, err = parseCertificate(text)
	return c, err
}

// parseCertificate returns the DER of a certificate in DER or PEM.
func parseCertificate(text []byte) ([]byte, error) {
	if block, _ := pem.Decode(text); block != nil && block.Type == "CERTIFICATE" {
		text = block.Bytes
	}
	if _, err := x509.ParseCertificate(text); err != nil {
		return nil, errors.New("no certificate in DER or PEM")
	}
	return text, nil
}

// get returns the certificate. One viewer waits while it is asked for, and the others for that one; an old one is better than none.
func (c *hostedCertificate) get(ctx context.Context, now time.Time) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.url == "" || now.Before(c.next) && c.der != nil {
		return c.der, nil
	}
	if now.Before(c.next) {
		return nil, errLicenseServer
	}
	c.next = now.Add(certificateRetry)
	header := make(http.Header)
	header.Set("Accept", "application/x-x509-ca-cert, application/octet-stream, */*")
	answer, err := c.transport.exchange(context.WithoutCancel(ctx), http.MethodGet, c.url, header, nil)
	if err == nil && answer.Status != http.StatusOK {
		err = errors.New("the server of the certificate answered with status " + strconv.Itoa(answer.Status))
	}
	var der []byte
	if err == nil {
		der, err = parseCertificate(answer.Body)
	}
	switch {
	case err == nil:
		c.der, c.next = der, now.Add(certificateFresh)
	case c.der == nil:
		return nil, errors.Join(errLicenseServer, err)
	}
	return c.der, nil
}

// serveCertificate answers with the certificate of FairPlay, without which no request for a license can be made.
func (q *request) serveCertificate() error {
	server := q.licenseServerOf(kindFairPlay)
	if server == nil || server.certificate == nil {
		return errNotOurs
	}
	der, err := server.certificate.get(q.r.Context(), q.now())
	if err != nil {
		return err
	}
	q.auditGrant(licenseOutcome{result: resultCertificate})
	header := q.w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Length", strconv.Itoa(len(der)))
	header.Set("Cache-Control", "private, max-age=3600")
	header.Set("X-Content-Type-Options", "nosniff")
	countServed(q.kind, len(der))
	q.w.WriteHeader(http.StatusOK)
	if q.r.Method != http.MethodHead {
		_, _ = q.w.Write(der) // the client may be gone
	}
	return nil
}
