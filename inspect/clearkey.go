package inspect

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/caddy-drm/caddy-drm/drm"
)

// maxClearKey bounds a message of Clear Key, in bytes.
const maxClearKey = 1 << 20

// clearKeyMessage has the members of all of Clear Key's objects, and of the initialization data "keyids".
type clearKeyMessage struct {
	KIDs []string `json:"kids"`
	Type *string  `json:"type"`
	Keys []struct {
		Type string `json:"kty"`
		KID  string `json:"kid"`
		Key  string `json:"k"`
	} `json:"keys"`
}

// explainClearKey explains a license request, a license or a license release of Clear Key, or the initialization data "keyids" (EME). Of a
// license it names the keys, and prints none.
func explainClearKey(w *writer, text []byte) error {
	if len(text) > maxClearKey {
		return fmt.Errorf("an object of ClearKey has at most %d bytes", maxClearKey)
	}
	var message clearKeyMessage
	if err := json.Unmarshal(text, &message); err != nil || message.KIDs == nil && message.Keys == nil {
		return ErrUnknown
	}
	sessionType := ""
	if message.Type != nil {
		sessionType = ", type " + printable(*message.Type)
	}
	switch {
	case message.Keys != nil:
		w.line("license of ClearKey%s, %s", sessionType, plural(len(message.Keys), "key"))
	case message.Type != nil:
		w.line("license request of ClearKey%s, %s", sessionType, plural(len(message.KIDs), "KID"))
	default:
		w.line("initialization data keyids, or a license release of ClearKey, or its acknowledgment, which are the same; %s", plural(len(message.KIDs), "KID"))
	}
	w.below(func() {
		if message.Type != nil && *message.Type != "temporary" && *message.Type != "persistent-license" {
			w.fault("the session types of ClearKey are temporary and persistent-license")
		}
		for _, kid := range message.KIDs {
			w.clearKeyKID(kid)
		}
		for _, key := range message.Keys {
			w.clearKeyKID(key.KID)
			if secret, err := base64.RawURLEncoding.Strict().DecodeString(key.Key); err != nil || len(secret) != drm.KeySize || key.Type != "oct" {
				w.fault("its key is not 16 bytes of base64url without padding, of the type oct")
			}
		}
		if len(message.KIDs)+len(message.Keys) == 0 {
			w.fault("it names no key")
		}
	})
	return nil
}

// clearKeyKID names a key in the form of manifests and boxes.
func (w *writer) clearKeyKID(text string) {
	kid, err := drm.ParseKIDBase64URL(text)
	if err != nil {
		w.fault("a KID is not 16 bytes of base64url without padding")
		return
	}
	w.line("KID %s", kid)
}
