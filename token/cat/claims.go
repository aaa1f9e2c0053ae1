package cat

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// Limits of what becomes fields of token.Claims.
const (
	maxSubjectBytes = 255
	maxIDBytes      = 64
	maxCountries    = 64
)

// Values of catreplay (CTA-5007-B, 4.6.6).
const (
	replayPermitted  = 0
	replayProhibited = 1
	replayDetected   = 2
)

// known are the claims that readClaims deals with, those among them that demand nothing too.
var known = []int64{
	Issuer, Subject, Audience, Expires, NotBefore, IssuedAt, ID, Replay, Version, NetworkIP, URI, Method, ALPN, Header, GeoISO3166, IfData, If,
	Renewal,
}

// readClaims reads an authentic payload. Its first look is for what it does not know: a demand that nobody understands is a demand.
func (v *Verifier) readClaims(e *envelope, key Key) (token.Claims, error) {
	value, err := decodeStrict(e.payload)
	if err != nil {
		return token.Claims{}, malformed(err)
	}
	m, ok := value.(map[any]any)
	if !ok {
		return token.Claims{}, malformed(errors.New("claims that are not a map"))
	}
	if err := v.checkKnown(m); err != nil {
		return token.Claims{}, err
	}
	claims, demands, err := v.readParts(m)
	if err != nil {
		return token.Claims{}, err
	}
	if err := v.checkParties(m); err != nil {
		return token.Claims{}, token.Claims{Conditions: demands}.Answered(err)
	}
	if err := readOnce(m, e, key, &claims); err != nil {
		return token.Claims{}, malformed(err)
	}
	if claims.Renewal, err = v.readRenewal(m, claims); err != nil {
		return token.Claims{}, malformed(err)
	}
	if !demands.isEmpty() {
		claims.Conditions = demands
	}
	return claims, nil
}

// checkKnown names the first claim that is not understood.
func (v *Verifier) checkKnown(m map[any]any) error {
	var unknown []int64
	for label := range m {
		number, ok := label.(int64)
		if !ok {
			return fmt.Errorf("%w: a claim whose label is no number", token.ErrUnsupported)
		}
		if !slices.Contains(known, number) && !slices.Contains(v.config.Ignore, number) {
			unknown = append(unknown, number)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", token.ErrUnsupported, claimName(slices.Min(unknown)))
}

// readParts reads what is said and what is demanded.
func (v *Verifier) readParts(m map[any]any) (claims token.Claims, demands *conditions, err error) {
	var pinned bool
	if demands, pinned, err = readDemands(m, readOptions{exactAddresses: v.config.ExactAddresses}); err != nil {
		return claims, nil, malformed(err)
	}
	claims.OneAddress = pinned
	if areCountries(demands.places) && len(demands.places) <= maxCountries {
		claims.Countries, demands.places = demands.places, nil
	}
	if value, found := m[If]; found {
		if demands.answers, err = readAnswers(value, v.config.AnswerHeaders); err != nil {
			return claims, nil, malformed(fmt.Errorf("catif: %w", err))
		}
	}
	if err := demands.carry(m); err != nil {
		return claims, nil, err
	}
	if err := v.readTimes(m, &claims); err != nil {
		return claims, nil, malformed(err)
	}
	if err := readNames(m, &claims); err != nil {
		return claims, nil, malformed(err)
	}
	if version, found := m[Version]; found && version != any(int64(1)) {
		return claims, nil, fmt.Errorf("%w: another catv than 1", token.ErrUnsupported)
	}
	return claims, demands, nil
}

// readTimes demands exp: a session that comes of the token must end.
func (v *Verifier) readTimes(m map[any]any, claims *token.Claims) error {
	for _, claim := range []struct {
		label    int64
		into     *time.Time
		leeway   time.Duration
		required bool
	}{
		{Expires, &claims.Expires, v.config.Leeway, true}, {NotBefore, &claims.NotBefore, -v.config.Leeway, false}, {IssuedAt, new(time.Time), 0, false},
	} {
		value, found := m[claim.label]
		if !found {
			if claim.required {
				return errors.New("no exp")
			}
			continue
		}
		at, err := readDate(value)
		if err != nil {
			return fmt.Errorf("%s: %w", claimName(claim.label), err)
		}
		*claim.into = at.Add(claim.leeway)
	}
	return nil
}

// readNames reads iss, sub, aud, cti and catifdata. A cti that is printable is its own name, any other one is in hexadecimal.
func readNames(m map[any]any, claims *token.Claims) error {
	for _, label := range []int64{Issuer, Subject} {
		value, found := m[label]
		text, ok := value.(string)
		if found && (!ok || len(text) > maxSubjectBytes) {
			return fmt.Errorf("%s: not a text of up to %d bytes", claimName(label), maxSubjectBytes)
		}
		if label == Subject {
			claims.Subject = text
		}
	}
	for _, label := range []int64{Audience, IfData} {
		if value, found := m[label]; found {
			if _, err := readTextOrTexts(value); err != nil {
				return fmt.Errorf("%s: %w", claimName(label), err)
			}
		}
	}
	value, found := m[ID]
	if !found {
		return nil
	}
	id, ok := value.([]byte)
	if !ok || len(id) == 0 || len(id) > maxIDBytes {
		return fmt.Errorf("cti: not a byte string of up to %d bytes", maxIDBytes)
	}
	if claims.ID = string(id); !isFieldValue(claims.ID, maxIDBytes) {
		claims.ID = hex.EncodeToString(id)
	}
	return nil
}

// readOnce reads catreplay. Reuse that is to be detected has been when the token comes a second time, and what follows from that
// is left to us: it is refused as if it were prohibited. What names the token is all authentic, and the same for every spelling of
// it: neither its kid nor, of ECDSA, its signature are.
func readOnce(m map[any]any, e *envelope, key Key, claims *token.Claims) error {
	value, found := m[Replay]
	if !found || value == any(int64(replayPermitted)) {
		return nil
	}
	if value != any(int64(replayProhibited)) && value != any(int64(replayDetected)) {
		return errors.New("catreplay: want 0, 1 or 2")
	}
	h := sha256.New()
	issuer, _ := m[Issuer].(string)
	_, _ = fmt.Fprintf(h, "caddy-drm cat once v1 %q %q ", key.kid, issuer)
	if id, ok := m[ID].([]byte); ok {
		_, _ = h.Write(id)
	} else {
		_, _ = h.Write(e.message())
	}
	copy(claims.Once[:], h.Sum(nil))
	return nil
}

// readRenewal returns nil if the token is not to be renewed here. One that is good for one use never is: its successor would
// be used up with it.
func (v *Verifier) readRenewal(m map[any]any, claims token.Claims) (token.Renewal, error) {
	value, found := m[Renewal]
	if !found {
		return nil, nil //nolint:nilnil // a token without renewal
	}
	r, err := readRenewal(value, v.config.RenewHeaders)
	if err != nil {
		return nil, fmt.Errorf("catr: %w", err)
	}
	if r == nil || v.config.Renew.algorithm == 0 || claims.Once != [16]byte{} {
		return nil, nil //nolint:nilnil // as above
	}
	r.key, r.claims, r.expires = v.config.Renew, m, claims.Expires.Add(-v.config.Leeway)
	if v.config.RenewLimit < 0 {
		return r, nil
	}
	issued, found := m[IssuedAt]
	if !found {
		issued = m[NotBefore]
	}
	at, err := readDate(issued)
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // nobody knows when it was issued
	}
	r.last = at.Add(v.config.RenewLimit)
	return r, nil
}
