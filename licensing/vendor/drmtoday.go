package vendor

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
)

// DRMtoday (of castLabs) is sent upfront authorization tokens: a JWT with HS512 in the field x-dt-auth-token, whose claim crt is the text
// of a list of customer rights tokens.
//
// Sources: public code of those who use it. Levels per track are not among what could be confirmed: they are what the account says.
type DRMtoday struct {
	config DRMtodayConfig
	signer *jwtSigner
}

// DRMtodayConfig is what the vendor issued.
type DRMtodayConfig struct {
	Merchant string
	// KeyID names the shared secret, if the account has several; Secret has 64 bytes.
	KeyID  string
	Secret []byte
	// Content is the template of the asset's ID, see contentName. Variant is the ID of a variant, or empty.
	Content, Variant string
}

// NewDRMtoday returns the vendor.
func NewDRMtoday(config DRMtodayConfig) (*DRMtoday, error) {
	if config.Merchant == "" {
		return nil, errors.New("want the name of the merchant")
	}
	signer, err := newJWTSigner("HS512", config.KeyID, config.Secret)
	if err != nil {
		return nil, err
	}
	return &DRMtoday{config, signer}, nil
}

type drmtodayRights struct {
	AccountingID string         `json:"accountingId,omitempty"`
	AssetID      string         `json:"assetId"`
	VariantID    string         `json:"variantId,omitempty"`
	Profile      map[string]any `json:"profile"`
	Output       drmtodayOutput `json:"outputProtection"`
	Store        bool           `json:"storeLicense"`
}

type drmtodayOutput struct {
	Digital  bool   `json:"digital"`
	Analogue bool   `json:"analogue"`
	Enforce  bool   `json:"enforce"`
	HDCP     string `json:"requireHDCP,omitempty"`
}

// Ask implements Vendor.
func (d *DRMtoday) Ask(g licensing.Grant, _ licensing.Challenge) (Request, error) {
	protects := g.Group.HDCP > drm.HDCPNone
	rights := drmtodayRights{
		AssetID: contentName(d.config.Content, g), VariantID: d.config.Variant, Profile: drmtodayProfile(g), Store: g.Group.License.Persistent,
		Output: drmtodayOutput{Digital: protects, Analogue: protects, Enforce: protects},
	}
	if protects {
		rights.Output.HDCP = g.Group.Widevine().HDCP
	}
	crt, err := json.Marshal([]drmtodayRights{rights})
	if err != nil {
		return Request{}, fmt.Errorf("writing the rights: %w", err)
	}
	options, err := json.Marshal(struct {
		Merchant string `json:"merchant"`
		User     string `json:"userId"`
		Session  string `json:"sessionId"`
	}{d.config.Merchant, user(g), uuid(g.Nonce)})
	if err != nil {
		return Request{}, fmt.Errorf("writing the options: %w", err)
	}
	token, err := d.signer.sign(struct {
		Options  string `json:"optData"`
		Rights   string `json:"crt"`
		IssuedAt int64  `json:"iat"`
		ID       string `json:"jti"`
	}{string(options), string(crt), g.Now.Unix(), uuid(g.Nonce)})
	if err != nil {
		return Request{}, fmt.Errorf("signing the token: %w", err)
	}
	return Request{Header: map[string]string{"X-Dt-Auth-Token": token}}, nil
}

// drmtodayProfile is a purchase without an end, or a rental with one.
func drmtodayProfile(g licensing.Grant) map[string]any {
	terms := g.Group.License
	ends := g.Ends
	if d := terms.Duration; d > 0 {
		if rental := terms.Rental; rental > 0 {
			d = min(d, rental)
		}
		if end := g.Now.Add(d); ends.IsZero() || end.Before(ends) {
			ends = end
		}
	}
	if ends.IsZero() {
		return map[string]any{"purchase": struct{}{}}
	}
	playback := terms.Playback
	if playback == 0 {
		playback = ends.Sub(g.Now)
	}
	return map[string]any{"rental": map[string]any{
		"absoluteExpiration": ends.UTC().Format("2006-01-02T15:04:05.000Z"), "playDuration": playback.Truncate(time.Second).Milliseconds(),
	}}
}

// License implements Vendor. Widevine's is in JSON.
func (d *DRMtoday) License(answer []byte) ([]byte, error) {
	if len(answer) == 0 {
		return nil, licensing.ErrAnswer
	}
	if answer[0] != '{' {
		return answer, nil
	}
	var message struct {
		License []byte `json:"license"`
	}
	if err := json.Unmarshal(answer, &message); err != nil || len(message.License) == 0 {
		return nil, licensing.ErrAnswer
	}
	return message.License, nil
}

// Binds implements Vendor: the token names the asset.
func (d *DRMtoday) Binds() bool { return true }
