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

// getLast returns how long the last byte alone took, which a gateway has when all of the segment is read and encrypted. For a
// range that is done into other memory, not in place.
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

// wholeSegment does in one function what a gateway does for a segment, without a server: it reads the clear file, plans, and
// encrypts in place.
type wholeSegment struct {
	protector *segcrypt.Protector
	files     []string
	in        []byte
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

// stages are the times since the beginning, in milliseconds, at which a part of the work was done.
type stages struct {
	read    float64
	planned float64
	first   float64 // the contents are hashed for the IVs, and the first window is encrypted
	all     float64
}

// time returns how long the n-th segment takes.
func (w *wholeSegment) time(n int) (t stages, err error) {
	start := time.Now()
	clear, err := w.read(w.files[n%len(w.files)])
	if err != nil {
		return stages{}, err
	}
	t.read = sinceMs(start)
	seg, err := w.protector.Plan(clear)
	if err != nil {
		return stages{}, err
	}
	defer seg.Release()
	t.planned = sinceMs(start)
	_, err = seg.WriteTo(writerFunc(func([]byte) {
		if t.first == 0 {
			t.first = sinceMs(start)
		}
	}))
	t.all = sinceMs(start)
	return t, err
}

// read reads a file into memory that is used again.
func (w *wholeSegment) read(name string) (segcrypt.Clear, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if int(info.Size()) > len(w.in) {
		w.in = make([]byte, info.Size())
	}
	clear := w.in[:info.Size()]
	_, err = io.ReadFull(f, clear)
	return clear, err
}

func sinceMs(start time.Time) float64 { return time.Since(start).Seconds() * 1e3 }

// writerFunc sees what is written, and keeps nothing.
type writerFunc func(p []byte)

// Write implements io.Writer.
func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

// firstByteLab has one connection to each server.
type firstByteLab struct {
	gateway, stock   *client
	protected, clear resource
	whole            *wholeSegment
	turn             int // counts segments
}

// firstBytes are medians of one round, in milliseconds.
type firstBytes struct {
	gateway, stock float64 // until the first byte of a body
	last           float64 // until the last byte, asked for alone
	stages                 // in one function without a server
}

// next returns a segment that all others were used after: had the same one been read a moment ago, its bytes would be in the
// processor's cache, and only the first to ask for it would pay for the main memory.
func (l *firstByteLab) next() int {
	l.turn++
	return l.turn
}

// round makes n requests of each kind, one by one, in turning order. Stock Caddy sends a clear file as soon as it is open: what
// it takes is what every request takes.
func (l *firstByteLab) round(ctx context.Context, n int) (firstBytes, error) {
	var gateways, stocks, lasts, reads, plans, firsts, wholes []float64
	kinds := []func() error{
		func() error {
			first, _, err := l.gateway.get(l.protected.paths[l.next()%len(l.protected.paths)])
			gateways = append(gateways, first.Seconds()*1e3)
			return err
		},
		func() error {
			first, _, err := l.stock.get(l.clear.paths[l.next()%len(l.clear.paths)])
			stocks = append(stocks, first.Seconds()*1e3)
			return err
		},
		func() error {
			last, err := l.gateway.getLast(l.protected.paths[l.next()%len(l.protected.paths)])
			lasts = append(lasts, last.Seconds()*1e3)
			return err
		},
		func() error {
			t, err := l.whole.time(l.next())
			reads, plans, firsts, wholes = append(reads, t.read), append(plans, t.planned), append(firsts, t.first), append(wholes, t.all)
			return err
		},
	}
	for i := range n {
		if ctx.Err() != nil {
			return firstBytes{}, ctx.Err()
		}
		for k := range kinds {
			if err := kinds[(i+k)%len(kinds)](); err != nil {
				return firstBytes{}, err
			}
		}
	}
	median := func(v []float64) float64 { return spreadOf(v).median }
	return firstBytes{
		gateway: median(gateways), stock: median(stocks), last: median(lasts),
		stages: stages{read: median(reads), planned: median(plans), first: median(firsts), all: median(wholes)},
	}, nil
}
