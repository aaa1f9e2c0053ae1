package caddymodule

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"time"

	"github.com/caddy-drm/caddy-drm/probe"
)

// probeTimeout bounds one request of a probe, its body included.
const probeTimeout = 60 * time.Second

// maxRedirects is how many redirects are followed.
const maxRedirects = 5

var errRedirects = errors.New("too many redirects")

// probeFetcher asks servers as a player does: it follows redirects and keeps cookies. Fields of the user go to the server of the manifest
// alone, wherever manifests and redirects lead.
type probeFetcher struct {
	client *http.Client
	origin string
	fields http.Header
}

func newProbeFetcher(manifest *url.URL) *probeFetcher {
	f := &probeFetcher{origin: originOf(manifest), fields: make(http.Header)}
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // it has no options that could be wrong
	}
	f.client = &http.Client{
		Timeout: probeTimeout,
		Jar:     jar,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return errRedirects
			}
			for name := range f.fields {
				r.Header.Del(name)
			}
			f.addFields(r)
			return nil
		},
	}
	return f
}

func originOf(u *url.URL) string { return u.Scheme + "://" + u.Host }

func (f *probeFetcher) addFields(r *http.Request) {
	if originOf(r.URL) != f.origin {
		return
	}
	for name, values := range f.fields {
		r.Header[name] = values
	}
}

// Fetch implements probe.Fetcher.
func (f *probeFetcher) Fetch(ctx context.Context, asked probe.Request) (probe.Response, error) {
	r, err := http.NewRequestWithContext(ctx, asked.Method, asked.URL, bytes.NewReader(asked.Body))
	if err != nil {
		return probe.Response{}, errors.New("no URL that can be asked")
	}
	if asked.Range != "" {
		r.Header.Set("Range", asked.Range)
	}
	if asked.ContentType != "" {
		r.Header.Set("Content-Type", asked.ContentType)
	}
	if asked.SOAPAction != "" {
		r.Header.Set("SOAPAction", asked.SOAPAction)
	}
	f.addFields(r)
	res, err := f.client.Do(r)
	if err != nil {
		return probe.Response{}, withoutURL(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, asked.Limit+1))
	if err != nil {
		return probe.Response{}, fmt.Errorf("the body breaks off after %d bytes: %w", len(body), withoutURL(err))
	}
	answer := probe.Response{
		Status: res.StatusCode, URL: res.Request.URL.String(), ContentType: res.Header.Get("Content-Type"), Reason: probeReason(res.Header.Get(headerReason)),
		Notice: probeReason(res.Header.Get(headerNotice)), Body: body,
	}
	if int64(len(body)) > asked.Limit {
		answer.Body, answer.Cut = body[:asked.Limit], true
	}
	return answer, nil
}

// probeReason lets through what a reason of the gateway is made of.
func probeReason(text string) string {
	for _, c := range text {
		if c != '_' && (c < 'a' || c > 'z') || len(text) > 40 {
			return ""
		}
	}
	return text
}

// withoutURL takes the URL out of an error of package http, whose query may hold a token.
func withoutURL(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}
