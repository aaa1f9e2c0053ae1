package entitlement

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// jsonQuestion is the body of PostJSON. Members that are not known are left out.
type jsonQuestion struct {
	Event        Event  `json:"event"`
	Tenant       string `json:"tenant"`
	Host         string `json:"host,omitempty"`
	Asset        string `json:"asset"`
	Path         string `json:"path"`
	Protocol     string `json:"protocol,omitempty"`
	Token        string `json:"token,omitempty"`
	TokenDigest  string `json:"token_sha256,omitempty"`
	TokenID      string `json:"token_id,omitempty"`
	Subject      string `json:"subject,omitempty"`
	Device       string `json:"device,omitempty"`
	Address      string `json:"address,omitempty"`
	Country      string `json:"country,omitempty"`
	ASN          uint32 `json:"asn,omitempty"`
	UserAgent    string `json:"user_agent,omitempty"`
	Referer      string `json:"referer,omitempty"`
	Playback     string `json:"playback,omitempty"`
	Number       int    `json:"number"`
	Duration     int64  `json:"duration"`
	AssetClients int    `json:"asset_clients"`
	Clients      int    `json:"clients"`
}

// jsonAnswer is what PostJSON reads. A member that is not here is an error: it may be a restriction.
type jsonAnswer struct {
	Allow       *bool    `json:"allow"`
	Reason      string   `json:"reason"` // for people who read traffic
	Subject     string   `json:"subject"`
	Plans       []string `json:"plans"`
	Purchases   []string `json:"purchases"`
	Paths       []string `json:"paths"`
	Countries   []string `json:"countries"`
	HomeCountry string   `json:"home_country"`
	Device      string   `json:"device"`
	Level       string   `json:"level"`
	MaxStreams  int      `json:"max_streams"`
	Expires     int64    `json:"expires"`     // seconds since 1970
	CheckAfter  int64    `json:"check_after"` // seconds
}

func (h *HTTP) postJSON(ctx context.Context, q Question) (*http.Request, error) {
	j := jsonQuestion{
		Event: q.Event, Tenant: q.Tenant, Host: q.Host, Asset: q.Asset, Path: q.Path, Protocol: q.Protocol, TokenID: q.TokenID, Subject: q.Subject,
		Device: q.Device, Country: q.Country, ASN: q.ASN, UserAgent: q.UserAgent, Referer: q.Referer, Playback: q.Playback, Number: q.Number,
		Duration: int64(q.Duration / time.Second), AssetClients: q.AssetClients, Clients: q.Clients,
	}
	if q.Addr.IsValid() {
		j.Address = q.Addr.String()
	}
	switch {
	case q.Token == "":
	case h.config.SendToken:
		j.Token = q.Token
	default:
		sum := sha256.Sum256([]byte(q.Token))
		j.TokenDigest = hex.EncodeToString(sum[:])
	}
	body, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	return req, nil
}

var errAnswer = errors.New("the entitlement backend's answer is not understood")

func readJSON(_ http.Header, body []byte) (Answer, error) {
	var j jsonAnswer
	if err := checkMembers(body); err != nil {
		return Answer{}, fmt.Errorf("%w: %w", errAnswer, err)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&j); err != nil || j.Allow == nil || j.CheckAfter < 0 || j.Expires < 0 {
		return Answer{}, errAnswer
	}
	if !*j.Allow {
		return Answer{}, nil
	}
	for _, list := range [][]string{j.Paths, j.Countries} {
		if list != nil && len(list) == 0 {
			return Answer{}, fmt.Errorf("%w: an empty list allows nothing", errAnswer)
		}
	}
	a := Answer{Allowed: true, Holds: seconds(j.CheckAfter), Claims: token.Claims{
		Subject: j.Subject, Scope: j.Paths, Countries: j.Countries, Plans: j.Plans, Purchases: j.Purchases, HomeCountry: j.HomeCountry,
		Device: j.Device, Level: j.Level, MaxStreams: j.MaxStreams,
	}}
	if j.Expires > 0 {
		a.Claims.Expires = time.Unix(j.Expires, 0)
	}
	var err error
	if a.Claims, err = a.Claims.Normalized(); err != nil {
		return Answer{}, fmt.Errorf("%w: %w", errAnswer, err)
	}
	return a, nil
}

// answerMembers are the members of a jsonAnswer, as they are spelled.
var answerMembers = func() map[string]bool {
	names := make(map[string]bool)
	for _, field := range reflect.VisibleFields(reflect.TypeFor[jsonAnswer]()) {
		names[field.Tag.Get("json")] = true
	}
	return names
}()

// checkMembers refuses what two readers would read in two ways: encoding/json takes the last of two members of one name, and a name in
// any case, also with the letters that fold to ours (a long s, the sign of Kelvin).
func checkMembers(body []byte) error {
	if err := token.CheckJSONObject(body); err != nil {
		return err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return errors.New("not an object")
	}
	for name := range members {
		if !answerMembers[name] {
			return errors.New("a member that is not known, or in another case")
		}
	}
	return nil
}

// seconds returns a duration within what answers may ask for.
func seconds(n int64) time.Duration {
	return time.Duration(min(n, int64(maxHolds/time.Second))) * time.Second
}

// flussonic makes the request that Flussonic Media Server makes of its authorization backends.
func (h *HTTP) flussonic(ctx context.Context, q Question) (*http.Request, error) {
	target := *h.url
	query := target.Query()
	set := func(name, value string) {
		if value != "" {
			query.Set(name, value)
		}
	}
	kind := "update_session"
	if q.Event == Start {
		kind = "new_session"
	}
	set("name", strings.Trim(q.Asset, "/"))
	set("proto", q.Protocol)
	if q.Addr.IsValid() {
		set("ip", q.Addr.String())
	}
	set("request_type", kind)
	set("request_number", strconv.Itoa(q.Number))
	set("session_id", q.Playback)
	set("stream_clients", strconv.Itoa(q.AssetClients))
	set("total_clients", strconv.Itoa(q.Clients))
	set("token", q.Token)
	set("host", q.Host)
	set("country", q.Country)
	set("user_agent", q.UserAgent)
	set("referer", q.Referer)
	if q.Event == Update {
		set("duration", strconv.FormatInt(int64(q.Duration/time.Second), 10))
		set("user_id", q.Subject)
	}
	target.RawQuery = query.Encode()
	return http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
}

func readFlussonic(header http.Header, _ []byte) (Answer, error) {
	number := func(name string) (int64, error) {
		text := strings.TrimSpace(header.Get(name))
		if text == "" {
			return 0, nil
		}
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 0 {
			return 0, fmt.Errorf("%w: %s is no number", errAnswer, name)
		}
		return n, nil
	}
	duration, err := number("X-AuthDuration")
	if err != nil {
		return Answer{}, err
	}
	streams, err := number("X-Max-Sessions")
	if err != nil {
		return Answer{}, err
	}
	if strings.EqualFold(strings.TrimSpace(header.Get("X-Unique")), "true") {
		streams = 1
	}
	a := Answer{Allowed: true, Holds: seconds(duration)}
	a.Claims, err = token.Claims{Subject: header.Get("X-UserId"), MaxStreams: int(streams)}.Normalized()
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", errAnswer, err)
	}
	return a, nil
}
