// The form: what it offers, what is chosen, and the choice in the address bar.

import { fromFragment, liftToken, settle, toFragment, TYPED } from "./choices.js";
import { byId, element } from "./dom.js";

let config;
let choice;

const checked = (name) => document.querySelector(`input[name="${name}"]:checked`)?.value;

export const chosen = () => choice;
export const token = () => byId("token").value.trim();

// offer fills the form from the configuration, once.
export function offer(from, onChange) {
	config = from;
	for (const stream of config.streams) {
		const label = stream.scheme ? `${stream.name} (${stream.scheme})` : stream.name;
		byId("stream").append(element("option", { value: stream.name }, label));
	}
	byId("stream").append(element("option", { value: TYPED }, "Manifest URL…"));
	for (const player of config.players) {
		const input = element("input", { type: "radio", name: "player", value: player.id });
		byId("players").append(element("label", {}, input, element("span", { title: player.version }, player.name.replace(" Player", ""))));
	}
	byId("setup").addEventListener("change", (event) => {
		if (event.target.id === "texts" || event.target.id === "token") return;
		apply(read());
		onChange();
	});
	for (const id of ["url", "group"]) byId(id).addEventListener("input", () => apply(read()));
}

// read collects the wishes of the form, and moves a token out of a typed URL into its own field.
function read() {
	const typed = liftToken(byId("url").value.trim());
	if (typed.token) {
		byId("url").value = typed.url;
		byId("token").value = typed.token;
	}
	return {
		stream: byId("stream").value, url: typed.url, group: byId("group").value.trim(), player: checked("player"), format: checked("format"),
	};
}

function apply(wish) {
	const settled = settle(config, wish);
	choice = settled.choice;
	const stream = config.streams.find((s) => s.name === choice.stream);
	byId("stream").value = choice.stream;
	byId("url-row").hidden = choice.stream !== TYPED;
	byId("note").hidden = !stream?.note;
	byId("note").textContent = stream?.note ?? "";
	byId("token-hint").textContent = stream?.token ? "needed for this stream" : "optional";
	for (const input of document.querySelectorAll('input[name="player"]')) {
		input.disabled = !settled.players.includes(input.value);
		input.checked = input.value === choice.player;
	}
	for (const input of document.querySelectorAll('input[name="format"]')) {
		input.disabled = !settled.formats.includes(input.value);
		input.checked = input.value === choice.format;
	}
}

// follow takes the choice from the address bar. The token goes: a link must not be able to send it elsewhere.
export function follow() {
	const wish = fromFragment(location.hash);
	byId("token").value = "";
	byId("url").value = wish.url;
	byId("group").value = wish.group;
	apply(wish);
}

// keep writes the choice into the address bar, without a step in the history.
export function keep() {
	history.replaceState(null, "", "#" + toFragment(choice));
}

// showTexts lists the subtitle tracks, and leaves the list alone while it is right, for it may be open.
export function showTexts(tracks, names = new Intl.DisplayNames(["en"], { type: "language", fallback: "code" })) {
	const list = byId("texts");
	const name = (t) => {
		let language = t.language ?? "";
		try {
			language = language && names.of(language);
		} catch { /* not a language tag: shown as it is */ }
		return t.label && t.label !== t.language ? t.label : language || "Unnamed";
	};
	const wanted = [["", "Off"], ...tracks.map((t) => [String(t.id), name(t)])];
	const same = wanted.length === list.options.length &&
		wanted.every(([value, text], i) => list.options[i].value === value && list.options[i].text === text);
	if (same) return;
	const active = tracks.find((t) => t.active);
	list.replaceChildren(...wanted.map(([value, text]) => element("option", { value }, text)));
	list.value = active ? String(active.id) : "";
	list.disabled = tracks.length === 0;
}
