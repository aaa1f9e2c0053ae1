// What can be chosen, and the manifest URL that follows from it. Pure: no document, no state.

// TYPED is the name under which the form offers a manifest URL of the viewer's own. No stream can have it: names are
// not empty.
export const TYPED = "";

const FORMATS = { shaka: ["dash", "hls"], hls: ["hls"], dash: ["dash"] };

// The gateway writes HLS keys in the format that the query asks for. Shaka knows raw keys only, hls.js licenses only.
const KEY_FORMATS = { shaka: "identity", hls: "clearkey" };

// formatOf guesses a typed manifest's format from its path; undefined means that either is possible.
export function formatOf(url) {
	const path = url.split(/[?#]/)[0].toLowerCase();
	if (path.endsWith(".mpd")) return "dash";
	if (path.endsWith(".m3u8") || path.endsWith(".m3u")) return "hls";
	return undefined;
}

// formatsOf lists the formats that a choice's stream has.
export function formatsOf(config, choice) {
	const stream = config.streams.find((s) => s.name === choice.stream);
	if (stream) return ["dash", "hls"].filter((format) => stream[format]);
	const known = formatOf(choice.url);
	return known ? [known] : ["dash", "hls"];
}

// settle turns wishes into a choice that is possible, keeping as much as it can: first the stream, then the player,
// then the format. It returns the choice with the players and formats that can be chosen beside it.
export function settle(config, wish) {
	const named = config.streams.some((s) => s.name === wish.stream);
	const first = config.streams.length && wish.stream !== TYPED ? config.streams[0].name : TYPED;
	const choice = { stream: named ? wish.stream : first, url: wish.url || "", group: wish.group || "" };
	const offered = formatsOf(config, choice);
	const players = config.players.map((p) => p.id).filter((id) => FORMATS[id]?.some((f) => offered.includes(f)));
	choice.player = players.includes(wish.player) ? wish.player : players[0];
	const formats = offered.filter((format) => FORMATS[choice.player]?.includes(format));
	choice.format = formats.includes(wish.format) ? wish.format : formats[0];
	return { choice, players, formats };
}

// manifestURL is the absolute URL to load, or undefined when there is none. The token goes on the manifest alone: the
// gateway carries it from there. Queries are appended as text, so that a signed one is not spelled anew.
export function manifestURL(config, choice, token, base) {
	const stream = config.streams.find((s) => s.name === choice.stream);
	const raw = stream ? stream[choice.format] : choice.url;
	const parsed = raw ? URL.parse(raw, base) : null;
	if (!parsed || !/^https?:$/.test(parsed.protocol)) return undefined;
	parsed.hash = "";
	let url = parsed.href;
	const add = (name, value) => { url += `${url.includes("?") ? "&" : "?"}${name}=${encodeURIComponent(value)}`; };
	const keyFormat = choice.format === "hls" && KEY_FORMATS[choice.player];
	if (keyFormat && !parsed.searchParams.has("keyformat")) add("keyformat", keyFormat);
	if (token) add("token", token);
	return url;
}

// groupOf is the DRM group of the chosen stream; that of a typed manifest is typed as well.
export function groupOf(config, choice) {
	const stream = config.streams.find((s) => s.name === choice.stream);
	return (stream ? stream.group : choice.group) ?? "";
}

// liftToken takes a token out of a typed URL's query, so that it is neither shown in the form nor copied with a link.
export function liftToken(url) {
	let token = "";
	const rest = url.replace(/([?&])token=([^&#]*)(&|(?=#)|$)/, (_, before, value, after) => {
		token = value;
		return after === "&" ? before : "";
	});
	try {
		return { url: rest, token: decodeURIComponent(token) };
	} catch {
		return { url: rest, token };
	}
}

// toFragment and fromFragment carry a choice in a link. A token never goes along.
export function toFragment(choice) {
	const fields = new URLSearchParams();
	fields.set("stream", choice.stream);
	if (choice.stream === TYPED && choice.url) fields.set("url", liftToken(choice.url).url);
	if (choice.stream === TYPED && choice.group) fields.set("group", choice.group);
	fields.set("player", choice.player ?? "");
	fields.set("format", choice.format ?? "");
	return fields.toString();
}

export function fromFragment(fragment) {
	const fields = new URLSearchParams(fragment.replace(/^#/, ""));
	const wish = { url: fields.get("url") ?? "", group: fields.get("group") ?? "", player: fields.get("player"), format: fields.get("format") };
	wish.stream = fields.get("stream") ?? (wish.url ? TYPED : undefined);
	return wish;
}
