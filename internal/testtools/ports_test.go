package testtools

import (
	"net"
	"strconv"
	"testing"
)

func TestFreePorts(t *testing.T) {
	system := systemPorts()
	seen := map[int]bool{}
	for range 20 {
		ports, err := FreePorts(5)
		if err != nil {
			t.Fatal(err)
		}
		for _, port := range ports {
			if seen[port] {
				t.Errorf("port %d given twice", port)
			}
			seen[port] = true
			if system.holds(port) {
				t.Errorf("port %d is one that the system gives away by itself, %d to %d", port, system.first, system.last)
			}
			l, err := net.Listen("tcp", ":"+strconv.Itoa(port))
			if err != nil {
				t.Errorf("port %d is not free: %v", port, err)
				continue
			}
			_ = l.Close()
		}
	}
}

func TestFreePortsLeavesOutWhatIsTaken(t *testing.T) {
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if free(port) {
		t.Errorf("port %d is said to be free while somebody listens on it", port)
	}
	g := portsGiven{taken: map[int]bool{lowestPort: true}}
	if got, err := g.draw(3, portRange{first: lowestPort + 3, last: highestPort}); err == nil {
		t.Errorf("got %v: one of the three ports below the system's is given to somebody already", got)
	}
}
