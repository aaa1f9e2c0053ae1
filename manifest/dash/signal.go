package dash

import (
	"fmt"

	"github.com/caddy-drm/caddy-drm/drm"
)

// schemeMP4Protection is the generic descriptor of protection (23001-7, 11.2).
const schemeMP4Protection = "urn:mpeg:dash:mp4protection:2011"

// Prefixes by which players find the elements: some compare them instead of the namespaces.
const (
	prefixCenc      = "cenc"
	prefixDashif    = "dashif"
	prefixPlayReady = "mspr"
)

// ownPrefix is a prefix of ours and what it stands for.
type ownPrefix struct {
	prefix, uri string
	// always is set for a prefix that the root declares beside any signal, so that all documents of a site look the same.
	always bool
}

// ownPrefixes are in the order of their declarations.
var ownPrefixes = []ownPrefix{
	{prefixCenc, namespaceCenc, true}, {prefixDashif, namespaceDashif, true}, {prefixPlayReady, namespacePlayReady, false},
}

// prefixUse tells how a document binds one of our prefixes.
type prefixUse struct {
	// root is set when the root element binds the prefix to our namespace.
	root bool
	// mixed is set when the prefix has another namespace somewhere, or the namespace another prefix. A declaration on the
	// root would then not hold everywhere, or be overruled in players that keep one prefix per namespace.
	mixed bool
	// wanted is set when an element of ours has to find it declared on the root.
	wanted bool
}

func newPrefixUses() map[string]*prefixUse {
	uses := make(map[string]*prefixUse, len(ownPrefixes))
	for _, own := range ownPrefixes {
		uses[own.prefix] = &prefixUse{}
	}
	return uses
}

func (p *parser) noteBinding(prefix, uri string) {
	for _, own := range ownPrefixes {
		use := p.doc.prefixes[own.prefix]
		switch {
		case prefix == own.prefix && uri == own.uri:
			use.root = use.root || len(p.open) == 1
		case prefix == own.prefix, uri == own.uri:
			use.mixed = true
		}
	}
}

// beforeProtection lists the children of an AdaptationSet that stand in front of ContentProtection (5.3.7).
var beforeProtection = []string{"FramePacking", "AudioChannelConfiguration"}

// signal announces the protection of a set: the generic descriptor, then one for each system.
func (r *rewriter) signal(set *node, scheme drm.ProtectionScheme, key Key) {
	for _, own := range ownPrefixes {
		r.doc.prefixes[own.prefix].wanted = r.doc.prefixes[own.prefix].wanted || own.always
	}
	name := set.qualified("ContentProtection")
	pieces := make([]string, 0, 1+len(key.Systems))
	pieces = append(pieces, fmt.Sprintf(`<%s%s schemeIdUri="%s" value="%s" cenc:default_KID="%s"/>`,
		name, r.declaration(prefixCenc), schemeMP4Protection, scheme, key.KID))
	for _, s := range key.Systems {
		pieces = append(pieces, r.descriptor(name, s))
	}
	r.insertFirst(set, beforeProtection, pieces...)
}

// declaration returns what an element of ours has to declare itself, and notes what the root has to.
func (r *rewriter) declaration(prefix string) string {
	use := r.doc.prefixes[prefix]
	if !use.mixed {
		use.wanted = true
		return ""
	}
	for _, own := range ownPrefixes {
		if own.prefix == prefix {
			return fmt.Sprintf(` xmlns:%s="%s"`, prefix, own.uri)
		}
	}
	return ""
}

// declarePrefixes declares on the root what the signals use without declaring it.
func (r *rewriter) declarePrefixes() {
	for _, own := range ownPrefixes {
		if use := r.doc.prefixes[own.prefix]; use.wanted && !use.mixed && !use.root {
			at := r.doc.root.startEnd - len(">")
			r.replace(at, at, fmt.Sprintf(` xmlns:%s="%s"`, own.prefix, own.uri))
		}
	}
}
