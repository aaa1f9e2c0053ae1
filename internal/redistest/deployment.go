package redistest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// Deployment is what a gateway connects to.
type Deployment struct {
	// Kind is "single", "sentinel", "cluster" or "tls".
	Kind string
	// Addresses are those that a client is configured with.
	Addresses []string
	// Sentinel is the name of the master set, for that kind.
	Sentinel string
	// Data are the servers that hold data, the primary first.
	Data []*Server
	// Sentinels watch over them, for that kind.
	Sentinels []*Server
	// Username, Password, CertFile and TLS are for the kind "tls"; CertFile is the PEM file of the authority.
	Username, Password, CertFile string
	TLS                          *tls.Config
}

// Kinds lists all kinds of deployment.
var Kinds = []string{"single", "sentinel", "cluster", "tls"}

// Start starts a deployment of a kind, whose files lie in dir.
func Start(kind, dir string) (*Deployment, error) {
	d := &Deployment{Kind: kind}
	var err error
	switch kind {
	case "single":
		err = d.startSingle(dir)
	case "sentinel":
		err = d.startSentinel(dir)
	case "cluster":
		err = d.startCluster(dir)
	case "tls":
		err = d.startTLS(dir)
	default:
		err = fmt.Errorf("no deployment of kind %q", kind)
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Close kills all servers.
func (d *Deployment) Close() {
	for _, s := range append(append([]*Server{}, d.Sentinels...), d.Data...) {
		_ = s.Thaw() // a frozen process is killed as well, but its end would wait
		s.Kill()
	}
}

// All calls f for every server that holds data.
func (d *Deployment) All(f func(*Server) error) (err error) {
	for _, s := range d.Data {
		err = errors.Join(err, f(s))
	}
	return err
}

func (d *Deployment) add(s *Server, err error) error {
	if s != nil {
		d.Data = append(d.Data, s)
	}
	return err
}

// lasting makes a server keep each change on disk, so that it knows everything again after a restart.
var lasting = []string{"--save", "", "--appendonly", "yes", "--appendfsync", "always"}

func (d *Deployment) startSingle(dir string) error {
	ports, err := testtools.FreePorts(1)
	if err != nil {
		return err
	}
	if err := d.add(start(dir, ports[0], nil, lasting...)); err != nil {
		return err
	}
	d.Addresses = []string{d.Data[0].Addr}
	return nil
}

func (d *Deployment) startSentinel(dir string) error {
	ports, err := testtools.FreePorts(5)
	if err != nil {
		return err
	}
	if err := d.add(start(filepath.Join(dir, "primary"), ports[0], nil, lasting...)); err != nil {
		return err
	}
	replica := append([]string{"--replicaof", "127.0.0.1 " + strconv.Itoa(ports[0])}, lasting...)
	if err := d.add(start(filepath.Join(dir, "replica"), ports[1], nil, replica...)); err != nil {
		return err
	}
	if err := d.Data[1].waitFor("master_link_status:up", "INFO", "replication"); err != nil {
		return err
	}
	d.Sentinel = "drm"
	for i, port := range ports[2:] {
		s, err := startSentinel(filepath.Join(dir, "sentinel"+strconv.Itoa(i)), port, ports[0], d.Sentinel)
		if s != nil {
			d.Sentinels = append(d.Sentinels, s)
		}
		if err != nil {
			return err
		}
		d.Addresses = append(d.Addresses, s.Addr)
	}
	for _, s := range d.Sentinels { // they know of each other and of the replica
		if err := s.waitFor("slaves=1,sentinels=3", "INFO", "sentinel"); err != nil {
			return err
		}
	}
	return nil
}

func (d *Deployment) startCluster(dir string) error {
	ports, err := testtools.FreePorts(6)
	if err != nil {
		return err
	}
	for i := range 3 {
		args := append([]string{"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(ports[3+i]), "--cluster-node-timeout", "15000"}, lasting...)
		if err := d.add(start(filepath.Join(dir, "node"+strconv.Itoa(i)), ports[i], nil, args...)); err != nil {
			return err
		}
		d.Addresses = append(d.Addresses, d.Data[i].Addr)
	}
	for i, s := range d.Data {
		first, last := i*16384/3, (i+1)*16384/3-1
		if reply, err := s.Do("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(first), strconv.Itoa(last)); err != nil || reply != "OK" {
			return fmt.Errorf("giving slots to a node: %q, %w", reply, err)
		}
		if i == 0 {
			continue
		}
		reply, err := s.Do("CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(ports[0]), strconv.Itoa(ports[3]))
		if err != nil || reply != "OK" {
			return fmt.Errorf("joining nodes: %q, %w", reply, err)
		}
	}
	for _, s := range d.Data {
		if err := s.waitFor("cluster_state:ok", "CLUSTER", "INFO"); err != nil {
			return err
		}
		if err := s.waitFor("cluster_known_nodes:3", "CLUSTER", "INFO"); err != nil {
			return err
		}
	}
	return nil
}

// waitFor asks until the reply holds text.
func (s *Server) waitFor(text string, words ...string) error {
	var reply string
	var err error
	for end := time.Now().Add(startTimeout); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if reply, err = s.Do(words...); err == nil && strings.Contains(reply, text) {
			return nil
		}
	}
	return fmt.Errorf("%q does not come up in the answer to %q: %w", text, words, err)
}
