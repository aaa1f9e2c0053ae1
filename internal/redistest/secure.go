package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// startSentinel writes a sentinel's configuration, which it rewrites itself, and starts it.
func startSentinel(dir string, port, primary int, name string) (*Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	text := fmt.Sprintf("sentinel monitor %[1]s 127.0.0.1 %[2]d 2\nsentinel down-after-milliseconds %[1]s 1000\n"+
		"sentinel failover-timeout %[1]s 3000\n", name, primary)
	file := filepath.Join(dir, "sentinel.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	s := &Server{Addr: "127.0.0.1:" + strconv.Itoa(port), Port: port, dir: dir}
	s.args = []string{file, "--sentinel", "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir}
	return s, s.Start()
}

// startTLS starts a server that speaks TLS alone and knows one user, who may do what a gateway does and nothing else.
func (d *Deployment) startTLS(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	authority, err := writeCertificate(dir)
	if err != nil {
		return err
	}
	ports, err := testtools.FreePorts(1)
	if err != nil {
		return err
	}
	d.CertFile, d.Username, d.Password = filepath.Join(dir, "cert.pem"), "gateway", "test-password-"+rand.Text()
	d.TLS = &tls.Config{RootCAs: authority, MinVersion: tls.VersionTLS12}
	acl := filepath.Join(dir, "users.acl")
	users := "user default off\nuser " + d.Username + " on >" + d.Password + " ~drm:* &drm:* " + Commands + "\n"
	if err := os.WriteFile(acl, []byte(users), 0o600); err != nil {
		return err
	}
	args := append([]string{
		"--port", "0", "--tls-port", strconv.Itoa(ports[0]), "--tls-cert-file", d.CertFile, "--tls-key-file", filepath.Join(dir, "key.pem"),
		"--tls-ca-cert-file", d.CertFile, "--tls-auth-clients", "no", "--aclfile", acl,
	}, lasting...)
	if err := d.add(start(dir, ports[0], d.TLS, args...)); err != nil {
		return err
	}
	d.Addresses = []string{d.Data[0].Addr}
	return nil
}

// Commands are the rules of an ACL for what a gateway sends, as docs/clusters.md lists them.
const Commands = "-@all +@connection +@pubsub +evalsha +eval +time +get +set +pexpire +pttl +zadd +zrem +zscore +zcount +zrange " +
	"+zrangebyscore +zremrangebyrank +hset +hdel +hlen +hexists +hvals"

// writeCertificate makes a certificate that signs itself, for 127.0.0.1, and returns a pool that trusts it.
func writeCertificate(dir string) (*x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test redis"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(filepath.Join(dir, "cert.pem"), certificate, 0o600); err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), text, 0o600); err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certificate)
	return pool, nil
}
