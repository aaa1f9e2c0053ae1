package licensing

import (
	"errors"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Purpose is what a message to a license server asks for.
type Purpose uint8

// The purposes. The zero value is a license.
const (
	PurposeLicense Purpose = iota
	// PurposeCertificate asks for the certificate of the service, and is no playback (Widevine).
	PurposeCertificate
	// PurposeRenewal asks for a license again that the device has. Widevine alone says so: players of PlayReady ask once more as they did at
	// first, and what FairPlay says of leases is encrypted.
	PurposeRenewal
	// PurposeRelease gives a license back.
	PurposeRelease
	// PurposeAcknowledgment says that a license has been stored (PlayReady).
	PurposeAcknowledgment
)

// String returns the word of audits.
func (p Purpose) String() string {
	return [...]string{"license", "certificate", "renewal", "release", "acknowledgment"}[p]
}

// Challenge is a message to a license server, as far as a gateway can read it.
type Challenge struct {
	Purpose Purpose
	// KIDs are the keys that it names, each once.
	KIDs []drm.KID
	// Unread is set if it may ask for other keys than KIDs: it names content by other means, or hides what it is for.
	Unread bool
	// Persistent is set if the license is to be kept on the device. Not every system says so.
	Persistent bool
	// Streams is set if it names a license that, by its own words, is not kept on the device (Widevine).
	Streams bool
	// LicenseID names the license that the message is about, as WidevineLicenseID names the one in an answer; empty if it says none (Widevine).
	LicenseID string
	// Body is what goes to the license server.
	Body []byte
	// Form is how the player wrote it, for FairPlay.
	Form FairPlayForm

	ofLicense bool // it names a license that the device has (Widevine)
}

// maxChallengeKIDs bounds the key IDs of one message; no title has that many keys.
const maxChallengeKIDs = 256

var errManyKIDs = errors.New("too many key IDs")

// name notes that the message names a key.
func (c *Challenge) name(kids ...drm.KID) error {
	for _, kid := range kids {
		known := false
		for _, k := range c.KIDs {
			known = known || k == kid
		}
		if known {
			continue
		}
		if len(c.KIDs) == maxChallengeKIDs {
			return errManyKIDs
		}
		c.KIDs = append(c.KIDs, kid)
	}
	return nil
}
