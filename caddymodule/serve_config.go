package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
)

// defaultConfigName stands, for whatever group a title is in, in the address of a player configuration, and for a group without a name.
const defaultConfigName = "default"

// playerConfig is what a page needs to play titles of a group: for each system how EME is asked for it and where licenses are, and the
// same in the forms that players take.
type playerConfig struct {
	Group   string         `json:"group"`
	Systems []playerSystem `json:"systems"`
	// Manifests stands for the directory that the configuration was asked for in: behind it, manifests are of the session that the
	// licenses are for. Only where they have to be, see sharesSession.
	Manifests string `json:"manifests,omitempty"`
	// Query comes with Manifests: that of the request without the tokens and signatures that the session stands for, so that a page which
	// asked with the query of the manifest knows what is left of it.
	Query string `json:"query,omitempty"`
	// Shaka is for player.configure, HLS for new Hls, DASH for setProtectionData, and VideoJS is keySystems of a source.
	Shaka   shakaConfig               `json:"shaka"`
	HLS     hlsConfig                 `json:"hls.js"`
	DASH    map[string]dashSystem     `json:"dash.js"`
	VideoJS map[string]map[string]any `json:"video.js"`
}

type playerSystem struct {
	System         string               `json:"system"`
	KeySystem      string               `json:"key_system"`
	LicenseURL     string               `json:"license_url"`
	CertificateURL string               `json:"certificate_url,omitempty"`
	EME            drm.EMEConfiguration `json:"eme"`
}

type shakaConfig struct {
	DRM struct {
		Servers  map[string]string        `json:"servers"`
		Advanced map[string]shakaAdvanced `json:"advanced"`
	} `json:"drm"`
}

type shakaAdvanced struct {
	Audio       []string `json:"audioRobustness,omitempty"`
	Video       []string `json:"videoRobustness,omitempty"`
	Certificate string   `json:"serverCertificateUri,omitempty"`
	Persistent  bool     `json:"persistentStateRequired,omitempty"`
	SessionType string   `json:"sessionType,omitempty"`
}

type hlsConfig struct {
	Enabled bool                 `json:"emeEnabled"`
	Systems map[string]hlsSystem `json:"drmSystems"`
	Options hlsOptions           `json:"drmSystemOptions"`
}

type hlsSystem struct {
	LicenseURL  string `json:"licenseUrl"`
	Certificate string `json:"serverCertificateUrl,omitempty"`
}

type hlsOptions struct {
	Audio string `json:"audioRobustness,omitempty"`
	Video string `json:"videoRobustness,omitempty"`
}

type dashSystem struct {
	ServerURL   string `json:"serverURL"`
	Audio       string `json:"audioRobustness,omitempty"`
	Video       string `json:"videoRobustness,omitempty"`
	SessionType string `json:"sessionType,omitempty"`
	Priority    int    `json:"priority"`
}

// servePlayerConfig answers for config/<group>.json in the directory of a title, of which the group has to be that of the title, if one is
// named. By then a token for one use is spent: who does not know the group must not lose it.
func (q *request) servePlayerConfig() error {
	p, err := q.newTitleProtector()
	if err != nil {
		return err
	}
	p.licensed = p.oldest // nobody has looked whether the title is live, and a live one lists keys from before a re-key
	if err := q.checkConfigName(p.group); err != nil {
		return err
	}
	config := playerConfig{Group: p.group.Name, Systems: []playerSystem{}, DASH: map[string]dashSystem{}, VideoJS: map[string]map[string]any{}}
	config.Shaka.DRM.Servers, config.Shaka.DRM.Advanced = map[string]string{}, map[string]shakaAdvanced{}
	config.HLS = hlsConfig{Enabled: true, Systems: map[string]hlsSystem{}}
	if q.sharesSession() && q.identity.session.carried != "" { // a site that only observes may have none
		config.Manifests, config.Query = q.manifestsURL(p.session), q.queryWithoutTokens()
	}
	for _, system := range p.group.SignaledSystems() {
		if s, ok := p.playerSystem(system); ok {
			config.add(s)
		}
	}
	body, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("writing the player configuration: %w", err)
	}
	header := q.w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Cache-Control", cacheNoStore) // it holds the viewer's session
	header.Set("X-Content-Type-Options", "nosniff")
	countServed(q.kind, len(body))
	q.w.WriteHeader(http.StatusOK)
	if q.r.Method != http.MethodHead {
		_, _ = q.w.Write(body) // the client may be gone
	}
	return nil
}

// checkConfigName refuses the name of another group than that of the title.
func (q *request) checkConfigName(group drm.Group) error {
	if name, ok := strings.CutSuffix(q.addr.Endpoint[1], ".json"); !ok || name == "" || name != defaultConfigName && name != group.Name {
		return errNotOurs
	}
	return nil
}

// sharesSession reports whether the session of a player configuration has to be that of the manifest and of the segments. One beside it would
// get none of them where they want a license, and would be a second playback, and stream, where a backend is asked about playbacks. A token
// that is good for one use has been used: there is none beside it.
func (q *request) sharesSession() bool {
	return q.Token != nil && (q.RequireLicense != nil || q.Token.Entitlement != nil || q.identity.claims.Once != [16]byte{})
}

// playerSystem returns what a page is told of a system, unless nobody gives licenses for it here.
func (p *titleProtector) playerSystem(system drm.SystemID) (playerSystem, bool) {
	title := p.title
	if system == drm.SystemFairPlay { // which decrypts nothing else
		title.Scheme = drm.SchemeCbcs
	}
	t := keyedTrack{track: track{p: p}, title: title}
	window := p.configWindow(title.Scheme)
	s := playerSystem{System: system.Word(), KeySystem: system.KeySystem(), LicenseURL: t.licenseURLFor(system, window), EME: p.group.EME(system)}
	if system == drm.SystemClearKey && p.q.License.ClearKey {
		s.LicenseURL = p.q.licenseURL(p.asset, p.session, endpointClearKey, t.licenseSeal(window))
	}
	if server := p.q.License.servers[system]; server != nil && server.certificate != nil {
		s.CertificateURL = p.q.licenseURL(p.asset, p.session, endpointFairPlay, endpointCertificate, t.licenseSeal(window))
	}
	return s, s.LicenseURL != ""
}

// configWindow is the window of the licenses of a title whose manifest nobody has looked at: if the keys of live titles rotate, that of a live
// one, as far back as any window reaches, and whatever else the title has if it is whole.
func (p *titleProtector) configWindow(scheme drm.ProtectionScheme) address.Window {
	rotate := p.q.liveRotation(p.group, scheme)
	window := address.Window{Rotate: uint32(rotate / time.Second), Depth: uint32(unseenDepth / time.Second)}
	switch {
	case rotate == 0:
		return address.Window{}
	case p.group.Rotate == 0:
		window.Further = 1 // behind period 0, which is all that there is on demand
	case p.q.sourceOf(p.group.Name).Names(): // else each would be a question to a key server
		window.Further = maxLicensePeriods
	}
	return window
}

func (c *playerConfig) add(s playerSystem) {
	c.Systems = append(c.Systems, s)
	audio, video := s.EME.AudioCapabilities[0].Robustness, s.EME.VideoCapabilities[0].Robustness
	persistent := s.EME.PersistentState == "required"
	sessionType := s.EME.SessionTypes[0]
	advanced := shakaAdvanced{Audio: listOf(audio), Video: listOf(video), Certificate: s.CertificateURL, Persistent: persistent}
	dash := dashSystem{ServerURL: s.LicenseURL, Audio: audio, Video: video, Priority: len(c.Systems)}
	videojs := map[string]any{"url": s.LicenseURL}
	if s.KeySystem == drm.SystemFairPlay.KeySystem() {
		videojs = map[string]any{"licenseUri": s.LicenseURL, "certificateUri": s.CertificateURL}
	}
	if persistent {
		advanced.SessionType, dash.SessionType = sessionType, sessionType
		videojs["persistentState"] = "required" // its sessions are temporary all the same: the plugin knows no others
	}
	if video != "" {
		videojs["audioRobustness"], videojs["videoRobustness"] = audio, video
		if c.HLS.Options.Video == "" { // hls.js has one for all systems: that of the first
			c.HLS.Options = hlsOptions{Audio: audio, Video: video}
		}
	}
	c.Shaka.DRM.Servers[s.KeySystem], c.Shaka.DRM.Advanced[s.KeySystem] = s.LicenseURL, advanced
	c.HLS.Systems[s.KeySystem] = hlsSystem{LicenseURL: s.LicenseURL, Certificate: s.CertificateURL}
	c.DASH[s.KeySystem] = dash
	c.VideoJS[s.KeySystem] = videojs
}

func listOf(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}
