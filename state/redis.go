package state

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts by it
	"crypto/tls"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// RedisConfig says where a Redis or Valkey server is, or several.
type RedisConfig struct {
	// Addresses are host:port: of the one server, of the sentinels, or of some nodes of the cluster.
	Addresses []string
	// Sentinel is the name of the master set; empty: no sentinels.
	Sentinel string
	// Cluster says that Addresses are nodes of a cluster.
	Cluster bool
	// Username and Password are of an ACL user; SentinelUsername and SentinelPassword those for the sentinels.
	Username, Password                 string
	SentinelUsername, SentinelPassword string
	// DB is the number of the database. A cluster has only 0.
	DB int
	// TLS is nil for connections without.
	TLS *tls.Config
	// Prefix begins all keys. Default "drm".
	Prefix string
}

// Redis is a connection to a server that nodes share. It connects in the background, and again after each fault: until then its
// methods return ErrUnavailable. It is safe for concurrent use.
type Redis struct {
	option rueidis.ClientOption
	prefix string
	client atomic.Pointer[rueidis.Client]

	stop context.CancelFunc
	done sync.WaitGroup
	once sync.Once
}

const (
	dialTimeout     = 2 * time.Second
	connectPause    = 500 * time.Millisecond
	answerTimeout   = 2 * time.Second // a server that is silent for so long is connected to anew
	topologyRefresh = 5 * time.Second
)

// OpenRedis begins to connect. onFault, which may be nil, is told of each attempt that failed.
func OpenRedis(c RedisConfig, onFault func(error)) (*Redis, error) {
	switch {
	case len(c.Addresses) == 0:
		return nil, errors.New("a Redis server needs an address")
	case c.Sentinel != "" && c.Cluster:
		return nil, errors.New("a Redis server is found through sentinels or is a cluster, not both")
	case c.Cluster && c.DB != 0:
		return nil, errors.New("a Redis cluster has no other database than 0")
	}
	if c.Prefix == "" {
		c.Prefix = "drm"
	}
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: time.Second}
	r := &Redis{prefix: c.Prefix, option: rueidis.ClientOption{
		InitAddress: c.Addresses, Username: c.Username, Password: c.Password, SelectDB: c.DB, TLSConfig: c.TLS, Dialer: dialer,
		ClientName: "caddy-drm", ConnWriteTimeout: answerTimeout, DisableCache: true, DisableRetry: true,
		ForceSingleClient: !c.Cluster && c.Sentinel == "", ClusterOption: rueidis.ClusterOption{ShardsRefreshInterval: topologyRefresh},
	}}
	if c.Sentinel != "" {
		r.option.Sentinel = rueidis.SentinelOption{
			MasterSet: c.Sentinel, Username: c.SentinelUsername, Password: c.SentinelPassword, Dialer: dialer, TLSConfig: c.TLS,
			TopologyRefreshInterval: topologyRefresh,
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	if !r.connect(onFault) {
		r.done.Go(func() { r.connectLater(ctx, onFault) })
	}
	return r, nil
}

// connect tries once. From then on the client finds its way back by itself.
func (r *Redis) connect(onFault func(error)) bool {
	client, err := rueidis.NewClient(r.option)
	if err != nil {
		if client != nil {
			client.Close()
		}
		if onFault != nil {
			onFault(fmt.Errorf("%w: connecting: %w", ErrUnavailable, err))
		}
		return false
	}
	r.client.Store(&client)
	return true
}

func (r *Redis) connectLater(ctx context.Context, onFault func(error)) {
	ticker := time.NewTicker(connectPause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if r.connect(onFault) {
				return
			}
		}
	}
}

// Close ends all connections. It may be called twice.
func (r *Redis) Close() {
	r.once.Do(func() {
		r.stop()
		r.done.Wait()
		if client := r.client.Swap(nil); client != nil {
			(*client).Close()
		}
	})
}

func (r *Redis) get() (rueidis.Client, error) {
	client := r.client.Load()
	if client == nil {
		return nil, fmt.Errorf("%w: not connected yet", ErrUnavailable)
	}
	return *client, nil
}

// failed wraps what a server or the way to it said. Neither holds a key's content.
func failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, doing, err)
}

// script is a Lua script that a server runs as one step.
type script struct{ text, sha string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // Redis names scripts by it
	return script{text, hex.EncodeToString(sum[:])}
}

//go:embed streams.lua
var streamsText string

//go:embed revocations.lua
var revocationsText string

var streamsScript, revocationsScript = newScript(streamsText), newScript(revocationsText)

// call is one run of a script.
type call struct {
	keys []string
	args []string
}

// run runs the script once for each call, in one round trip for each server. A server that does not know the script yet, such as
// one that has just started, is sent it.
func (s script) run(ctx context.Context, client rueidis.Client, calls []call) []rueidis.RedisResult {
	commands := make(rueidis.Commands, len(calls))
	for i, c := range calls {
		commands[i] = client.B().Evalsha().Sha1(s.sha).Numkeys(int64(len(c.keys))).Key(c.keys...).Arg(c.args...).Build()
	}
	results := client.DoMulti(ctx, commands...)
	var again rueidis.Commands
	var at []int
	for i, result := range results {
		if fault, ok := rueidis.IsRedisErr(result.Error()); ok && fault.IsNoScript() {
			c := calls[i] //nolint:gosec // one answer for each
			again = append(again, client.B().Eval().Script(s.text).Numkeys(int64(len(c.keys))).Key(c.keys...).Arg(c.args...).Build())
			at = append(at, i)
		}
	}
	if len(again) > 0 {
		for i, result := range client.DoMulti(ctx, again...) {
			results[at[i]] = result
		}
	}
	return results
}
