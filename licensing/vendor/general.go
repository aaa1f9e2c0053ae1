package vendor

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/licensing"
)

// General signs what a template says, for license services that have no vendor here: as the claims of a JWT, or as a text with its HMAC.
type General struct {
	plainAnswer
	config GeneralConfig
	signer *jwtSigner
}

// GeneralConfig is how the token is made, and where it goes.
type GeneralConfig struct {
	// Algorithm is HS256, HS384 or HS512, KeyID the kid of a JWT, or empty.
	Algorithm, KeyID string
	Secret           []byte
	// Claims is the template of a JSON object for a JWT, or of the text that is signed; see generalWords for its placeholders.
	Claims string
	// HMAC signs the text and writes `<text>` and its HMAC as Format says, `hex` or `base64url`, with a tilde and `hmac=` between them.
	HMAC   bool
	Format string
	// Header or Query is the name of the field or parameter that carries the token; Prefix stands before it.
	Header, Query, Prefix string
}

// tokenEnd is never after what the license rests on.
func tokenEnd(g licensing.Grant) time.Time {
	end := g.Now.Add(tokenLife)
	if !g.Ends.IsZero() && g.Ends.Before(end) {
		return g.Ends
	}
	return end
}

var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

// NewGeneral checks the template.
func NewGeneral(config GeneralConfig) (*General, error) {
	v := &General{config: config}
	var err error
	if v.signer, err = newJWTSigner(config.Algorithm, config.KeyID, config.Secret); err != nil {
		return nil, err
	}
	if (config.Header == "") == (config.Query == "") {
		return nil, errors.New("want a header field or a query parameter for the token")
	}
	if config.Format != "" && config.Format != "hex" && config.Format != "base64url" {
		return nil, fmt.Errorf("format %q: want hex or base64url", config.Format)
	}
	if config.Claims == "" {
		return nil, errors.New("want a template of what is signed")
	}
	for _, word := range placeholder.FindAllString(config.Claims, -1) {
		if generalWords[word[1:len(word)-1]] == nil {
			return nil, fmt.Errorf("%s stands for nothing", word)
		}
	}
	if !config.HMAC && !json.Valid([]byte(v.fill(sampleGrant()))) {
		return nil, errors.New("the template is no JSON once it is filled in: texts stand in quotation marks, numbers and {keys} do not")
	}
	return v, nil
}

// fill replaces the placeholders. Their values are escaped, so that an asset cannot add claims: as JSON has it, or in a text percent-encoded
// but for slashes and commas.
func (v *General) fill(g licensing.Grant) string {
	return placeholder.ReplaceAllStringFunc(v.config.Claims, func(word string) string {
		value := generalWords[word[1:len(word)-1]](g)
		if v.config.HMAC {
			return textEscapes.Replace(url.QueryEscape(value))
		}
		if word == wordKeys { // a list of objects already
			return value
		}
		escaped, err := json.Marshal(value)
		if err != nil {
			return ""
		}
		return string(escaped[1 : len(escaped)-1])
	})
}

var textEscapes = strings.NewReplacer("%2F", "/", "%2C", ",", "+", "%20", "~", "%7E")

// Ask implements Vendor.
func (v *General) Ask(g licensing.Grant, _ licensing.Challenge) (Request, error) {
	token := v.fill(g)
	if v.config.HMAC {
		mac := hmac.New(jwtAlgorithms[v.config.Algorithm].hash, v.config.Secret)
		mac.Write([]byte(token))
		if v.config.Format == "base64url" {
			token += "~hmac=" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
		} else {
			token += "~hmac=" + hex.EncodeToString(mac.Sum(nil))
		}
	} else {
		var err error
		if token, err = v.signer.sign(json.RawMessage(token)); err != nil {
			return Request{}, errors.New("signing the token")
		}
	}
	token = v.config.Prefix + token
	if v.config.Query != "" {
		return Request{Query: map[string]string{v.config.Query: token}}, nil
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		return Request{}, errors.New("the token does not fit into a header field")
	}
	return Request{Header: map[string]string{v.config.Header: token}}, nil
}

// Binds implements Vendor: whether the token names the title is in its template.
func (v *General) Binds() bool {
	return strings.Contains(v.config.Claims, "{asset}") || strings.Contains(v.config.Claims, "{kids}") || strings.Contains(v.config.Claims, wordKeys)
}
