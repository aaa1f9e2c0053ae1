// The facts about playback, twice a second.

import { byId, element } from "./dom.js";
import { bitrate, clock } from "./format.js";

function bufferAhead(video) {
	for (let i = 0; i < video.buffered.length; i++) {
		if (video.buffered.start(i) <= video.currentTime + 0.1 && video.currentTime <= video.buffered.end(i)) {
			return video.buffered.end(i) - video.currentTime;
		}
	}
	return 0;
}

function facts(video, rendition) {
	const quality = video?.getVideoPlaybackQuality?.();
	return {
		Position: video ? `${clock(video.currentTime)} / ${clock(video.duration || 0)}` : "–",
		Picture: rendition?.width ? `${rendition.width} × ${rendition.height}` : "–",
		Bitrate: rendition?.bits ? bitrate(rendition.bits) : "–",
		Codecs: rendition?.codecs || "–",
		Buffer: video ? `${bufferAhead(video).toFixed(1)} s` : "–",
		Dropped: quality ? `${quality.droppedVideoFrames} of ${quality.totalVideoFrames} frames` : "–",
	};
}

const values = new Map();

// showFacts takes undefined for both when nothing is loaded.
export function showFacts(video, rendition) {
	for (const [name, text] of Object.entries(facts(video, rendition))) {
		if (!values.has(name)) {
			const value = element("dd");
			byId("facts").append(element("div", {}, element("dt", {}, name), value));
			values.set(name, value);
		}
		if (values.get(name).textContent !== text) values.get(name).textContent = text;
	}
}
