package signedurl

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// FlussonicConfig is what a verifier of Flussonic's securetoken demands. Secrets is required.
type FlussonicConfig struct {
	// Secrets are the keys of securetoken://; several while they are changed.
	Secrets [][]byte
	// NoCheckIP is true if tokens are made without the client's address.
	NoCheckIP bool
	// Name is the query parameter. Default: token.
	Name string
	// Leeway is as in AkamaiConfig.
	Leeway time.Duration
}

// Flussonic verifies Flussonic's securetoken: SHA-1 over stream name, address, times, secret and salt. The stream is the directory of
// the requested path, which is what the token then covers. The hash is weak, and the format prescribes it. It is safe for concurrent
// use.
type Flussonic struct {
	common
	config FlussonicConfig
}

// maxSalt bounds the salt. It has letters and digits only, so nothing can be hashed on behind it.
const maxSalt = 64

// NewFlussonic checks config and returns its verifier.
func NewFlussonic(config FlussonicConfig) (v *Flussonic, err error) {
	if config.Secrets, err = checkSecrets(config.Secrets); err != nil {
		return nil, err
	}
	if config.Name == "" {
		config.Name = "token"
	}
	check := "ip"
	if config.NoCheckIP {
		check = ""
	}
	base, err := newCommon("flussonic", config.Leeway, config.Secrets, config.Name, check)
	return &Flussonic{common: base, config: config}, err
}

// Places implements token.Finder.
func (v *Flussonic) Places() []token.Place {
	return []token.Place{{In: token.InQuery, Name: v.config.Name}}
}

// Find implements token.Finder.
func (v *Flussonic) Find(c token.Carrier) ([]string, error) {
	raw, err := one(c, token.InQuery, v.config.Name)
	if err != nil || raw == "" {
		return nil, err
	}
	return []string{raw}, nil
}

// BoundTo implements token.Bound.
func (v *Flussonic) BoundTo(_ string, req token.Request) string { return boundTo(req) }

// flussonicToken is `<sha1 in hex>-<salt>-<endtime>-<starttime>`.
type flussonicToken struct {
	hash             []byte
	salt, end, start string
	expires, from    int64
}

func parseFlussonic(raw string) (t flussonicToken, err error) {
	if err := checkCredential(raw); err != nil {
		return t, err
	}
	parts := strings.Split(raw, "-")
	if len(parts) != 4 {
		return t, malformed("not four parts")
	}
	t.salt, t.end, t.start = parts[1], parts[2], parts[3]
	if t.hash, err = hex.DecodeString(parts[0]); err != nil || len(t.hash) != sha1.Size {
		return t, malformed("a hash of another form")
	}
	if t.salt == "" || len(t.salt) > maxSalt || !isAlphanumeric(t.salt) {
		return t, malformed("a salt that is not letters and digits")
	}
	if t.expires, err = parseTenDigits(t.end); err != nil {
		return t, err
	}
	t.from, err = parseTenDigits(t.start)
	return t, err
}

func isAlphanumeric(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	})
}

func (t flussonicToken) sum(secret []byte, name, ip string) []byte {
	h := sha1.New()
	for _, part := range []string{name, ip, t.start, t.end, string(secret), t.salt} {
		_, _ = h.Write([]byte(part))
	}
	return h.Sum(nil)
}

// streamOf is the stream that a clean path belongs to: its directory, without slashes around it.
func streamOf(path string) string {
	return strings.Trim(path[:strings.LastIndexByte(path, '/')+1], "/")
}

// Verify implements token.Verifier.
func (v *Flussonic) Verify(_ context.Context, raw string, req token.Request) (token.Claims, error) {
	t, err := parseFlussonic(raw)
	if err != nil {
		return token.Claims{}, err
	}
	name, ip := streamOf(req.Path), ""
	if name == "" {
		return token.Claims{}, token.ErrScope // no stream has this path
	}
	var c conditions
	if !v.config.NoCheckIP {
		prefix, ok := clientPrefix(req.Addr)
		if !ok {
			return token.Claims{}, errClientAddress
		}
		ip, c.prefixes = prefix.Addr().String(), []netip.Prefix{prefix}
	}
	if !anyEqual(t.hash, v.config.Secrets, func(secret []byte) []byte { return t.sum(secret, name, ip) }) {
		return token.Claims{}, token.ErrSignature
	}
	claims := token.Claims{Scope: []string{"/" + name}, Conditions: c.orNil()}
	v.times(&claims, t.expires, t.from)
	return accept(claims, req)
}

// Sign returns the token of a stream, `live/ch1` for /live/ch1/index.m3u8. salt is letters and digits; empty draws one. addr is not
// looked at if the configuration leaves addresses out.
func (v *Flussonic) Sign(stream string, addr netip.Addr, start, expires time.Time, salt string) (string, error) {
	if salt == "" {
		salt = strings.ToLower(rand.Text())
	}
	ip := ""
	if !v.config.NoCheckIP {
		if !addr.IsValid() {
			return "", errors.New("these tokens hold the client's address, and none was given")
		}
		ip = addr.Unmap().WithZone("").String()
	}
	t := flussonicToken{salt: salt}
	var err error
	if t.end, err = signingTime(expires); err != nil {
		return "", err
	}
	if t.start, err = signingTime(start); err != nil {
		return "", err
	}
	raw := hex.EncodeToString(t.sum(v.config.Secrets[0], strings.Trim(stream, "/"), ip)) + "-" + t.salt + "-" + t.end + "-" + t.start
	if _, err := parseFlussonic(raw); err != nil {
		return "", err
	}
	return raw, nil
}
