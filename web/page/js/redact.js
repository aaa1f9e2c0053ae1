// What may be seen of URLs: enough to tell requests apart, never a seal, session, token or signature in full.

const PLAIN_QUERY = new Set(["keyformat", "drm", "kid"]);
const LONG = 40;

const head = (text, length) => text.slice(0, length) + "…";

// shortPath shortens the elements of a path. Ours start with "~"; what follows the name of an endpoint (.drm/<name>/…)
// is a seal as well; and other long ones are likely to be somebody's token.
function shortPath(path) {
	let below = -1; // elements since .drm, sessions not counted; negative above it
	return path.split("/").map((part) => {
		if (part.startsWith("~s.")) return "~s.…";
		if (part.startsWith("~")) return head(part, 5);
		if (part === ".drm" || below >= 0) below++;
		if (below >= 2) return head(part, 4);
		return part.length > LONG ? head(part, 8) : part;
	}).join("/");
}

function shortQuery(search) {
	return search.slice(1).split("&").filter(Boolean).map((pair) => {
		const [name, value] = [pair.split("=", 1)[0], pair.slice(pair.indexOf("=") + 1)];
		if (PLAIN_QUERY.has(name) && pair.includes("=")) return `${name}=${value.slice(0, 16)}`;
		return `${name.slice(0, 16)}=…`;
	}).join("&");
}

// shortURL is the URL as the page shows it: the path, with the host only if it is not the page's own.
export function shortURL(url, base = location.href) {
	const parsed = URL.parse(url, base);
	if (!parsed) return "…";
	if (!/^https?:$/.test(parsed.protocol)) return parsed.protocol + "…";
	const path = shortPath(parsed.pathname);
	const host = parsed.host === new URL(base).host ? "" : `//${parsed.host}`;
	return host + path + (parsed.search ? "?" + shortQuery(parsed.search) : "");
}

// scrub shortens every URL and every token-like run inside a message of somebody else's.
export function scrub(text) {
	return String(text)
		.replace(/(?:https?|blob|data):[^\s"'<>)\]}]+/g, (url) => shortURL(url))
		.replace(/[A-Za-z0-9_\-.~%+/=]{60,}/g, (run) => head(run, 8));
}

// kidText turns 16 bytes into the form of default_KID: a lower-case UUID.
export function kidText(bytes) {
	const hex = Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, "0")).join("");
	if (hex.length !== 32) return hex.slice(0, 32);
	return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

// kidFromBase64URL reads the form of license messages; undefined when it is not one.
export function kidFromBase64URL(text) {
	try {
		return kidText(Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0)));
	} catch {
		return undefined;
	}
}
