package signedurl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// policyStatement is the one statement of a policy. encoding/json takes names in any case; a wrong case only ever adds a demand.
type policyStatement struct {
	Resource  string
	Condition struct {
		DateLessThan, DateGreaterThan *epochTime
		IPAddress                     *struct {
			SourceIP string `json:"AWS:SourceIp"`
		} `json:"IpAddress"`
	}
}

type epochTime struct {
	Seconds json.Number `json:"AWS:EpochTime"`
}

// cannedPolicy is the text that is signed for one URL and an expiry: the URL is that of the request, so nobody sends it.
func cannedPolicy(url, expires string) ([]byte, error) {
	if _, err := parseSeconds(expires); err != nil {
		return nil, err
	}
	if strings.ContainsAny(url, "\"\\<>") || strings.ContainsFunc(url, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		return nil, malformed("a URL whose canned policy has more than one spelling")
	}
	return []byte(`{"Statement":[{"Resource":"` + url + `","Condition":{"DateLessThan":{"AWS:EpochTime":` + expires + `}}}]}`), nil
}

// readPolicy reads a policy whose signature fits. What it does not know might be a restriction, and is an error.
func (v *CloudFront) readPolicy(policy []byte, req token.Request) (token.Claims, error) {
	if err := token.CheckJSONObject(policy); err != nil {
		return token.Claims{}, malformed("a policy that is no JSON object, or has members twice")
	}
	var document struct{ Statement []policyStatement }
	d := json.NewDecoder(bytes.NewReader(policy))
	d.DisallowUnknownFields()
	if err := d.Decode(&document); err != nil || len(document.Statement) != 1 {
		return token.Claims{}, malformed("a policy without one statement, or with an unknown member")
	}
	statement := document.Statement[0]
	var claims token.Claims
	if err := v.readDates(&claims, statement); err != nil {
		return token.Claims{}, err
	}
	c := conditions{over: overURL}
	switch {
	case statement.Resource == "":
		return token.Claims{}, malformed("a policy without a resource")
	case statement.Resource == publicURL(req) && !strings.Contains(statement.Resource, "*"):
		claims.OneAddress, claims.Scope = true, []string{req.Path}
	default:
		c.patterns = []string{statement.Resource}
	}
	if statement.Condition.IPAddress != nil {
		prefix, err := parseSourceIP(statement.Condition.IPAddress.SourceIP)
		if err != nil {
			return token.Claims{}, err
		}
		c.prefixes = []netip.Prefix{prefix}
	}
	if err := c.validate(); err != nil {
		return token.Claims{}, fmt.Errorf("%w: %w", token.ErrMalformed, err)
	}
	claims.Conditions = c.orNil()
	return claims, nil
}

func (v *CloudFront) readDates(claims *token.Claims, statement policyStatement) error {
	if statement.Condition.DateLessThan == nil {
		return malformed("a policy without an expiry")
	}
	expires, err := parseSeconds(statement.Condition.DateLessThan.Seconds.String())
	if err != nil {
		return err
	}
	start := int64(0)
	if after := statement.Condition.DateGreaterThan; after != nil {
		if start, err = parseSeconds(after.Seconds.String()); err != nil {
			return err
		}
	}
	v.times(claims, expires, start)
	return nil
}

// parseSourceIP takes an address or a prefix, whose surplus bits are ignored as CloudFront does. 0.0.0.0/0 is any IPv4 address.
func parseSourceIP(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		prefix, _ := clientPrefix(addr)
		return prefix, nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, malformed("an address that is none")
	}
	return prefix.Masked(), nil
}

// CloudFrontPolicy says what Sign signs. URL and Expires are required. A URL with an asterisk, a start or an address make it a custom
// policy, which travels whole; without them the canned one does, of which only the expiry is sent.
type CloudFrontPolicy struct {
	// URL is absolute, without a port; an asterisk stands for any characters, a question mark for one.
	URL            string
	Expires, Start time.Time
	Source         netip.Prefix
}

func (p CloudFrontPolicy) text() (policy []byte, canned bool, err error) {
	switch {
	case p.URL == "":
		return nil, false, errors.New("a policy needs a URL")
	case p.Expires.Unix() <= 0 || p.Expires.Unix() > maxUnixSeconds:
		return nil, false, errors.New("a policy needs an expiry")
	}
	policy, err = cannedPolicy(p.URL, fmt.Sprint(p.Expires.Unix()))
	if err != nil {
		return nil, false, err
	}
	if p.Start.Unix() <= 0 && !p.Source.IsValid() && !strings.Contains(p.URL, "*") {
		return policy, true, nil
	}
	more := ""
	if p.Start.Unix() > 0 {
		more += fmt.Sprintf(`,"DateGreaterThan":{"AWS:EpochTime":%d}`, p.Start.Unix())
	}
	if p.Source.IsValid() {
		more += `,"IpAddress":{"AWS:SourceIp":"` + p.Source.Masked().String() + `"}`
	}
	return append(bytes.TrimSuffix(policy, []byte("}}]}")), more+"}}]}"...), false, nil
}
