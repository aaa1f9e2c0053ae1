package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/geo"
	"github.com/caddy-drm/caddy-drm/policy"
	"github.com/caddy-drm/caddy-drm/rights"
)

// RightsConfig says which titles may be shown when, where and to whom: by a catalog of the app, or right here for a site that is
// one title.
type RightsConfig struct {
	// Catalog is the name of a catalog of the app.
	Catalog string `json:"catalog,omitempty"`
	// Title is what holds for the whole site, instead of a catalog.
	Title *RightsTitle `json:"title,omitempty"`
	// Unlisted is `deny` (default) or `allow`, for paths that no title of the catalog has.
	Unlisted string `json:"unlisted,omitempty"`
	// Geo is the geo database that tells in which territory a viewer is. Default: that of the site's geo rule, or the only one
	// that the app has.
	Geo string `json:"geo,omitempty"`
}

// RightsTitle is a title without a path, in the words of catalogs.
type RightsTitle struct {
	ID          string          `json:"id,omitempty"`
	Group       string          `json:"group,omitempty"`
	MaxStreams  int             `json:"max_streams,omitempty"`
	Territories []string        `json:"territories,omitempty"`
	Excluded    []string        `json:"excluded,omitempty"`
	Model       string          `json:"model,omitempty"`
	Plans       []string        `json:"plans,omitempty"`
	Windows     []RightsWindow  `json:"windows,omitempty"`
	License     *RightsMetadata `json:"license,omitempty"`
}

// RightsWindow is a span of time, [start, end), in RFC 3339; a side may be left out.
type RightsWindow struct {
	Start string `json:"start,omitempty"`
	End   string `json:"end,omitempty"`
}

// RightsMetadata accompanies manifests and licenses.
type RightsMetadata struct {
	URL         string `json:"url,omitempty"`
	Attribution string `json:"attribution,omitempty"`
	Source      string `json:"source,omitempty"`
}

// catalog makes a catalog of the title at the root of the site, by the rules of catalogs.
func (t *RightsTitle) catalog() (*rights.Catalog, error) {
	type entry struct {
		Path string `json:"path"`
		*RightsTitle
	}
	text, err := json.Marshal(map[string]any{"titles": []entry{{"/", t}}})
	if err != nil {
		return nil, err
	}
	catalog, err := rights.Parse(text)
	var mistakes rights.Mistakes
	if errors.As(err, &mistakes) { // without line and entry, which are not the operator's
		return nil, errors.New(mistakes[0].Text)
	}
	return catalog, err
}

// compileRights finds the catalog and the database that places viewers.
func (h *Handler) compileRights(caddy.Context) error {
	if h.Rights == nil {
		return nil
	}
	switch current := h.app.rights[h.Rights.Catalog]; {
	case (h.Rights.Catalog == "") == (h.Rights.Title == nil):
		return errors.New("rights: want the name of a catalog, or what holds for the site")
	case h.Rights.Title != nil:
		catalog, err := h.Rights.Title.catalog()
		if err != nil {
			return fmt.Errorf("rights: %w", err)
		}
		h.rights.Current = rights.Fixed(catalog)
	case current == nil:
		return fmt.Errorf("rights: the drm app has no catalog named %q", h.Rights.Catalog)
	default:
		h.rights.Current = &current.current
	}
	h.rights.AllowUnlisted = h.Rights.Unlisted == wordAllow
	if err := h.chooseRightsDatabase(); err != nil {
		return err
	}
	h.warnOfRights()
	return nil
}

func (h *Handler) chooseRightsDatabase() error {
	if name := h.Rights.Geo; name != "" {
		file := h.app.databases[name]
		if file == nil {
			return fmt.Errorf("rights: the drm app has no geo database named %q", name)
		}
		h.geoDatabases = geo.Databases{file}
		return nil
	}
	if h.placesCountries() {
		return nil
	}
	var known geo.Databases
	for _, file := range h.app.databases {
		if (geo.Databases{file}).Provides()&geo.DimensionCountry != 0 {
			known = append(known, file)
		}
	}
	if len(known) > 1 {
		return errors.New("rights: geo: want the name of one of the geo databases")
	}
	h.geoDatabases = append(h.geoDatabases, known...)
	return nil
}

// placesCountries reports whether the databases of the site tell countries.
func (h *Handler) placesCountries() bool {
	return h.geoDatabases.Provides()&geo.DimensionCountry != 0
}

// warnOfRights says what the catalog of this moment asks for that the site cannot tell. It is refused then, and never let through.
func (h *Handler) warnOfRights() {
	catalog := h.rights.Current.Catalog(h.app.clock())
	if catalog == nil {
		return
	}
	var needsToken, needsCountry bool
	for _, title := range catalog.Titles() {
		for i := range title.Windows {
			needsToken = needsToken || title.Windows[i].Model.NeedsToken()
			needsCountry = needsCountry || !title.Windows[i].Territories.IsWorld()
		}
	}
	if needsToken && h.Token == nil {
		h.logger.Warn("the catalog has titles for subscribers or buyers, and the site asks for no token: they are refused",
			zap.String("catalog", h.Rights.Catalog))
	}
	if needsCountry && !h.placesCountries() {
		h.logger.Warn("the catalog has titles for certain territories, and there is no geo database: they are refused",
			zap.String("catalog", h.Rights.Catalog))
	}
}

// rightsMistake is the check of Validate.
func (h *Handler) rightsMistake() error {
	switch r := h.Rights; {
	case r == nil:
		return nil
	case !isOneOf(r.Unlisted, "", wordAllow, wordDeny):
		return errors.New("rights.unlisted: want allow or deny")
	case r.Unlisted != "" && r.Catalog == "":
		return errors.New("rights.unlisted: want a catalog: without one the whole site is one title")
	}
	return nil
}

// keepRights remembers on what the admission of this request rests.
func (i *identity) keepRights(d policy.Decision) {
	i.until, i.windowEnd, i.title = d.Until, d.WindowEnd, d.Title
}
