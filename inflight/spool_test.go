package inflight

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

var errTestBody = errors.New("test body broke")

// testBody writes its parts one by one and then returns err; it can be written once, like a segment.
type testBody struct {
	parts  [][]byte
	err    error
	panics bool
	asked  bool
}

func (b *testBody) WriteTo(w io.Writer) (n int64, err error) {
	b.asked = true
	for _, part := range b.parts {
		k, err := w.Write(part)
		n += int64(k)
		if err != nil {
			return n, err
		}
	}
	if b.panics {
		panic(errTestBody)
	}
	return n, b.err
}

func testSegmentBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 31 >> 3)
	}
	return b
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("the directory holds %v, %v", names, err)
	}
}

func TestSpool(t *testing.T) {
	want := testSegmentBytes(300_000)
	for name, open := range map[string]func(string) (*os.File, error){"as the system can": openUnnamed, "with a name at first": openNamed} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := NewSpool(dir, 1<<20)
			s.open = open
			f, err := s.Write(&testBody{parts: [][]byte{want[:1], want[1:1000], nil, want[1000:]}}, int64(len(want)))
			if err != nil {
				t.Fatal(err)
			}
			wantEmpty(t, dir)
			info, err := f.Stat()
			if err != nil || info.Mode().Perm() != 0o600 || info.Size() != f.Size || f.Size != int64(len(want)) || s.Used() != f.Size {
				t.Errorf("%v, size %d, used %d, %v", info.Mode(), f.Size, s.Used(), err)
			}
			if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes were read, %v", len(got), err)
			}
			if _, err := f.Seek(1000, io.SeekStart); err != nil { // a range
				t.Error(err)
			}
			if got, err := io.ReadAll(io.LimitReader(f, 500)); err != nil || !bytes.Equal(got, want[1000:1500]) {
				t.Errorf("another range was read, %v", err)
			}
			for range 2 {
				if err := f.Close(); err != nil || s.Used() != 0 {
					t.Errorf("after Close %d bytes are used, %v", s.Used(), err)
				}
			}
		})
	}
}

func TestSpoolRefusesBeforeItWrites(t *testing.T) {
	for name, test := range map[string]struct {
		spool func(dir string) *Spool
		size  int64
	}{
		"full":             {func(dir string) *Spool { return NewSpool(dir, 1000) }, 501},
		"no size at all":   {func(dir string) *Spool { return NewSpool(dir, 0) }, 0},
		"negative":         {func(dir string) *Spool { return NewSpool(dir, 1000) }, -1},
		"no directory":     {func(dir string) *Spool { return NewSpool(filepath.Join(dir, "none"), 1000) }, 10},
		"not a directory":  {func(string) *Spool { return NewSpool(os.Args[0], 1000) }, 10},
		"larger than disk": {func(dir string) *Spool { return NewSpool(dir, 1<<62) }, 1 << 60},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "larger than disk" && runtime.GOOS != "linux" {
				t.Skip("blocks are reserved on Linux only")
			}
			dir := t.TempDir()
			s := test.spool(dir)
			if name == "full" {
				f, err := s.Write(bytes.NewReader(testSegmentBytes(500)), 500)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
			}
			used, body := s.Used(), &testBody{}
			f, err := s.Write(body, test.size)
			if f != nil || !errors.Is(err, ErrSpool) || body.asked || s.Used() != used {
				t.Errorf("Write returns %v, %v; body asked: %v; %d bytes used", f, err, body.asked, s.Used())
			}
			wantEmpty(t, dir)
		})
	}
}

func TestSpoolGivesUp(t *testing.T) {
	part := testSegmentBytes(100)
	readOnly := func(dir string) (*os.File, error) {
		f, err := openUnnamed(dir)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return os.Open(os.DevNull)
	}
	for name, test := range map[string]struct {
		body *testBody
		open func(string) (*os.File, error)
		want error
	}{
		"body breaks":        {&testBody{parts: [][]byte{part}, err: errTestBody}, openUnnamed, errTestBody},
		"body is too long":   {&testBody{parts: [][]byte{part, part, part}}, openUnnamed, errSize},
		"body is too short":  {&testBody{parts: [][]byte{part}}, openUnnamed, errSize},
		"disk breaks":        {&testBody{parts: [][]byte{part, part}}, readOnly, nil},
		"body panics":        {&testBody{parts: [][]byte{part}, panics: true}, openUnnamed, errTestBody},
		"body panics at end": {&testBody{parts: [][]byte{part, part}, panics: true}, openUnnamed, errTestBody},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewSpool(t.TempDir(), 1000)
			var opened *os.File
			s.open = func(dir string) (f *os.File, err error) {
				opened, err = test.open(dir)
				return opened, err
			}
			f, err := func() (f *Spooled, err error) {
				defer func() {
					if v := recover(); v != nil {
						err, _ = v.(error)
					}
				}()
				return s.Write(test.body, 200)
			}()
			if f != nil || err == nil || errors.Is(err, ErrSpool) || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("Write returns %v, %v", f, err)
			}
			if s.Used() != 0 {
				t.Errorf("%d bytes are used", s.Used())
			}
			if err := opened.Close(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("the file stayed open: %v", err)
			}
		})
	}
}

// TestSpoolToClients sends spooled segments over real connections, by io.Copy as a server does.
func TestSpoolToClients(t *testing.T) {
	var (
		_ io.WriterTo  = (*Spooled)(nil) // io.Copy finds the way of os.File
		_ syscall.Conn = (*Spooled)(nil) // by which net finds out that sendfile will do
	)
	s := NewSpool("", 64<<20)
	want := testSegmentBytes(2 << 20)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		f, err := s.Write(bytes.NewReader(want), int64(len(want)))
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		w.Header().Set("Content-Length", "2097152")
		if n, err := io.Copy(w, f); err != nil || n != f.Size {
			t.Errorf("%d bytes were sent, %v", n, err)
		}
	}))
	defer server.Close()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, server.URL, nil)
			if err != nil {
				t.Error(err)
				return
			}
			response, err := server.Client().Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			if got, err := io.ReadAll(response.Body); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes arrived, %v", len(got), err)
			}
		})
	}
	all.Wait()
	server.Close()
	if s.Used() != 0 {
		t.Errorf("%d bytes are used", s.Used())
	}
}

// TestClientsThatLeave closes connections while they are sent to: every file must be given back.
func TestClientsThatLeave(t *testing.T) {
	s := NewSpool(t.TempDir(), 64<<20)
	body := testSegmentBytes(4 << 20)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var all sync.WaitGroup
	for range 8 {
		client, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer server.Close()
			f, err := s.Write(bytes.NewReader(body), int64(len(body)))
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			_, _ = io.Copy(server, f)
		})
		all.Go(func() {
			_, _ = io.CopyN(io.Discard, client, 100_000)
			time.Sleep(10 * time.Millisecond)
			_ = client.Close()
		})
	}
	all.Wait()
	if s.Used() != 0 {
		t.Errorf("%d bytes are used", s.Used())
	}
}
