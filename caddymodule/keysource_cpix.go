package caddymodule

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/keysource/cpix"
)

func init() {
	caddy.RegisterModule(CPIXKeys{})
	caddy.RegisterModule(NginxVODKeys{})
}

// CPIXKeys takes content keys from a CPIX document: a file, which serves every title and is read when the configuration is loaded, or
// documents of a server.
type CPIXKeys struct {
	// File is the path of a document. Placeholders expand when the configuration is loaded. Want either File or URL.
	File string `json:"file,omitempty"`
	KeyServerConn
	// Per is `title` (default) or `track_class`, for documents of a server; a file says itself.
	Per string `json:"per,omitempty"`
	// ContentID is what @contentId of the documents has to be. {tenant}, {group}, {asset} and so on stand for those of a title.
	ContentID string `json:"content_id,omitempty"`
	// Generation is that of the documents, counted from 0: after an emergency re-key other keys are asked for.
	Generation uint32 `json:"generation,omitempty"`
	// Recipient decrypts encrypted keys. With it, keys in clear are refused.
	Recipient *RecipientConfig `json:"recipient,omitempty"`
	// Signers are paths of PEM files with certificates, by one of which a document has to be signed as a whole.
	Signers []string `json:"signers,omitempty"`
}

// CaddyModule returns the module's registration.
func (CPIXKeys) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "drm.key_sources.cpix", New: func() caddy.Module { return new(CPIXKeys) }}
}

// Source implements KeySource.
func (k *CPIXKeys) Source(_ keysource.Secret, scheme drm.ProtectionScheme) (keysource.Source, error) {
	if !isOneOf(k.Per, "", perTitle, perTrackClass) {
		return nil, fmt.Errorf("per: %q: want title or track_class", k.Per)
	}
	options := cpix.SourceOptions{Scheme: scheme, Split: k.Per == perTrackClass, Generation: k.Generation}
	var err error
	if options.ContentID, err = parseTitleTemplate(k.ContentID); err != nil {
		return nil, fmt.Errorf("content_id: %w", err)
	}
	if _, options.Parse.PrivateKey, err = k.Recipient.read(); err != nil {
		return nil, err
	}
	options.Parse.RequireEncryption = k.Recipient != nil
	for _, path := range k.Signers {
		var signer *x509.Certificate
		if signer, err = readCertificate(path); err != nil {
			return nil, fmt.Errorf("signer: %w", err)
		}
		options.Parse.Signers = append(options.Parse.Signers, signer)
	}
	switch {
	case (k.File == "") == (k.URL == ""):
		return nil, errors.New("want one file or one URL")
	case k.File != "":
		return k.file(options)
	}
	template, err := k.template()
	if err != nil {
		return nil, err
	}
	transport, err := k.transport()
	if err != nil {
		return nil, err
	}
	return bundled(cpix.NewRemote(transport, template, time.Now, options)), nil
}

func (k *CPIXKeys) file(options cpix.SourceOptions) (keysource.Source, error) {
	path, err := caddy.NewReplacer().ReplaceOrErr(k.File, true, true)
	if err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	if k.Per != "" {
		return nil, errors.New("per: a file says itself which keys it has")
	}
	data, err := readBounded(path, cpix.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	options.Parse.Now = time.Now()
	file, err := cpix.NewFile(data, options)
	if err != nil {
		return nil, err
	}
	return keysource.NewBundled(file), nil
}

// UnmarshalCaddyfile reads
//
//	keys cpix <file>|<url> {
//		per         title|track_class
//		content_id  <template>
//		generation  <number>
//		recipient   <certificate.pem> {env.NAME}|{file./path}
//		signer      <certificate.pem...>
//		basic       <user> {env.NAME}|{file./path}
//		bearer      {env.NAME}|{file./path}
//		header      <name> {env.NAME}|{file./path}
//		client_certificate <certificate.pem> {env.NAME}|{file./path}
//		ca          <file.pem>
//		timeout     <duration>
//		max_size    <size>
//	}
func (k *CPIXKeys) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	var where string
	if err := oneArg(d, &where); err != nil {
		return err
	}
	if isURL(where) {
		k.URL = where
	} else {
		k.File = where
	}
	return eachOption(d, k.connOptions(d).with(options{
		"per":        func() error { return oneArg(d, &k.Per) },
		"content_id": func() error { return oneArg(d, &k.ContentID) },
		"generation": func() error {
			var n int
			if err := numberArg(d, &n); err != nil {
				return err
			}
			k.Generation = uint32(n)
			if d.NextArg() {
				return d.ArgErr()
			}
			return nil
		},
		"recipient": func() error { return unmarshalRecipient(d, &k.Recipient) },
		"signer":    func() error { return someArgs(d, &k.Signers) },
	}))
}

// NginxVODKeys asks a key server as nginx-vod-module does (vod_drm_upstream_location): a GET that is answered with a JSON array of one
// key, for every class of track.
type NginxVODKeys struct {
	KeyServerConn
}

// CaddyModule returns the module's registration.
func (NginxVODKeys) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "drm.key_sources.nginx_vod", New: func() caddy.Module { return new(NginxVODKeys) }}
}

// Source implements KeySource.
func (k *NginxVODKeys) Source(_ keysource.Secret, scheme drm.ProtectionScheme) (keysource.Source, error) {
	template, err := k.template()
	if err != nil {
		return nil, err
	}
	if !template.Names("asset") && !strings.Contains(k.URL, "{") {
		return nil, errors.New("url: want {asset} in it, or all titles would share one key")
	}
	transport, err := k.transport()
	if err != nil {
		return nil, err
	}
	source, err := keysource.NewNginxVOD(transport, template, scheme)
	if err != nil {
		return nil, fmt.Errorf("scheme: %w", err)
	}
	return bundled(source), nil
}

// UnmarshalCaddyfile reads
//
//	keys nginx_vod <url> {
//		basic, bearer, header, client_certificate, ca, timeout, max_size: as of keys cpix
//	}
func (k *NginxVODKeys) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if err := oneArg(d, &k.URL); err != nil {
		return err
	}
	return eachOption(d, k.connOptions(d))
}

// Interface guards
var (
	_ LastingKeySource      = (*CPIXKeys)(nil)
	_ LastingKeySource      = (*NginxVODKeys)(nil)
	_ caddyfile.Unmarshaler = (*CPIXKeys)(nil)
	_ caddyfile.Unmarshaler = (*NginxVODKeys)(nil)
)
