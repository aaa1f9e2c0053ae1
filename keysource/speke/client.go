package speke

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/keysource/cpix"
)

// Config describes a key server and what is asked of it.
type Config struct {
	Transport keysource.Transport
	// URL is where documents are posted.
	URL      string
	Version  Version
	Contract Contract
	// Secret is the deployment secret, from which the KIDs come that are asked for: all nodes ask for the same ones, and those of a
	// gateway that derives its keys are the same again.
	Secret keysource.Secret
	// ContentID is the name of the content at the key server; default {asset}.
	ContentID keysource.Template
	// Systems are those that are asked for; default Widevine, PlayReady and FairPlay. HLS AES-128 is asked for under that scheme.
	Systems []drm.SystemID
	// Recipient and PrivateKey have the keys encrypted on their way. Then one in clear is refused.
	Recipient  *x509.Certificate
	PrivateKey *rsa.PrivateKey
	// AcceptKIDs takes a key under another KID than the one that was asked for, as servers of SPEKE 1 may answer, if it is the only one.
	AcceptKIDs bool
	// Header holds more fields for the request, by canonical name.
	Header map[string]string
}

// Client asks a key server.
type Client struct {
	config  Config
	derived *keysource.Derived
}

var (
	_ keysource.Fetcher = (*Client)(nil)
	_ keysource.Namer   = (*Client)(nil)
)

// NewClient checks config.
func NewClient(config Config) (*Client, error) {
	if len(config.Contract.parts) == 0 {
		return nil, errors.New("no contract")
	}
	if (config.Recipient == nil) != (config.PrivateKey == nil) {
		return nil, errors.New("a recipient's certificate and its private key go together")
	}
	if config.Recipient != nil && !config.PrivateKey.PublicKey.Equal(config.Recipient.PublicKey) {
		return nil, errors.New("the private key is not that of the recipient's certificate")
	}
	if config.AcceptKIDs && (config.Version != V1 || config.Contract.split) {
		return nil, errors.New("other KIDs can be accepted of SPEKE 1.0 with one key per title only")
	}
	derived, err := keysource.NewDerived(config.Secret, config.Contract.split)
	if err != nil {
		return nil, err
	}
	if len(config.Systems) == 0 {
		config.Systems = []drm.SystemID{drm.SystemWidevine, drm.SystemPlayReady, drm.SystemFairPlay}
	}
	config.Systems = append(slices.Clone(config.Systems), systemAES128, systemAES1281)
	return &Client{config: config, derived: derived}, nil
}

// Split implements keysource.Fetcher.
func (c *Client) Split() bool { return c.config.Contract.split }

// NamesKeys reports whether KIDs tells the names of all keys: unless others than were asked for are accepted.
func (c *Client) NamesKeys() bool { return !c.config.AcceptKIDs }

// KIDs implements keysource.Namer: the names that the server is asked for, and has to answer under.
func (c *Client) KIDs(t keysource.Title) ([]drm.KID, error) {
	if err := c.asksFor(t.Scheme); err != nil {
		return nil, err
	}
	kids := make([]drm.KID, len(c.config.Contract.parts))
	for i, p := range c.config.Contract.parts {
		var err error
		if kids[i], err = c.derived.KID(keysource.Request{Title: t, Class: p.classes[0]}); err != nil {
			return nil, err
		}
	}
	return kids, nil
}

// asksFor refuses a scheme that documents of the version have no word for.
func (c *Client) asksFor(scheme drm.ProtectionScheme) error {
	if scheme == drm.SchemeAES128 && (c.config.Version == V20 || c.config.Version == CPIX) {
		return fmt.Errorf("%w: a CPIX 2.3 document cannot name AES-128", keysource.ErrUnknownKey)
	}
	return nil
}

// Fetch implements keysource.Fetcher, with one document for all keys of the title.
func (c *Client) Fetch(ctx context.Context, t keysource.Title) (keysource.Bundle, error) {
	kids, err := c.KIDs(t)
	if err != nil {
		return keysource.Bundle{}, err
	}
	question := c.question(t, kids)
	body, err := cpix.Append(nil, question, cpix.AppendOptions{SPEKE1: c.config.Version == V1})
	if err != nil {
		return keysource.Bundle{}, err
	}
	header := map[string]string{headerType: typeXML, "Accept": typeXML}
	if c.config.Version.is2() {
		header[headerVersion] = c.config.Version.String()
	}
	maps.Copy(header, c.config.Header)
	response, err := keysource.Exchange(ctx, c.config.Transport, keysource.HTTPRequest{Method: "POST", URL: c.config.URL, Header: header, Body: body})
	if err != nil {
		return keysource.Bundle{}, err
	}
	if got := response.Header[headerVersion]; c.config.Version.is2() && got != "" && got != c.config.Version.String() {
		return keysource.Bundle{}, errors.New("the key server answered in another version of SPEKE")
	}
	answer, err := cpix.Parse(response.Body, cpix.ParseOptions{PrivateKey: c.config.PrivateKey, RequireEncryption: c.config.Recipient != nil})
	if err != nil {
		return keysource.Bundle{}, err
	}
	return c.read(t, question, answer, kids)
}

// question builds the document that asks for the keys of t. kids are in the order of the parts.
func (c *Client) question(t keysource.Title, kids []drm.KID) *cpix.Document {
	d := &cpix.Document{Version: c.config.Version.cpixVersion()}
	name := c.config.ContentID.Expand(t, nil)
	if name == "" {
		name = t.Asset
	}
	if c.config.Version == V1 {
		d.ID = name
	} else {
		d.ContentID = name
	}
	if c.config.Recipient != nil {
		d.Recipients = []*x509.Certificate{c.config.Recipient}
	}
	var periods []string
	if t.Period != 0 {
		periods = []string{"period-" + strconv.FormatUint(uint64(t.Period), 10)}
		d.Periods = []cpix.Period{{ID: periods[0], Index: t.Period, HasIndex: true}}
	}
	for i, p := range c.config.Contract.parts {
		kid := kids[i]
		key := cpix.Key{KID: kid}
		if c.config.Version != V1 {
			key.Scheme = t.Scheme
		} else if t.Scheme != drm.SchemeCenc {
			iv := keysource.ConstantIV(kid)
			key.ExplicitIV = iv[:]
		}
		d.Keys = append(d.Keys, key)
		d.Systems = append(d.Systems, c.systemsOf(kid, t.Scheme)...)
		if c.config.Version != V1 || c.config.Contract.split || periods != nil {
			d.Rules = append(d.Rules, cpix.Rule{KID: kid, TrackType: p.trackType, Video: p.video, Audio: p.audio, Periods: periods})
		}
	}
	return d
}

func (c *Client) systemsOf(kid drm.KID, scheme drm.ProtectionScheme) []cpix.System {
	var wanted, others []cpix.System
	for _, s := range systems {
		wants := s.asks(c.config.Version, scheme)
		if wants == nil {
			continue
		}
		asked := cpix.System{Signal: keysource.Signal{System: s.id, KID: kid}, Wants: wants}
		if slices.Contains(c.config.Systems, s.id) {
			wanted = append(wanted, asked)
		} else {
			others = append(others, asked)
		}
	}
	if len(wanted) == 0 && c.config.Version.is2() {
		return others // a question of SPEKE 2 names a system
	}
	return wanted
}

// read takes the keys out of an answer. They have to be those that were asked for, for the same content and scheme.
func (c *Client) read(t keysource.Title, question, answer *cpix.Document, kids []drm.KID) (keysource.Bundle, error) {
	if answer.ContentID != "" && answer.ContentID != question.ContentID || answer.ID != "" && question.ID != "" && answer.ID != question.ID {
		return keysource.Bundle{}, errors.New("the key server answered about other content")
	}
	if c.config.AcceptKIDs && len(answer.Keys) == 1 {
		kids = []drm.KID{answer.Keys[0].KID}
	}
	bundle := keysource.Bundle{Keys: make(map[drm.TrackClass]drm.ContentKey)}
	for i, p := range c.config.Contract.parts {
		k, ok := answer.Key(kids[i])
		switch {
		case !ok:
			return keysource.Bundle{}, fmt.Errorf("the key server answered without key %s", kids[i])
		case k.Content.IsZero():
			return keysource.Bundle{}, fmt.Errorf("the key server answered without a value of key %s", kids[i])
		case k.Scheme != 0 && k.Scheme != t.Scheme:
			return keysource.Bundle{}, fmt.Errorf("the key server answered for another scheme, %s", k.Scheme)
		}
		for _, class := range p.classes {
			bundle.Keys[class] = k.Content
		}
		bundle.Signals = append(bundle.Signals, answer.Signals(k.KID)...)
	}
	return bundle, nil
}

// Format keeps every verb from reaching the fields.
func (c *Client) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "SPEKE key server") }
