package caddymodule

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// TestReadBody: whatever a body says of its length, all of it is read.
func TestReadBody(t *testing.T) {
	for _, size := range []int{0, 1, 30, 511, 512, 513, smallBody - 1, smallBody, smallBody + 1, 200_000} {
		content := bytes.Repeat([]byte("license "), size/8+1)[:size]
		for _, length := range []int{-1, 0, size - 1, size, size + 1, 1 << 40} {
			for name, r := range map[string]io.Reader{
				"at once": bytes.NewReader(content), "byte by byte": iotest.OneByteReader(bytes.NewReader(content)),
				"with its end": iotest.DataErrReader(bytes.NewReader(content)), "in halves": iotest.HalfReader(bytes.NewReader(content)),
			} {
				if got, err := readBody(r, int64(length), netip.Addr{}); err != nil || !bytes.Equal(got, content) {
					t.Fatalf("%d bytes said to be %d, %s: %d, %v", size, length, name, len(got), err)
				}
			}
		}
	}
	broken := errors.New("broken")
	if b, err := readBody(iotest.ErrReader(broken), 5, netip.Addr{}); b != nil || !errors.Is(err, broken) {
		t.Errorf("%q, %v", b, err)
	}
}

// fewLargeBodies has few places for large requests while a test runs, so that they are all taken long before the first of those who take them
// has had his time.
func fewLargeBodies(t *testing.T, places, each int) {
	t.Helper()
	before := largeBodies
	largeBodies = newBodyPlaces(places, each)
	t.Cleanup(func() { largeBodies = before })
}

// sendSlowly sends a license request from a local address, all of it but its end, and tells what is answered.
func sendSlowly(t *testing.T, g *gateway, from, target string, size int, answers chan<- string) net.Conn {
	t.Helper()
	at, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.DialContext(t.Context(), "tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", at.RequestURI(), at.Host, size, strings.Repeat(" ", size-10))
	go func() {
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return
		}
		_ = res.Body.Close()
		answers <- fmt.Sprint(res.StatusCode, " ", res.Header.Get("Drm-Reason"), " ", res.Header.Get("Retry-After") != "")
	}()
	return conn
}

// TestManySlowLargeBodies: those who send large requests slowly take no more memory than there are places, and hold up nobody else.
func TestManySlowLargeBodies(t *testing.T) {
	const places, each, addresses = 8, 2, 5
	fewLargeBodies(t, places, each)
	l := startLicensed(t, "", "")
	mpd := l.manifest(t, l.token)
	target, large := licenseURLIn(t, mpd, drm.SystemPlayReady), playReadyChallenge(kidsIn(t, mpd)[0])+strings.Repeat(" ", 60_000)
	wait := func(what string, holds func() bool) {
		t.Helper()
		for end := time.Now().Add(8 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: %d places are taken", what, largeBodies.taken())
			}
		}
	}
	refused := make(chan string, 3*addresses)
	busy := func(what string) {
		t.Helper()
		select {
		case answer := <-refused:
			if answer != "503 busy true" {
				t.Errorf("%s: %s", what, answer)
			}
		case <-time.After(8 * time.Second):
			t.Fatalf("%s is waited for", what)
		}
	}
	var slow []net.Conn
	for address := range addresses - 1 {
		from := fmt.Sprintf("127.0.1.%d", address+1)
		for n := range each {
			slow = append(slow, sendSlowly(t, l.gateway, from, target, 60_000, refused))
			wait("one more", func() bool { return largeBodies.taken() == address*each+n+1 })
		}
		sendSlowly(t, l.gateway, from, target, 60_000, refused)
		busy("one too many of an address")
		if address == 0 {
			wantReply(t, "a large one of another address", l.sendBody(t, http.MethodPost, target, []byte(large)), 200, "")
		}
	}
	sendSlowly(t, l.gateway, "127.0.1.9", target, 60_000, refused)
	busy("one too many of all")
	wantReply(t, "a small one meanwhile", l.sendBody(t, http.MethodPost, target, []byte(strings.TrimSpace(large))), 200, "")
	for _, conn := range slow {
		_ = conn.Close()
	}
	wait("those who left", func() bool { return largeBodies.taken() == 0 })
	wantReply(t, "a large one afterwards", l.sendBody(t, http.MethodPost, target, []byte(large)), 200, "")
	if kept := len(largeBodies.byAddress); kept > 0 {
		t.Errorf("%d addresses are remembered", kept)
	}
}

// TestClearKeyTakesNoLargePlace: requests of ClearKey are small, and sites without tokens have it, where everybody may ask.
func TestClearKeyTakesNoLargePlace(t *testing.T) {
	g := startGateway(t, benchSite, "GATE", "", "ANSWER", "")
	mpd := string(g.mustGet(t, "/demo/manifest.mpd?token="+viewerToken(t, "viewer", nil)).body)
	target := laurlPattern.FindStringSubmatch(mpd)[1]
	answers := make(chan string, 1)
	sendSlowly(t, g, "127.0.1.1", target, 60_000, answers)
	select {
	case answer := <-answers:
		if answer != "400 license_request_malformed false" {
			t.Error(answer)
		}
	case <-time.After(8 * time.Second):
		t.Errorf("it is waited for, in %d places", largeBodies.taken())
	}
	kid := strings.ReplaceAll(defaultKIDPattern.FindStringSubmatch(mpd)[1], "-", "")
	body := []byte(`{"kids":["` + base64URL(t, kid) + `"],"type":"temporary"}`)
	wantReply(t, "as large as may be", g.sendBody(t, http.MethodPost, target, append(bytes.Repeat([]byte(" "), smallBody-len(body)), body...)), 200, "")
}
