package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/segcrypt"
)

// client keeps one connection to a server.
type client struct {
	host string
	conn net.Conn
	in   *bufio.Reader
}

func dial(base string) (*client, error) {
	host := strings.TrimPrefix(base, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		return nil, err
	}
	return &client{host: host, conn: conn, in: bufio.NewReaderSize(conn, 4096)}, nil
}

// errBusy is an answer 503.
var errBusy = errors.New("the server is busy")

// get returns how long it took until the first byte of the body was there, and until the last.
func (c *client) get(path string) (first, all time.Duration, err error) {
	start := time.Now()
	response, err := c.ask(path)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	var one [1]byte
	if _, err := io.ReadFull(response.Body, one[:]); err != nil {
		return 0, 0, err
	}
	first = time.Since(start)
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0, 0, err
	}
	switch response.StatusCode {
	case http.StatusOK:
		return first, time.Since(start), nil
	case http.StatusServiceUnavailable:
		return 0, 0, errBusy
	default:
		return 0, 0, fmt.Errorf("%w: %s", errNotServed, response.Status)
	}
}

func (c *client) ask(path string) (*http.Response, error) {
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, c.host); err != nil {
		return nil, err
	}
	return http.ReadResponse(c.in, nil)
}

// wholeSegment reads a clear segment from a file and encrypts all of it, as a gateway does that begins to send when it is
// done.
type wholeSegment struct {
	protector *segcrypt.Protector
	files     []string
	in, out   []byte
}

func newWholeSegment(root string, numbers []segment) (*wholeSegment, error) {
	init, err := os.ReadFile(initFile(root, sixSeconds, video))
	if err != nil {
		return nil, err
	}
	parsed, err := segcrypt.ParseInit(init)
	if err != nil {
		return nil, err
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	key, err := drm.NewContentKey(drm.KID(secret[:16]), secret[16:], secret[:16])
	if err != nil {
		return nil, err
	}
	protector, err := segcrypt.NewProtector(parsed, segcrypt.Protection{Scheme: drm.SchemeCenc, Key: key, IVSecret: [32]byte(secret)})
	if err != nil {
		return nil, err
	}
	w := &wholeSegment{protector: protector}
	for _, n := range numbers {
		w.files = append(w.files, segmentFile(root, sixSeconds, video, n.number))
	}
	return w, nil
}

// time returns how long the n-th segment takes.
func (w *wholeSegment) time(n int) (time.Duration, error) {
	start := time.Now()
	f, err := os.Open(w.files[n%len(w.files)])
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if int(info.Size()) > len(w.in) {
		w.in = make([]byte, info.Size())
	}
	seg := w.in[:info.Size()]
	if _, err := io.ReadFull(f, seg); err != nil {
		return 0, err
	}
	out, err := w.protector.ProtectSegment(w.out[:0], seg)
	if err != nil {
		return 0, err
	}
	w.out = out
	return time.Since(start), nil
}

// firstByteRound returns the medians of n requests, one by one, with as many whole segments between them.
func firstByteRound(ctx context.Context, c *client, res resource, whole *wholeSegment, n int) (first, all time.Duration, err error) {
	var firsts, alls []float64
	for i := range n {
		if ctx.Err() != nil {
			return 0, 0, ctx.Err()
		}
		f, _, err := c.get(res.paths[i%len(res.paths)])
		if err != nil {
			return 0, 0, err
		}
		a, err := whole.time(i)
		if err != nil {
			return 0, 0, err
		}
		firsts, alls = append(firsts, float64(f)), append(alls, float64(a))
	}
	if len(firsts) == 0 {
		return 0, 0, errors.New("no requests")
	}
	return time.Duration(spreadOf(firsts).median), time.Duration(spreadOf(alls).median), nil
}
