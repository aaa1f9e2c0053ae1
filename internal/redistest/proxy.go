package redistest

import (
	"io"
	"net"
	"sync"
)

// Proxy is the way to a server. Cut lets nothing through any more, as a network does that loses all packets: connections stay
// open and nothing arrives.
type Proxy struct {
	// Addr is host:port.
	Addr string

	listener net.Listener
	target   string

	mu    sync.Mutex
	cut   bool
	flows *sync.Cond
	conns map[net.Conn]struct{}
	done  sync.WaitGroup
}

// NewProxy forwards connections to target until Close.
func NewProxy(target string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{Addr: listener.Addr().String(), listener: listener, target: target, conns: make(map[net.Conn]struct{})}
	p.flows = sync.NewCond(&p.mu)
	p.done.Go(p.accept)
	return p, nil
}

// Cut stops all traffic, and Heal lets it go on, with what was held back.
func (p *Proxy) Cut() { p.set(true) }

// Heal ends Cut.
func (p *Proxy) Heal() { p.set(false) }

func (p *Proxy) set(cut bool) {
	p.mu.Lock()
	p.cut = cut
	p.mu.Unlock()
	p.flows.Broadcast()
}

// Close ends all connections.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.set(false)
	p.mu.Lock()
	for conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.done.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.done.Go(func() { p.forward(client) })
	}
}

func (p *Proxy) forward(client net.Conn) {
	p.wait()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.conns[client], p.conns[server] = struct{}{}, struct{}{}
	p.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		both.Go(func() {
			_, _ = io.Copy(gate{way[1], p}, way[0])
			_ = client.Close()
			_ = server.Close()
		})
	}
	both.Wait()
	p.mu.Lock()
	delete(p.conns, client)
	delete(p.conns, server)
	p.mu.Unlock()
}

func (p *Proxy) wait() {
	p.mu.Lock()
	for p.cut {
		p.flows.Wait()
	}
	p.mu.Unlock()
}

// gate writes once the way is free.
type gate struct {
	conn net.Conn
	p    *Proxy
}

// Write implements io.Writer.
func (g gate) Write(b []byte) (int, error) {
	g.p.wait()
	return g.conn.Write(b)
}
