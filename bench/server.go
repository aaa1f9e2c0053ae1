package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// server is a process that serves.
type server struct {
	name string
	cmd  *exec.Cmd
	log  *logBuffer
	gone chan struct{} // closed when the process has ended
	idle int64         // its memory, in bytes, before it served anything
}

// startServer runs a command until stop, and returns once it listens on all addresses.
func startServer(name string, cmd *exec.Cmd, addresses ...string) (*server, error) {
	s := &server{name: name, cmd: cmd, log: new(logBuffer), gone: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		_ = cmd.Wait()
		close(s.gone)
	}()
	for _, address := range addresses {
		if err := s.waitFor(address, 30*time.Second); err != nil {
			s.stop()
			return nil, err
		}
	}
	var err error
	if s.idle, err = anonymousMemory(s.pid()); err != nil {
		s.stop()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

func (s *server) waitFor(address string, limit time.Duration) error {
	for end := time.Now().Add(limit); time.Now().Before(end); {
		select {
		case <-s.gone:
			return fmt.Errorf("%s ended at once: %s", s.name, s.log)
		case <-time.After(20 * time.Millisecond):
		}
		if conn, err := net.Dial("tcp", address); err == nil {
			return conn.Close()
		}
	}
	return fmt.Errorf("%s does not listen on %s: %s", s.name, address, s.log)
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// stop ends the process, by force if it takes its time.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.gone:
	case <-time.After(10 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.gone
	}
}

// logBuffer keeps the first kilobytes of what a process prints: errors come first.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() < 64<<10 {
		l.b.Write(p)
	}
	return len(p), nil
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// freeAddress returns an address of this machine that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// gc is a setting of Go's garbage collector.
type gc struct {
	name string
	env  []string
}

var (
	gcDefault = gc{name: "default GC"}
	gcLimit   = gc{name: "GOGC=off GOMEMLIMIT=512MiB", env: []string{"GOGC=off", "GOMEMLIMIT=512MiB"}}
)

// caddy is a Caddy of any build, with the addresses of its two sites: one reads files, one asks an upstream.
type caddy struct {
	*server
	files, proxied string
}

// startCaddy runs program with a Caddyfile of two sites, between which handlers stands in front of file_server and
// reverse_proxy.
func startCaddy(name, program, dir string, set gc, config caddyConfig) (*caddy, error) {
	files, err := freeAddress()
	if err != nil {
		return nil, err
	}
	proxied, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config.files, config.proxied = files, proxied
	home, err := os.MkdirTemp(dir, "caddy-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(home, "Caddyfile")
	if err := os.WriteFile(file, config.caddyfile(), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(program, "run", "--adapter", "caddyfile", "--config", file)
	cmd.Env = append(environment(home), set.env...)
	s, err := startServer(name, cmd, files, proxied)
	if err != nil {
		return nil, err
	}
	return &caddy{server: s, files: "http://" + files, proxied: "http://" + proxied}, nil
}

// environment is ours without settings of the garbage collector, and with storage of its own.
func environment(home string) []string {
	var env []string
	for _, pair := range os.Environ() {
		switch {
		case len(pair) > 4 && pair[:5] == "GOGC=", len(pair) > 10 && pair[:11] == "GOMEMLIMIT=", len(pair) > 10 && pair[:11] == "GOMAXPROCS=":
		default:
			env = append(env, pair)
		}
	}
	return append(env, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home)
}

// caddyConfig is what a Caddyfile is made of.
type caddyConfig struct {
	root, upstream string
	files, proxied string
	admin          string // address of the admin endpoint, if there is to be one
	global         string // lines of the global block
	handler        string // the directive in front of the origin
}

func (c caddyConfig) caddyfile() []byte {
	var b bytes.Buffer
	admin := "off"
	if c.admin != "" {
		admin = c.admin
	}
	fmt.Fprintf(&b, "{\n\tadmin %s\n\tauto_https off\n\tskip_install_trust\n%s}\n", admin, c.global)
	fmt.Fprintf(&b, "http://%s {\n\troot %s\n%s\tfile_server\n}\n", c.files, c.root, c.handler)
	fmt.Fprintf(&b, "http://%s {\n%s\treverse_proxy %s\n}\n", c.proxied, c.handler, c.upstream)
	return b.Bytes()
}

// drmHandler is our directive as it is measured: no token, no country, the keys of the deployment secret.
const drmHandler = "\tdrm {\n\t\ttenant bench\n\t\tscheme cenc\n\t\tlicense_server clearkey\n\t}\n"

// gatewayOptions says which global options a build of the gateway knows, asked of the build itself.
type gatewayOptions struct{ cache, inFlight, policy bool }

func probeGateway(ctx context.Context, program, dir string, r *rules) (gatewayOptions, error) {
	knows := func(global, handler string) bool {
		file := filepath.Join(dir, "probe.Caddyfile")
		config := caddyConfig{root: "/", upstream: "127.0.0.1:1", files: "127.0.0.1:2", proxied: "127.0.0.1:3", global: global, handler: handler}
		if err := os.WriteFile(file, config.caddyfile(), 0o600); err != nil {
			return false
		}
		return exec.CommandContext(ctx, program, "adapt", "--adapter", "caddyfile", "--config", file).Run() == nil
	}
	if !knows("", drmHandler) {
		return gatewayOptions{}, errors.New("the gateway does not read its own Caddyfile")
	}
	return gatewayOptions{
		cache:    knows("\tdrm {\n\t\tsegment_cache off\n\t}\n", drmHandler),
		inFlight: knows("\tdrm {\n\t\tin_flight 512MiB\n\t}\n", drmHandler),
		policy:   knows("\tdrm {\n"+r.global+"\t}\n", r.handler),
	}, nil
}

// global returns the global block with a cache of so many bytes, and more lines if there are any.
func (o gatewayOptions) global(cache string, more ...string) string {
	lines := strings.Join(more, "")
	if o.cache {
		lines += "\t\tsegment_cache " + cache + "\n"
	}
	if o.inFlight {
		lines += "\t\tin_flight " + inFlightBudget + "\n"
	}
	if lines == "" {
		return ""
	}
	return "\tdrm {\n" + lines + "\t}\n"
}

// startNginx runs nginx over root, as a server of static files as fast as it can be.
func startNginx(dir, root string) (*server, string, error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // not in everybody's PATH
		if _, err := os.Stat(program); err != nil {
			return nil, "", errors.New("nginx is not installed; run scripts/bench-tools.sh")
		}
	}
	address, err := freeAddress()
	if err != nil {
		return nil, "", err
	}
	prefix, err := os.MkdirTemp(dir, "nginx-")
	if err != nil {
		return nil, "", err
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // workers of another user could not read the folder
	}
	config := fmt.Sprintf(`%s
daemon off;
pid %[2]s/pid;
error_log stderr crit;
worker_processes auto;
events { worker_connections 2048; }
http {
	access_log off;
	sendfile on;
	tcp_nopush on;
	tcp_nodelay on;
	keepalive_requests 100000000;
	open_file_cache max=2000;
	etag on;
	types { video/mp4 m4s mp4; application/dash+xml mpd; }
	client_body_temp_path %[2]s;
	proxy_temp_path %[2]s;
	fastcgi_temp_path %[2]s;
	uwsgi_temp_path %[2]s;
	scgi_temp_path %[2]s;
	server {
		listen %[3]s;
		root %[4]s;
	}
}
`, user, prefix, address, root)
	file := filepath.Join(prefix, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, "", err
	}
	s, err := startServer("nginx", exec.Command(program, "-p", prefix, "-c", file), address)
	return s, address, err
}
