package widevine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// Config describes a key server and what is asked of it.
type Config struct {
	Transport keysource.Transport
	// URL ends in the name of the provider: https://…/cenc/getcontentkey/<provider>.
	URL    string
	Signer *Signer
	// ContentID names the content at the server; default {asset}:{scheme}:{generation}. The API itself is told of no generation, and
	// not every server keeps the keys of two schemes apart, so that both have to be in it. Rotated keys are told apart by their period.
	ContentID keysource.Template
	// Policy is the name of a policy at the server; it may be empty.
	Policy string
	// CryptoPeriod is the length of a crypto period, which the server is told. Zero: keys are not announced to rotate.
	CryptoPeriod time.Duration
}

// DefaultContentID is the default of Config.ContentID.
const DefaultContentID = "{asset}:{scheme}:{generation}"

// Client asks a key server.
type Client struct{ config Config }

var _ keysource.Fetcher = (*Client)(nil)

// NewClient checks config.
func NewClient(config Config) (*Client, error) {
	if config.Signer == nil {
		return nil, errors.New("requests have to be signed")
	}
	if !config.ContentID.Names("scheme") || !config.ContentID.Names("generation") {
		return nil, errors.New("content_id: want {scheme} and {generation} in it, since they tell the keys of a title apart")
	}
	if !config.ContentID.Names("asset") {
		return nil, errors.New("content_id: want {asset} in it")
	}
	if config.CryptoPeriod < 0 || config.CryptoPeriod%time.Second != 0 {
		return nil, errors.New("the crypto period is not a number of seconds")
	}
	return &Client{config: config}, nil
}

// Split implements keysource.Fetcher: the API has a key for each type of track.
func (c *Client) Split() bool { return true }

// envelope is the signed form of a request. The bytes are base64 in JSON.
type envelope struct {
	Request   []byte `json:"request"`
	Signature []byte `json:"signature"`
	Signer    string `json:"signer"`
}

type request struct {
	ContentID   []byte   `json:"content_id"`
	Policy      string   `json:"policy"`
	Tracks      []track  `json:"tracks"`
	DRMTypes    []string `json:"drm_types"`
	Scheme      string   `json:"protection_scheme"` // CENC or CBCS; in numbers, the four-character code
	FirstPeriod *uint32  `json:"first_crypto_period_index,omitempty"`
	PeriodCount uint32   `json:"crypto_period_count,omitempty"`
	PeriodSecs  int64    `json:"crypto_period_seconds,omitempty"`
}

type track struct {
	Type string `json:"type"`
}

type response struct {
	Status    string          `json:"status"`
	ContentID []byte          `json:"content_id"`
	Tracks    []trackResponse `json:"tracks"`
}

type trackResponse struct {
	Type        string `json:"type"`
	KeyID       []byte `json:"key_id"`
	Key         []byte `json:"key"`
	IV          []byte `json:"iv"`
	PeriodIndex uint32 `json:"crypto_period_index"`
	Pssh        []struct {
		DRMType string `json:"drm_type"`
		Data    []byte `json:"data"`
		Boxes   []byte `json:"boxes"`
	} `json:"pssh"`
}

// Fetch implements keysource.Fetcher, with one request for all types of track.
func (c *Client) Fetch(ctx context.Context, t keysource.Title) (keysource.Bundle, error) {
	if !t.Scheme.Common() {
		return keysource.Bundle{}, keysource.ErrUnknownKey // the API knows no other
	}
	question := c.request(t)
	body, err := c.sign(question)
	if err != nil {
		return keysource.Bundle{}, err
	}
	answer, err := keysource.Exchange(ctx, c.config.Transport, keysource.HTTPRequest{
		Method: "POST", URL: c.config.URL, Header: map[string]string{"Content-Type": "application/json", "Accept": "application/json"}, Body: body,
	})
	if err != nil {
		return keysource.Bundle{}, err
	}
	return read(answer.Body, question, t)
}

func (c *Client) request(t keysource.Title) request {
	q := request{
		ContentID: []byte(c.config.ContentID.Expand(t, nil)), Policy: c.config.Policy, DRMTypes: []string{"WIDEVINE"},
		Scheme: strings.ToUpper(t.Scheme.String()),
	}
	for _, class := range drm.SplitClasses {
		q.Tracks = append(q.Tracks, track{Type: class.String()})
	}
	if c.config.CryptoPeriod > 0 || t.Period != 0 {
		q.FirstPeriod, q.PeriodCount, q.PeriodSecs = &t.Period, 1, int64(c.config.CryptoPeriod/time.Second)
	}
	return q
}

func (c *Client) sign(q request) ([]byte, error) {
	inner, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("writing key request: %w", err)
	}
	signature, err := c.config.Signer.signature(inner)
	if err != nil {
		return nil, errors.New("signing key request")
	}
	return json.Marshal(envelope{Request: inner, Signature: signature, Signer: c.config.Signer.name})
}

// read takes the keys out of an answer: of the types of track, the content and the crypto period that were asked for. Other periods, which a
// server may send on its own, are passed over.
func read(body []byte, q request, t keysource.Title) (keysource.Bundle, error) {
	var outer struct {
		Response []byte `json:"response"`
	}
	var r response
	// The decoder's words can quote the answer.
	if json.Unmarshal(body, &outer) != nil || json.Unmarshal(outer.Response, &r) != nil {
		return keysource.Bundle{}, errors.New("reading key answer: not the JSON that was expected")
	}
	if err := statusError(r.Status); err != nil {
		return keysource.Bundle{}, err
	}
	if len(r.ContentID) > 0 && !slices.Equal(r.ContentID, q.ContentID) {
		return keysource.Bundle{}, errors.New("the key server answered about other content")
	}
	bundle := keysource.Bundle{Keys: make(map[drm.TrackClass]drm.ContentKey)}
	for i, track := range r.Tracks {
		class, err := drm.ParseTrackClass(track.Type)
		if err != nil || class == drm.ClassShared {
			return keysource.Bundle{}, fmt.Errorf("reading key answer: track %d is of no type that was asked for", i+1)
		}
		if q.FirstPeriod != nil && track.PeriodIndex != t.Period {
			continue
		}
		if _, ok := bundle.Keys[class]; ok {
			return keysource.Bundle{}, fmt.Errorf("reading key answer: two keys for class %s", class)
		}
		key, err := track.contentKey(t.Scheme)
		if err != nil {
			return keysource.Bundle{}, fmt.Errorf("reading key answer: key for class %s: %w", class, err)
		}
		bundle.Keys[class] = key
		bundle.Signals = track.appendSignals(bundle.Signals, key.KID())
	}
	if len(bundle.Keys) == 0 {
		return keysource.Bundle{}, errors.New("reading key answer: no key of the crypto period that was asked for")
	}
	return bundle, nil // classes without a key have none
}

func (t trackResponse) contentKey(scheme drm.ProtectionScheme) (drm.ContentKey, error) {
	if len(t.KeyID) != len(drm.KID{}) {
		return drm.ContentKey{}, fmt.Errorf("a KID of %d bytes", len(t.KeyID))
	}
	if len(t.Key) != drm.KeySize {
		return drm.ContentKey{}, fmt.Errorf("%d bytes", len(t.Key))
	}
	kid := drm.KID(t.KeyID)
	iv := keysource.ConstantIV(kid)
	switch {
	case len(t.IV) == drm.KeySize:
		copy(iv[:], t.IV)
	case len(t.IV) > 0 && scheme == drm.SchemeCbcs: // cenc has IVs of its own
		return drm.ContentKey{}, fmt.Errorf("an IV of %d bytes", len(t.IV))
	}
	return drm.NewContentKey(kid, t.Key, iv[:])
}

// appendSignals takes the pssh box: the whole one if the server sends it, else one around the data.
func (t trackResponse) appendSignals(signals []keysource.Signal, kid drm.KID) []keysource.Signal {
	for _, p := range t.Pssh {
		if p.DRMType != "WIDEVINE" {
			continue
		}
		box := p.Boxes
		if !keysource.IsPsshOf(box, drm.SystemWidevine) {
			if len(p.Data) == 0 {
				continue
			}
			box = keysource.AppendPssh(nil, keysource.SystemData{System: drm.SystemWidevine, Data: p.Data})
		}
		signals = append(signals, keysource.Signal{System: drm.SystemWidevine, KID: kid, Pssh: box})
	}
	return signals
}

// unknownStatus are the answers of a server that is sound and has no such content, temporaryStatus those that may be over soon.
var (
	unknownStatus   = []string{"ASSET_NOT_FOUND", "ASSET_MISSING_KEY", "NO_REQUESTED_CRYPTO_PERIODS"}
	temporaryStatus = []string{"INTERNAL_ERROR"}
	otherStatus     = []string{
		"SIGNATURE_FAILED", "CONTENT_ID_MISSING", "POLICY_UNKNOWN", "TRACK_TYPE_MISSING", "TRACK_TYPE_UNKNOWN", "MALFORMED_REQUEST",
		"ACCESS_DENIED", "INVALID_WIDEVINE_PSSH", "TOO_MANY_CONTENT_SPECIFIERS", "CONTENT_ID_MISMATCH", "KEY_ID_MISMATCH",
		"INVALID_GROUP_TRACK_TYPE", "KEY_ROTATION_WITH_UNSUPPORTED_DRM_TYPE",
	}
)

// statusError turns the status of an answer into an error, or nil for OK. Only words of the API are repeated.
func statusError(status string) error {
	switch {
	case status == "OK":
		return nil
	case slices.Contains(unknownStatus, status):
		return fmt.Errorf("%w: %s", keysource.ErrUnknownKey, status)
	case slices.Contains(temporaryStatus, status):
		return fmt.Errorf("%w: %w: %s", keysource.ErrUnavailable, keysource.ErrTemporary, status)
	case slices.Contains(otherStatus, status):
		return fmt.Errorf("%w: the key server refused: %s", keysource.ErrUnavailable, status)
	default:
		return fmt.Errorf("%w: the key server answered with an unknown status", keysource.ErrUnavailable)
	}
}

// Format keeps every verb from reaching the fields.
func (c *Client) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "Widevine key server") }
