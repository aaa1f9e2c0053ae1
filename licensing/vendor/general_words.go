package vendor

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
)

// wordKeys is the placeholder that stands for a list in JSON, where all others stand for a text or a number.
const wordKeys = "{keys}"

// generalWords are the placeholders of templates: whatever the other vendors are told has one here.
var generalWords = map[string]func(licensing.Grant) string{
	"subject":          user,
	"asset":            func(g licensing.Grant) string { return g.Asset },
	"group":            func(g licensing.Grant) string { return g.Group.Name },
	"tenant":           func(g licensing.Grant) string { return g.Tenant },
	"system":           func(g licensing.Grant) string { return g.System.Word() },
	"purpose":          func(g licensing.Grant) string { return g.Purpose.String() },
	"level":            func(g licensing.Grant) string { return g.Group.Level.String() },
	"hdcp":             func(g licensing.Grant) string { return g.Group.HDCP.String() },
	"persistent":       func(g licensing.Grant) string { return fmt.Sprint(g.Group.License.Persistent) },
	"license_seconds":  func(g licensing.Grant) string { return fmt.Sprint(seconds(g.Group.License.Duration)) },
	"rental_seconds":   func(g licensing.Grant) string { return fmt.Sprint(seconds(g.Group.License.Rental)) },
	"playback_seconds": func(g licensing.Grant) string { return fmt.Sprint(seconds(g.Group.License.Playback)) },
	"renew_seconds":    func(g licensing.Grant) string { return fmt.Sprint(seconds(g.Group.License.Renew)) },
	"ends":             licenseEnd,
	"now":              func(g licensing.Grant) string { return fmt.Sprint(g.Now.Unix()) },
	"expires":          func(g licensing.Grant) string { return fmt.Sprint(tokenEnd(g).Unix()) },
	"nonce":            func(g licensing.Grant) string { return uuid(g.Nonce) },
	"kids":             kidList,
	"keys":             keyList,
}

// licenseEnd is when the license is over at the latest, in seconds of Unix time; 0 if nothing ends it.
func licenseEnd(g licensing.Grant) string {
	switch d := g.Group.License.Duration; {
	case d > 0:
		return fmt.Sprint(g.Now.Add(d).Unix())
	case !g.Ends.IsZero():
		return fmt.Sprint(g.Ends.Unix())
	default:
		return "0"
	}
}

func kidList(g licensing.Grant) string {
	kids := make([]string, len(g.Keys))
	for i, key := range g.Keys {
		kids[i] = key.Key.KID().String()
	}
	return strings.Join(kids, ",")
}

// generalKey is a key in the list that {keys} stands for: what decryption modules are to be asked for before they get it. The key itself is
// not in it.
type generalKey struct {
	KID       string `json:"kid"`
	Track     string `json:"track"`
	HDCP      string `json:"hdcp"`
	Widevine  int    `json:"widevine_level"`
	PlayReady int    `json:"playready_level"`
	FairPlay  string `json:"fairplay_hdcp"`
}

func keyList(g licensing.Grant) string {
	list := make([]generalKey, 0, len(g.Keys))
	for _, key := range g.Keys {
		list = append(list, generalKey{
			KID: key.Key.KID().String(), Track: trackType(key.Class), HDCP: g.Group.ForClass(key.Class).HDCP.String(),
			Widevine: widevineLevel(g.Group, key.Class), PlayReady: playReadyLevel(g.Group, key.Class), FairPlay: fairPlayHDCP(g.Group, key.Class),
		})
	}
	text, err := json.Marshal(list)
	if err != nil {
		return "[]"
	}
	return string(text)
}

// sampleGrant is one that a template is tried with: its list of keys is not empty.
func sampleGrant() licensing.Grant {
	return licensing.Grant{Keys: []licensing.GrantedKey{{Class: drm.ClassHD}}}
}
