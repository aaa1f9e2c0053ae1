package testtools

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
)

// Where ports are drawn from: above those of well-known services and the one, 10080, that browsers refuse.
const (
	lowestPort  = 11000
	highestPort = 65535
)

// FreePort is FreePorts for one.
func FreePort() (int, error) {
	ports, err := FreePorts(1)
	if err != nil {
		return 0, err
	}
	return ports[0], nil
}

// FreePorts returns n TCP and UDP ports for servers to be started: all different, free on every address of this machine, and
// given to nobody else in this process.
//
// The system gives none of them to an outgoing connection or to a server without a port of its own, as it does with ports
// that a listener on port 0 had a moment ago. A suite that opens thousands of connections meets that within days.
func FreePorts(n int) ([]int, error) {
	return given.draw(n, systemPorts())
}

var given = portsGiven{taken: map[int]bool{}}

type portsGiven struct {
	mu    sync.Mutex
	taken map[int]bool
}

func (g *portsGiven) draw(n int, system portRange) (ports []int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	span := highestPort - lowestPort + 1
	for start, i := rand.IntN(span), 0; i < span && len(ports) < n; i++ { //nolint:gosec // a port is no secret
		port := lowestPort + (start+i)%span
		if g.taken[port] || system.holds(port) || !free(port) {
			continue
		}
		g.taken[port] = true
		ports = append(ports, port)
	}
	if len(ports) < n {
		return nil, fmt.Errorf("%d ports wanted, %d free from %d to %d without the system's own %d to %d",
			n, len(ports), lowestPort, highestPort, system.first, system.last)
	}
	return ports, nil
}

// free tries the port as a server does that speaks HTTP/1.1 to 3 on every address.
func free(port int) bool {
	address := ":" + strconv.Itoa(port)
	stream, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	defer stream.Close()
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		return false
	}
	return packets.Close() == nil
}

// portRange is first to last, both included.
type portRange struct{ first, last int }

func (r portRange) holds(port int) bool { return r.first <= port && port <= r.last }

// systemPorts are those that the system draws from by itself: Linux says which, others take the range of IANA
// (RFC 6335 section 6). A system that draws from nearly all of them leaves no choice.
func systemPorts() portRange {
	r := portRange{first: 49152, last: highestPort}
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err == nil {
		if _, err := fmt.Sscan(string(text), &r.first, &r.last); err != nil {
			return portRange{}
		}
	}
	if r.first <= lowestPort && r.last >= highestPort {
		return portRange{}
	}
	return r
}
