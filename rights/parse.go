package rights

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/geo"
)

// Bounds of a catalog. They keep a mistake of its producer from taking the gateway's memory.
const (
	// MaxBytes bounds a file.
	MaxBytes = 128 << 20

	maxTitles    = 1_000_000
	maxWindows   = 1000
	maxWordBytes = 64 // of a plan and an ID, as in tokens
	maxTextBytes = 1000
	maxStreams   = 255
)

// Parse reads a catalog from JSON or YAML. The error is of type Mistakes and names line, place and what was expected of
// everything that is wrong; then there is no catalog.
func Parse(b []byte) (*Catalog, error) {
	if len(b) > MaxBytes {
		return nil, Mistakes{{Text: fmt.Sprintf("want at most %d bytes", MaxBytes)}}
	}
	root, err := parseTree(b)
	if err != nil {
		return nil, err
	}
	d := &decoder{territories: make(map[string]*Territories), plans: make(map[string][]string)}
	c := d.catalog(root)
	if len(d.mistakes) > 0 {
		return nil, d.mistakes
	}
	return c, nil
}

// catalog reads the file. Defaults are read first, wherever they stand.
func (d *decoder) catalog(root node) *Catalog {
	c := new(Catalog)
	var defaults terms
	var titles, blackouts node
	d.fields(root, nil, map[string]fieldReader{
		"defaults":  func(n node, where *at) { d.fields(n, where, d.termFields(n, &defaults)) },
		"titles":    func(n node, _ *at) { titles = n },
		"blackouts": func(n node, _ *at) { blackouts = n },
	})
	if len(d.mistakes) > 0 && root.kind != nodeMap {
		return nil
	}
	if titles.line == 0 {
		d.mistake(root, nil, "want titles: …")
		return nil
	}
	if len(titles.items) > maxTitles {
		d.mistake(titles, nil, "want at most %d titles", maxTitles)
		return nil
	}
	if titles.kind != nodeList || len(titles.items) > 0 { // a list of none is a catalog that refuses everything
		d.list(titles, &at{name: "titles"}, func(n node, where *at) {
			if t := d.title(n, where, defaults); t != nil {
				c.titles = append(c.titles, t)
			}
		})
	}
	if blackouts.line > 0 {
		d.list(blackouts, &at{name: "blackouts"}, func(n node, where *at) {
			if b := d.blackout(n, where); b != nil {
				c.blackouts = append(c.blackouts, b)
			}
		})
	}
	if len(d.mistakes) == 0 {
		d.index(c)
	}
	return c
}

// index builds the look-ups, and finds paths and IDs that two titles have.
func (d *decoder) index(c *Catalog) {
	byID := make(map[string]*Title, len(c.titles))
	for i, t := range c.titles {
		where := &at{parent: &at{name: "titles"}, index: i}
		if first := byID[t.ID]; t.ID != "" && first != nil {
			d.mistake(node{line: t.line}, where, "the id %.64q is that of the title in line %d: want one title with several paths", t.ID, first.line)
		}
		byID[t.ID] = t
		for _, path := range t.Paths {
			b := c.byPath.at(path)
			if len(b.values) > 0 {
				d.mistake(node{line: t.line}, where, "the path %.80q is that of the title in line %d", path, b.values[0].line)
				continue
			}
			b.values = []*Title{t}
		}
	}
	for _, blackout := range c.blackouts {
		for _, path := range blackout.Paths {
			b := c.blackout.at(path)
			b.values = append(b.values, blackout)
		}
	}
}

// terms are what a window has, unless it says otherwise, from its title, and a title from the defaults.
type terms struct {
	territories, excluded []string
	model                 Model
	plans                 []string
}

// termFields returns the readers of the terms in n, which t inherits as far as n does not say its own. Plans belong to their
// model: whoever names either does not inherit them.
func (d *decoder) termFields(n node, t *terms) map[string]fieldReader {
	if hasField(n, "model") || hasField(n, "plans") {
		t.plans = nil
	}
	return map[string]fieldReader{
		"territories": func(n node, where *at) { t.territories = d.words(n, where, maxWordBytes) },
		"excluded":    func(n node, where *at) { t.excluded = d.words(n, where, maxWordBytes) },
		"plans":       func(n node, where *at) { t.plans = d.words(n, where, maxWordBytes) },
		"model": func(n node, where *at) {
			var ok bool
			if t.model, ok = parseModel(n.text); n.kind != nodeScalar || !ok {
				d.mistake(n, where, "want one of %s", strings.Join(modelNames[1:], ", "))
			}
		},
	}
}

func hasField(n node, name string) bool {
	return slices.ContainsFunc(n.keys, func(key node) bool { return key.text == name })
}

// title returns nil after a mistake.
func (d *decoder) title(n node, where *at, inherited terms) *Title {
	before := len(d.mistakes)
	t := &Title{line: n.line}
	var windows node
	known := d.termFields(n, &inherited)
	known["id"] = func(n node, where *at) { t.ID = d.textOf(n, where, maxWordBytes) }
	known["path"] = func(n node, where *at) { t.Paths = d.paths(n, where) }
	known["group"] = func(n node, where *at) { t.Group = d.textOf(n, where, maxWordBytes) }
	known["max_streams"] = func(n node, where *at) { t.MaxStreams = d.number(n, where, maxStreams) }
	known["license"] = func(n node, where *at) { t.License = d.license(n, where) }
	known["windows"] = func(n node, _ *at) { windows = n }
	d.fields(n, where, known)
	if n.kind != nodeMap {
		return nil
	}
	if len(t.Paths) == 0 && len(d.mistakes) == before {
		d.mistake(n, where, "want path: …")
	}
	if windows.line == 0 {
		d.window(n, where, inherited, t)
	} else {
		d.list(windows, where.field("windows"), func(n node, where *at) {
			own, start, end := inherited, time.Time{}, time.Time{}
			known := d.termFields(n, &own)
			known["start"] = func(n node, where *at) { start = d.instant(n, where) }
			known["end"] = func(n node, where *at) { end = d.instant(n, where) }
			d.fields(n, where, known)
			if w := d.window(n, where, own, t); w != nil {
				w.Start, w.End = start, end
				d.checkSpan(n, where, "start", start, "end", end)
			}
		})
	}
	if len(t.Windows) > maxWindows {
		d.mistake(n, where, "want at most %d windows", maxWindows)
	}
	if len(d.mistakes) > before {
		return nil
	}
	return t
}

// window adds a window of the terms to the title; nil after a mistake.
func (d *decoder) window(n node, where *at, own terms, t *Title) *Window {
	before := len(d.mistakes)
	w := Window{line: n.line, Model: own.model}
	switch {
	case own.model == ModelNone:
		d.mistake(n, where, "want model: %s", strings.Join(modelNames[1:], ", "))
	case own.model == ModelSubscription && len(own.plans) == 0:
		d.mistake(n, where, "a subscription wants plans: …")
	case own.model != ModelSubscription && len(own.plans) > 0:
		d.mistake(n, where, "plans are for the model subscription")
	case (own.model == ModelRental || own.model == ModelPurchase) && t.ID == "":
		d.mistake(n, where, "%s wants the title's id, which tokens name", own.model)
	}
	w.Plans = d.sharedPlans(own.plans)
	if len(own.territories) == 0 {
		d.mistake(n, where, "want territories: countries, or world for everywhere")
	} else {
		w.Territories = d.sharedTerritories(n, where, own)
	}
	if len(d.mistakes) > before {
		return nil
	}
	t.Windows = append(t.Windows, w)
	return &t.Windows[len(t.Windows)-1]
}

// checkSpan wants the end behind the start.
func (d *decoder) checkSpan(n node, where *at, from string, start time.Time, to string, end time.Time) {
	if !start.IsZero() && !end.IsZero() && !end.After(start) {
		d.mistake(n, where, "impossible: %s %s is not behind %s %s", to, FormatTime(end), from, FormatTime(start))
	}
}

func (d *decoder) sharedPlans(plans []string) []string {
	if len(plans) == 0 {
		return nil
	}
	key := strings.Join(plans, "\x00")
	if d.plans[key] == nil {
		d.plans[key] = plans
	}
	return d.plans[key]
}

func (d *decoder) sharedTerritories(n node, where *at, own terms) *Territories {
	key := strings.Join(own.territories, "\x00") + "\x01" + strings.Join(own.excluded, "\x00")
	if t := d.territories[key]; t != nil {
		return t
	}
	t, err := ParseTerritories(own.territories, own.excluded)
	switch {
	case errors.Is(err, geo.ErrCountry):
		d.mistake(n, where, "territories: %v, or world", err)
	case err != nil:
		d.mistake(n, where, "territories: %v", err)
	default:
		d.territories[key] = t
	}
	return t
}

func (d *decoder) license(n node, where *at) (l License) {
	d.fields(n, where, map[string]fieldReader{
		"url":         func(n node, where *at) { l.URL = d.link(n, where) },
		"source":      func(n node, where *at) { l.Source = d.link(n, where) },
		"attribution": func(n node, where *at) { l.Attribution = d.textOf(n, where, maxTextBytes) },
	})
	return l
}

// blackout returns nil after a mistake.
func (d *decoder) blackout(n node, where *at) *Blackout {
	before := len(d.mistakes)
	b := &Blackout{line: n.line}
	var own terms
	fields := d.termFields(n, &own)
	d.fields(n, where, map[string]fieldReader{
		"path":        func(n node, where *at) { b.Paths = d.paths(n, where) },
		"from":        func(n node, where *at) { b.From = d.instant(n, where) },
		"to":          func(n node, where *at) { b.To = d.instant(n, where) },
		"territories": fields["territories"],
		"excluded":    fields["excluded"],
	})
	switch {
	case len(d.mistakes) > before:
		return nil
	case len(b.Paths) == 0:
		d.mistake(n, where, "want path: …")
	case len(own.territories) == 0:
		d.mistake(n, where, "want territories: countries, or world for everywhere")
	default:
		b.Territories = d.sharedTerritories(n, where, own)
		d.checkSpan(n, where, "from", b.From, "to", b.To)
	}
	if len(d.mistakes) > before {
		return nil
	}
	return b
}
