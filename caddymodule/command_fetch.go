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
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/caddy-drm/caddy-drm/probe"
)

// fetchTimeout bounds one request, its body included.
const fetchTimeout = 60 * time.Second

// maxRedirects is how many redirects are followed.
const maxRedirects = 5

var errRedirects = errors.New("too many redirects")

// fetchFlags are the flags of commands that ask servers.
type fetchFlags struct {
	token   string
	headers []string
}

func (o *fetchFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&o.token, "token", "", "an access token, sent as Authorization: Bearer to the server of the URL")
	flags.StringArrayVar(&o.headers, "header", nil, "a field of requests to the server of the URL, as 'Name: value'; may be given several times")
}

// fetcher returns who asks the server of a URL, and the URL without what is said in fields: name and password.
func (o *fetchFlags) fetcher(text string) (*fetcher, *url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, nil, errors.New("want an absolute http or https URL")
	}
	f := newFetcher(u)
	for _, field := range o.headers {
		name, value, ok := strings.Cut(field, ":")
		if !ok {
			return nil, nil, errors.New("--header: want 'Name: value'")
		}
		f.fields.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if o.token != "" {
		f.fields.Set("Authorization", "Bearer "+o.token)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		f.fields.Set("Authorization", basicAuthorization(u.User.Username(), password))
		u.User = nil
	}
	u.Fragment = ""
	return f, u, nil
}

func basicAuthorization(user, password string) string {
	var r http.Request
	r.Header = make(http.Header)
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

// fetcher asks servers as a player does: it follows redirects and keeps cookies. Fields of the user go to the server of the first URL
// alone, wherever manifests and redirects lead.
type fetcher struct {
	client *http.Client
	origin string
	fields http.Header
}

func newFetcher(first *url.URL) *fetcher {
	f := &fetcher{origin: originOf(first), fields: make(http.Header)}
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // it has no options that could be wrong
	}
	f.client = &http.Client{
		Timeout: fetchTimeout,
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

func (f *fetcher) addFields(r *http.Request) {
	if originOf(r.URL) != f.origin {
		return
	}
	for name, values := range f.fields {
		r.Header[name] = values
	}
}

// Fetch implements probe.Fetcher.
func (f *fetcher) Fetch(ctx context.Context, asked probe.Request) (probe.Response, error) {
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
