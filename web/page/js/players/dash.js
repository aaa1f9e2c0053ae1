// dash.js: prefers the license URLs of the player configuration to those of the MPD (dashif:Laurl).

import { loadScript } from "./script.js";

export async function start({ script, video, url, drm, onError }) {
	await loadScript(script);
	const player = dashjs.MediaPlayer().create();
	// Level 0 is none: what matters is reported by events.
	player.updateSettings({ debug: { logLevel: 0 }, streaming: { text: { defaultEnabled: false } } });
	const ready = new Promise((resolve) => {
		player.on("streamInitialized", resolve);
		player.on("error", resolve);
	});
	player.on("error", ({ error }) => {
		// After the first error that is not a warning dash.js stops.
		onError({ text: `dash.js: ${error?.message || "failed"}`, code: `dash.js ${error?.code ?? "?"}`, fatal: true });
	});
	if (drm) player.setProtectionData(drm["dash.js"]);
	// dash.js refreshes a live MPD only if it starts the playback itself, so autoplay is its own.
	player.initialize(video, url, true);
	const texts = () => player.getTracksFor("text");
	return {
		ready,
		stop: async () => player.destroy(),
		rendition() {
			const r = player.getCurrentRepresentationForType("video");
			return r && { width: r.width, height: r.height, bits: r.bandwidth, codecs: r.codecs };
		},
		texts: () => texts().map((t, i) => ({
			id: i, language: t.lang, label: t.labels?.[0]?.text,
			active: player.isTextEnabled() && i === player.getCurrentTextTrackIndex(),
		})),
		selectText: (id) => {
			player.enableText(id !== "");
			player.setTextTrack(id === "" ? -1 : Number(id));
		},
	};
}
