package vendor

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // what the service verifies
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
)

// BuyDRM sends KeyOS authentication XML in base64, in the field customdata: what the license may give, signed with RSA over the element
// Data.
//
// Sources: samples of that XML in public code, which confirm its elements. That the signature is RSASSA-PKCS1-v1_5 over the SHA-1 of the
// bytes of Data is not confirmed.
type BuyDRM struct {
	plainAnswer
	keyID string
	key   *rsa.PrivateKey
}

// NewBuyDRM returns the vendor for a key that the account knows by an ID.
func NewBuyDRM(publicKeyID string, key *rsa.PrivateKey) (*BuyDRM, error) {
	if publicKeyID == "" || key == nil || key.N.BitLen() < 2048 {
		return nil, errors.New("want the ID of a public key, and its RSA private key of at least 2048 bits")
	}
	return &BuyDRM{keyID: publicKeyID, key: key}, nil
}

type keyOSData struct {
	XMLName   xml.Name `xml:"Data"`
	Generated string   `xml:"GenerationTime"`
	Expires   string   `xml:"ExpirationTime"`
	UniqueID  string   `xml:"UniqueId"`
	KeyID     string   `xml:"RSAPubKeyId"`
	Widevine  *keyOSWidevine
	Specs     []keyOSSpec `xml:"WidevineContentKeySpec"`
	FairPlay  *keyOSFairPlay
	License   keyOSLicense    `xml:"License"`
	Policy    *keyOSPolicy    `xml:"Policy"`
	Play      *keyOSPlayRight `xml:"Play"`
}

type keyOSWidevine struct {
	XMLName    xml.Name `xml:"WidevinePolicy"`
	CanPlay    bool     `xml:"fl_CanPlay,attr"`
	CanPersist bool     `xml:"fl_CanPersist,attr"`
	Duration   int64    `xml:"LicenseDuration,omitempty"`
	Rental     int64    `xml:"RentalDuration,omitempty"`
	Playback   int64    `xml:"PlaybackDuration,omitempty"`
}

type keyOSSpec struct {
	Track string `xml:"TrackType,attr"`
	Level int    `xml:"SecurityLevel"`
	HDCP  string `xml:"RequiredHDCP"`
}

type keyOSFairPlay struct {
	XMLName    xml.Name `xml:"FairPlayPolicy"`
	Persistent bool     `xml:"persistent,attr"`
	HDCP       string   `xml:"HDCPEnforcement"`
}

type keyOSLicense struct {
	Type   string   `xml:"type,attr"`
	Keys   []string `xml:"KeyId,omitempty"`
	Policy string   `xml:"Policy>Id,omitempty"`
	Play   string   `xml:"Play>Id,omitempty"`
}

type keyOSPolicy struct {
	ID    string `xml:"id,attr"`
	Level int    `xml:"MinimumSecurityLevel"`
}

type keyOSPlayRight struct {
	ID     string `xml:"id,attr"`
	Output int    `xml:"OutputProtections>OPL>UncompressedDigitalVideo"`
}

// keyOSHDCP are the values of FairPlay.
var keyOSHDCP = map[string]string{"NONE": "HDCP_NONE", "TYPE-0": "HDCP_TYPE0", "TYPE-1": "HDCP_TYPE1"}

func (b *BuyDRM) data(g licensing.Grant) keyOSData {
	const form = "2006-01-02 15:04:05"
	terms := g.Group.License
	d := keyOSData{
		Generated: g.Now.UTC().Format(form), Expires: g.Now.Add(tokenLife).UTC().Format(form), UniqueID: uuid(g.Nonce), KeyID: b.keyID,
		License: keyOSLicense{Type: "simple"},
	}
	for _, key := range g.Keys {
		d.License.Keys = append(d.License.Keys, key.Key.KID().String())
	}
	switch g.System {
	case drm.SystemWidevine:
		d.Widevine = &keyOSWidevine{
			CanPlay: true, CanPersist: terms.Persistent, Duration: seconds(terms.Duration), Rental: seconds(terms.Rental), Playback: seconds(terms.Playback),
		}
		for _, class := range classesOf(g) {
			track := trackType(class)
			if class == drm.ClassShared {
				track = "HD"
			}
			d.Specs = append(d.Specs, keyOSSpec{Track: track, Level: widevineLevel(g.Group, class), HDCP: g.Group.ForClass(class).Widevine().HDCP})
		}
	case drm.SystemFairPlay:
		d.FairPlay = &keyOSFairPlay{Persistent: terms.Persistent, HDCP: keyOSHDCP[fairPlayHDCP(g.Group, drm.ClassShared)]}
	case drm.SystemPlayReady:
		second := g.Nonce
		second[0] ^= 0xff
		d.License.Policy, d.License.Play = uuid(g.Nonce), uuid(second)
		d.Policy = &keyOSPolicy{ID: d.License.Policy, Level: g.Group.PlayReady().SecurityLevel}
		d.Play = &keyOSPlayRight{ID: d.License.Play, Output: g.Group.PlayReady().DigitalVideoOutput}
	}
	return d
}

// Ask implements Vendor.
func (b *BuyDRM) Ask(g licensing.Grant, _ licensing.Challenge) (Request, error) {
	data, err := xml.Marshal(b.data(g))
	if err != nil {
		return Request{}, fmt.Errorf("writing the authentication XML: %w", err)
	}
	digest := sha1.Sum(data) //nolint:gosec // see the import
	signature, err := rsa.SignPKCS1v15(rand.Reader, b.key, crypto.SHA1, digest[:])
	if err != nil {
		return Request{}, errors.New("signing the authentication XML")
	}
	text := `<?xml version="1.0" encoding="UTF-8"?><KeyOSAuthenticationXML>` + string(data) +
		"<Signature>" + base64.StdEncoding.EncodeToString(signature) + "</Signature></KeyOSAuthenticationXML>"
	return Request{Header: map[string]string{"Customdata": base64.StdEncoding.EncodeToString([]byte(text))}}, nil
}

// Binds implements Vendor: the license lists the keys.
func (b *BuyDRM) Binds() bool { return true }
