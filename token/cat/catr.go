package cat

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// defaultDeadline is how long before its end a token is renewed that does not say so.
const defaultDeadline = 60 * time.Second

// maxParameters bounds the attributes of a cookie and the parameters of a field.
const (
	maxParameters     = 8
	maxParameterBytes = 128
)

// renewal implements token.Renewal.
type renewal struct {
	key              Key
	claims           map[any]any // of the token that is renewed; never changed
	expires          time.Time
	expAdd, deadline time.Duration
	// last is the latest expiry that a renewal may give; zero: there is none.
	last time.Time
	how  token.Renewed
}

// Renew implements token.Renewal: exp becomes now + expadd (CTA-5007-B, 4.9.2), and nothing else changes.
func (r *renewal) Renew(now time.Time) (token.Renewed, bool, error) {
	if r.expires.Sub(now) >= r.deadline {
		return token.Renewed{}, false, nil
	}
	expires := now.Add(r.expAdd)
	if !r.last.IsZero() && expires.After(r.last) {
		expires = r.last
	}
	// A renewal that ends before its next one is due would be renewed on every request, and a redirect would never end.
	if expires.Sub(now) <= r.deadline || expires.Unix() <= r.expires.Unix() {
		return token.Renewed{}, false, nil
	}
	claims := maps.Clone(r.claims)
	claims[Expires] = expires.Unix()
	text, err := seal(r.key, claims)
	if err != nil {
		return token.Renewed{}, false, err
	}
	renewed := r.how
	renewed.Token = text
	return renewed, true, nil
}

// readRenewal reads catr. It returns nil for one that asks for what cannot be done: the token is good until it ends, as it is
// without a key to renew it with.
func readRenewal(v any, headers []string) (*renewal, error) {
	m, ok := v.(map[any]any)
	if !ok {
		return nil, errors.New("not a map")
	}
	r := &renewal{deadline: defaultDeadline}
	for key, value := range m {
		number, ok := key.(int64)
		if !ok || !r.read(number, value, headers) {
			return nil, nil //nolint:nilnil // not to be had, and no error
		}
	}
	if _, found := m[renewType]; !found || r.expAdd <= 0 {
		return nil, nil //nolint:nilnil // as above
	}
	return r, nil
}

func (r *renewal) read(key int64, value any, headers []string) (ok bool) {
	number, isNumber := value.(int64)
	text, isText := value.(string)
	switch key {
	case renewType:
		r.how.Way = token.Way(number)
		return isNumber && 0 <= number && number <= int64(token.WayRedirect)
	case renewExpAdd:
		r.expAdd = time.Duration(number) * time.Second
		return isNumber && 0 < number && number <= 366*24*3600
	case renewDeadline:
		r.deadline = time.Duration(number) * time.Second
		return isNumber && 0 <= number && number <= 366*24*3600
	case renewCookieName:
		r.how.CookieName = text
		return isText && isToken(text)
	case renewHeaderName:
		r.how.HeaderName = text
		return isText && slices.ContainsFunc(headers, func(h string) bool { return strings.EqualFold(h, text) })
	case renewCookieParams:
		r.how.CookieAttributes, ok = readParameters(value, isCookieAttribute)
		return ok
	case renewHeaderParams:
		r.how.HeaderParameters, ok = readParameters(value, func(string) bool { return true })
		return ok
	case renewStatus:
		r.how.Status = int(number)
		return isNumber && slices.Contains(answerRedirects, number)
	default:
		return false
	}
}

// readParameters reads a text or a list of them.
func readParameters(v any, allowed func(name string) bool) ([]string, bool) {
	list, err := readTextOrTexts(v)
	if err != nil || len(list) > maxParameters {
		return nil, false
	}
	for _, parameter := range list {
		name, value, _ := strings.Cut(parameter, "=")
		if !isToken(name) || !allowed(strings.ToLower(name)) || !isFieldValue(value, maxParameterBytes) || strings.ContainsAny(value, ";,\"") {
			return nil, false
		}
	}
	return list, true
}

func isCookieAttribute(name string) bool {
	return slices.Contains([]string{"domain", "path", "secure", "httponly", "samesite", "max-age", "partitioned"}, name)
}

// RenewalClaim returns the value of catr: a type from 0 for automatic to 3 for a redirect, how long a renewed token is valid and, if it
// is not zero, how long before its end a token is renewed.
func RenewalClaim(kind int64, expAdd, deadline time.Duration) any {
	claim := map[int64]any{renewType: kind, renewExpAdd: int64(expAdd / time.Second)}
	if deadline > 0 {
		claim[renewDeadline] = int64(deadline / time.Second)
	}
	return claim
}
