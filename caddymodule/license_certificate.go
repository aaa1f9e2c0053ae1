package caddymodule

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
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

	mu     sync.Mutex
	der    []byte
	next   time.Time     // when it is asked for again
	asking chan struct{} // closed when the question that is under way is answered; nil if none is
}

// openCertificate reads a file now, and a URL when somebody wants the certificate.
func openCertificate(from string, transport *keyTransport) (*hostedCertificate, error) {
	c := &hostedCertificate{transport: transport}
	if isURL(from) {
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

// get returns the certificate. Those who need the first one wait for it together; later, an old one is given out while it is asked for
// anew, and is better than none.
func (c *hostedCertificate) get(ctx context.Context, now time.Time) ([]byte, error) {
	c.mu.Lock()
	if c.url != "" && c.asking == nil && !now.Before(c.next) {
		c.asking = make(chan struct{})
		c.next = now.Add(certificateRetry)
		go c.ask(context.WithoutCancel(ctx), now)
	}
	der, asking := c.der, c.asking
	c.mu.Unlock()
	if der != nil {
		return der, nil
	}
	if asking != nil {
		select {
		case <-asking:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.der == nil {
		return nil, fmt.Errorf("%w with the certificate", errLicenseServer)
	}
	return c.der, nil
}

// ask asks for the certificate within the timeout of the transport.
func (c *hostedCertificate) ask(ctx context.Context, now time.Time) {
	header := make(http.Header)
	header.Set("Accept", "application/x-x509-ca-cert, application/octet-stream, */*")
	answer, err := c.transport.exchange(ctx, http.MethodGet, c.url, header, nil)
	var der []byte
	if err == nil && answer.Status == http.StatusOK {
		der, _ = parseCertificate(answer.Body) // nil if it is none
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if der != nil {
		c.der, c.next = der, now.Add(certificateFresh)
	}
	close(c.asking)
	c.asking = nil
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
