package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// TestFileLimit: a gateway that may open no more files answers what it can, rightly, or not at all, and goes on when there is room again.
func TestFileLimit(t *testing.T) {
	long(t)
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	g := newGateway(t, strings.Replace(fmt.Sprintf(sigtermCaddyfile, port, "ORIGIN"), "reverse_proxy ORIGIN", "root testdata\n\tfile_server", 1))
	address := fmt.Sprintf("127.0.0.1:%d", port)
	tracks, _ := dashTracks(t, "http://"+address+"/demo/manifest.mpd?drm=cenc&token="+url.QueryEscape(accessToken(t, "/demo")))
	segments := append(tracks[0].segments, tracks[1].segments...)
	for _, segment := range segments[:5] { // these are in the gateway's memory, and the others are not
		mustGet(t, segment)
	}
	setFileLimit(t, g, 60)
	var idle []net.Conn
	for range 200 { // they wait in the kernel's queue when the gateway takes no more
		if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			idle = append(idle, conn)
		}
	}
	impatient := &http.Client{Timeout: 500 * time.Millisecond, Transport: client.Transport} // with a connection that it has
	served, failed := make(map[string][]byte), make(map[string]int)                         // by status and reason
	for _, segment := range segments {
		response, err := impatient.Get(segment)
		if err != nil {
			failed["no answer"]++
			continue
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err == nil && response.StatusCode == http.StatusOK {
			served[segment] = body
			continue
		}
		reason := response.Header.Get("Drm-Reason")
		if failed[fmt.Sprintf("%d %s", response.StatusCode, reason)]++; response.StatusCode < http.StatusInternalServerError || reason == "" {
			t.Errorf("answered with %d %q", response.StatusCode, reason)
		}
	}
	if len(failed) == 0 {
		t.Error("the limit was not reached")
	}
	for _, conn := range idle {
		_ = conn.Close()
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if response, err := impatient.Get(segments[0]); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(end) {
			t.Fatal("it does not recover")
		}
	}
	for _, segment := range segments {
		if body := mustGet(t, segment).body; served[segment] != nil && !bytes.Equal(body, served[segment]) {
			t.Errorf("%d bytes were served for the %d of %s", len(served[segment]), len(body), withoutQuery(segment))
		}
	}
	t.Logf("%d of %d segments were served at the limit; else %v", len(served), len(segments), failed)
	if strings.Contains(g.log.String(), "panic") {
		t.Error("a panic")
	}
}

// setFileLimit lowers what a running gateway may open.
func setFileLimit(t *testing.T, g *gateway, limit int) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "prlimit", "--pid", strconv.Itoa(g.cmd.Process.Pid), "--nofile="+strconv.Itoa(limit)).CombinedOutput()
	if err != nil {
		t.Fatalf("prlimit, of util-linux: %v\n%s", err, out)
	}
}
