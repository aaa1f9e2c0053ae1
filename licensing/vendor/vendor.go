package vendor

import (
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
)

// Request is what goes to a license service besides the challenge, or in its place.
type Request struct {
	// Header holds fields by their canonical names, Query parameters of the URL. RawQuery is written behind them as it is.
	Header, Query map[string]string
	RawQuery      string
	// Body and ContentType replace the challenge; nil leaves it as it is.
	Body        []byte
	ContentType string
}

// Vendor speaks to one license service. It is safe for concurrent use.
type Vendor interface {
	// Ask says what the license may give.
	Ask(g licensing.Grant, c licensing.Challenge) (Request, error)
	// License takes the license out of the body of an answer with status 200. It returns licensing.ErrAnswer for one that holds none.
	License(answer []byte) ([]byte, error)
	// Binds reports whether the service gives no keys but those of the grant, whatever the challenge asks for.
	Binds() bool
}

// plainAnswer is for services that answer with the license itself.
type plainAnswer struct{}

// License implements Vendor.
func (plainAnswer) License(answer []byte) ([]byte, error) {
	if len(answer) == 0 {
		return nil, licensing.ErrAnswer
	}
	return answer, nil
}

// Generic sends the challenge, and says nothing.
type Generic struct{ plainAnswer }

// Ask implements Vendor.
func (Generic) Ask(licensing.Grant, licensing.Challenge) (Request, error) { return Request{}, nil }

// Binds implements Vendor.
func (Generic) Binds() bool { return false }

var errSecret = errors.New("want the secret that the vendor issued")

// tokenLife is how long tokens are good: they are used at once.
const tokenLife = 5 * time.Minute

// anonymous is who asks where nobody knows.
const anonymous = "anonymous"

// user returns the pseudonym of the viewer.
func user(g licensing.Grant) string {
	if g.Subject == "" {
		return anonymous
	}
	return g.Subject
}

// seconds rounds down, so that nothing outlives what it rests on.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// trackType is the name of a class in the words that most vendors share.
func trackType(c drm.TrackClass) string {
	if c == drm.ClassShared {
		return "ALL"
	}
	return c.String()
}

func isAudio(c drm.TrackClass) bool { return c == drm.ClassAudio }

// widevineLevel is the security level of keys of a class, 1 to 5.
func widevineLevel(g drm.Group, c drm.TrackClass) int {
	if isAudio(c) {
		return g.ForClass(c).Widevine().AudioSecurityLevel
	}
	return g.ForClass(c).Widevine().VideoSecurityLevel
}

// playReadyLevel is the security level of keys of a class, 2000 or 3000.
func playReadyLevel(g drm.Group, c drm.TrackClass) int {
	if isAudio(c) {
		return g.ForClass(c).PlayReady().AudioSecurityLevel
	}
	return g.ForClass(c).PlayReady().SecurityLevel
}

// fairPlayHDCP is NONE, TYPE-0 or TYPE-1; sound needs none.
func fairPlayHDCP(g drm.Group, c drm.TrackClass) string {
	if isAudio(c) {
		return "NONE"
	}
	return g.ForClass(c).FairPlayHDCP()
}

// classesOf returns the classes of the keys of a grant, each once, in their order.
func classesOf(g licensing.Grant) []drm.TrackClass {
	var classes []drm.TrackClass
	seen := make(map[drm.TrackClass]bool)
	for _, key := range g.Keys {
		if !seen[key.Class] {
			seen[key.Class] = true
			classes = append(classes, key.Class)
		}
	}
	return classes
}

// systemName is how most vendors spell the system.
func systemName(s drm.SystemID) string {
	switch s {
	case drm.SystemWidevine:
		return "Widevine"
	case drm.SystemPlayReady:
		return "PlayReady"
	default:
		return "FairPlay"
	}
}

// contentName replaces {asset}, {group} and {tenant} in the name that a vendor knows the content by; the asset is without its slashes at
// the ends.
func contentName(template string, g licensing.Grant) string {
	if template == "" {
		template = "{asset}"
	}
	return strings.NewReplacer("{asset}", strings.Trim(g.Asset, "/"), "{group}", g.Group.Name, "{tenant}", g.Tenant).Replace(template)
}

// uuid returns the nonce as a random UUID (RFC 9562, 5.4).
func uuid(nonce [16]byte) string {
	nonce[6], nonce[8] = nonce[6]&0x0f|0x40, nonce[8]&0x3f|0x80
	h := hex.EncodeToString(nonce[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
