package keysource

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/caddy-drm/caddy-drm/drm"
)

// NginxVOD asks the key servers that nginx-vod-module asks (vod_drm_upstream_location): a GET, and an array with one object as answer.
//
//	[{"key_id":"base64","key":"base64","iv":"base64","pssh":[{"uuid":"system ID","data":"base64"}]}]
//
// "iv" and "pssh" may be missing. The data of pssh is that of the box, without the box.
type NginxVOD struct {
	transport Transport
	url       Template
	scheme    drm.ProtectionScheme
}

var _ Fetcher = (*NginxVOD)(nil)

// NewNginxVOD returns a source of one key per title. scheme is what that key serves, unless url holds {scheme}; so it is for period and
// generation, which are 0 if url does not hold them.
func NewNginxVOD(transport Transport, url Template, scheme drm.ProtectionScheme) (*NginxVOD, error) {
	if !scheme.Valid() && !url.Names("scheme") {
		return nil, errors.New("the key server is not told the scheme: want one scheme for the site, or {scheme} in the URL")
	}
	return &NginxVOD{transport: transport, url: url, scheme: scheme}, nil
}

// Split implements Fetcher: the answer has one key.
func (n *NginxVOD) Split() bool { return false }

// Fetch implements Fetcher.
func (n *NginxVOD) Fetch(ctx context.Context, t Title) (Bundle, error) {
	if !n.url.Told(t, n.scheme) {
		return Bundle{}, ErrUnknownKey
	}
	response, err := Exchange(ctx, n.transport, HTTPRequest{
		Method: "GET", URL: n.url.ExpandURL(t), Header: map[string]string{"Accept": "application/json"},
	})
	if err != nil {
		return Bundle{}, err
	}
	list, err := ParseStatic(response.Body, StaticOptions{Scheme: t.Scheme})
	if err != nil {
		return Bundle{}, err
	}
	if !list.array || len(list.prefixes) != 1 {
		return Bundle{}, errors.New("reading key list: want an array with one key")
	}
	key := list.prefixes[0].key()
	bundle := Bundle{Keys: map[drm.TrackClass]drm.ContentKey{drm.ClassShared: key}}
	for _, d := range list.LookupSystemData(key.KID()) {
		bundle.Signals = append(bundle.Signals, Signal{System: d.System, KID: key.KID(), Pssh: AppendPssh(nil, d)})
	}
	return bundle, nil
}

// Format keeps every verb from reaching the fields.
func (n *NginxVOD) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "key server of nginx-vod-module")
}
