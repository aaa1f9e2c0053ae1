package keysource

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Labels of the derivations of Derived. Changing one, or a layout, changes every key of every deployment: golden vectors
// in the tests notice.
const (
	labelKID        = "caddy-drm kid v1"
	labelContentKey = "caddy-drm content key v1"
	labelConstantIV = "caddy-drm constant iv v1"
)

// Derived computes content keys from the deployment secret. It needs no database and every node agrees.
//
//	KID = first 16 bytes of HMAC-SHA-256(Derive("caddy-drm kid v1"),
//	      tenant ‖ group ‖ asset ‖ scheme, each after its 4-byte length ‖ period(4) ‖ generation(4) ‖ class after its length)
//	key = first 16 bytes of Derive("caddy-drm content key v1", KID)
//	IV  = first 16 bytes of Derive("caddy-drm constant iv v1", KID)
//
// The tenant is inside the KID and the key depends on the KID alone, so a license server can check that a KID belongs to its
// caller by computing it again. KIDs are keyed too: nobody without the secret can tell an asset from its KID.
type Derived struct {
	secret Secret
	kidKey hiddenKey
	split  bool
}

var _ Source = (*Derived)(nil)

// NewDerived returns a source over secret, with one key per track class if split, else one per title.
func NewDerived(secret Secret, split bool) (*Derived, error) {
	if secret.IsZero() {
		return nil, errors.New("a derived key source needs a deployment secret")
	}
	return &Derived{secret: secret, kidKey: hideKey(secret.Derive(labelKID)), split: split}, nil
}

// Split implements Source.
func (d *Derived) Split() bool { return d.split }

// ContentKey implements Source. It never blocks, and fails only for a request that Title or Split rule out.
func (d *Derived) ContentKey(_ context.Context, r Request) (drm.ContentKey, error) {
	kid, err := d.KID(r)
	if err != nil {
		return drm.ContentKey{}, err
	}
	secret := d.secret.Derive(labelContentKey, string(kid[:]))
	iv := d.secret.Derive(labelConstantIV, string(kid[:]))
	k, err := drm.NewContentKey(kid, secret[:drm.KeySize], iv[:drm.KeySize])
	if err != nil {
		return drm.ContentKey{}, fmt.Errorf("deriving content key: %w", err)
	}
	return k, nil
}

// ContentKeys implements Source: one key, or one for each of drm.SplitClasses in their order.
func (d *Derived) ContentKeys(ctx context.Context, t Title) ([]drm.ContentKey, error) {
	classes := classesOf(d.split)
	keys := make([]drm.ContentKey, 0, len(classes))
	for _, c := range classes {
		k, err := d.ContentKey(ctx, Request{Title: t, Class: c})
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// KID returns the KID alone, for callers that only need to name or to recognize a key.
func (d *Derived) KID(r Request) (drm.KID, error) {
	if err := r.check(d.split); err != nil {
		return drm.KID{}, fmt.Errorf("deriving KID: %w", err)
	}
	kidKey := d.kidKey()
	mac := hmac.New(sha256.New, kidKey[:])
	mac.Write(appendField(appendTitle(nil, r.Title), r.Class.String()))
	return drm.KID(mac.Sum(nil)[:len(drm.KID{})]), nil
}

// KIDs implements Namer.
func (d *Derived) KIDs(t Title) ([]drm.KID, error) {
	classes := classesOf(d.split)
	kids := make([]drm.KID, 0, len(classes))
	for _, c := range classes {
		kid, err := d.KID(Request{Title: t, Class: c})
		if err != nil {
			return nil, err
		}
		kids = append(kids, kid)
	}
	return kids, nil
}

// Format keeps every verb from reaching the fields.
func (d *Derived) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "derived key source")
}
