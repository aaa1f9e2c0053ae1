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
	response, err := c.ask(path, "")
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

// getLast returns how long the last byte alone took, which a gateway has when all of the segment is read and encrypted.
func (c *client) getLast(path string) (time.Duration, error) {
	start := time.Now()
	response, err := c.ask(path, "Range: bytes=-1\r\n")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0, err
	}
	if response.StatusCode != http.StatusPartialContent {
		return 0, fmt.Errorf("%w: %s", errNotServed, response.Status)
	}
	return time.Since(start), nil
}

func (c *client) ask(path, header string) (*http.Response, error) {
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, c.host, header); err != nil {
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

// firstBytes are medians of one round, in milliseconds.
type firstBytes struct {
	gateway, stock float64 // until the first byte of a body
	whole          float64 // to read and encrypt all of it, in one function without a server
	last           float64 // until the last byte, asked for alone
}

// firstByteRound makes n requests of each server, one by one, with as many whole segments between them. Stock Caddy sends a
// clear file as soon as it is open: what it takes is what every request takes.
func firstByteRound(ctx context.Context, gateway, stock *client, res, clear resource, whole *wholeSegment, n int) (firstBytes, error) {
	var gateways, stocks, wholes, lasts []float64
	for i := range n {
		if ctx.Err() != nil {
			return firstBytes{}, ctx.Err()
		}
		g, _, err := gateway.get(res.paths[i%len(res.paths)])
		if err != nil {
			return firstBytes{}, err
		}
		s, _, err := stock.get(clear.paths[i%len(clear.paths)])
		if err != nil {
			return firstBytes{}, err
		}
		last, err := gateway.getLast(res.paths[i%len(res.paths)])
		if err != nil {
			return firstBytes{}, err
		}
		lasts = append(lasts, last.Seconds()*1e3)
		w, err := whole.time(i)
		if err != nil {
			return firstBytes{}, err
		}
		gateways, stocks, wholes = append(gateways, g.Seconds()*1e3), append(stocks, s.Seconds()*1e3), append(wholes, w.Seconds()*1e3)
	}
	return firstBytes{gateway: spreadOf(gateways).median, stock: spreadOf(stocks).median, whole: spreadOf(wholes).median, last: spreadOf(lasts).median}, nil
}
