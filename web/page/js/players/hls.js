// hls.js: a license per EXT-X-KEY in the org.w3.clearkey format. hls.js knows one license URL per key system, set
// beforehand; the gateway's license URL is the URI of the EXT-X-KEY, so the request is opened on that one.

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

function settings() {
	return {
		emeEnabled: true,
		// Only says that there is a license server; licenseXhrSetup has the last word on where.
		drmSystems: { [CLEAR_KEY]: { licenseUrl: location.origin + "/", generateRequest: askForOneKey } },
		licenseXhrSetup(xhr, url, context) {
			xhr.open("POST", context.decryptdata.uri, true);
		},
	};
}

const words = (details) => details.replace(/([A-Z])/g, (letter) => " " + letter.toLowerCase());

export async function start({ script, video, url, onError }) {
	await loadScript(script);
	if (!Hls.isSupported()) throw new Error("hls.js does not support this browser");
	const hls = new Hls(settings());
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
