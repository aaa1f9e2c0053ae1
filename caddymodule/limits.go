package caddymodule

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-drm/caddy-drm/policy"
	"github.com/caddy-drm/caddy-drm/state"
)

// StreamLimitConfig bounds how many streams are watched at the same time.
type StreamLimitConfig struct {
	// Streams is how many. 0 is for `by subject` alone, and leaves it to the claim max_streams of tokens.
	Streams int `json:"streams,omitempty"`
	// By is `subject` (the token's, or the address without one), `device` (the token's, or as subject) or `title`.
	By string `json:"by"`
	// Idle is how long a stream lasts after its last request. Default 45s.
	Idle caddy.Duration `json:"idle,omitempty"`
	// KickOldest ends the stream that began first for a new one, instead of refusing that.
	KickOldest bool `json:"kick_oldest,omitempty"`
}

// Words of limits, and the default of idle.
const (
	limitByDevice = "device"
	limitByTitle  = "title"
	wordToken     = "token"
	defaultIdle   = 45 * time.Second
)

// limiterPool holds the counts of limits, which outlive a reload that leaves their settings as they are.
var limiterPool = caddy.NewUsagePool()

type pooledLimiter struct{ *policy.Limiter }

// Destruct implements caddy.Destructor.
func (pooledLimiter) Destruct() error { return nil }

// compileLimit finds or makes the counts of all limits of requests, and checks those of streams.
func (h *Handler) compileLimit(caddy.Context) error {
	for _, config := range h.requestLimits() {
		limit, err := h.useLimiter(config)
		if err != nil {
			return fmt.Errorf("limit: %w", err)
		}
		h.limits = append(h.limits, limit)
	}
	for _, streams := range h.StreamLimits {
		if err := streams.check(h.Token != nil); err != nil {
			return fmt.Errorf("limit streams: %w", err)
		}
	}
	return nil
}

// requestLimits are the limits of requests, in the order in which they are judged.
func (h *Handler) requestLimits() []*LimitConfig {
	var configured []*LimitConfig
	if h.Limit != nil {
		configured = append(configured, h.Limit)
	}
	for i := range h.RequestLimits {
		configured = append(configured, &h.RequestLimits[i])
	}
	return configured
}

// limitsViewers reports whether a limit of requests counts by what only a token or a session says.
func (h *Handler) limitsViewers() bool {
	return slices.ContainsFunc(h.requestLimits(), func(c *LimitConfig) bool { return isOneOf(c.By, limitBySubject, limitByDevice) })
}

// useLimiter returns the limit with its count. Blocks with the same settings share a count, in which each tenant has its own keys.
func (h *Handler) useLimiter(config *LimitConfig) (policy.Limits, error) {
	per := time.Duration(config.Per)
	if per == 0 {
		per = time.Second
	}
	burst := config.Burst
	if burst == 0 {
		burst = config.Requests
	}
	limit := policy.Limits{}
	switch {
	case isPlaceholder(config.By):
		limit.By, limit.Placeholder = policy.ByPlaceholder, config.By
	case isOneOf(config.By, limitBySubject, limitByDevice):
		if h.Token == nil {
			return limit, fmt.Errorf("by %s: want a token, whose %s is counted", config.By, config.By)
		}
		limit.By = map[string]policy.LimitBy{limitBySubject: policy.BySubject, limitByDevice: policy.ByDevice}[config.By]
	case !isOneOf(config.By, "", limitByAddress):
		return limit, fmt.Errorf("by %q: want address, subject, device or a placeholder", config.By)
	}
	key, err := json.Marshal(config)
	if err != nil {
		return limit, err
	}
	value, _, err := limiterPool.LoadOrNew(string(key), func() (caddy.Destructor, error) {
		limiter, err := policy.NewLimiter(policy.LimiterConfig{Rate: float64(config.Requests) / per.Seconds(), Burst: burst})
		return pooledLimiter{limiter}, err
	})
	if err != nil {
		return limit, err
	}
	h.limiterKeys = append(h.limiterKeys, string(key))
	pooled, _ := value.(pooledLimiter)
	limit.Limiter = pooled.Limiter
	return limit, nil
}

// isPlaceholder reports whether s is one placeholder and nothing else.
func isPlaceholder(s string) bool {
	inner, ok := strings.CutPrefix(s, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	return ok && closed && inner != "" && !strings.ContainsAny(inner, "{}")
}

func (c StreamLimitConfig) check(hasToken bool) error {
	switch {
	case !isOneOf(c.By, limitBySubject, limitByDevice, limitByTitle):
		return fmt.Errorf("by %q: want subject, device or title", c.By)
	case c.By != limitByTitle && !hasToken:
		return fmt.Errorf("by %s: want a token, whose %s is counted", c.By, c.By)
	case c.Streams < 0 || c.Streams == 0 && c.By != limitBySubject:
		return errors.New("want a number of streams above zero; the token's own number is for subjects")
	case c.Idle < 0 || c.Idle != 0 && time.Duration(c.Idle) < 5*time.Second:
		return errors.New("idle: want at least 5s, longer than players pause between requests")
	}
	return nil
}

// streamRules returns the rules of the site. Where tokens are asked for, one of subjects is always among them: what a token says of
// the number of streams holds, whether the site has a number of its own or not.
func (h *Handler) streamRules() (rules []state.StreamRule) {
	bySubject := false
	for _, config := range h.StreamLimits {
		rule := state.StreamRule{Limit: config.Streams, Idle: time.Duration(config.Idle), Kick: config.KickOldest}
		if rule.Idle == 0 {
			rule.Idle = defaultIdle
		}
		switch config.By {
		case limitBySubject:
			rule.By, bySubject = state.StreamsBySubject, true
		case limitByDevice:
			rule.By = state.StreamsByDevice
		default:
			rule.By = state.StreamsByTitle
		}
		rules = append(rules, rule)
	}
	if h.Token != nil && !bySubject {
		rules = append(rules, state.StreamRule{By: state.StreamsBySubject, Idle: defaultIdle})
	}
	return rules
}

// tellsPlaybacksApart reports whether sessions minted from claims get a playback each, so that two players with one token are two
// streams.
func (q *request) tellsPlaybacksApart() bool {
	title := q.identity.title
	return q.RequireLicense != nil || len(q.StreamLimits) > 0 || q.identity.claims.MaxStreams > 0 || title != nil && title.MaxStreams > 0
}

// drawPlayback returns the playback of the session that a request may start: it asks for a manifest at its own address, without
// a session.
func (q *request) drawPlayback(session string) (playback [8]byte) {
	if q.Token != nil && session == "" && q.kind.use() == policy.UseManifest && q.seal.Scheme == 0 {
		_, _ = rand.Read(playback[:]) // crypto/rand.Read never fails: it ends the process instead
	}
	return playback
}

// countsRequests reports whether requests that could be replayed by somebody else would count against a viewer.
func (h *Handler) countsRequests() bool {
	return h.Limit != nil || len(h.RequestLimits)+len(h.StreamLimits) > 0
}

// expandsPlaceholders reports whether a limit counts by a placeholder.
func (h *Handler) expandsPlaceholders() bool {
	for _, limit := range h.limits {
		if limit.By == policy.ByPlaceholder {
			return true
		}
	}
	return false
}

// expand returns what a placeholder stands for.
func (q *request) expand(placeholder string) string {
	repl, ok := q.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return ""
	}
	return repl.ReplaceAll(placeholder, "")
}

// unmarshalLimits reads
//
//	limit requests <n> per <duration> [burst <n>] [by address|subject|device|<placeholder>]
//	limit streams  <n>|token by subject|device|title [idle <duration>] [reject_new|kick_oldest]
//	limit <n> per <duration> [burst <n>] [by address|subject]
func (h *Handler) unmarshalLimits(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	switch d.Val() {
	case "requests":
		var config LimitConfig
		if err := unmarshalRequestLimit(d, &config); err != nil {
			return err
		}
		h.RequestLimits = append(h.RequestLimits, config)
		return nil
	case "streams":
		return h.unmarshalStreamLimit(d)
	default:
		if h.Limit != nil {
			return d.Err("option \"limit\" stands twice: put a further one as limit requests")
		}
		d.Prev()
		h.Limit = new(LimitConfig)
		return unmarshalRequestLimit(d, h.Limit)
	}
}

func unmarshalRequestLimit(d *caddyfile.Dispenser, into *LimitConfig) (err error) {
	if err := numberArg(d, &into.Requests); err != nil {
		return err
	}
	seen := make(map[string]bool)
	for d.NextArg() {
		word := d.Val()
		if seen[word] {
			return d.Errf("limit: %s stands twice", word)
		}
		seen[word] = true
		switch word {
		case "per":
			err = nextDuration(d, &into.Per)
		case "burst":
			err = numberArg(d, &into.Burst)
		case "by":
			if !d.NextArg() {
				return d.ArgErr()
			}
			if into.By = d.Val(); !isOneOf(into.By, limitByAddress, limitBySubject, limitByDevice) && !isPlaceholder(into.By) {
				err = d.Errf("limit by %q: want address, subject, device or a placeholder", into.By)
			}
		default:
			err = d.Errf("limit: unknown word %q: want per, burst or by", word)
		}
		if err != nil {
			return err
		}
	}
	if !seen["per"] {
		return d.Err("limit: want <requests> per <duration>")
	}
	return nil
}

func (h *Handler) unmarshalStreamLimit(d *caddyfile.Dispenser) (err error) {
	var config StreamLimitConfig
	if d.NextArg(); d.Val() != wordToken {
		d.Prev()
		if err := numberArg(d, &config.Streams); err != nil {
			return err
		}
	}
	seen := make(map[string]bool)
	for d.NextArg() {
		word := d.Val()
		kind := strings.ReplaceAll(word, "reject_new", "kick_oldest") // one or the other
		if seen[kind] {
			return d.Errf("limit streams: %s stands twice", word)
		}
		seen[kind] = true
		switch word {
		case "by":
			if !d.NextArg() {
				return d.ArgErr()
			}
			if config.By = d.Val(); !isOneOf(config.By, limitBySubject, limitByDevice, limitByTitle) {
				err = d.Errf("limit streams by %q: want subject, device or title", config.By)
			}
		case "idle":
			err = nextDuration(d, &config.Idle)
		case "kick_oldest":
			config.KickOldest = true
		case "reject_new":
		default:
			err = d.Errf("limit streams: unknown word %q: want by, idle, reject_new or kick_oldest", word)
		}
		if err != nil {
			return err
		}
	}
	if config.By == "" {
		return d.Err("limit streams: want by subject, device or title")
	}
	h.StreamLimits = append(h.StreamLimits, config)
	return nil
}
