package caddymodule

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-drm/caddy-drm/address"
)

// DeliveryConfig says who keeps what the site gives out.
type DeliveryConfig struct {
	// Mode is `edge` (default): every request of every viewer comes here and is decided here; or `behind_cdn`: encrypted media may
	// be kept by a shared cache in front, and is given to whoever has its address, while manifests, licenses and whatever is not
	// encrypted are still decided for each viewer.
	Mode string `json:"mode,omitempty"`
	// PullAuth is what the CDN has to send for encrypted media. Default: nothing.
	PullAuth *PullAuthConfig `json:"pull_auth,omitempty"`
	// MaxAge is how long a shared cache may keep encrypted media. Default 24h, at most a year.
	MaxAge caddy.Duration `json:"max_age,omitempty"`
}

// PullAuthConfig is a credential of the CDN: a header with a secret, or a user and a password.
type PullAuthConfig struct {
	// Header is the name of a field whose value is Secret. Empty: the secret is the password of User, in Authorization: Basic.
	Header string `json:"header,omitempty"`
	User   string `json:"user,omitempty"`
	// Secret is a placeholder {env.*} or {file.*}: at least 16 bytes.
	Secret string `json:"secret"`

	digest [sha256.Size]byte // of what has to come
}

const (
	deliveryEdge      = "edge"
	deliveryBehindCDN = "behind_cdn"

	defaultPublicAge = 24 * time.Hour
	maxPublicAge     = 365 * 24 * time.Hour
	minPullSecret    = 16
)

// errPullAuth is a request for what only the CDN may ask for.
var errPullAuth = errors.New("encrypted media is given to the CDN alone")

func (h *Handler) behindCDN() bool { return h.Delivery != nil && h.Delivery.Mode == deliveryBehindCDN }

// isPublic reports whether the request is for what a shared cache may give to everybody.
func (q *request) isPublic() bool { return q.kind == kindMedia && q.isShared(q.seal) }

// isShared reports whether a shared cache may keep what a seal stands for: encrypted media. Text is readable as it leaves, and so is
// a clear lead.
func (h *Handler) isShared(seal address.Seal) bool {
	return h.behindCDN() && seal.Kind == address.SealMedia && !seal.Clear && seal.ClearUntil == 0
}

// checkPull refuses a request for public media from somebody else than the CDN.
func (q *request) checkPull() error {
	if !q.isPublic() || q.Delivery.PullAuth == nil {
		return nil
	}
	p := q.Delivery.PullAuth
	presented := ""
	if p.Header != "" {
		if values := q.r.Header.Values(p.Header); len(values) == 1 {
			presented = values[0]
		}
	} else if user, password, ok := q.r.BasicAuth(); ok {
		presented = user + ":" + password
	}
	if digest := sha256.Sum256([]byte(presented)); !hmac.Equal(digest[:], p.digest[:]) { // digests, so that lengths tell nothing
		return errPullAuth
	}
	return nil
}

// mediaCacheControl says who may keep a segment for how long: no longer than what the admission rests on, and hardly at all while the
// origin's file may not be whole yet. A key never changes under an address, and neither do the bytes.
func (q *request) mediaCacheControl(ttl time.Duration) string {
	public := q.isPublic()
	if !public {
		return q.cacheMedia()
	}
	age := q.Delivery.maxAge()
	if !q.identity.until.IsZero() {
		age = min(age, q.identity.until.Sub(q.now()))
	}
	switch seconds := int64(age / time.Second); {
	case seconds <= 0:
		return cacheNoStore
	case ttl == youngTTL:
		return "public, max-age=" + strconv.FormatInt(min(seconds, int64(youngTTL/time.Second)), 10)
	default:
		return "public, max-age=" + strconv.FormatInt(seconds, 10) + ", immutable"
	}
}

func (c *DeliveryConfig) maxAge() time.Duration {
	if c.MaxAge > 0 {
		return time.Duration(c.MaxAge)
	}
	return defaultPublicAge
}

// compileDelivery resolves the credential of the CDN. Behind a CDN sessions go by query, unless the site says how.
func (h *Handler) compileDelivery(caddy.Context) error {
	if !h.behindCDN() {
		return nil
	}
	if h.Token != nil && h.Token.Session == "" {
		h.Token.Session = sessionInQuery
	}
	p := h.Delivery.PullAuth
	if p == nil {
		return nil
	}
	secret, err := resolveSecretText(p.Secret)
	switch {
	case err != nil:
		return fmt.Errorf("delivery.pull_auth.secret: %w", err)
	case len(secret) < minPullSecret:
		return fmt.Errorf("delivery.pull_auth.secret: want at least %d bytes", minPullSecret)
	case (p.Header == "") == (p.User == ""):
		return errors.New("delivery.pull_auth: want a header or a user")
	case p.Header == "":
		secret = p.User + ":" + secret
	}
	p.digest = sha256.Sum256([]byte(secret))
	return nil
}

// validateDelivery refuses what would need to see each segment of each viewer, which a shared cache keeps from us.
func (h *Handler) validateDelivery() error {
	d := h.Delivery
	if d == nil {
		return nil
	}
	if !isOneOf(d.Mode, "", deliveryEdge, deliveryBehindCDN) {
		return errors.New("delivery.mode: want edge or behind_cdn")
	}
	if !h.behindCDN() && (d.PullAuth != nil || d.MaxAge != 0) {
		return errors.New("delivery: pull_auth and max_age are for behind_cdn: at the edge each request is decided by its viewer")
	}
	if d.MaxAge < 0 || time.Duration(d.MaxAge) > maxPublicAge {
		return errors.New("delivery.max_age: want up to a year")
	}
	if !h.behindCDN() {
		return nil
	}
	for _, check := range []struct {
		bad bool
		why string
	}{
		{h.Token != nil && h.Token.Session == sessionInPath, "session path: an element of one viewer in the addresses would give each viewer " +
			"a path of his own, below which a cache finds nothing of others; use session query or session cookie"},
		{h.limitsViewers(), "limit by subject or device: media ends at the CDN, and no request for it says whose it is; " +
			"limit by address counts manifests and licenses, and the CDN has limits of its own"},
		{len(h.StreamLimits) > 0, "limit streams: a stream lives by its requests for segments, which end at the CDN"},
	} {
		if check.bad {
			return fmt.Errorf("delivery: behind_cdn does not go with %s", check.why)
		}
	}
	return nil
}

// unmarshalDelivery reads
//
//	delivery edge|behind_cdn {
//		pull_auth header <name> {env.NAME}|{file./path}
//		pull_auth basic <user> {env.NAME}|{file./path}
//		max_age   <duration>
//	}
func (h *Handler) unmarshalDelivery(d *caddyfile.Dispenser) error {
	h.Delivery = new(DeliveryConfig)
	if err := wordArg(d, &h.Delivery.Mode, deliveryEdge, deliveryBehindCDN); err != nil {
		return err
	}
	return eachOption(d, options{
		"pull_auth": func() error {
			args := d.RemainingArgs()
			if len(args) != 3 {
				return d.ArgErr()
			}
			p := &PullAuthConfig{Secret: args[2]}
			switch args[0] {
			case "header":
				p.Header = http.CanonicalHeaderKey(args[1])
			case "basic":
				p.User = args[1]
			default:
				return d.Errf("pull_auth %q: want header or basic", args[0])
			}
			if err := checkSecretPlaceholder(p.Secret); err != nil {
				return d.Err(err.Error())
			}
			h.Delivery.PullAuth = p
			return nil
		},
		"max_age": func() error { return durationArg(d, &h.Delivery.MaxAge) },
	})
}
