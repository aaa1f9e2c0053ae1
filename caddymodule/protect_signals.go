package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
	"github.com/caddy-drm/caddy-drm/manifest/hls"
)

// signal is what one DRM system is told about the key of a track.
type signal struct {
	system     drm.SystemID
	licenseURL string
	pssh, pro  []byte
	skd        string // of FairPlay
}

// signals returns what manifests say to each system of the group, in the order of the group.
func (t keyedTrack) signals(window address.Window) ([]signal, error) {
	var all []signal
	for _, system := range t.p.group.SignaledSystems() {
		s := signal{system: system, licenseURL: t.licenseURLFor(system, window)}
		var err error
		switch system {
		case drm.SystemClearKey:
			s.licenseURL = t.p.q.licenseURL(t.p.asset, t.p.session, endpointClearKey, t.licenseSeal(window))
		case drm.SystemWidevine:
			s.pssh = drm.AppendWidevinePssh(nil, t.widevineInit())
		case drm.SystemPlayReady:
			s.pro, s.pssh, err = t.playReady(t.playReadyURL(s.licenseURL))
		case drm.SystemFairPlay:
			s.skd = t.p.q.License.skd.URI(drm.SKD{KID: t.key.KID(), Asset: string(t.p.asset), Group: t.title.Group, IV: t.key.ConstantIV()})
		}
		if err != nil {
			return nil, fmt.Errorf("signaling %s: %w", system.Word(), err)
		}
		t.hear(&s)
		all = append(all, s)
	}
	return all, nil
}

// hear puts what a key server says in the place of what we would.
func (t keyedTrack) hear(s *signal) {
	for _, told := range t.told {
		if told.System != s.system || told.KID != t.key.KID() {
			continue
		}
		if len(told.Pssh) > 0 && s.system.HasPssh() {
			s.pssh = told.Pssh
		}
		switch s.system {
		case drm.SystemPlayReady:
			s.hearPlayReady(told)
		case drm.SystemFairPlay:
			if uri := toldKeyURI(told); uri != "" {
				s.skd = uri
			}
		}
	}
}

// hearPlayReady takes over an object that stands alone, in a box, or both: one half of it never goes with the other half of ours.
func (s *signal) hearPlayReady(told keysource.Signal) {
	box, _, err := drm.ParsePssh(told.Pssh)
	boxed := err == nil && len(told.Pssh) > 0
	switch alone := len(told.PlayReadyHeader) > 0; {
	case alone:
		s.pro = told.PlayReadyHeader
		if !boxed {
			s.pssh = drm.AppendPssh(nil, drm.Pssh{System: drm.SystemPlayReady, Data: s.pro})
		}
	case boxed:
		s.pro = box.Data
	}
}

// toldKeyURI is the URI for FairPlay: of its own, as servers of SPEKE 1 send it, or in the line that those of SPEKE 2 write.
func toldKeyURI(told keysource.Signal) string {
	if told.HLSKeyURI != "" {
		return told.HLSKeyURI
	}
	return hls.KeyURI(told.HLSMedia, hls.KeyFormatFairPlay)
}

func (t keyedTrack) widevineInit() drm.WidevineInit {
	init := drm.WidevineInit{KIDs: []drm.KID{t.key.KID()}, Scheme: t.title.Scheme}
	if t.rotates() {
		init.Rotates, init.CryptoPeriodIndex, init.CryptoPeriodSeconds = true, t.title.Period, uint32(t.p.group.Rotate.Seconds())
	}
	return init
}

func (t keyedTrack) playReady(licenseURL string) (pro, pssh []byte, err error) {
	header := drm.PlayReadyHeader{
		Version: t.p.group.PlayReadyHeader, Scheme: t.title.Scheme, Keys: []drm.PlayReadyKey{drm.NewPlayReadyKey(t.key)}, LicenseURL: licenseURL,
	}
	if pro, err = drm.AppendPlayReadyObject(nil, header); err == nil {
		pssh, err = drm.AppendPlayReadyPssh(nil, header)
	}
	return pro, pssh, err
}

// dashSystems returns the descriptors of the track.
func (t keyedTrack) dashSystems(window address.Window) ([]dash.System, error) {
	signals, err := t.signals(window)
	if err != nil {
		return nil, err
	}
	systems := make([]dash.System, len(signals))
	for i, s := range signals {
		systems[i] = dash.System{ID: s.system, LicenseURL: s.licenseURL, Pssh: s.pssh, PRO: s.pro, Robustness: t.robustness(s.system)}
	}
	return systems, nil
}

// robustness is the word by which a page has to ask a system for what the group demands.
func (t keyedTrack) robustness(system drm.SystemID) string {
	eme := t.p.group.EME(system)
	if t.class == drm.ClassAudio || t.init != nil && classOf(t.init) == drm.ClassAudio {
		return eme.AudioCapabilities[0].Robustness
	}
	return eme.VideoCapabilities[0].Robustness
}

// hlsKeys returns the key lines of the track. The URIs differ per KID, since players keep licenses by URI.
func (t keyedTrack) hlsKeys() ([]hls.Key, error) {
	scheme := t.title.Scheme
	if t.init == nil || !scheme.Common() { // what a player decrypts itself; a CDM decrypts CMAF
		return []hls.Key{t.identityKey()}, nil
	}
	return t.systemKeys()
}

// systemKeys returns the lines for what a CDM decrypts, one for each system and format.
func (t keyedTrack) systemKeys() ([]hls.Key, error) {
	scheme := t.title.Scheme
	signals, err := t.signals(address.Window{})
	if err != nil {
		return nil, err
	}
	var keys []hls.Key
	for _, s := range signals {
		switch s.system {
		case drm.SystemClearKey:
			if t.p.keyFormats.Has(hls.FormatIdentity) {
				keys = append(keys, t.identityKey())
			}
			if t.p.keyFormats.Has(hls.FormatClearKey) {
				keys = append(keys, hls.Key{
					Method: scheme.HLSMethod(), KeyFormat: hls.KeyFormatClearKey, KeyFormatVersions: "1", KID: t.key.KID(),
					URI: withQuery(s.licenseURL, "kid="+t.key.KID().Hex()),
				})
			}
		case drm.SystemWidevine:
			keys = append(keys, hls.WidevineKey(scheme, t.key.KID(), s.pssh))
		case drm.SystemPlayReady:
			keys = append(keys, hls.PlayReadyKey(scheme, s.pro))
		case drm.SystemFairPlay:
			if scheme == drm.SchemeCbcs {
				keys = append(keys, hls.FairPlayKey(scheme, s.skd))
			}
		}
	}
	return keys, nil
}

// identityKey is the line of a key that players fetch in clear.
func (t keyedTrack) identityKey() hls.Key {
	key := hls.Key{
		Method: t.title.Scheme.HLSMethod(), KeyFormat: hls.KeyFormatIdentity,
		URI: t.p.q.licenseURL(t.p.asset, t.p.session, endpointRawKey, t.keySeal(), t.key.KID().Hex()),
	}
	if t.init == nil && t.title.Scheme.Common() {
		key.IV, key.HasIV = t.key.ConstantIV(), true // without it the IV would be the media sequence number
	}
	return key
}

// licenseTemplate returns the license URL that the operator gives for a system, with its placeholders filled in; empty if there is none.
func (p *titleProtector) licenseTemplate(system drm.SystemID) string {
	template := p.q.License.URLs[system.Word()]
	if template == "" || system == drm.SystemFairPlay {
		return ""
	}
	repl, ok := p.q.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		repl = caddy.NewReplacer()
	}
	return repl.ReplaceAll(template, "")
}

// licenseURLFor returns the license URL of a system: the one that the operator gives, or ours if the site has a license server for it.
func (t keyedTrack) licenseURLFor(system drm.SystemID, window address.Window) string {
	if given := t.p.licenseTemplate(system); given != "" || t.p.q.License.servers[system] == nil {
		return given
	}
	return t.p.q.licenseURL(t.p.asset, t.p.session, system.Word(), t.licenseSeal(window))
}

// playReadyURL returns what may stand as LA_URL in an object, where no session of one viewer can: it is base64, and the same for all.
func (t keyedTrack) playReadyURL(licenseURL string) string {
	if len(t.p.session) > 0 && t.p.licenseTemplate(drm.SystemPlayReady) == "" {
		return ""
	}
	return licenseURL
}

// licenseTemplates returns all of them, for names of what depends on them.
func (p *titleProtector) licenseTemplates() (all string) {
	for _, system := range p.group.SignaledSystems() {
		all += p.licenseTemplate(system) + "\x00"
	}
	return all
}

// compile checks the templates.
func (c *LicenseConfig) compile() (err error) {
	for word, template := range c.URLs {
		system, err := drm.ParseSystem(word)
		switch {
		case err != nil:
			return fmt.Errorf("license.urls: %w", err)
		case system == drm.SystemClearKey:
			return errors.New("license.urls: the URL of ClearKey licenses is an option of license_server clearkey")
		case system == drm.SystemFairPlay:
			if c.skd, err = drm.ParseSKDTemplate(template); err != nil {
				return fmt.Errorf("license.urls.%s: %w", word, err)
			}
		}
	}
	return nil
}

// unmarshalLicenseURL reads
//
//	license_url widevine|playready|fairplay <template>
func (h *Handler) unmarshalLicenseURL(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.ArgErr()
	}
	if !isOneOf(args[0], "widevine", "playready", "fairplay") {
		return d.Errf("license_url %q: want widevine, playready or fairplay", args[0])
	}
	if h.License == nil {
		h.License = new(LicenseConfig)
	}
	if _, twice := h.License.URLs[args[0]]; twice {
		return d.Errf("license_url %s: given twice", args[0])
	}
	if h.License.URLs == nil {
		h.License.URLs = make(map[string]string)
	}
	h.License.URLs[args[0]] = args[1]
	return nil
}

// announcesSessionKeys reports whether SessionKeys has any.
func (p *titleProtector) announcesSessionKeys() bool {
	oneKey := p.group.Rotate == 0 && p.oldest == p.title.Generation && !p.q.sourceOf(p.group.Name).Split() && !p.q.passesProtected() && p.title.Scheme.Common()
	return oneKey && slices.ContainsFunc(p.group.SignaledSystems(), func(s drm.SystemID) bool { return s != drm.SystemClearKey })
}

// SessionKeys implements hls.SessionKeyProtector: the keys of systems that ask license servers, so that players do so while they still load
// media playlists. Which keys those playlists will name is known if there is one for the whole title at all times, and all of its media
// is protected here.
func (p hlsProtector) SessionKeys(ctx context.Context) ([]hls.Key, error) {
	if !p.announcesSessionKeys() {
		return nil, nil
	}
	t, err := track{p: p.titleProtector, class: drm.ClassShared}.keyed(ctx, p.title)
	if err != nil {
		return nil, err
	}
	keys, err := t.systemKeys()
	return slices.DeleteFunc(keys, func(k hls.Key) bool {
		return k.KeyFormat == hls.KeyFormatIdentity || k.KeyFormat == hls.KeyFormatClearKey
	}), err
}
