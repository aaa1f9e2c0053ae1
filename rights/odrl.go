package rights

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// odrlNamespace is that of the vocabulary, odrlContexts those of its JSON-LD (ODRL Vocabulary & Expression 2.2, 3).
const odrlNamespace = "http://www.w3.org/ns/odrl/2/"

var odrlContexts = []string{"http://www.w3.org/ns/odrl.jsonld", "https://www.w3.org/ns/odrl.jsonld"}

// ImportODRL makes a catalog of one ODRL policy, or of a list of them: JSON-LD of the types Set, Offer and Agreement, with the
// context of ODRL alone.
//
// A permission to play, stream, display or use becomes windows of the title that its target names by the path of its URL; a
// prohibition becomes a blackout, and needs `"conflict": "prohibit"`. Constraints: dateTime, spatial, product and recipient, joined by
// `and` or `or`. Whatever else stands there, duties, refinements, other parties, counts of plays, is a mistake: it may restrict what
// would otherwise be allowed. Only uid and assigner say nothing about that.
func ImportODRL(b []byte) (*Catalog, error) {
	root, err := parseTree(b)
	if err != nil {
		return nil, err
	}
	i := &odrlImport{
		decoder: &decoder{territories: make(map[string]*Territories), plans: make(map[string][]string)},
		catalog: new(Catalog), byPath: make(map[string]*Title),
	}
	if root.kind == nodeList {
		i.list(root, nil, i.policy)
	} else {
		i.policy(root, nil)
	}
	if len(i.mistakes) == 0 {
		i.index(i.catalog)
	}
	if len(i.mistakes) > 0 {
		return nil, i.mistakes
	}
	return i.catalog, nil
}

type odrlImport struct {
	*decoder
	catalog *Catalog
	byPath  map[string]*Title
}

// odrlRule is a permission or prohibition, with what it takes over from its policy (ODRL Information Model 2.2, 2.7).
type odrlRule struct {
	targets []string
	acts    bool
	spans   []odrlSpan
}

func (i *odrlImport) policy(n node, where *at) {
	var inherited odrlRule
	var permissions, prohibitions node
	var context, kind, conflict bool
	word := func(n node, where *at, words ...string) bool {
		if n.kind != nodeScalar || !slices.Contains(words, n.text) {
			i.mistake(n, where, "want %s", strings.Join(words, " or "))
			return false
		}
		return true
	}
	ignored := func(node, *at) {}
	typed := func(n node, where *at) { kind = word(n, where, "Set", "Offer", "Agreement") }
	i.fields(n, where, map[string]fieldReader{
		"@context":    func(n node, where *at) { context = word(single(n), where, odrlContexts...) },
		"@type":       typed,
		"type":        typed,
		"uid":         ignored,
		"@id":         ignored,
		"assigner":    ignored,
		"conflict":    func(n node, where *at) { conflict = word(n, where, "prohibit") },
		"target":      func(n node, where *at) { inherited.targets = i.targets(n, where) },
		"action":      func(n node, where *at) { inherited.acts = i.action(n, where) },
		"permission":  func(n node, _ *at) { permissions = n },
		"prohibition": func(n node, _ *at) { prohibitions = n },
	})
	if n.kind != nodeMap {
		return
	}
	switch {
	case !context && !hasField(n, "@context"):
		i.mistake(n, where, "want @context: %s", odrlContexts[0])
	case !kind && !hasField(n, "@type") && !hasField(n, "type"):
		i.mistake(n, where, "want @type: Set, Offer or Agreement")
	case prohibitions.line > 0 && !conflict && !hasField(n, "conflict"):
		i.mistake(prohibitions, where.field("prohibition"), `want "conflict": "prohibit" in the policy: by default a conflict makes it void`)
	case permissions.line == 0 && prohibitions.line == 0:
		i.mistake(n, where, "want a permission or a prohibition")
	}
	i.rules(permissions, where.field("permission"), inherited, i.permit)
	i.rules(prohibitions, where.field("prohibition"), inherited, i.prohibit)
}

// single takes the one element out of a list.
func single(n node) node {
	if n.kind == nodeList && len(n.items) == 1 {
		return n.items[0]
	}
	return n
}

func (i *odrlImport) rules(n node, where *at, inherited odrlRule, use func(node, *at, odrlRule)) {
	read := func(n node, where *at) {
		before := len(i.mistakes)
		rule := inherited
		rule.spans = []odrlSpan{{}}
		ignored := func(node, *at) {}
		i.fields(n, where, map[string]fieldReader{
			"uid":        ignored,
			"@id":        ignored,
			"assigner":   ignored,
			"target":     func(n node, where *at) { rule.targets = i.targets(n, where) },
			"action":     func(n node, where *at) { rule.acts = i.action(n, where) },
			"constraint": func(n node, where *at) { rule.spans = i.constraint(n, where) },
		})
		switch {
		case len(i.mistakes) > before:
		case len(rule.targets) == 0:
			i.mistake(n, where, "want target: the URL of the title")
		case !rule.acts:
			i.mistake(n, where, "want action: play, stream, display or use")
		default:
			use(n, where, rule)
		}
	}
	switch {
	case n.line == 0:
	case n.kind == nodeMap:
		read(n, where)
	default:
		i.list(n, where, read)
	}
}

// iri returns the IRI of a value, which may stand alone or as an object with @id or uid and nothing else.
func (i *odrlImport) iri(n node, where *at) string {
	if n.kind != nodeMap {
		return i.textOf(n, where, maxTextBytes)
	}
	var text string
	read := func(n node, where *at) { text = i.textOf(n, where, maxTextBytes) }
	i.fields(n, where, map[string]fieldReader{"@id": read, "uid": read})
	return text
}

// targets returns the clean paths that targets name: by a path, or by the path of an http or https URL.
func (i *odrlImport) targets(n node, where *at) (paths []string) {
	read := func(n node, where *at) {
		text := i.iri(n, where)
		path := text
		if u, err := url.Parse(text); err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.RawQuery == "" && u.Fragment == "" {
			path = u.Path
		}
		if !isPattern(path) || strings.Contains(path, "*") {
			i.mistake(n, where, "want the URL of the title: http or https with a clean path, or the path alone")
			return
		}
		paths = append(paths, path)
	}
	if n.kind == nodeList {
		i.list(n, where, read)
	} else {
		read(n, where)
	}
	return paths
}

// odrlActions are the ways to watch. `use` is the root of all actions.
var odrlActions = []string{"play", "stream", "display", "use"}

// action reports whether all actions are ways to watch.
func (i *odrlImport) action(n node, where *at) bool {
	ok := true
	read := func(n node, where *at) {
		name := odrlName(i.iri(n, where))
		if !slices.Contains(odrlActions, name) {
			i.mistake(n, where, "action %.40q: want %s, without refinements", name, strings.Join(odrlActions, ", "))
			ok = false
		}
	}
	if n.kind == nodeList {
		i.list(n, where, read)
	} else {
		read(n, where)
	}
	return ok
}

// odrlName takes the namespace off a term.
func odrlName(term string) string {
	term = strings.TrimPrefix(term, odrlNamespace)
	return strings.TrimPrefix(term, "odrl:")
}

// permit adds the windows of a permission to its titles.
func (i *odrlImport) permit(n node, where *at, rule odrlRule) {
	for _, path := range rule.targets {
		t := i.byPath[path]
		if t == nil {
			t = &Title{Paths: []string{path}, line: n.line}
			i.byPath[path] = t
			i.catalog.titles = append(i.catalog.titles, t)
		}
		for _, span := range rule.spans {
			territories := i.place(n, where, span)
			if territories == nil {
				return
			}
			model := ModelFree
			if len(span.plans) > 0 {
				model = ModelSubscription
			}
			i.checkSpan(n, where, "start", span.start, "end", span.end)
			t.Windows = append(t.Windows, Window{
				Start: span.start, End: span.end, Territories: territories, Model: model, Plans: span.plans, line: n.line,
			})
		}
	}
}

// prohibit adds a prohibition as blackouts.
func (i *odrlImport) prohibit(n node, where *at, rule odrlRule) {
	for _, span := range rule.spans {
		territories := i.place(n, where, span)
		switch {
		case territories == nil:
			return
		case len(span.plans) > 0:
			i.mistake(n, where, "a prohibition for certain recipients or products cannot be imported")
			return
		}
		i.checkSpan(n, where, "from", span.start, "to", span.end)
		i.catalog.blackouts = append(i.catalog.blackouts, &Blackout{
			Paths: rule.targets, From: span.start, To: span.end, Territories: territories, line: n.line,
		})
	}
}

// place returns where a span holds; without a constraint that is everywhere.
func (i *odrlImport) place(n node, where *at, span odrlSpan) *Territories {
	words := span.territories
	if len(words) == 0 {
		words = []string{wordWorld}
	}
	return i.sharedTerritories(n, where, terms{territories: words, excluded: span.excluded})
}

// odrlSpan is what one conjunction of constraints leaves open.
type odrlSpan struct {
	start, end            time.Time
	territories, excluded []string
	plans                 []string
}

// and returns what both leave open, or says why that cannot be told.
func (s odrlSpan) and(t odrlSpan) (odrlSpan, error) {
	if s.start.Before(t.start) {
		s.start = t.start
	}
	if s.end.IsZero() || !t.end.IsZero() && t.end.Before(s.end) {
		s.end = t.end
	}
	switch {
	case len(s.territories) > 0 && len(t.territories) > 0:
		return odrlSpan{}, fmt.Errorf("two constraints on the same place: want one with isAnyOf")
	case len(s.plans) > 0 && len(t.plans) > 0:
		return odrlSpan{}, fmt.Errorf("two constraints on recipient or product: want one with isAnyOf")
	}
	s.territories = append(s.territories, t.territories...)
	s.excluded = append(slices.Clone(s.excluded), t.excluded...)
	s.plans = append(s.plans, t.plans...)
	return s, nil
}
