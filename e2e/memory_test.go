package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// The gateway of these tests may have far less memory in flight than its clients ask for.
const (
	inFlightMiB = 64
	// slackMiB is what may come on top of twice that and the cache, since the collector lets the heap double: idle buffers, at most
	// 64 MiB, and connections.
	slackMiB    = 64
	slowClients = 100
	// slowRate is what a slow client reads in a second. It needs about 7 s.
	slowRate = 400 << 10
)

// slowAnswer is what a slow client got.
type slowAnswer struct {
	status     int
	retryAfter string
	bytes      int
	err        error
}

// slowClient reads at slowRate, and its connection holds next to nothing back.
func slowClient(ctx context.Context, target string) (a slowAnswer) {
	host, path, _ := strings.Cut(strings.TrimPrefix(target, "http://"), "/")
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10) })
	}}
	conn, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		return slowAnswer{err: err}
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host); err != nil {
		return slowAnswer{err: err}
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return slowAnswer{err: err}
	}
	defer response.Body.Close()
	a = slowAnswer{status: response.StatusCode, retryAfter: response.Header.Get("Retry-After")}
	for a.err == nil {
		var n int64
		n, a.err = io.CopyN(io.Discard, response.Body, slowRate/20)
		a.bytes += int(n)
		time.Sleep(50 * time.Millisecond)
	}
	if errors.Is(a.err, io.EOF) { // a body that broke off ends otherwise
		a.err = nil
	}
	return a
}

// memoryMiB reads a line of the process's status, such as VmRSS or VmHWM, the most that it ever had.
func (g *gateway) memoryMiB(t *testing.T, line string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(status)) {
		if name, value, _ := strings.Cut(l, ":"); name == line {
			kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			if err != nil {
				t.Fatal(err)
			}
			return kib >> 10
		}
	}
	t.Fatalf("the status has no %s", line)
	return 0
}

// Far more slow clients than memory, each with a segment of its own: the process stays within its budget, everybody is served
// or told to come again, and who is fast is not held up by who is not.
func TestSlowClientsStayWithinTheBudget(t *testing.T) {
	long(t)
	track := newChunkedTrack(t, "video/360p")
	// All of the title twice, as one segment of 3 MB: more than the connections themselves hold.
	chunks := append(track.joined(), track.joined()...)
	large := bytes.Join(chunks, nil)
	for _, c := range []struct {
		name     string
		cacheMiB int
		spool    string
		chunked  bool // the origin sends no length
	}{
		{"spool", 0, "", false},
		{"spool and cache", 16, "", false},
		{"no spool", 0, "spool off", false},
		{"without length", 0, "", true},
		{"without length, cache", 16, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			origin := newChunkedOrigin(t)
			origin.put("/t/manifest.mpd", []byte(strings.Replace(simpleMPD("video/360p", "audio/en"), "PT40S", "PT600S", 1)))
			origin.put("/t/video/360p/init.mp4", track.init)
			origin.put("/t/audio/en/init.mp4", newChunkedTrack(t, "audio/en").init)
			for n := 1; n <= slowClients+10; n++ {
				path := fmt.Sprintf("/t/video/360p/seg_%d.m4s", n)
				if c.chunked {
					origin.grow(path, chunks).write(0)
				} else {
					origin.put(path, large)
				}
			}
			g, address := memoryGateway(t, origin, c.cacheMiB, c.spool)
			tracks, _ := dashTracks(t, address+"/t/manifest.mpd?drm=cenc")
			size := len(mustGet(t, tracks[0].segments[slowClients]).body)
			base := g.memoryMiB(t, "VmRSS")
			answers := make([]slowAnswer, slowClients)
			var slow sync.WaitGroup
			for i := range answers {
				slow.Go(func() { answers[i] = slowClient(t.Context(), tracks[0].segments[i]) })
			}
			time.Sleep(time.Second)
			begin := time.Now()
			fast := get(t, tracks[0].segments[slowClients+1])
			took := time.Since(begin)
			slow.Wait()
			peak := g.memoryMiB(t, "VmHWM")
			served, refused, broken := 0, 0, 0
			for i, a := range answers {
				switch {
				case a.status == http.StatusOK && a.bytes == size && a.err == nil:
					served++
				case a.status == http.StatusServiceUnavailable && a.retryAfter != "" && a.err == nil:
					refused++
				case c.chunked && a.status == http.StatusOK && a.err != nil:
					broken++ // what has begun to leave, of a length that nobody knew, cannot be refused any more; it does not look whole
				default:
					t.Errorf("client %d: status %d, %d bytes of %d, Retry-After %q, %v", i, a.status, a.bytes, size, a.retryAfter, a.err)
				}
			}
			t.Logf("%d MiB before, %d MiB at most; %d served, %d refused, %d broken off; the fast client: %d after %s",
				base, peak, served, refused, broken, fast.status, took)
			if limit := base + 2*(inFlightMiB+c.cacheMiB) + slackMiB; peak > limit {
				t.Errorf("the process took %d MiB, want at most %d", peak, limit)
			}
			if c.spool == "" && (refused > 0 || fast.status != http.StatusOK) && !c.chunked {
				t.Errorf("%d were refused, and the fast client got %s", refused, fast)
			}
			// How many are refused without a spool depends on what the connections hold; see TestMemoryIsTaken of caddymodule.
			if served < 10 {
				t.Errorf("%d were served", served)
			}
			if fast.status != http.StatusOK && (fast.status != http.StatusServiceUnavailable || fast.header.Get("Retry-After") == "") {
				t.Errorf("the fast client: %s", fast)
			}
			if a := get(t, tracks[0].segments[slowClients+2]); a.status != http.StatusOK {
				t.Errorf("when all is over: %s", a)
			}
		})
	}
}

// joined returns all chunks of the track.
func (c chunkedTrack) joined() (chunks [][]byte) {
	for _, segment := range c.segments {
		chunks = append(chunks, segment...)
	}
	return chunks
}

func memoryGateway(t *testing.T, origin *chunkedOrigin, cacheMiB int, spool string) (g *gateway, address string) {
	t.Helper()
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	cache, wait := "off", "60s" // with a spool everybody gets a turn, on a machine that is busy with other things too
	if spool != "" {
		wait = "200ms" // shorter than any slow client holds its segment
	}
	if cacheMiB > 0 {
		cache = fmt.Sprintf("%dMiB", cacheMiB)
	}
	g = newGateway(t, fmt.Sprintf(`{
	drm {
		segment_cache %s
		in_flight %dMiB %s
		%s
	}
}
%s {
	drm {
		license_server clearkey
		asset /*
	}
	reverse_proxy %s
}
`, cache, inFlightMiB, wait, spool, localhost(port), origin.host()))
	return g, localhost(port)
}
