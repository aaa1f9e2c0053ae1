package vendor

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
)

// Signer signs requests in the name of a provider.
type Signer interface {
	Name() string
	Sign(message []byte) ([]byte, error)
}

// WidevineCloud sends signed requests to the license service of Widevine: what the license may give, and the keys, besides the challenge.
//
// Sources: public clients of the service, and Microsoft's documentation of the request's members. The signature is that of the Common
// Encryption API.
type WidevineCloud struct {
	signer  Signer
	content string
}

// NewWidevineCloud returns the vendor. content is the template of the content's ID, see contentName.
func NewWidevineCloud(signer Signer, content string) (*WidevineCloud, error) {
	if signer == nil || signer.Name() == "" {
		return nil, errors.New("want a signer")
	}
	return &WidevineCloud{signer, content}, nil
}

type widevineRequest struct {
	Payload   []byte            `json:"payload"`
	ContentID []byte            `json:"content_id"`
	Provider  string            `json:"provider"`
	Tracks    string            `json:"allowed_track_types"`
	Specs     []widevineSpec    `json:"content_key_specs,omitempty"`
	Exclusive bool              `json:"use_policy_overrides_exclusively"`
	Overrides widevineOverrides `json:"policy_overrides"`
}

type widevineSpec struct {
	Track  string `json:"track_type"`
	Level  int    `json:"security_level"`
	Output struct {
		HDCP string `json:"hdcp"`
	} `json:"required_output_protection"`
	Key   []byte `json:"key"`
	KeyID []byte `json:"key_id"`
}

type widevineOverrides struct {
	CanPlay      bool  `json:"can_play"`
	CanPersist   bool  `json:"can_persist"`
	CanRenew     bool  `json:"can_renew"`
	License      int64 `json:"license_duration_seconds,omitempty"`
	Rental       int64 `json:"rental_duration_seconds,omitempty"`
	Playback     int64 `json:"playback_duration_seconds,omitempty"`
	RenewalDelay int64 `json:"renewal_delay_seconds,omitempty"`
}

// Ask implements Vendor. A key that all tracks share is that of HD and of everything else: the service knows no other word for it.
func (w *WidevineCloud) Ask(g licensing.Grant, c licensing.Challenge) (Request, error) {
	terms := g.Group.License
	inner := widevineRequest{
		Payload: c.Body, ContentID: []byte(contentName(w.content, g)), Provider: w.signer.Name(), Tracks: widevineTracks(g), Exclusive: true,
		Overrides: widevineOverrides{
			CanPlay: true, CanPersist: terms.Persistent, CanRenew: terms.Renew > 0, License: seconds(terms.Duration), Rental: seconds(terms.Rental),
			Playback: seconds(terms.Playback), RenewalDelay: seconds(terms.Renew),
		},
	}
	for _, key := range g.Keys {
		kid, secret := key.Key.KID(), key.Key.Secret()
		spec := widevineSpec{Track: trackType(key.Class), Level: widevineLevel(g.Group, key.Class), Key: secret[:], KeyID: kid[:]}
		if key.Class == drm.ClassShared {
			spec.Track = "HD"
		}
		spec.Output.HDCP = g.Group.ForClass(key.Class).Widevine().HDCP
		inner.Specs = append(inner.Specs, spec)
	}
	message, err := json.Marshal(inner)
	if err != nil {
		return Request{}, fmt.Errorf("writing the request: %w", err)
	}
	signature, err := w.signer.Sign(message)
	if err != nil {
		return Request{}, errors.New("signing the request")
	}
	body, err := json.Marshal(struct {
		Request   []byte `json:"request"`
		Signature []byte `json:"signature"`
		Signer    string `json:"signer"`
	}{message, signature, w.signer.Name()})
	if err != nil {
		return Request{}, fmt.Errorf("writing the request: %w", err)
	}
	return Request{Body: body, ContentType: "application/json"}, nil
}

// widevineTracks is SD_HD, or SD_ONLY if there is nothing larger.
func widevineTracks(g licensing.Grant) string {
	for _, class := range classesOf(g) {
		if class != drm.ClassAudio && class != drm.ClassSD {
			return "SD_HD"
		}
	}
	return "SD_ONLY"
}

// License implements Vendor.
func (w *WidevineCloud) License(answer []byte) ([]byte, error) {
	var message struct {
		Status  string `json:"status"`
		License []byte `json:"license"`
	}
	if err := json.Unmarshal(answer, &message); err != nil || message.Status != "OK" || len(message.License) == 0 {
		return nil, licensing.ErrAnswer
	}
	return message.License, nil
}

// Binds implements Vendor: the request lists the keys.
func (w *WidevineCloud) Binds() bool { return true }
