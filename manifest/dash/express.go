package dash

import (
	"slices"
	"strings"

	"github.com/caddy-drm/caddy-drm/address"
)

// relative expresses a target with elements of ours as seen from the request. A session among them may have to stand in the
// query.
func (r *rewriter) relative(target address.Target, elements []string) string {
	elements, target.RawQuery = address.SessionToQuery(r.SessionQuery, elements, target.RawQuery)
	return address.Relative(r.From, target, elements...)
}

// relativeTemplate is relative for a template.
func (r *rewriter) relativeTemplate(ref reference, elements []string) string {
	elements, query := address.SessionToQuery(r.SessionQuery, elements, ref.query)
	return address.RelativeTemplate(r.From, ref.template, query, elements...)
}

// carriesSession reports whether a session is among elements.
func carriesSession(elements []string) bool {
	return slices.ContainsFunc(elements, func(e string) bool { return strings.HasPrefix(e, address.SessionElement("")) })
}
