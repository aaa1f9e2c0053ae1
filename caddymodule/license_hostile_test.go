package caddymodule

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// TestHostileRequestsAtEveryLicensePath covers row 38: what a request says beside its body changes neither where it goes nor what is asked,
// and keys of others are not asked for.
func TestHostileRequestsAtEveryLicensePath(t *testing.T) {
	l := startAllPaths(t, "")
	upstream, err := url.Parse(l.up.url)
	if err != nil {
		t.Fatal(err)
	}
	headers := []string{
		"Host", "169.254.169.254", "X-Forwarded-Host", "evil.example", "X-Forwarded-For", "1.2.3.4", "Forwarded", "for=1.2.3.4;host=evil.example", "X-Original-URL", "https://evil.example/",
		"X-Rewrite-URL", "/admin", "X-HTTP-Method-Override", "DELETE", "Connection", "X-Api-Key, keep-alive", "X-Api-Key", "mine", "Keep-Alive", "timeout=9", "TE", "trailers", "Proxy-Authorization", "Basic eDp5",
		"Cookie", "a=b", "Range", "bytes=0-1", "Expect", "", "SOAPAction", "evil", "Referer", "https://evil.example/", "Origin", "https://evil.example", "X-Axdrm-Message", "forged", "Customdata", "forged",
	}
	for name, p := range l.paths(t, l.token) {
		t.Run(name, func(t *testing.T) {
			separator := "?"
			if strings.Contains(p.url, "?") {
				separator = "&"
			}
			for _, contentType := range []string{"", "text/html", "application/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/xml; charset=utf-16"} {
				l.forget()
				hostile := p.with(separator + "url=https://evil.example/&host=evil.example&auth-token=forged&pX=forged")
				res := l.ask(t, hostile, append([]string{"Content-Type", contentType}, headers...)...)
				if wantReply(t, "as "+contentType, res, 200, ""); p.upstream == "" {
					if asked := l.up.asked(); len(asked) > 0 {
						t.Errorf("a license server is asked: %v", asked)
					}
					continue
				}
				for _, got := range l.up.asked() {
					l.wantFixed(t, got, upstream.Host, p)
				}
			}
			if p.names != nil {
				foreign := p
				foreign.url, foreign.body = p.names(drm.KID{0xf0, 1})
				status, reasons := 403, []string{"license_no_keys"}
				if p.method == http.MethodGet { // where the key is the address
					status, reasons = 404, []string{"not_found"}
				}
				l.refuses(t, "another title's key", foreign, status, append(reasons, "license_no_keys"))
			}
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodTrace, http.MethodPatch} {
				if method != p.method {
					wantReply(t, method, l.sendBody(t, method, p.url, p.body), 405, "method_not_allowed")
				}
			}
		})
	}
}

// wantFixed checks that a license server is asked where it is configured, with the fields of the operator and the body of the player.
func (l licensed) wantFixed(t *testing.T, got seenRequest, host string, p licensePath) {
	t.Helper()
	path, query, _ := strings.Cut(got.target, "?")
	if got.host != host || path != p.upstream || query != "" && query != "tenant=a" {
		t.Errorf("asked %s %s", got.host, got.target)
	}
	for field := range got.header {
		if !isOneOf(field, "Content-Type", "Content-Length", "X-Api-Key", "User-Agent", "Soapaction", "Accept", "Accept-Encoding") {
			t.Errorf("the license server is sent %s: %s", field, got.header.Get(field))
		}
	}
	if key := got.header.Get("X-Api-Key"); key != "" && key != plantedAPIKey || strings.Contains(got.header.Get("SOAPAction"), "evil") {
		t.Errorf("the license server is sent %v", got.header)
	}
	if p.upstream == "/wv" && !bytes.Equal(got.body, p.body) {
		t.Errorf("the license server is sent %x", got.body)
	}
}

// flood is a body without end, that counts what is read of it.
type flood struct{ sent atomic.Int64 }

func (f *flood) Read(b []byte) (int, error) {
	if f.sent.Load() > 100<<20 {
		return 0, io.EOF
	}
	clear(b)
	f.sent.Add(int64(len(b)))
	return len(b), nil
}

// TestFloodsAtEveryLicensePath: of a challenge of 100 MB no more is read than real ones have, whether it says how long it is or not, and
// nobody is asked.
func TestFloodsAtEveryLicensePath(t *testing.T) {
	l := startAllPaths(t, "")
	for name, p := range l.paths(t, l.token) {
		for _, length := range []int64{-1, 100 << 20} {
			l.forget()
			body := new(flood)
			req, err := http.NewRequestWithContext(t.Context(), p.method, p.url, body)
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = length
			res, err := l.client.Do(req)
			if err == nil { // else the connection was closed before all of the answer was read
				_ = res.Body.Close()
				if p.method == http.MethodPost && (res.StatusCode != 400 || res.Header.Get("Drm-Reason") != "license_request_malformed") {
					t.Errorf("%s, length %d: %d %s", name, length, res.StatusCode, res.Header.Get("Drm-Reason"))
				}
			}
			if sent := body.sent.Load(); sent > 16<<20 { // what the kernel took before the connection was closed included
				t.Errorf("%s, length %d: %d bytes were taken", name, length, sent)
			}
			if asked := l.up.asked(); p.method == http.MethodPost && len(asked) > 0 {
				t.Errorf("%s, length %d: the license server is asked", name, length)
			}
		}
		wantReply(t, name+", behind the flood", l.ask(t, p), 200, "")
	}
}

// TestSlowRequestsAtEveryLicensePath: who sends a challenge byte by byte is answered after some seconds, and holds up nobody.
func TestSlowRequestsAtEveryLicensePath(t *testing.T) {
	if testing.Short() {
		t.Skip("waits until the time for a license request is over")
	}
	l := startAllPaths(t, "")
	paths := l.paths(t, l.token)
	type outcome struct {
		name, status string
		took         time.Duration
		err          error
	}
	done := make(chan outcome, len(paths))
	slow := 0
	for name, p := range paths {
		if p.method != http.MethodPost {
			continue
		}
		slow++
		go func() {
			start := time.Now()
			status, err := l.drip(p)
			done <- outcome{name, status, time.Since(start), err}
		}()
	}
	time.Sleep(300 * time.Millisecond)
	for name, p := range paths {
		wantReply(t, name+", beside who is slow", l.ask(t, p), 200, "")
	}
	for range slow {
		o := <-done
		if o.err != nil || !strings.Contains(o.status, " 400 ") || o.took < licenseRequestTimeout-time.Second || o.took > licenseRequestTimeout+5*time.Second {
			t.Errorf("%s: %q after %v, %v", o.name, o.status, o.took, o.err)
		}
	}
}

// drip sends a request whose body comes a byte each second, and returns the status line of the answer.
func (l licensed) drip(p licensePath) (string, error) {
	u, err := url.Parse(p.url)
	if err != nil {
		return "", err
	}
	conn, err := net.Dial("tcp", l.addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n\r\n", u.RequestURI(), l.addr); err != nil {
		return "", err
	}
	answered := make(chan struct{})
	defer close(answered)
	go func() {
		for {
			select {
			case <-answered:
				return
			case <-time.After(time.Second):
				_, _ = conn.Write([]byte{8}) // the connection may be closed by then
			}
		}
	}()
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	return bufio.NewReader(conn).ReadString('\n')
}
