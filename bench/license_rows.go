package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/caddy-drm/caddy-drm/drm"
)

// licensees is how many viewers ask for licenses in turn, each with a token and a session of his own.
const licensees = 1000

// Names of targets of licenses.
const (
	byToken     = "by token"
	bySession   = "by session"
	bareRespond = "respond"
)

// licenseHandler is a site as it is shipped: tokens, sessions, ClearKey, and a record of each license in the log.
const licenseHandler = `	drm {
		tenant bench
		scheme cenc
		license_server clearkey
		token jwt {
			algorithms HS256
			secret {file.%s}
		}
		session path 4h
	}
`

// respondHandler answers as much as a license has, and knows nothing.
const respondHandler = "\theader Content-Type application/json\n\trespond `%s`\n"

// licenseRows compares licenses with a bare respond of the same Caddy: the viewer's token is in the query, or the session of
// a manifest in the path.
func (l *lab) licenseRows(ctx context.Context, t trio) ([]row, error) {
	gateway, err := l.startLicensing(t.set, "")
	if err != nil {
		return nil, err
	}
	defer gateway.stop()
	withToken, withSession, license, err := l.licenses(ctx, gateway)
	if err != nil {
		return nil, err
	}
	respond, err := startCaddy("a bare respond", l.gateway, l.scratch, t.set, caddyConfig{
		root: l.root, upstream: l.nginxAddress, handler: fmt.Sprintf(respondHandler, license),
	})
	if err != nil {
		return nil, err
	}
	defer respond.stop()
	bare := withSession
	bare.base = respond.files
	results, err := interleave(ctx, l.generator, []target{
		{byToken, withToken, []*server{gateway.server}}, {bySession, withSession, []*server{gateway.server}}, {bareRespond, bare, []*server{respond.server}},
	}, l.rounds, l.round)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, name := range []string{byToken, bySession} {
		rows = append(rows, compareRequests(results, "ClearKey licenses, "+name, name, bareRespond, atLeast(0.4, 0.6))...)
	}
	return rows, nil
}

// startLicensing starts the gateway that asks for tokens, with an admin endpoint if there is an address for it.
func (l *lab) startLicensing(set gc, admin string) (*caddy, error) {
	return startCaddy("the gateway with tokens", l.gateway, l.scratch, set, caddyConfig{
		root: l.root, upstream: l.nginxAddress, admin: admin,
		handler: fmt.Sprintf(licenseHandler, l.rules.secret), global: l.options.global("off"),
	})
}

// compareRequests is compare for answers whose size does not matter: requests a second, judged as a ratio, and what one costs.
func compareRequests(results map[string]series, what, name, peer string, requests bound) []row {
	ours, others := results[name], results[peer]
	return []row{{
		what: what + ": requests/s", ours: spreadOf(ours.perSecond()).String(), against: peer + " " + spreadOf(others.perSecond()).String(),
		ratio: spreadOf(ratios(ours.perSecond(), others.perSecond())), bound: requests,
	}, {
		what: what + ": CPU µs/request", ours: spreadOf(ours.cpuPerReq()).String(), against: peer + " " + spreadOf(others.cpuPerReq()).String(),
		ratio: spreadOf(ratios(ours.cpuPerReq(), others.cpuPerReq())),
	}}
}

var (
	licenseURL = regexp.MustCompile(`<dashif:Laurl[^>]*>([^<]*)<`)
	defaultKID = regexp.MustCompile(`default_KID="([^"]*)"`)
)

// licenses asks for a license as every viewer, and returns both ways to ask again, and what the license was.
func (l *lab) licenses(ctx context.Context, gateway *caddy) (withToken, withSession resource, license string, err error) {
	withToken, withSession = resource{base: gateway.files}, resource{base: gateway.files}
	for viewer := range licensees {
		token, err := l.rules.sign(viewer)
		if err != nil {
			return resource{}, resource{}, "", err
		}
		manifest, err := fetch(ctx, gateway.files+"/"+twoSeconds+"/manifest.mpd?token="+token)
		if err != nil {
			return resource{}, resource{}, "", err
		}
		path, body, err := licenseRequest(gateway.files, manifest)
		if err != nil {
			return resource{}, resource{}, "", err
		}
		withSession.body, withToken.body = body, body
		withSession.paths = append(withSession.paths, path)
		withToken.paths = append(withToken.paths, sessionElement.ReplaceAllString(path, "/")+"?token="+token)
		for _, res := range []*resource{&withToken, &withSession} {
			if license, err = post(ctx, gateway.files+res.paths[viewer], body); err != nil {
				return resource{}, resource{}, "", err
			}
			res.meanSize = float64(len(license))
		}
	}
	return withToken, withSession, license, nil
}

// sessionElement is the element of a path that carries a session.
var sessionElement = regexp.MustCompile(`/~s\.[^/]*/`)

// licenseRequest returns the path of the license server that a manifest names, and the request for all of its keys.
func licenseRequest(base string, manifest []byte) (path, body string, err error) {
	at := licenseURL.FindSubmatch(manifest)
	if at == nil {
		return "", "", fmt.Errorf("%w: the manifest names no license server", errNotServed)
	}
	request := struct {
		KIDs []string `json:"kids"`
		Type string   `json:"type"`
	}{Type: "temporary"}
	for _, match := range defaultKID.FindAllSubmatch(manifest, -1) {
		kid, err := drm.ParseKID(string(match[1]))
		if err != nil {
			return "", "", err
		}
		request.KIDs = append(request.KIDs, kid.Base64URL())
	}
	text, err := json.Marshal(request)
	return strings.TrimPrefix(string(at[1]), base), string(text), err
}

func post(ctx context.Context, address, body string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	answer, err := do(request)
	return string(answer), err
}

// sign makes the access token of one viewer here: a thousand runs of the gateway's command would take a minute.
func (r *rules) sign(viewer int) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(rulesSecret)}, nil)
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(map[string]any{
		"sub": fmt.Sprintf("licensee-%d", viewer), "exp": time.Now().Add(4 * time.Hour).Unix(), "paths": "/" + twoSeconds,
	}).Serialize()
}
