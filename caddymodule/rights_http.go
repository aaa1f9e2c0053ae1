package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-drm/caddy-drm/rights"
)

// rightsHTTP are the validators of the last good answer.
type rightsHTTP struct{ etag, lastModified string }

var errRightsURL = errors.New("want an https URL without credentials and fragment; http is for this machine alone")

func isRightsURL(source string) bool {
	return strings.HasPrefix(source, "https://") || strings.HasPrefix(source, "http://")
}

func checkRightsURL(source string) error {
	u, err := url.Parse(source)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return errRightsURL
	}
	if u.Scheme == "http" && u.Hostname() != "localhost" {
		if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
			return errRightsURL
		}
	}
	return nil
}

// rightsClient follows no redirect: where rights come from is said in the configuration.
var rightsClient = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// refreshURL asks whether there is a new version.
func (c *rightsCatalog) refreshURL(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Source, nil)
	if err != nil {
		return errRightsURL
	}
	req.Header.Set("Accept", "application/json, application/yaml")
	req.Header.Set("User-Agent", "caddy-drm")
	if c.http.etag != "" {
		req.Header.Set("If-None-Match", c.http.etag)
	}
	if c.http.lastModified != "" {
		req.Header.Set("If-Modified-Since", c.http.lastModified)
	}
	asked := c.clock()
	res, err := rightsClient.Do(req)
	if err != nil {
		var failure *url.Error // names the URL, whose query may hold a credential
		if errors.As(err, &failure) {
			err = failure.Err
		}
		return fmt.Errorf("asking for the catalog: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	switch {
	case res.StatusCode == http.StatusNotModified && c.http != rightsHTTP{}:
		c.current.Confirm(asked)
		return nil
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("asking for the catalog: status %d, want 200", res.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, rights.MaxBytes+1))
	if err != nil {
		return fmt.Errorf("reading the catalog: %w", err)
	}
	if err := c.take(text, asked); err != nil {
		return err
	}
	c.http = rightsHTTP{etag: res.Header.Get("ETag"), lastModified: res.Header.Get("Last-Modified")}
	return nil
}
