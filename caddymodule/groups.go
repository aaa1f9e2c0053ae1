package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
)

// GroupConfig is a DRM group: what holds for the protection of its content.
type GroupConfig struct {
	// Level is `low` (default), `medium` or `high`: how well keys and pictures have to be guarded on the device.
	Level string `json:"level,omitempty"`
	// License says how long licenses last. Default: temporary, as long as the session.
	License *GroupLicense `json:"license,omitempty"`
	// KeysRaw is the source of the content keys of the group's titles. Default: that of the site.
	KeysRaw json.RawMessage `json:"keys,omitempty" caddy:"namespace=drm.key_sources inline_key=source"`
	// Rotate is the length of a crypto period. Default: keys do not rotate.
	Rotate caddy.Duration `json:"rotate,omitempty"`
	// Scheme is `auto` (default), `cenc`, `cbcs` or `aes-128`, as in the handler's setting.
	Scheme string `json:"scheme,omitempty"`
	// Systems are the DRM systems that manifests signal, in that order: `clearkey`, `widevine`, `playready`, `fairplay`. Default: clearkey.
	Systems []string `json:"systems,omitempty"`
	// HDCP is what outputs need: `none` (default), `1`, `2.0`, `2.1`, `2.2` or `2.3`.
	HDCP string `json:"hdcp,omitempty"`
	// ClearLead is how much of the beginning of a title on demand stays clear, so that playback starts before the license is there.
	// Default: nothing.
	ClearLead caddy.Duration `json:"clear_lead,omitempty"`
	// PlayReadyHeader is the version of PlayReady headers, `4.0` to `4.3`. Default: the oldest that can say what has to be said.
	PlayReadyHeader string `json:"playready_header,omitempty"`
	// PsshInInit writes the boxes of Widevine and PlayReady into init segments, besides the common one.
	PsshInInit bool `json:"pssh_in_init,omitempty"`
}

// GroupLicense says how long licenses last.
type GroupLicense struct {
	// Persistent licenses may be kept on the device.
	Persistent bool `json:"persistent,omitempty"`
	// Duration is how long a license lives at most.
	Duration caddy.Duration `json:"duration,omitempty"`
	// Rental is how long a persistent license may wait for its first use, and Playback how long it lasts from then on.
	Rental   caddy.Duration `json:"rental,omitempty"`
	Playback caddy.Duration `json:"playback,omitempty"`
	// Renew is when a license asks to be renewed, counted from its issue.
	Renew caddy.Duration `json:"renew,omitempty"`
}

// GroupPaths gives a group to paths of a site.
type GroupPaths struct {
	// Group is the name of a group of the app.
	Group string `json:"group"`
	// Paths are patterns, such as `/vod/*`. An asterisk stands for one path element; what lies below belongs to it.
	Paths []string `json:"paths"`
}

// group returns the vocabulary of the configuration.
func (c *GroupConfig) group(name string) (g drm.Group, err error) {
	g = drm.Group{Name: name, Rotate: time.Duration(c.Rotate), ClearLead: time.Duration(c.ClearLead), PsshInInit: c.PsshInInit}
	if l := c.License; l != nil {
		g.License = drm.LicenseTerms{
			Persistent: l.Persistent, Duration: time.Duration(l.Duration),
			Rental: time.Duration(l.Rental), Playback: time.Duration(l.Playback), Renew: time.Duration(l.Renew),
		}
	}
	if c.Level != "" {
		if g.Level, err = drm.ParseLevel(c.Level); err != nil {
			return drm.Group{}, err
		}
	}
	if g.Scheme, err = groupScheme(c.Scheme); err != nil {
		return drm.Group{}, err
	}
	for _, word := range c.Systems {
		system, err := drm.ParseSystem(word)
		if err != nil {
			return drm.Group{}, err
		}
		g.Systems = append(g.Systems, system)
	}
	if c.HDCP != "" {
		if g.HDCP, err = drm.ParseHDCP(c.HDCP); err != nil {
			return drm.Group{}, err
		}
	}
	if c.PlayReadyHeader != "" {
		if g.PlayReadyHeader, err = drm.ParsePlayReadyVersion(c.PlayReadyHeader); err != nil {
			return drm.Group{}, err
		}
	}
	return g, nil
}

// groupScheme reads a scheme; auto, like nothing, is zero.
func groupScheme(word string) (drm.ProtectionScheme, error) {
	if isOneOf(word, "", schemeAuto) {
		return 0, nil
	}
	scheme, err := drm.ParseProtectionScheme(word)
	if err != nil {
		return 0, fmt.Errorf("scheme %q: want auto, cenc, cbcs or aes-128", word)
	}
	return scheme, nil
}

// parseGroups reads the groups of the app, and refuses those that cannot work.
func (a *App) parseGroups() error {
	a.groups = make(map[string]drm.Group, len(a.Groups))
	for _, name := range sortedKeys(a.Groups) {
		g, err := checkedGroup(name, a.Groups[name])
		if err != nil {
			return fmt.Errorf("groups.%s: %w", name, err)
		}
		a.groups[name] = g
		_, warnings := g.Check(false)
		for _, warning := range warnings {
			a.ctx.Logger().Warn("a DRM group may not do what it is meant to", zap.String("group", name), zap.String("option", warning.Option), zap.String("reason", warning.Reason))
		}
	}
	return nil
}

func checkedGroup(name string, c *GroupConfig) (drm.Group, error) {
	if name == "" || c == nil {
		return drm.Group{}, errors.New("want a name and a group")
	}
	g, err := c.group(name)
	if err != nil {
		return drm.Group{}, err
	}
	return g, groupProblems(g)
}

// groupProblems returns what keeps a group from working.
func groupProblems(g drm.Group) error {
	problems, _ := g.Check(false)
	if len(problems) == 0 {
		return nil
	}
	texts := make([]string, len(problems))
	for i, problem := range problems {
		texts[i] = problem.String()
	}
	return errors.New(strings.Join(texts, "; "))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// siteGroups are the groups of a handler.
type siteGroups struct {
	standard drm.Group // of all paths that no pattern matches
	paths    []groupPattern
}

type groupPattern struct {
	patterns []pathPattern
	group    drm.Group
}

// groupFor returns the DRM group of a clean path, or of the directory of an asset: that of the first pattern that matches, else that of
// the site. Its scheme is zero if the player decides.
func (h *Handler) groupFor(path string) drm.Group {
	for _, candidate := range h.groups.paths {
		for _, pattern := range candidate.patterns {
			if pattern.matches(address.Path(path)) {
				return candidate.group
			}
		}
	}
	return h.groups.standard
}

// all returns every group that a path of the site may have.
func (s *siteGroups) all() []drm.Group {
	all := []drm.Group{s.standard}
	for _, candidate := range s.paths {
		all = append(all, candidate.group)
	}
	return all
}

// compileGroups finds the groups that the site names, and refuses what contradicts the site's other settings.
func (h *Handler) compileGroups(caddy.Context) (err error) {
	if h.groups.standard, err = h.siteGroup(h.Group); err != nil {
		return fmt.Errorf("group: %w", err)
	}
	for _, entry := range h.Groups {
		candidate := groupPattern{}
		if candidate.group, err = h.siteGroup(entry.Group); err != nil {
			return fmt.Errorf("groups: %w", err)
		}
		if entry.Group == "" || len(entry.Paths) == 0 {
			return errors.New("groups: want the name of a group and its paths")
		}
		if candidate.patterns, err = parsePathPatterns(entry.Paths); err != nil {
			return fmt.Errorf("groups: %w", err)
		}
		h.groups.paths = append(h.groups.paths, candidate)
	}
	h.warnOfSharedKeys()
	if err := h.License.compile(); err != nil {
		return err
	}
	return h.checkRotation()
}

// checkRotation refuses groups that rotate where that cannot be carried out.
func (h *Handler) checkRotation() error {
	for _, g := range h.groups.all() {
		switch {
		case g.Rotate > 0 && h.keysOf(g.Name).fixed:
			return fmt.Errorf("group %q: a list of fixed keys has none for other crypto periods: leave out rotate, or derive the keys", g.Name)
		case (g.Rotate > 0 || !h.keysOf(g.Name).oneKey) && slices.Contains(g.SignaledSystems(), drm.SystemFairPlay) && !h.License.skd.NamesKey():
			return fmt.Errorf("group %q: license_url fairplay: titles with more than one key need {kid} in it", g.Name)
		}
	}
	return nil
}

// siteGroup returns the group as it is on this site, whose scheme holds where the group leaves it open.
func (h *Handler) siteGroup(name string) (drm.Group, error) {
	g, known := h.app.groups[name]
	if name != "" && !known {
		return drm.Group{}, fmt.Errorf("no group is named %q", name)
	}
	scheme, _ := drm.ParseProtectionScheme(h.Scheme) // zero for auto; Validate knows the words
	if name != "" && scheme.Valid() && g.Scheme.Valid() && g.Scheme != scheme {
		return drm.Group{}, fmt.Errorf("%q is %s, and the site is %s", name, g.Scheme, scheme)
	}
	if scheme.Valid() {
		g.Scheme = scheme
	}
	if err := groupProblems(g); err != nil {
		return drm.Group{}, fmt.Errorf("%q with the scheme of the site: %w", name, err)
	}
	return g, nil
}

// warnOfSharedKeys logs what groups say of keys that audio and video share.
func (h *Handler) warnOfSharedKeys() {
	warned := make(map[string]bool)
	for _, g := range h.groups.all() {
		if !h.keysOf(g.Name).oneKey {
			continue
		}
		_, before := g.Check(false)
		_, warnings := g.Check(true)
		for _, warning := range warnings[len(before):] {
			if !warned[g.Name] {
				h.logger.Warn("a DRM group may not do what it is meant to", zap.String("group", g.Name), zap.String("option", warning.Option), zap.String("reason", warning.Reason))
			}
		}
		warned[g.Name] = true
	}
}

// clearKeyMistake compares the systems of the groups with the license server of the site.
func (h *Handler) clearKeyMistake() error {
	needed := slices.ContainsFunc(h.groups.all(), usesClearKey)
	switch serves := h.License.ClearKey; {
	case needed && !serves:
		return errors.New("license: want a license server (license_server clearkey): players need keys for what is encrypted")
	case serves && !needed:
		return errors.New("license: license_server clearkey hands out keys in clear, and no group of this site has clearkey among its systems: leave it out")
	}
	return nil
}

func usesClearKey(g drm.Group) bool { return slices.Contains(g.SignaledSystems(), drm.SystemClearKey) }
