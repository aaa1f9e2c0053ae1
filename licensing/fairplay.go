package licensing

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// FairPlayForm is a convention by which players and key servers of FairPlay exchange messages, which Apple leaves open.
type FairPlayForm uint8

// The forms. The zero value is raw.
const (
	// FairPlayRaw is the message as it is.
	FairPlayRaw FairPlayForm = iota
	// FairPlayBase64 is spc=<base64> as of a web form, answered by base64.
	FairPlayBase64
	// FairPlayJSON is {"spc":"<base64>"}, answered by {"ckc":"<base64>"}.
	FairPlayJSON
)

var fairPlayForms = [...]string{FairPlayRaw: "raw", FairPlayBase64: "form", FairPlayJSON: "json"}

// ParseFairPlayForm reads `raw`, `form` or `json`.
func ParseFairPlayForm(s string) (FairPlayForm, error) {
	for form, name := range fairPlayForms {
		if s == name {
			return FairPlayForm(form), nil
		}
	}
	return 0, fmt.Errorf("spc %q: want raw, form or json", s)
}

// String returns the word of configurations.
func (f FairPlayForm) String() string { return fairPlayForms[f] }

// ContentType is that of a message in the form to a server, and of an answer.
func (f FairPlayForm) ContentType() (asked, answered string) {
	switch f {
	case FairPlayBase64:
		return "application/x-www-form-urlencoded", "text/plain"
	case FairPlayJSON:
		return "application/json", "application/json"
	default:
		return "application/octet-stream", "application/octet-stream"
	}
}

// The frame of a server playback context: version, reserved, IV, encrypted key, certificate hash, and the length of the payload that
// follows.
const (
	spcLengthAt = 4 + 4 + 16 + 128 + 20
	spcHeader   = spcLengthAt + 4
)

// ParseFairPlayChallenge reads a server playback context (SPC) in any of the forms. contentType is that of the request, which not all
// players set. Whom and what it is for is encrypted, and Challenge.Unread set.
//
// It returns ErrMalformed for what is no SPC by its frame.
func ParseFairPlayChallenge(contentType string, body []byte) (Challenge, error) {
	c := Challenge{Body: body, Unread: true}
	trimmed := bytes.TrimSpace(body)
	var text string
	switch {
	case isFairPlayMessage(body):
	case len(trimmed) > 0 && trimmed[0] == '{':
		c.Form = FairPlayJSON
		var message struct {
			SPC string `json:"spc"`
		}
		if err := json.Unmarshal(trimmed, &message); err != nil {
			return Challenge{}, malformed("FairPlay: no JSON")
		}
		text = message.SPC
	default:
		c.Form = FairPlayBase64
		text = string(trimmed)
		if strings.HasPrefix(contentType, "application/x-www-form-urlencoded") || strings.Contains(text, "spc=") {
			values, err := url.ParseQuery(text)
			if err != nil || len(values["spc"]) != 1 {
				return Challenge{}, malformed("FairPlay: want one spc in the form")
			}
			// A plus sign of base64 that the player did not escape has become a space.
			text = strings.ReplaceAll(values.Get("spc"), " ", "+")
		}
	}
	if c.Form != FairPlayRaw {
		var err error
		if c.Body, err = anyBase64(text); err != nil {
			return Challenge{}, malformed("FairPlay: the SPC is no base64")
		}
	}
	if !isSPC(c.Body) {
		return Challenge{}, malformed("FairPlay: no server playback context")
	}
	return c, nil
}

// isFairPlayMessage reports whether b begins like an SPC or a CKC: with a small version number in 32 bits.
func isFairPlayMessage(b []byte) bool {
	return len(b) >= 4 && b[0] == 0 && b[1] == 0 && b[2] == 0 && b[3] >= 1 && b[3] <= 3
}

func isSPC(b []byte) bool {
	return isFairPlayMessage(b) && len(b) > spcHeader && uint64(binary.BigEndian.Uint32(b[spcLengthAt:])) <= uint64(len(b)-spcHeader)
}

// Ask returns the body in which a key server of this form is sent an SPC.
func (f FairPlayForm) Ask(spc []byte) []byte {
	text := base64.StdEncoding.EncodeToString(spc)
	switch f {
	case FairPlayBase64:
		return []byte("spc=" + url.QueryEscape(text))
	case FairPlayJSON:
		return []byte(`{"spc":"` + text + `"}`)
	default:
		return spc
	}
}

// Answer returns the body with which a player of this form is sent a CKC.
func (f FairPlayForm) Answer(ckc []byte) []byte {
	text := base64.StdEncoding.EncodeToString(ckc)
	switch f {
	case FairPlayBase64:
		return []byte(text)
	case FairPlayJSON:
		return []byte(`{"ckc":"` + text + `"}`)
	default:
		return ckc
	}
}

// ErrAnswer is returned for an answer of a license server that is no license.
var ErrAnswer = errors.New("the license server answered with no license")

// ParseCKC returns the content key context in the answer of a key server: as it is, as base64, in <ckc>, or in JSON under ckc. It
// returns ErrAnswer for anything else.
func ParseCKC(body []byte) ([]byte, error) {
	if isFairPlayMessage(body) {
		return body, nil
	}
	text := string(bytes.TrimSpace(body))
	if strings.HasPrefix(text, "{") {
		var message struct {
			CKC string `json:"ckc"`
		}
		if err := json.Unmarshal([]byte(text), &message); err != nil {
			return nil, ErrAnswer
		}
		text = message.CKC
	}
	text = strings.TrimSuffix(strings.TrimPrefix(text, "<ckc>"), "</ckc>")
	ckc, err := anyBase64(strings.TrimSpace(text))
	if err != nil || !isFairPlayMessage(ckc) {
		return nil, ErrAnswer
	}
	return ckc, nil
}

// anyBase64 decodes either alphabet, padded or not.
func anyBase64(text string) ([]byte, error) {
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	return base64.RawStdEncoding.DecodeString(text)
}
