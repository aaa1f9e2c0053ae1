package vendor

import (
	"errors"
	"regexp"

	"github.com/caddy-drm/caddy-drm/licensing"
)

// EZDRM is named a profile in the query, and asks a server of the operator back about everything else, for which it hands on what stands in
// the query besides. This vendor hands on a signed token there, so that the operator's server can tell what was decided here.
//
// Source: license URLs in public code. The service takes no terms from a token: they are in the answer of the operator's server.
type EZDRM struct {
	plainAnswer
	profile string
	token   *General // nil: the profile alone
}

var ezdrmProfile = regexp.MustCompile(`^[A-Za-z0-9]{4,64}$`)

// NewEZDRM returns the vendor for a profile, the parameter pX. With a secret a JWT with HS256 goes along as the parameter authorization.
func NewEZDRM(profile string, secret []byte) (*EZDRM, error) {
	if !ezdrmProfile.MatchString(profile) {
		return nil, errors.New("want the profile that stands in the license URL as pX")
	}
	v := &EZDRM{profile: profile}
	if len(secret) == 0 {
		return v, nil
	}
	var err error
	v.token, err = NewGeneral(GeneralConfig{
		Algorithm: "HS256", Secret: secret, Query: "authorization",
		Claims: `{"sub":"{subject}","asset":"{asset}","system":"{system}","kids":"{kids}","exp":{expires},"license_seconds":{license_seconds}}`,
	})
	return v, err
}

// Ask implements Vendor.
func (e *EZDRM) Ask(g licensing.Grant, c licensing.Challenge) (Request, error) {
	r := Request{Query: map[string]string{}}
	if e.token != nil {
		var err error
		if r, err = e.token.Ask(g, c); err != nil {
			return Request{}, err
		}
	}
	r.Query["pX"] = e.profile
	return r, nil
}

// Binds implements Vendor: it cannot be told.
func (e *EZDRM) Binds() bool { return false }
