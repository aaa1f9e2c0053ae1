package caddymodule

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/state"
)

func init() {
	caddy.RegisterModule(new(MemoryState))
	caddy.RegisterModule(new(RedisState))
}

// MemoryState keeps streams and single-use tokens in memory and revocations in Caddy's storage. It is for one node.
type MemoryState struct{}

// CaddyModule returns the module's registration.
func (*MemoryState) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "drm.state.memory", New: func() caddy.Module { return new(MemoryState) }}
}

// Key implements StateBackend.
func (*MemoryState) Key() (string, error) { return "memory", nil }

// Shared implements StateBackend.
func (*MemoryState) Shared() bool { return false }

// Open implements StateBackend.
func (*MemoryState) Open(digest *state.Digester, storage state.Storage, _ *zap.Logger) (*SharedState, error) {
	revocations, err := state.OpenMemoryRevocations(context.Background(), storage, time.Now)
	if err != nil {
		return nil, err
	}
	return &SharedState{
		Streams: state.NewStreams(state.Config{Store: state.NewMemoryStreams(time.Now), Observe: observeState}),
		Revocations: state.NewRevocations(context.Background(), state.RevocationConfig{
			Store: revocations, Digest: digest, Observe: observeState,
		}),
		Replay: state.NewMemoryReplay(0, time.Now),
		Grants: state.NewGrants(state.NewMemoryGrants(time.Now), time.Now),
		Titles: state.NewMemoryGrants(time.Now),
	}, nil
}

// UnmarshalCaddyfile reads `state memory`.
func (*MemoryState) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return eachOption(d, options{})
}

// RedisState keeps what nodes share in Redis 7 or later, or Valkey. Viewers are known there by keyed digests.
type RedisState struct {
	// Addresses are host:port: of the server, of the sentinels, or of some nodes of the cluster.
	Addresses []string `json:"addresses"`
	// Sentinel is the name of the master set; Addresses are those of sentinels then.
	Sentinel string `json:"sentinel,omitempty"`
	// Cluster says that Addresses are nodes of a cluster.
	Cluster bool `json:"cluster,omitempty"`
	// Username is that of an ACL user. Password is a placeholder {env.*} or {file.*}. Both expand when the configuration is loaded.
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	// SentinelUsername and SentinelPassword are those for the sentinels, as above.
	SentinelUsername string `json:"sentinel_username,omitempty"`
	SentinelPassword string `json:"sentinel_password,omitempty"`
	// DB is the number of the database.
	DB int `json:"db,omitempty"`
	// TLS encrypts connections, also those to sentinels.
	TLS *RedisTLS `json:"tls,omitempty"`
	// Prefix begins the names of all keys. Default `drm`.
	Prefix string `json:"prefix,omitempty"`
	// Timeout is how long the first request of a playback on a node waits for the server. Default 50ms, at most 1s.
	Timeout caddy.Duration `json:"timeout,omitempty"`
	// OnFailure is what holds for streams while the server does not answer and leases have run out: `local` (default) lets each
	// node count by itself, `fail_open` admits everybody, `fail_closed` refuses.
	OnFailure string `json:"on_failure,omitempty"`
	// Lease is how long a stream goes on after the server last agreed. Default 15s.
	Lease caddy.Duration `json:"lease,omitempty"`
	// Renew is the time between two renewals of leases. Default 3s.
	Renew caddy.Duration `json:"renew,omitempty"`
	// Revocations is `fail_closed` (default) or `fail_open`, for viewers whose revocations could not be read for RevocationsStale.
	Revocations string `json:"revocations,omitempty"`
	// RevocationsStale is how long the last list of revocations counts. Default 5m.
	RevocationsStale caddy.Duration `json:"revocations_stale,omitempty"`

	config state.RedisConfig
}

// RedisTLS is how connections to Redis are encrypted.
type RedisTLS struct {
	// CA is a PEM file with the authorities that are trusted. Default: those of the system.
	CA string `json:"ca,omitempty"`
	// Certificate and Key are PEM files of a client certificate.
	Certificate string `json:"certificate,omitempty"`
	Key         string `json:"key,omitempty"`
	// ServerName is the name that the server's certificate must have. Default: the host of the address.
	ServerName string `json:"server_name,omitempty"`
}

// Words of OnFailure.
const (
	failLocal  = "local"
	failOpen   = "fail_open"
	failClosed = "fail_closed"
)

// CaddyModule returns the module's registration.
func (*RedisState) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "drm.state.redis", New: func() caddy.Module { return new(RedisState) }}
}

// Provision reads credentials and certificates.
func (s *RedisState) Provision(caddy.Context) (err error) {
	if err := s.check(); err != nil {
		return err
	}
	s.config = state.RedisConfig{Addresses: s.Addresses, Sentinel: s.Sentinel, Cluster: s.Cluster, DB: s.DB, Prefix: s.Prefix}
	for _, text := range []struct {
		from   string
		into   *string
		secret bool
	}{
		{s.Username, &s.config.Username, false}, {s.Password, &s.config.Password, true},
		{s.SentinelUsername, &s.config.SentinelUsername, false}, {s.SentinelPassword, &s.config.SentinelPassword, true},
	} {
		switch {
		case text.from == "":
		case text.secret:
			*text.into, err = resolveSecretText(text.from)
		default:
			*text.into, err = caddy.NewReplacer().ReplaceOrErr(text.from, true, true)
		}
		if err != nil {
			return err
		}
	}
	if s.TLS != nil {
		if s.config.TLS, err = s.TLS.config(); err != nil {
			return fmt.Errorf("tls: %w", err)
		}
	}
	return nil
}

func (s *RedisState) check() error {
	timeout, lease, renew := s.durations()
	for _, check := range []struct {
		bad  bool
		want string
	}{
		{len(s.Addresses) == 0, "addresses: want at least one host:port"},
		{s.Cluster && s.Sentinel != "", "cluster: want it or sentinel, not both"},
		{s.Cluster && s.DB != 0, "db: a cluster has only 0"},
		{s.DB < 0, "db: want 0 or more"},
		{strings.ContainsAny(s.Prefix, "{} \r\n"), "prefix: want no braces and no spaces"},
		{timeout < time.Millisecond || timeout > time.Second, "timeout: want 1ms to 1s"},
		{renew < 100*time.Millisecond || lease < 2*renew, "lease: want at least twice renew, and renew at least 100ms"},
		{!isOneOf(s.OnFailure, "", failLocal, failOpen, failClosed), "on_failure: want local, fail_open or fail_closed"},
		{!isOneOf(s.Revocations, "", failOpen, failClosed), "revocations: want fail_closed or fail_open"},
		{s.RevocationsStale < 0, "revocations_stale: want a positive duration"},
	} {
		if check.bad {
			return errors.New(check.want)
		}
	}
	return nil
}

// durations returns the settings with their defaults.
func (s *RedisState) durations() (timeout, lease, renew time.Duration) {
	or := func(set caddy.Duration, otherwise time.Duration) time.Duration {
		if set == 0 {
			return otherwise
		}
		return time.Duration(set)
	}
	return or(s.Timeout, 50*time.Millisecond), or(s.Lease, 15*time.Second), or(s.Renew, 3*time.Second)
}

func (t *RedisTLS) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		text, err := readBounded(t.CA, maxKeyFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate", t.CA)
		}
	}
	if t.Certificate != "" || t.Key != "" {
		pair, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// Key implements StateBackend.
func (s *RedisState) Key() (string, error) {
	return keyOfSettings(s, s.config.Username, s.config.Password, s.config.SentinelUsername, s.config.SentinelPassword)
}

// Shared implements StateBackend.
func (*RedisState) Shared() bool { return true }

// Open implements StateBackend. A server that cannot be reached is no error: nodes have to start without it.
func (s *RedisState) Open(digest *state.Digester, _ state.Storage, logger *zap.Logger) (*SharedState, error) {
	return s.open(digest, logger, observedState())
}

func (s *RedisState) open(digest *state.Digester, logger *zap.Logger, observe stateObserver) (*SharedState, error) {
	redis, err := state.OpenRedis(s.config, func(err error) { logger.Warn("connecting to the shared state", zap.Error(err)) })
	if err != nil {
		return nil, err
	}
	timeout, lease, renew := s.durations()
	mode := map[string]state.FailureMode{failOpen: state.FailOpen, failClosed: state.FailClosed}[s.OnFailure] // else FailLocal
	grants := observedGrants{redis.Grants(time.Now), observe}
	return &SharedState{
		Streams: state.NewStreams(state.Config{
			Store: redis.Streams(), OnFailure: mode, Timeout: timeout, Lease: lease, Renew: renew, Observe: observe,
		}),
		Revocations: state.NewRevocations(context.Background(), state.RevocationConfig{
			Store: redis.Revocations(time.Now), Digest: digest, MaxStale: time.Duration(s.RevocationsStale), Observe: observe,
		}),
		Replay:        observedReplay{redis.Replay(time.Now), observe},
		Grants:        state.NewGrants(grants, time.Now),
		Titles:        grants,
		Cuts:          state.NewCuts(observedCuts{redis.Cuts(), observe}, time.Now),
		OpenOnFailure: s.Revocations == failOpen,
		Close:         redis.Close,
	}, nil
}

// Interface guards
var (
	_ StateBackend      = (*MemoryState)(nil)
	_ StateBackend      = (*RedisState)(nil)
	_ caddy.Provisioner = (*RedisState)(nil)
)
