package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	slowRate = 50_000 // bytes a second that a slow client reads
	slowTick = 100 * time.Millisecond
	// inFlightBudget is the memory for segments on their way that the gateway is given.
	inFlightBudget      = "512MiB"
	inFlightBudgetBytes = 512 << 20
)

// slowResult is what became of the slow clients, and of a fast one beside them.
type slowResult struct {
	served, waiting, refused int           // clients: got bytes; still wait; were refused at the end
	refusals                 int           // answers 503, each with Retry-After
	longestWait              time.Duration // until the first byte, of those that were served
	memory                   int64         // the most that the server had more than when it was idle, in bytes
	fastRefused              int           // answers 503 to the fast client
	unloaded, loaded         spread        // of a fast client, in milliseconds for a segment of 2 s
}

// slowLoad lets all paths of res be read slowly at once for so long, while a fast client goes on.
func slowLoad(ctx context.Context, s *server, res, fast resource, length time.Duration) (slowResult, error) {
	var result slowResult
	fastClient, err := dial(fast.base)
	if err != nil {
		return result, err
	}
	defer fastClient.conn.Close()
	if result.unloaded, result.fastRefused, err = fastClient.repeat(ctx, fast, 3*time.Second); err != nil {
		return result, fmt.Errorf("fast client: %w", err)
	}
	slowCtx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	clients := make([]slowClient, len(res.paths))
	var running sync.WaitGroup
	for i := range clients {
		running.Go(func() { clients[i].run(slowCtx, res.base, res.paths[i]) })
	}
	peak := make(chan int64, 1)
	go func() { peak <- peakMemory(slowCtx, s.pid()) }()
	sleep(slowCtx, length/4) // until the crowd is there
	loaded, refused, err := fastClient.repeat(slowCtx, fast, length/2)
	if err != nil {
		return result, fmt.Errorf("fast client among slow ones: %w", err)
	}
	result.loaded = loaded
	result.fastRefused += refused
	running.Wait()
	result.memory = <-peak - s.idle
	for _, c := range clients {
		if c.err != nil {
			return result, fmt.Errorf("slow client: %w", c.err)
		}
		result.refusals += c.refusals
		switch {
		case c.read > 0:
			result.served++
			result.longestWait = max(result.longestWait, c.waited)
		case c.refusals > 0:
			result.refused++
		default:
			result.waiting++
		}
	}
	return result, nil
}

func peakMemory(ctx context.Context, pid int) (peak int64) {
	for ctx.Err() == nil {
		if now, err := anonymousMemory(pid); err == nil {
			peak = max(peak, now)
		}
		sleep(ctx, 50*time.Millisecond)
	}
	return peak
}

// repeat asks for one segment after the other, with a pause between them, and returns how long they took, in milliseconds,
// and how many were refused with 503.
func (c *client) repeat(ctx context.Context, res resource, length time.Duration) (_ spread, refused int, err error) {
	var took []float64
	for i, end := 0, time.Now().Add(length); time.Now().Before(end) && ctx.Err() == nil; i++ {
		_, all, err := c.get(res.paths[i%len(res.paths)])
		switch {
		case errors.Is(err, errBusy):
			refused++
		case err != nil:
			return spread{}, 0, err
		default:
			took = append(took, all.Seconds()*1e3)
		}
		sleep(ctx, 50*time.Millisecond)
	}
	return spreadOf(took), refused, nil
}

// slowClient is one client and what it saw.
type slowClient struct {
	read     int64
	refusals int
	waited   time.Duration
	err      error
}

var errRetryAfter = errors.New("503 without Retry-After")

// run reads one segment until the time is over. When it is refused it comes back as it was told.
func (c *slowClient) run(ctx context.Context, base, path string) {
	start := time.Now()
	for ctx.Err() == nil && c.err == nil {
		retry, err := c.once(ctx, base, path, start)
		switch {
		case ctx.Err() != nil: // the connection was closed because the time is over
		case err != nil:
			c.err = err
		case retry == 0:
			return
		default:
			sleep(ctx, retry)
		}
	}
}

// once makes one request. It returns after how long to come back, or 0 if the segment was read.
func (c *slowClient) once(ctx context.Context, base, path string, start time.Time) (retry time.Duration, err error) {
	connection, err := dial(base)
	if err != nil {
		return 0, err
	}
	defer connection.conn.Close()
	defer context.AfterFunc(ctx, func() { _ = connection.conn.Close() })()
	if tcp, ok := connection.conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(64 << 10) // else the kernel reads ahead for us
	}
	response, err := connection.ask(path, "")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusServiceUnavailable:
		c.refusals++
		seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
		if err != nil || seconds < 1 {
			return 0, errRetryAfter
		}
		return time.Duration(seconds) * time.Second, nil
	default:
		return 0, fmt.Errorf("%w: %s", errNotServed, response.Status)
	}
	piece := make([]byte, slowRate*int(slowTick)/int(time.Second))
	for ctx.Err() == nil {
		n, err := io.ReadFull(response.Body, piece)
		if c.read == 0 && n > 0 {
			c.waited = time.Since(start)
		}
		c.read += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && c.read == response.ContentLength {
			return 0, nil
		} else if err != nil {
			return 0, err
		}
		sleep(ctx, slowTick)
	}
	return 0, nil
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
