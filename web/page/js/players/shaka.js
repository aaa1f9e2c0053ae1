// Shaka Player: prefers the license URL of an MPD (dashif:Laurl) to that of the player configuration, and takes the keys of HLS from
// EXT-X-KEY in the identity format.

import { loadScript } from "./script.js";

function describe(error) {
	const { Code, Category } = shaka.util.Error;
	const name = (table, value) => Object.keys(table).find((key) => table[key] === value) ?? "";
	const words = name(Code, error.code).toLowerCase().replaceAll("_", " ");
	return {
		text: `Shaka Player: ${words || error.message || "failed"} (${name(Category, error.category).toLowerCase()}).`,
		code: `shaka ${error.code ?? "?"}`,
		fatal: error.severity !== shaka.util.Error.Severity.RECOVERABLE,
	};
}

export async function start({ script, video, url, drm, onError }) {
	await loadScript(script);
	shaka.polyfill.installAll();
	if (!shaka.Player.isBrowserSupported()) throw new Error("Shaka Player does not support this browser");
	const player = new shaka.Player();
	if (drm) player.configure(drm.shaka);
	player.addEventListener("error", (event) => onError(describe(event.detail)));
	const ready = (async () => {
		await player.attach(video);
		await player.load(url);
	})().catch((error) => {
		// LOAD_INTERRUPTED means that stop came first.
		if (error.code !== shaka.util.Error.Code.LOAD_INTERRUPTED) onError({ ...describe(error), fatal: true });
	});
	return {
		ready,
		stop: () => player.destroy(),
		rendition() {
			const track = player.getVariantTracks().find((t) => t.active);
			return track && { width: track.width, height: track.height, bits: track.bandwidth, codecs: track.codecs };
		},
		texts: () => player.getTextTracks().map((t) => ({ id: t.id, language: t.language, label: t.label, active: t.active })),
		selectText: (id) => player.selectTextTrack(player.getTextTracks().find((t) => String(t.id) === id) ?? null),
	};
}
