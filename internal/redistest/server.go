package redistest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// startTimeout is how long a server may take to answer.
const startTimeout = 20 * time.Second

// Server is one redis-server process.
type Server struct {
	// Addr is host:port.
	Addr string
	Port int

	dir  string
	args []string
	tls  *tls.Config // nil without TLS

	mu  sync.Mutex
	cmd *exec.Cmd
	out *bytes.Buffer
}

// start runs redis-server with a configuration of args, pairs of option and value, beside those of every server. What it writes
// lies in dir.
func start(dir string, port int, config *tls.Config, args ...string) (*Server, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &Server{Addr: "127.0.0.1:" + strconv.Itoa(port), Port: port, dir: dir, tls: config}
	if config == nil {
		s.args = append(s.args, "--port", strconv.Itoa(port))
	}
	s.args = append(append(s.args, "--bind", "127.0.0.1", "--dir", dir, "--daemonize", "no"), args...)
	return s, s.Start()
}

// Start runs the server, again after Kill, and returns once it answers.
func (s *Server) Start() error {
	program, err := testtools.Redis()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.out = new(bytes.Buffer)
	s.cmd = exec.Command(program, s.args...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, s.out, s.out
	err = s.cmd.Start()
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("starting redis-server: %w", err)
	}
	for end := time.Now().Add(startTimeout); ; time.Sleep(10 * time.Millisecond) {
		reply, err := s.Do("PING")
		if err == nil && (reply == "PONG" || bytes.HasPrefix([]byte(reply), []byte("NOAUTH"))) {
			return nil
		}
		if time.Now().After(end) {
			s.Kill()
			return fmt.Errorf("redis-server does not answer: %q, %w\n%s", reply, err, s.out)
		}
	}
}

// Kill ends the process at once, without a last save, and waits for its end.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Kill() // it may be gone
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// Freeze stops the process, with its connections open, until Thaw.
func (s *Server) Freeze() error { return s.signal(syscall.SIGSTOP) }

// Thaw lets it go on.
func (s *Server) Thaw() error { return s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return errors.New("the server does not run")
	}
	return s.cmd.Process.Signal(signal)
}

// Do sends one command on a connection of its own, and returns the reply: of an array the protocol's own text.
func (s *Server) Do(words ...string) (string, error) {
	conn, err := s.dial()
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return "", err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := conn.Write(b.Bytes()); err != nil {
		return "", err
	}
	reply := make([]byte, 64<<10)
	n, err := conn.Read(reply)
	if err != nil {
		return "", err
	}
	text := bytes.TrimSuffix(reply[:n], []byte("\r\n"))
	switch {
	case bytes.HasPrefix(text, []byte("+")), bytes.HasPrefix(text, []byte("-")), bytes.HasPrefix(text, []byte(":")):
		return string(text[1:]), nil
	case bytes.HasPrefix(text, []byte("$")):
		_, value, _ := bytes.Cut(text, []byte("\r\n"))
		return string(value), nil
	default:
		return string(text), nil
	}
}

func (s *Server) dial() (net.Conn, error) {
	dialer := &net.Dialer{Timeout: time.Second}
	if s.tls != nil {
		return tls.DialWithDialer(dialer, "tcp", s.Addr, s.tls)
	}
	return dialer.Dial("tcp", s.Addr)
}
