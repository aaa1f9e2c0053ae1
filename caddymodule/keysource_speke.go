package caddymodule

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/keysource/speke"
)

func init() {
	caddy.RegisterModule(SPEKEKeys{})
	caddy.RegisterModule(BuyDRMKeys{})
}

// keyQuestion is what is asked of a server that is posted CPIX documents.
type keyQuestion struct {
	// Video and Audio are the presets of the contract: `VIDEO-1` to `VIDEO-8` with `AUDIO-1`, or `SHARED` (default) for both.
	Video string `json:"video,omitempty"`
	Audio string `json:"audio,omitempty"`
	// ContentID is the name of the content at the server. {tenant}, {group}, {asset} and so on stand for those of a title. Default:
	// {asset}.
	ContentID string `json:"content_id,omitempty"`
	// Systems are `widevine`, `playready` and `fairplay` (default: all), whose signals are asked for.
	Systems []string `json:"systems,omitempty"`
	// Recipient has the keys encrypted on their way. Then keys in clear are refused.
	Recipient *RecipientConfig `json:"recipient,omitempty"`
}

// keySystems are the words of systems.
var keySystems = map[string]drm.SystemID{
	"widevine": drm.SystemWidevine, "playready": drm.SystemPlayReady, "fairplay": drm.SystemFairPlay,
}

// config fills in what the question says.
func (q *keyQuestion) config(conn *KeyServerConn, secret keysource.Secret) (config speke.Config, transport *keyTransport, err error) {
	config.Secret = secret
	if config.URL, err = conn.fixedURL(); err != nil {
		return config, nil, err
	}
	if transport, err = conn.transport(); err != nil {
		return config, nil, err
	}
	config.Transport = transport
	video, audio := q.Video, q.Audio
	if video == "" && audio == "" {
		video, audio = speke.Shared, speke.Shared
	}
	if config.Contract, err = speke.ParseContract(video, audio); err != nil {
		return config, nil, err
	}
	id := q.ContentID
	if id == "" {
		id = "{asset}"
	}
	if config.ContentID, err = parseTitleTemplate(id); err != nil {
		return config, nil, fmt.Errorf("content_id: %w", err)
	}
	for _, word := range q.Systems {
		system, ok := keySystems[word]
		if !ok {
			return config, nil, fmt.Errorf("systems: %q: want widevine, playready or fairplay", word)
		}
		config.Systems = append(config.Systems, system)
	}
	if config.Recipient, config.PrivateKey, err = q.Recipient.read(); err != nil {
		return config, nil, err
	}
	return config, transport, nil
}

func (q *keyQuestion) questionOptions(d *caddyfile.Dispenser) options {
	return options{
		"preset": func() error {
			switch args := d.RemainingArgs(); {
			case len(args) == 1 && args[0] == speke.Shared:
				q.Video, q.Audio = args[0], args[0]
			case len(args) == 2:
				q.Video, q.Audio = args[0], args[1]
			default:
				return d.ArgErr()
			}
			if _, err := speke.ParseContract(q.Video, q.Audio); err != nil {
				return d.WrapErr(err)
			}
			return nil
		},
		"content_id": func() error { return oneArg(d, &q.ContentID) },
		"systems":    func() error { return someArgs(d, &q.Systems) },
		"recipient":  func() error { return unmarshalRecipient(d, &q.Recipient) },
	}
}

// SPEKEKeys asks a key server by SPEKE. The KIDs that it asks for come from the deployment secret, so that all nodes ask for the same.
type SPEKEKeys struct {
	KeyServerConn
	keyQuestion
	// Version is `2.0` (default), `2.1` or `1.0`.
	Version string `json:"version,omitempty"`
	// AcceptKIDs takes a key under another KID than was asked for, of servers of SPEKE 1.0 with one key per title.
	AcceptKIDs bool `json:"accept_kids,omitempty"`
}

// CaddyModule returns the module's registration.
func (SPEKEKeys) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "drm.key_sources.speke", New: func() caddy.Module { return new(SPEKEKeys) }}
}

// Source implements KeySource.
func (k *SPEKEKeys) Source(secret keysource.Secret, _ drm.ProtectionScheme) (keysource.Source, error) {
	config, _, err := k.config(&k.KeyServerConn, secret)
	if err != nil {
		return nil, err
	}
	config.Version, config.AcceptKIDs = speke.V20, k.AcceptKIDs
	if k.Version != "" {
		if config.Version, err = speke.ParseVersion(k.Version); err != nil {
			return nil, fmt.Errorf("version: %w", err)
		}
	}
	client, err := speke.NewClient(config)
	if err != nil {
		return nil, err
	}
	return bundledSPEKE(client), nil
}

// bundledSPEKE makes a source of a client. The names of its keys are known without the server.
func bundledSPEKE(client *speke.Client) keysource.Source {
	source := bundled(client)
	if client.NamesKeys() {
		return source.NamedBy(client)
	}
	return source
}

// UnmarshalCaddyfile reads
//
//	keys speke <url> {
//		version     2.0|2.1|1.0
//		preset      SHARED | <video> <audio>
//		content_id  <template>
//		systems     widevine|playready|fairplay…
//		recipient   <certificate.pem> {env.NAME}|{file./path}
//		accept_kids
//		basic, bearer, header, client_certificate, ca, timeout, max_size: as of keys cpix
//	}
func (k *SPEKEKeys) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if err := oneArg(d, &k.URL); err != nil {
		return err
	}
	return eachOption(d, k.connOptions(d).with(k.questionOptions(d)).with(options{
		"version": func() error { return wordArg(d, &k.Version, "1.0", "2.0", "2.1") },
		"accept_kids": func() error {
			k.AcceptKIDs = true
			if d.NextArg() {
				return d.ArgErr()
			}
			return nil
		},
	}))
}

// BuyDRMKeys asks BuyDRM's KeyOS through its CPIX endpoint. It is experimental: the format comes from public examples and has not been
// confirmed with the service.
type BuyDRMKeys struct {
	KeyServerConn
	keyQuestion
	// Token is the JWT that the service issued, sent in the query as auth-token: a placeholder {env.*} or {file.*}.
	Token string `json:"token,omitempty"`
}

// What KeyOS routes requests by.
const (
	buyDRMType   = "text/xml; charset=utf-8"
	buyDRMAction = "http://tempuri.org/ISmoothPackager/RequestEncryptionInfo"
	buyDRMQuery  = "auth-token"
)

// CaddyModule returns the module's registration.
func (BuyDRMKeys) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "drm.key_sources.buydrm", New: func() caddy.Module { return new(BuyDRMKeys) }}
}

// Source implements KeySource.
func (k *BuyDRMKeys) Source(secret keysource.Secret, _ drm.ProtectionScheme) (keysource.Source, error) {
	config, transport, err := k.config(&k.KeyServerConn, secret)
	if err != nil {
		return nil, err
	}
	if k.Token == "" {
		return nil, errors.New("token: want the JWT of the service")
	}
	token, err := resolveSecretText(k.Token)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	transport.query = url.Values{buyDRMQuery: {token}}
	config.Version = speke.CPIX
	config.Header = map[string]string{"Content-Type": buyDRMType, "Soapaction": buyDRMAction}
	client, err := speke.NewClient(config)
	if err != nil {
		return nil, err
	}
	return bundledSPEKE(client), nil
}

// UnmarshalCaddyfile reads
//
//	keys buydrm <url> {
//		token       {env.NAME}|{file./path}
//		preset, content_id, systems, recipient: as of keys speke
//		basic, bearer, header, client_certificate, ca, timeout, max_size: as of keys cpix
//	}
func (k *BuyDRMKeys) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if err := oneArg(d, &k.URL); err != nil {
		return err
	}
	return eachOption(d, k.connOptions(d).with(k.questionOptions(d)).with(options{
		"token": func() error { return secretArg(d, &k.Token) },
	}))
}

// Interface guards
var (
	_ LastingKeySource      = (*SPEKEKeys)(nil)
	_ LastingKeySource      = (*BuyDRMKeys)(nil)
	_ caddyfile.Unmarshaler = (*SPEKEKeys)(nil)
	_ caddyfile.Unmarshaler = (*BuyDRMKeys)(nil)
)
