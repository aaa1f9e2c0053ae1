package caddymodule

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-drm/caddy-drm/drm"
)

// benchSite has tokens and sessions, and a respond beside them. The records of licenses are written, to where nobody reads them.
const benchSite = `http://:PORT {
	handle /respond {
		respond "ANSWER"
	}
	handle {
		drm {
			tenant bench
			license_server clearkey
			token jwt {
				algorithms HS256
				secret {env.TEST_TOKEN_SECRET}
			}
			GATE
		}
		root TESTDATA
		file_server
	}
}
`

// insideCaddy returns the one server of the running configuration: the way of a request through Caddy without the network.
func insideCaddy(t testing.TB) http.Handler {
	t.Helper()
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		t.Fatal(err)
	}
	return app.(*caddyhttp.App).Servers["srv0"]
}

// silentWriter is a client that reads nothing.
type silentWriter struct {
	header http.Header
	status int
}

func (w *silentWriter) Header() http.Header             { return w.header }
func (w *silentWriter) WriteHeader(status int)          { w.status = status }
func (w *silentWriter) Write(b []byte) (int, error)     { return len(b), nil }
func (w *silentWriter) SetReadDeadline(time.Time) error { return nil }

// BenchmarkLicense measures a license by Caddy's own way through the site, without a network: with the viewer's token in the
// query, with the session of a manifest in the path, and beside them what a bare respond takes.
func BenchmarkLicense(b *testing.B) {
	for _, gate := range []string{"", "require_license"} {
		g := startGateway(b, benchSite, "GATE", gate, "ANSWER", strings.Repeat("a license has as much", 5))
		token := viewerToken(b, "viewer", nil)
		mpd := string(g.mustGet(b, "/demo/manifest.mpd?token="+token).body)
		bySession := laurlPattern.FindStringSubmatch(mpd)[1]
		kid, err := drm.ParseKID(defaultKIDPattern.FindStringSubmatch(mpd)[1])
		if err != nil {
			b.Fatal(err)
		}
		body := []byte(`{"kids":["` + kid.Base64URL() + `"],"type":"temporary"}`)
		targets := map[string]string{"session": bySession}
		if gate == "" {
			targets["token"] = regexp.MustCompile(`/~s\.[^/]*/`).ReplaceAllString(bySession, "/") + "?token=" + token
			targets["respond"] = "http://" + g.addr + "/respond"
		}
		server := insideCaddy(b)
		for name, target := range targets {
			b.Run(name+gate, func(b *testing.B) {
				r := httptest.NewRequest(http.MethodPost, target, nil)
				w, content := &silentWriter{}, bytes.NewReader(body)
				b.ReportAllocs()
				for b.Loop() {
					content.Reset(body)
					r.Body, r.ContentLength, w.header = io.NopCloser(content), int64(len(body)), make(http.Header)
					if server.ServeHTTP(w, r.WithContext(b.Context())); w.status != http.StatusOK {
						b.Fatal(w.status)
					}
				}
			})
		}
	}
}
