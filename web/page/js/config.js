// The player configuration of a title: which DRM systems there are, how each player asks EME for them, and where licenses are. The
// gateway knows; the page only hands it on.

import { liftToken } from "./choices.js";

// configURL is the address of the configuration: below the directory of the manifest, by the name of the DRM group. What the manifest
// is asked for with, a token or a signature, goes along, since both are judged alike.
export function configURL(manifest, group) {
	const { search } = new URL(manifest);
	return new URL(`.drm/config/${encodeURIComponent(group || "default")}.json`, manifest).href + search;
}

// playable returns {url, drm}: what to load, and the configuration, undefined if there is none, as for clear titles of another server.
// Where segments want a license, the configuration says where the manifest is of the session that gets it. A refusal is an error with
// the field "refused": the manifest would be refused as well.
export async function playable(manifest, group) {
	const answer = await fetch(configURL(manifest, group)).catch(() => undefined);
	const type = answer?.headers.get("Content-Type") ?? "";
	if (!answer?.ok) {
		if (answer?.status !== 404 && type.startsWith("application/problem+json")) throw Object.assign(new Error("refused"), { refused: true });
		return { url: manifest };
	}
	const drm = type.startsWith("application/json") ? await answer.json().catch(() => undefined) : undefined;
	return { url: drm?.manifests ? inSession(manifest, drm.manifests) : manifest, drm };
}

// inSession is the address of a manifest below another directory. The token has done its work: the session stands there for it.
function inSession(manifest, directory) {
	const { pathname, search } = new URL(manifest);
	return liftToken(directory + pathname.slice(pathname.lastIndexOf("/") + 1) + search).url;
}
