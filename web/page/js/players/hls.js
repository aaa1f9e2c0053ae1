// hls.js: the key systems and license URLs of the player configuration. It knows one license URL per key system. Where the EXT-X-KEY of
// ClearKey names another one, that is the better one: each key of a title whose keys rotate has its own.

import { loadScript } from "./script.js";

const CLEAR_KEY = "org.w3.clearkey";

const base64URL = (bytes) => btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");

// askForOneKey has the CDM ask for the KID of the EXT-X-KEY, whatever the init segment's pssh lists. Otherwise hls.js opens
// no session for a second key of the same pssh, and stalls.
function askForOneKey(type, data, context) {
	const kid = context.decryptdata?.keyId;
	if (!kid) return { initDataType: type, initData: data };
	const request = JSON.stringify({ kids: [base64URL(kid)] });
	return { initDataType: "keyids", initData: new TextEncoder().encode(request).buffer };
}

function settings(drm) {
	const config = drm?.["hls.js"];
	const clearKey = config?.drmSystems[CLEAR_KEY];
	if (!clearKey) return { ...config };
	return {
		...config,
		drmSystems: { ...config.drmSystems, [CLEAR_KEY]: { ...clearKey, generateRequest: askForOneKey } },
		licenseXhrSetup(xhr, url, context) {
			const own = context.decryptdata?.uri;
			if (url === clearKey.licenseUrl && /^https?:/.test(own)) xhr.open("POST", own, true);
		},
	};
}

const words = (details) => details.replace(/([A-Z])/g, (letter) => " " + letter.toLowerCase());

export async function start({ script, video, url, drm, onError }) {
	await loadScript(script);
	if (!Hls.isSupported()) throw new Error("hls.js does not support this browser");
	const hls = new Hls(settings(drm));
	hls.on(Hls.Events.ERROR, (_, data) => {
		// Each quick seek aborts a load; that is no error.
		if (!data.fatal && data.details === "aborted") return;
		onError({ text: `hls.js: ${words(data.details)}.`, code: `hls.js ${data.details}`, fatal: data.fatal });
	});
	const ready = new Promise((resolve) => {
		hls.once(Hls.Events.MANIFEST_PARSED, resolve);
		hls.on(Hls.Events.ERROR, (_, data) => data.fatal && resolve());
	});
	hls.loadSource(url);
	hls.attachMedia(video);
	return {
		ready,
		stop: async () => hls.destroy(),
		rendition() {
			const level = hls.levels[hls.currentLevel];
			const codecs = [level?.videoCodec, level?.audioCodec].filter(Boolean).join(", ");
			return level && { width: level.width, height: level.height, bits: level.bitrate, codecs };
		},
		texts: () => hls.subtitleTracks.map((t, i) => ({ id: i, language: t.lang, label: t.name, active: i === hls.subtitleTrack })),
		selectText: (id) => {
			hls.subtitleDisplay = id !== "";
			hls.subtitleTrack = id === "" ? -1 : Number(id);
		},
	};
}
