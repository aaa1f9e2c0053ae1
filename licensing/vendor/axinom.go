package vendor

import (
	"crypto/aes"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
)

// Axinom sends entitlement messages of version 2 in the license service message, a JWT with HS256 in the field X-AxDRM-Message.
//
// Sources: what token services of others make, in public code; Axinom's documentation of its entitlement message was not at hand. The
// names of members, the envelope and the signature are confirmed by them; that a key is encrypted block by block without a mode (AES-256
// under the communication key) by one.
type Axinom struct {
	plainAnswer
	signer *jwtSigner
	keyID  string
	key    []byte
	// sendKeys has content keys sent along; otherwise the service has to know them by their IDs.
	sendKeys bool
}

// NewAxinom returns the vendor for a communication key of 32 bytes and its ID, a UUID.
func NewAxinom(communicationKeyID string, communicationKey []byte, sendKeys bool) (*Axinom, error) {
	if communicationKeyID == "" || len(communicationKey) != 32 {
		return nil, errors.New("want the ID of a communication key, and its 32 bytes in base64")
	}
	signer, err := newJWTSigner("HS256", "", communicationKey)
	if err != nil {
		return nil, err
	}
	return &Axinom{signer: signer, keyID: communicationKeyID, key: communicationKey, sendKeys: sendKeys}, nil
}

type axinomEnvelope struct {
	Version    int           `json:"version"`
	KeyID      string        `json:"com_key_id"`
	Begin      string        `json:"begin_date,omitempty"`
	Expiration string        `json:"expiration_date,omitempty"`
	Message    axinomMessage `json:"message"`
}

type axinomMessage struct {
	Type    string        `json:"type"`
	Version int           `json:"version"`
	License axinomLicense `json:"license"`
	Source  struct {
		Inline []axinomKey `json:"inline"`
	} `json:"content_keys_source"`
	Policies []axinomPolicy `json:"content_key_usage_policies"`
}

type axinomLicense struct {
	Expiration       string `json:"expiration_datetime,omitempty"`
	Duration         int64  `json:"duration,omitempty"`
	AllowPersistence bool   `json:"allow_persistence"`
}

type axinomKey struct {
	ID           string `json:"id"`
	EncryptedKey string `json:"encrypted_key,omitempty"`
	IV           string `json:"iv,omitempty"`
	Policy       string `json:"usage_policy"`
}

type axinomPolicy struct {
	Name     string `json:"name"`
	Widevine struct {
		Level string `json:"device_security_level"`
		HDCP  string `json:"hdcp,omitempty"`
	} `json:"widevine"`
	PlayReady struct {
		Level  int `json:"min_device_security_level"`
		Output int `json:"uncompressed_digital_video_opl,omitempty"`
	} `json:"playready"`
	FairPlay struct {
		HDCP string `json:"hdcp,omitempty"`
	} `json:"fairplay"`
}

// Ask implements Vendor. The service knows no windows of rental and playback apart: the license lasts as long as the shorter of them and
// its duration.
func (a *Axinom) Ask(g licensing.Grant, _ licensing.Challenge) (Request, error) {
	terms := g.Group.License
	envelope := axinomEnvelope{
		Version: 1, KeyID: a.keyID, Begin: axinomTime(g.Now.Add(-time.Minute)), Expiration: axinomTime(g.Now.Add(tokenLife)),
		Message: axinomMessage{Type: "entitlement_message", Version: 2, License: axinomLicense{AllowPersistence: terms.Persistent}},
	}
	envelope.Message.License.Duration = seconds(licensing.Lifetime(terms))
	if !g.Ends.IsZero() {
		envelope.Message.License.Expiration = axinomTime(g.Ends)
	}
	envelope.Message.Source.Inline = []axinomKey{}
	for _, key := range g.Keys {
		inline, err := a.inline(g, key)
		if err != nil {
			return Request{}, err
		}
		envelope.Message.Source.Inline = append(envelope.Message.Source.Inline, inline)
	}
	envelope.Message.Policies = []axinomPolicy{}
	for _, class := range classesOf(g) {
		envelope.Message.Policies = append(envelope.Message.Policies, axinomPolicyFor(g.Group, class))
	}
	token, err := a.signer.sign(envelope)
	if err != nil {
		return Request{}, fmt.Errorf("signing the entitlement message: %w", err)
	}
	return Request{Header: map[string]string{"X-Axdrm-Message": token}}, nil
}

func axinomTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (a *Axinom) inline(g licensing.Grant, key licensing.GrantedKey) (axinomKey, error) {
	inline := axinomKey{ID: key.Key.KID().String(), Policy: trackType(key.Class)}
	if !a.sendKeys {
		return inline, nil
	}
	block, err := aes.NewCipher(a.key)
	if err != nil {
		return axinomKey{}, errSecret
	}
	secret := key.Key.Secret()
	block.Encrypt(secret[:], secret[:])
	inline.EncryptedKey = base64.StdEncoding.EncodeToString(secret[:])
	if g.System == drm.SystemFairPlay {
		iv := key.Key.ConstantIV()
		inline.IV = base64.StdEncoding.EncodeToString(iv[:])
	}
	return inline, nil
}

var (
	axinomLevels = [...]string{"", "SW_SECURE_CRYPTO", "SW_SECURE_DECODE", "HW_SECURE_CRYPTO", "HW_SECURE_DECODE", "HW_SECURE_ALL"}
	axinomHDCP   = map[drm.HDCP]string{drm.HDCP1: "1.0", drm.HDCP20: "2.0", drm.HDCP21: "2.1", drm.HDCP22: "2.2", drm.HDCP23: "2.3"}
	axinomTypes  = map[string]string{"TYPE-0": "TYPE0", "TYPE-1": "TYPE1"}
)

func axinomPolicyFor(group drm.Group, class drm.TrackClass) axinomPolicy {
	p := axinomPolicy{Name: trackType(class)}
	g := group.ForClass(class)
	p.Widevine.Level, p.Widevine.HDCP = axinomLevels[widevineLevel(group, class)], axinomHDCP[g.HDCP]
	p.PlayReady.Level = playReadyLevel(group, class)
	if g.HDCP > drm.HDCPNone {
		p.PlayReady.Output = g.PlayReady().DigitalVideoOutput
	}
	p.FairPlay.HDCP = axinomTypes[fairPlayHDCP(group, class)]
	return p
}

// Binds implements Vendor: the message lists the keys.
func (a *Axinom) Binds() bool { return true }
