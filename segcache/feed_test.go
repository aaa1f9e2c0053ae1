package segcache

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// collector is a client that reads a feed.
type collector struct {
	bytes.Buffer
	flushed chan int // lengths at each flush
}

func (c *collector) flush() { c.flushed <- c.Len() }

// TestFeed: everybody gets each chunk as soon as it was flushed, whenever they came, and the whole is kept.
func TestFeed(t *testing.T) {
	c, err := New(1<<20, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	step := make(chan struct{})
	makeEntry := func(_ context.Context, feed *Feed) (*Entry, error) {
		feed.Begin("video/mp4")
		for _, chunk := range []string{"one ", "two ", "three"} {
			_, _ = feed.Write([]byte(chunk[:1]))
			_, _ = feed.Write([]byte(chunk[1:]))
			feed.Flush()
			<-step
		}
		return &Entry{Body: feed.Bytes(), ContentType: feed.ContentType()}, nil
	}
	var readers sync.WaitGroup
	read := func() *collector {
		entry, feed, err := c.Stream(t.Context(), Key{1}, makeEntry)
		if err != nil || entry != nil || feed.ContentType() != "video/mp4" {
			t.Fatalf("got %v, %v", entry, err)
		}
		to := &collector{flushed: make(chan int, 10)}
		readers.Go(func() {
			defer feed.Leave()
			if err := feed.WriteTo(t.Context(), to, to.flush); err != nil {
				t.Error(err)
			}
		})
		return to
	}
	first := read()
	if n := <-first.flushed; n != len("one ") {
		t.Errorf("%d bytes before the second chunk is made", n)
	}
	step <- struct{}{}
	<-first.flushed
	late := read()
	if n := <-late.flushed; n != len("one two ") {
		t.Errorf("who comes late gets %d bytes first", n)
	}
	step <- struct{}{}
	step <- struct{}{}
	readers.Wait()
	entry, ok := c.Get(Key{1})
	if !ok || string(entry.Body) != "one two three" || first.String() != "one two three" || late.String() != "one two three" {
		t.Errorf("kept %v; sent %q and %q", ok, first.String(), late.String())
	}
}

// TestFeedBreaksOff: readers learn that a segment is not whole, and it is not kept.
func TestFeedBreaksOff(t *testing.T) {
	c, err := New(1<<20, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the origin is gone")
	go1 := make(chan struct{})
	_, feed, err := c.Stream(t.Context(), Key{2}, func(_ context.Context, feed *Feed) (*Entry, error) {
		feed.Begin("video/mp4")
		_, _ = feed.Write([]byte("half"))
		feed.Flush()
		<-go1
		return nil, broken
	})
	if err != nil {
		t.Fatal(err)
	}
	close(go1)
	var to bytes.Buffer
	if err := feed.WriteTo(t.Context(), &to, func() {}); !errors.Is(err, broken) || to.String() != "half" {
		t.Errorf("got %q, %v", to.String(), err)
	}
	if _, err := feed.Entry(t.Context()); !errors.Is(err, broken) {
		t.Errorf("the whole: %v", err)
	}
	feed.Leave()
	if _, ok := c.Get(Key{2}); ok {
		t.Error("half a segment was kept")
	}
}

// TestFeedIsGivenUp: a segment that nobody waits for any more is not made to the end.
func TestFeedIsGivenUp(t *testing.T) {
	c, err := New(1<<20, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	given := make(chan struct{})
	_, feed, err := c.Stream(t.Context(), Key{3}, func(ctx context.Context, feed *Feed) (*Entry, error) {
		feed.Begin("video/mp4")
		<-ctx.Done()
		close(given)
		return nil, ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := feed.WriteTo(ctx, new(bytes.Buffer), func() {}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	feed.Leave()
	select {
	case <-given:
	case <-time.After(10 * time.Second):
		t.Error("the maker goes on")
	}
}

// TestFeedIsKeptForItsReaders: what accounts for the bytes of a feed is released when the last reader has left, and never before the end.
func TestFeedIsKeptForItsReaders(t *testing.T) {
	c, err := New(1<<20, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, leaveEarly := range []bool{false, true} {
		begun, step, released := make(chan struct{}), make(chan struct{}), make(chan struct{})
		key := Key{7}
		if leaveEarly {
			key = Key{8}
		}
		makeEntry := func(_ context.Context, feed *Feed) (*Entry, error) {
			feed.Begin("video/mp4")
			_, _ = feed.Write([]byte("all of it"))
			feed.Flush()
			close(begun)
			<-step
			feed.KeptBy(func() { close(released) })
			return &Entry{Body: feed.Bytes()}, nil
		}
		var feeds []*Feed
		for range 2 {
			_, feed, err := c.Stream(t.Context(), key, makeEntry)
			if err != nil || feed == nil {
				t.Fatalf("got %v, %v", feed, err)
			}
			feeds = append(feeds, feed)
		}
		<-begun
		isReleased := func() bool {
			select {
			case <-released:
				return true
			default:
				return false
			}
		}
		if leaveEarly {
			feeds[0].Leave()
		}
		step <- struct{}{}
		if _, err := feeds[1].Entry(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !leaveEarly {
			feeds[0].Leave()
		}
		if isReleased() {
			t.Error("released while somebody reads")
		}
		feeds[1].Leave()
		select {
		case <-released:
		case <-time.After(5 * time.Second):
			t.Error("not released when the last one had left")
		}
		if entry, feed, err := c.Stream(t.Context(), key, makeEntry); entry == nil || feed != nil || err != nil {
			t.Errorf("who comes later gets %v, %v, %v", entry, feed, err)
		}
	}
}
