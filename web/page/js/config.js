// The player configuration of a title: which DRM systems there are, how each player asks EME for them, and where licenses are. The
// gateway knows; the page only hands it on.

// configURL is the address of the configuration: below the directory of the manifest, by the name of the DRM group. What the manifest
// is asked for with, a token or a signature, goes along, since both are judged alike.
export function configURL(manifest, group) {
	const { search } = new URL(manifest);
	return new URL(`.drm/config/${encodeURIComponent(group || "default")}.json`, manifest).href + search;
}

// playable returns {url, drm}: what to load, and the configuration, undefined if there is none, as for clear titles of another server.
// Where licenses and manifest have to be of one session, the configuration says where the manifest is of that one. If the configuration
// is refused the manifest need not be: a signature may be for its address alone. What it is refused for, it says itself.
export async function playable(manifest, group) {
	const answer = await fetch(configURL(manifest, group)).catch(() => undefined);
	const type = answer?.headers.get("Content-Type") ?? "";
	const drm = answer?.ok && type.startsWith("application/json") ? await answer.json().catch(() => undefined) : undefined;
	return { url: drm?.manifests ? inSession(manifest, drm) : manifest, drm };
}

// inSession is the address of a manifest in the session of its configuration, with what is left of the query without what the session
// stands for.
function inSession(manifest, { manifests, query }) {
	const { pathname } = new URL(manifest);
	return manifests + pathname.slice(pathname.lastIndexOf("/") + 1) + (query ? `?${query}` : "");
}
