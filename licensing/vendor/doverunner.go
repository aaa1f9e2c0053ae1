package vendor

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
)

// DoveRunner (formerly PallyCon) is sent license tokens with policies of version 2 in the field pallycon-customdata-v2: the policy encrypted
// with AES-256-CBC, and a hash over the fields that begins with a secret.
//
// Sources: the vendor's samples, and the vectors of a public client of version 1, which has the same encryption and hash.
type DoveRunner struct {
	plainAnswer
	config DoveRunnerConfig
}

// DoveRunnerConfig is what the vendor issued.
type DoveRunnerConfig struct {
	SiteID string
	// SiteKey and AccessKey are texts of 32 characters, and used as they are.
	SiteKey, AccessKey string
	// Content is the template of the content's name, see contentName.
	Content string
	// SendKeys has content keys sent along; otherwise the service has to know them.
	SendKeys bool
}

// doveRunnerIV is the same for all.
const doveRunnerIV = "0123456789abcdef"

// NewDoveRunner returns the vendor.
func NewDoveRunner(config DoveRunnerConfig) (*DoveRunner, error) {
	if config.SiteID == "" || len(config.SiteKey) != 32 || len(config.AccessKey) != 32 {
		return nil, errors.New("want the ID of a site, and its site key and access key of 32 characters")
	}
	return &DoveRunner{config: config}, nil
}

type doveRunnerPolicy struct {
	Version  int                  `json:"policy_version"`
	Playback doveRunnerPlayback   `json:"playback_policy"`
	Security []doveRunnerSecurity `json:"security_policy"`
	External *doveRunnerExternal  `json:"external_key,omitempty"`
}

type doveRunnerPlayback struct {
	Persistent bool   `json:"persistent"`
	License    int64  `json:"license_duration,omitempty"`
	Expires    string `json:"expire_date,omitempty"`
	Rental     int64  `json:"rental_duration,omitempty"`
	Playback   int64  `json:"playback_duration,omitempty"`
	Renewal    int64  `json:"renewal_duration,omitempty"`
}

type doveRunnerSecurity struct {
	Track    string `json:"track_type"`
	Widevine struct {
		Level int    `json:"security_level"`
		HDCP  string `json:"required_hdcp_version"`
	} `json:"widevine"`
	PlayReady struct {
		Level     int  `json:"security_level"`
		Output    int  `json:"digital_video_protection_level"`
		HDCPType1 bool `json:"require_hdcp_type_1"`
	} `json:"playready"`
	FairPlay struct {
		HDCP int `json:"hdcp_enforcement"`
	} `json:"fairplay"`
}

type doveRunnerExternal struct {
	CENC []doveRunnerKey `json:"mpeg_cenc"`
}

type doveRunnerKey struct {
	Track string `json:"track_type"`
	KeyID string `json:"key_id"`
	Key   string `json:"key"`
	IV    string `json:"iv,omitempty"`
}

// doveRunnerHDCP are the values of FairPlay.
var doveRunnerHDCP = map[string]int{"NONE": -1, "TYPE-0": 0, "TYPE-1": 1}

func (d *DoveRunner) policy(g licensing.Grant) doveRunnerPolicy {
	terms := g.Group.License
	p := doveRunnerPolicy{Version: 2, Playback: doveRunnerPlayback{
		Persistent: terms.Persistent, License: seconds(terms.Duration), Rental: seconds(terms.Rental), Playback: seconds(terms.Playback), Renewal: seconds(terms.Renew),
	}}
	if p.Playback.License == 0 && !g.Ends.IsZero() {
		p.Playback.Expires = g.Ends.UTC().Format("2006-01-02T15:04:05Z")
	}
	for _, class := range classesOf(g) {
		group := g.Group.ForClass(class)
		s := doveRunnerSecurity{Track: trackType(class)}
		s.Widevine.Level, s.Widevine.HDCP = widevineLevel(g.Group, class), group.Widevine().HDCP
		s.PlayReady.Level, s.PlayReady.Output, s.PlayReady.HDCPType1 = playReadyLevel(g.Group, class), group.PlayReady().DigitalVideoOutput, group.PlayReady().HDCPType1
		s.FairPlay.HDCP = doveRunnerHDCP[fairPlayHDCP(g.Group, class)]
		p.Security = append(p.Security, s)
	}
	if !d.config.SendKeys || len(g.Keys) == 0 {
		return p
	}
	p.External = &doveRunnerExternal{}
	for _, key := range g.Keys {
		secret, iv := key.Key.Secret(), key.Key.ConstantIV()
		external := doveRunnerKey{Track: trackType(key.Class), KeyID: key.Key.KID().Hex(), Key: fmt.Sprintf("%x", secret)}
		if g.System == drm.SystemFairPlay {
			external.IV = fmt.Sprintf("%x", iv)
		}
		p.External.CENC = append(p.External.CENC, external)
	}
	return p
}

// doveRunnerToken is the token in the order that samples write it in.
type doveRunnerToken struct {
	System      string `json:"drm_type"`
	SiteID      string `json:"site_id"`
	User        string `json:"user_id"`
	Content     string `json:"cid"`
	Policy      string `json:"policy"`
	Format      string `json:"response_format"`
	KeyRotation bool   `json:"key_rotation"`
	Timestamp   string `json:"timestamp"`
	Hash        string `json:"hash"`
}

// Ask implements Vendor.
func (d *DoveRunner) Ask(g licensing.Grant, _ licensing.Challenge) (Request, error) {
	policy, err := json.Marshal(d.policy(g))
	if err != nil {
		return Request{}, fmt.Errorf("writing the policy: %w", err)
	}
	token := doveRunnerToken{
		System: systemName(g.System), SiteID: d.config.SiteID, User: user(g), Content: contentName(d.config.Content, g),
		Format: "original", KeyRotation: g.Group.Rotate > 0, Timestamp: g.Now.UTC().Format("2006-01-02T15:04:05Z"),
	}
	if token.Policy, err = d.encrypt(policy); err != nil {
		return Request{}, err
	}
	token.Hash = d.hash(token)
	text, err := json.Marshal(token)
	if err != nil {
		return Request{}, fmt.Errorf("writing the token: %w", err)
	}
	return Request{Header: map[string]string{"Pallycon-Customdata-V2": base64.StdEncoding.EncodeToString(text)}}, nil
}

func (d *DoveRunner) encrypt(policy []byte) (string, error) {
	block, err := aes.NewCipher([]byte(d.config.SiteKey))
	if err != nil {
		return "", errSecret
	}
	pad := aes.BlockSize - len(policy)%aes.BlockSize
	padded := append(bytes.Clone(policy), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, []byte(doveRunnerIV)).CryptBlocks(padded, padded) //nolint:gosec // the vendor gives one IV for all tokens
	return base64.StdEncoding.EncodeToString(padded), nil
}

func (d *DoveRunner) hash(t doveRunnerToken) string {
	sum := sha256.Sum256([]byte(d.config.AccessKey + t.System + t.SiteID + t.User + t.Content + t.Policy + t.Timestamp))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Binds implements Vendor: the token names the content.
func (d *DoveRunner) Binds() bool { return true }
