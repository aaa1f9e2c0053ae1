package caddymodule

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"
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
				if got, err := readBody(r, int64(length)); err != nil || !bytes.Equal(got, content) {
					t.Fatalf("%d bytes said to be %d, %s: %d, %v", size, length, name, len(got), err)
				}
			}
		}
	}
	broken := errors.New("broken")
	if b, err := readBody(iotest.ErrReader(broken), 5); b != nil || !errors.Is(err, broken) {
		t.Errorf("%q, %v", b, err)
	}
}

// TestManySlowLargeBodies: those who send large requests slowly take no more memory than there are places, and hold up nobody else.
func TestManySlowLargeBodies(t *testing.T) {
	g := startGateway(t, benchSite, "GATE", "", "ANSWER", "")
	mpd := string(g.mustGet(t, "/demo/manifest.mpd?token="+viewerToken(t, "viewer", nil)).body)
	target := laurlPattern.FindStringSubmatch(mpd)[1]
	at, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	const crowd, size = maxLargeBodies + 40, 60_000
	refused := make(chan string, crowd)
	var slow []net.Conn
	for range crowd {
		conn, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		slow = append(slow, conn)
		_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", at.RequestURI(), at.Host, size, strings.Repeat(" ", size-10))
		go func() {
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				return
			}
			_ = res.Body.Close()
			refused <- fmt.Sprint(res.StatusCode, " ", res.Header.Get("Drm-Reason"), " ", res.Header.Get("Retry-After") != "")
		}()
	}
	for range crowd - maxLargeBodies {
		select {
		case answer := <-refused:
			if answer != "503 busy true" {
				t.Errorf("one too many: %s", answer)
			}
		case <-time.After(8 * time.Second):
			t.Fatal("more than there are places for are waited for")
		}
	}
	kid := strings.ReplaceAll(defaultKIDPattern.FindStringSubmatch(mpd)[1], "-", "")
	start := time.Now()
	if res := g.sendBody(t, http.MethodPost, target, []byte(`{"kids":["`+base64URL(t, kid)+`"],"type":"temporary"}`)); res.status != http.StatusOK || time.Since(start) > 3*time.Second {
		t.Errorf("a license meanwhile: %d after %s", res.status, time.Since(start))
	}
	for _, conn := range slow {
		_ = conn.Close()
	}
	deadline := time.Now().Add(8 * time.Second)
	for len(largeBodies) > 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if left := len(largeBodies); left > 0 {
		t.Errorf("%d places are taken by those who left", left)
	}
}
