package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// unmarshalState reads `state memory|redis { … }` of the global block.
func (a *App) unmarshalState(d *caddyfile.Dispenser) (err error) {
	a.StateRaw, err = unmarshalGuest(d, "drm.state.", "backend")
	return err
}

// UnmarshalCaddyfile reads
//
//	state redis {
//		address           <host:port...>
//		sentinel          <master set>
//		cluster
//		username          <name>
//		password          {env.NAME}|{file./path}
//		sentinel_username <name>
//		sentinel_password {env.NAME}|{file./path}
//		db                <number>
//		tls {
//			ca          <file.pem>
//			certificate <file.pem> <key.pem>
//			server_name <name>
//		}
//		prefix            <text>
//		timeout           <duration>
//		on_failure        local|fail_open|fail_closed
//		lease             <duration>
//		renew             <duration>
//		revocations       fail_closed|fail_open [<stale>]
//	}
func (s *RedisState) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return eachOption(d, options{
		"address":           func() error { return someArgs(d, &s.Addresses) },
		"sentinel":          func() error { return oneArg(d, &s.Sentinel) },
		"cluster":           func() error { return noArgs(d, &s.Cluster) },
		"username":          func() error { return oneArg(d, &s.Username) },
		"password":          func() error { return secretArg(d, &s.Password) },
		"sentinel_username": func() error { return oneArg(d, &s.SentinelUsername) },
		"sentinel_password": func() error { return secretArg(d, &s.SentinelPassword) },
		"db":                func() error { return numberArg(d, &s.DB) },
		"tls":               func() error { return s.unmarshalTLS(d) },
		"prefix":            func() error { return oneArg(d, &s.Prefix) },
		"timeout":           func() error { return durationArg(d, &s.Timeout) },
		"on_failure":        func() error { return wordArg(d, &s.OnFailure, failLocal, failOpen, failClosed) },
		"lease":             func() error { return durationArg(d, &s.Lease) },
		"renew":             func() error { return durationArg(d, &s.Renew) },
		"revocations":       func() error { return s.unmarshalRevocations(d) },
	})
}

func (s *RedisState) unmarshalTLS(d *caddyfile.Dispenser) error {
	s.TLS = new(RedisTLS)
	if d.NextArg() {
		return d.ArgErr()
	}
	return eachOption(d, options{
		"ca":          func() error { return oneArg(d, &s.TLS.CA) },
		"server_name": func() error { return oneArg(d, &s.TLS.ServerName) },
		"certificate": func() error {
			args := d.RemainingArgs()
			if len(args) != 2 {
				return d.ArgErr()
			}
			s.TLS.Certificate, s.TLS.Key = args[0], args[1]
			return nil
		},
	})
}

func (s *RedisState) unmarshalRevocations(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	if s.Revocations = d.Val(); !isOneOf(s.Revocations, failOpen, failClosed) {
		return d.Errf("revocations %q: want fail_closed or fail_open", s.Revocations)
	}
	if !d.NextArg() {
		return nil
	}
	d.Prev()
	return durationArg(d, &s.RevocationsStale)
}

// noArgs reads a word that says all by itself.
func noArgs(d *caddyfile.Dispenser, into *bool) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	*into = true
	return nil
}

// Interface guards
var (
	_ caddyfile.Unmarshaler = (*MemoryState)(nil)
	_ caddyfile.Unmarshaler = (*RedisState)(nil)
)
