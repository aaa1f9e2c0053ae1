package dash

import "fmt"

// Descriptors of protection (23001-7, 11.2; DASH-IF Guidelines for Security, ClearKey).
const (
	schemeMP4Protection = "urn:mpeg:dash:mp4protection:2011"
	schemeClearKey      = "urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e"
)

// Prefixes by which players find the elements: some compare them instead of the namespaces.
const (
	prefixCenc   = "cenc"
	prefixDashif = "dashif"
)

// prefixUse tells how a document binds one of our prefixes.
type prefixUse struct {
	// root is set when the root element binds the prefix to our namespace.
	root bool
	// mixed is set when the prefix has another namespace somewhere, or the namespace another prefix. A declaration on the
	// root would then not hold everywhere, or be overruled in players that keep one prefix per namespace.
	mixed bool
}

func (p *parser) noteBinding(prefix, uri string) {
	for own, ownURI := range map[string]string{prefixCenc: namespaceCenc, prefixDashif: namespaceDashif} {
		use := p.doc.prefixes[own]
		switch {
		case prefix == own && uri == ownURI:
			use.root = use.root || len(p.open) == 1
		case prefix == own, uri == ownURI:
			use.mixed = true
		}
	}
}

// beforeProtection lists the children of an AdaptationSet that stand in front of ContentProtection (5.3.7).
var beforeProtection = []string{"FramePacking", "AudioChannelConfiguration"}

// signal announces the protection of a set: the generic descriptor, then ClearKey. There is no pssh anywhere: for
// ClearKey one player passes it on with the wrong type of initialization data, and the KID says everything.
func (r *rewriter) signal(set *node, p Protection) {
	r.signals = true
	name := set.qualified("ContentProtection")
	pieces := []string{fmt.Sprintf(`<%s%s schemeIdUri="%s" value="%s" cenc:default_KID="%s"/>`,
		name, r.declaration(prefixCenc, namespaceCenc), schemeMP4Protection, p.Scheme, p.KID)}
	if p.LicenseURL != "" {
		pieces = append(pieces, fmt.Sprintf(
			`<%s schemeIdUri="%s" value="ClearKey1.0"><dashif:Laurl%s licenseType="EME-1.0">%s</dashif:Laurl></%s>`,
			name, schemeClearKey, r.declaration(prefixDashif, namespaceDashif), escapeXML(p.LicenseURL), name))
	}
	r.insertFirst(set, beforeProtection, pieces...)
}

// declaration returns what an element of ours has to declare itself.
func (r *rewriter) declaration(prefix, uri string) string {
	if !r.doc.prefixes[prefix].mixed {
		return ""
	}
	return fmt.Sprintf(` xmlns:%s="%s"`, prefix, uri)
}

// declarePrefixes declares on the root what signal has used without declaring it.
func (r *rewriter) declarePrefixes() {
	if !r.signals {
		return
	}
	for _, own := range [][2]string{{prefixCenc, namespaceCenc}, {prefixDashif, namespaceDashif}} {
		if use := r.doc.prefixes[own[0]]; !use.mixed && !use.root {
			at := r.doc.root.startEnd - len(">")
			r.replace(at, at, fmt.Sprintf(` xmlns:%s="%s"`, own[0], own[1]))
		}
	}
}
