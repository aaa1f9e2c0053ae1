package caddymodule

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing/vendor"
)

func init() {
	for _, module := range []caddy.Module{
		GenericLicenses{}, AxinomLicenses{}, DoveRunnerLicenses{}, DRMtodayLicenses{}, EZDRMLicenses{}, BuyDRMLicenses{},
		WidevineCloudLicenses{}, PlayReadyTestLicenses{}, JWTLicenses{}, HMACLicenses{},
	} {
		caddy.RegisterModule(module)
	}
}

func vendorInfo(name string, make func() caddy.Module) caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: caddy.ModuleID("drm.license_servers." + name), New: make}
}

// GenericLicenses sends license requests as they are.
type GenericLicenses struct{}

// CaddyModule returns the module's registration.
func (GenericLicenses) CaddyModule() caddy.ModuleInfo {
	return vendorInfo("generic", func() caddy.Module { return new(GenericLicenses) })
}

// Vendor implements LicenseVendor.
func (*GenericLicenses) Vendor(drm.SystemID) (vendor.Vendor, error) { return vendor.Generic{}, nil }

// UnmarshalCaddyfile reads
//
//	vendor generic
func (*GenericLicenses) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return vendorBlock(d, options{})
}

// AxinomLicenses sends entitlement messages to Axinom DRM.
type AxinomLicenses struct {
	// CommunicationKeyID is the UUID of the communication key; CommunicationKey a placeholder {env.*} or {file.*} for its base64.
	CommunicationKeyID string `json:"communication_key_id"`
	CommunicationKey   string `json:"communication_key"`
	// Keys is `send` (default), for content keys that come from here, or `known`, for those of Axinom's key service.
	Keys string `json:"keys,omitempty"`
}

// CaddyModule returns the module's registration.
func (AxinomLicenses) CaddyModule() caddy.ModuleInfo {
	return vendorInfo("axinom", func() caddy.Module { return new(AxinomLicenses) })
}

// Vendor implements LicenseVendor.
func (l *AxinomLicenses) Vendor(drm.SystemID) (vendor.Vendor, error) {
	key, err := secretBytes(l.CommunicationKey, base64.StdEncoding.DecodeString, "base64")
	if err != nil {
		return nil, fmt.Errorf("communication_key: %w", err)
	}
	sends, err := sendsKeys(l.Keys)
	if err != nil {
		return nil, err
	}
	return vendor.NewAxinom(l.CommunicationKeyID, key, sends)
}

// UnmarshalCaddyfile reads
//
//	vendor axinom {
//		communication_key <id> {env.NAME}|{file./path}
//		keys              send|known
//	}
func (l *AxinomLicenses) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return vendorBlock(d, options{
		"communication_key": func() error { return namedSecret(d, &l.CommunicationKeyID, &l.CommunicationKey) },
		"keys":              func() error { return wordArg(d, &l.Keys, keysSend, keysKnown) },
	})
}

// DoveRunnerLicenses sends license tokens to DoveRunner, formerly PallyCon.
type DoveRunnerLicenses struct {
	SiteID string `json:"site_id"`
	// SiteKey and AccessKey are placeholders {env.*} or {file.*}.
	SiteKey   string `json:"site_key"`
	AccessKey string `json:"access_key"`
	// Content is the content's name at the vendor; {asset}, {group} and {tenant} are replaced. Default: {asset}.
	Content string `json:"content,omitempty"`
	// Keys is `send` (default), for content keys that come from here, or `known`, for those of the vendor's key server.
	Keys string `json:"keys,omitempty"`
}

// CaddyModule returns the module's registration.
func (DoveRunnerLicenses) CaddyModule() caddy.ModuleInfo {
	return vendorInfo("doverunner", func() caddy.Module { return new(DoveRunnerLicenses) })
}

// Vendor implements LicenseVendor.
func (l *DoveRunnerLicenses) Vendor(drm.SystemID) (vendor.Vendor, error) {
	config := vendor.DoveRunnerConfig{SiteID: l.SiteID, Content: l.Content}
	var err error
	if config.SiteKey, err = resolveSecretText(l.SiteKey); err != nil {
		return nil, fmt.Errorf("site_key: %w", err)
	}
	if config.AccessKey, err = resolveSecretText(l.AccessKey); err != nil {
		return nil, fmt.Errorf("access_key: %w", err)
	}
	if config.SendKeys, err = sendsKeys(l.Keys); err != nil {
		return nil, err
	}
	return vendor.NewDoveRunner(config)
}

// UnmarshalCaddyfile reads
//
//	vendor doverunner {
//		site       <id>
//		site_key   {env.NAME}|{file./path}
//		access_key {env.NAME}|{file./path}
//		content    <template>
//		keys       send|known
//	}
func (l *DoveRunnerLicenses) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return vendorBlock(d, options{
		"site":       func() error { return oneArg(d, &l.SiteID) },
		"site_key":   func() error { return secretArg(d, &l.SiteKey) },
		"access_key": func() error { return secretArg(d, &l.AccessKey) },
		"content":    func() error { return oneArg(d, &l.Content) },
		"keys":       func() error { return wordArg(d, &l.Keys, keysSend, keysKnown) },
	})
}

// DRMtodayLicenses sends upfront authorization tokens to DRMtoday.
type DRMtodayLicenses struct {
	Merchant string `json:"merchant"`
	// SecretID names the shared secret, if there are several; Secret is a placeholder {env.*} or {file.*} for its hexadecimal digits.
	SecretID string `json:"secret_id,omitempty"`
	Secret   string `json:"secret"`
	// Content is the asset's ID at the vendor; {asset}, {group} and {tenant} are replaced. Default: {asset}. Variant is that of a variant.
	Content string `json:"content,omitempty"`
	Variant string `json:"variant,omitempty"`
}

// CaddyModule returns the module's registration.
func (DRMtodayLicenses) CaddyModule() caddy.ModuleInfo {
	return vendorInfo("drmtoday", func() caddy.Module { return new(DRMtodayLicenses) })
}

// Vendor implements LicenseVendor.
func (l *DRMtodayLicenses) Vendor(drm.SystemID) (vendor.Vendor, error) {
	secret, err := secretBytes(l.Secret, hex.DecodeString, "hexadecimal digits")
	if err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	return vendor.NewDRMtoday(vendor.DRMtodayConfig{Merchant: l.Merchant, KeyID: l.SecretID, Secret: secret, Content: l.Content, Variant: l.Variant})
}

// UnmarshalCaddyfile reads
//
//	vendor drmtoday {
//		merchant  <name>
//		secret    {env.NAME}|{file./path}
//		secret_id <id>
//		content   <template>
//		variant   <id>
//	}
func (l *DRMtodayLicenses) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return vendorBlock(d, options{
		"merchant":  func() error { return oneArg(d, &l.Merchant) },
		"secret":    func() error { return secretArg(d, &l.Secret) },
		"secret_id": func() error { return oneArg(d, &l.SecretID) },
		"content":   func() error { return oneArg(d, &l.Content) },
		"variant":   func() error { return oneArg(d, &l.Variant) },
	})
}

// EZDRMLicenses asks EZDRM, which asks a server of the operator back.
type EZDRMLicenses struct {
	// Profile is the parameter pX of the license URL.
	Profile string `json:"profile"`
	// Secret signs what the operator's server is told: a placeholder {env.*} or {file.*}. Default: it is told nothing.
	Secret string `json:"secret,omitempty"`
}

// CaddyModule returns the module's registration.
func (EZDRMLicenses) CaddyModule() caddy.ModuleInfo {
	return vendorInfo("ezdrm", func() caddy.Module { return new(EZDRMLicenses) })
}

// Vendor implements LicenseVendor.
func (l *EZDRMLicenses) Vendor(drm.SystemID) (vendor.Vendor, error) {
	if l.Secret == "" {
		return vendor.NewEZDRM(l.Profile, nil)
	}
	secret, err := resolveSecretText(l.Secret)
	if err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	return vendor.NewEZDRM(l.Profile, []byte(secret))
}

// UnmarshalCaddyfile reads
//
//	vendor ezdrm {
//		profile <pX>
//		secret  {env.NAME}|{file./path}
//	}
func (l *EZDRMLicenses) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return vendorBlock(d, options{
		"profile": func() error { return oneArg(d, &l.Profile) },
		"secret":  func() error { return secretArg(d, &l.Secret) },
	})
}

// BuyDRMLicenses sends authentication XML to BuyDRM KeyOS.
type BuyDRMLicenses struct {
	// KeyID is the ID under which the account knows the public key; Key a placeholder {env.*} or {file.*} for the private one in PEM.
	KeyID string `json:"key_id"`
	Key   string `json:"key"`
}

// CaddyModule returns the module's registration.
func (BuyDRMLicenses) CaddyModule() caddy.ModuleInfo {
	return vendorInfo("buydrm", func() caddy.Module { return new(BuyDRMLicenses) })
}

// Vendor implements LicenseVendor.
func (l *BuyDRMLicenses) Vendor(drm.SystemID) (vendor.Vendor, error) {
	text, err := resolveSecretText(l.Key)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	key, err := parseRSAKey(text)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return vendor.NewBuyDRM(l.KeyID, key)
}

// UnmarshalCaddyfile reads
//
//	vendor buydrm {
//		key <id> {env.NAME}|{file./path}
//	}
func (l *BuyDRMLicenses) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return vendorBlock(d, options{"key": func() error { return namedSecret(d, &l.KeyID, &l.Key) }})
}

// WidevineCloudLicenses sends signed requests to the license service of Widevine.
type WidevineCloudLicenses struct {
	// Signer is the name of the provider. SigningKey and SigningIV are placeholders {env.*} or {file.*} for hexadecimal digits, RSAKey one for
	// a private key in PEM, which signs instead.
	Signer     string `json:"signer"`
	SigningKey string `json:"signing_key,omitempty"`
	SigningIV  string `json:"signing_iv,omitempty"`
	RSAKey     string `json:"rsa_key,omitempty"`
	// Content is the content's ID; {asset}, {group} and {tenant} are replaced. Default: {asset}.
	Content string `json:"content,omitempty"`
}

// CaddyModule returns the module's registration.
func (WidevineCloudLicenses) CaddyModule() caddy.ModuleInfo {
	return vendorInfo("widevine_cloud", func() caddy.Module { return new(WidevineCloudLicenses) })
}

// Vendor implements LicenseVendor.
func (l *WidevineCloudLicenses) Vendor(system drm.SystemID) (vendor.Vendor, error) {
	if system != drm.SystemWidevine {
		return nil, errors.New("widevine_cloud is for license_server widevine")
	}
	signer, err := (&WidevineKeys{Signer: l.Signer, SigningKey: l.SigningKey, SigningIV: l.SigningIV, RSAKey: l.RSAKey}).signer()
	if err != nil {
		return nil, err
	}
	return vendor.NewWidevineCloud(signer, l.Content)
}

// UnmarshalCaddyfile reads
//
//	vendor widevine_cloud {
//		signer      <name>
//		signing_key {env.NAME}|{file./path} {env.NAME}|{file./path}
//		rsa_key     {env.NAME}|{file./path}
//		content     <template>
//	}
func (l *WidevineCloudLicenses) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return vendorBlock(d, options{
		"signer":      func() error { return oneArg(d, &l.Signer) },
		"signing_key": func() error { return secretPair(d, &l.SigningKey, &l.SigningIV) },
		"rsa_key":     func() error { return secretArg(d, &l.RSAKey) },
		"content":     func() error { return oneArg(d, &l.Content) },
	})
}

// PlayReadyTestLicenses asks Microsoft's test server, which is told content keys in clear. For tests alone.
type PlayReadyTestLicenses struct{}

// CaddyModule returns the module's registration.
func (PlayReadyTestLicenses) CaddyModule() caddy.ModuleInfo {
	return vendorInfo("playready_test", func() caddy.Module { return new(PlayReadyTestLicenses) })
}

// Vendor implements LicenseVendor.
func (*PlayReadyTestLicenses) Vendor(system drm.SystemID) (vendor.Vendor, error) {
	if system != drm.SystemPlayReady {
		return nil, errors.New("playready_test is for license_server playready")
	}
	return vendor.PlayReadyTest{}, nil
}

// UnmarshalCaddyfile reads
//
//	vendor playready_test
func (*PlayReadyTestLicenses) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return vendorBlock(d, options{})
}

// Interface guards
var (
	_ LicenseVendor = (*GenericLicenses)(nil)
	_ LicenseVendor = (*AxinomLicenses)(nil)
	_ LicenseVendor = (*DoveRunnerLicenses)(nil)
	_ LicenseVendor = (*DRMtodayLicenses)(nil)
	_ LicenseVendor = (*EZDRMLicenses)(nil)
	_ LicenseVendor = (*BuyDRMLicenses)(nil)
	_ LicenseVendor = (*WidevineCloudLicenses)(nil)
	_ LicenseVendor = (*PlayReadyTestLicenses)(nil)
)
