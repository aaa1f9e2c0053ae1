// One playback from load to stop. Each gets a video element of its own: what a player or a CDM left on the last one
// cannot disturb the next.

import { byId, element } from "./dom.js";
import { playable } from "./config.js";
import { PLAYERS } from "./players/index.js";
import { showFacts } from "./stats.js";
import { alarm, clearAlarms, say } from "./status.js";
import { mediaFailure } from "./words.js";

let current; // {video, player, timer}, while something is loaded
let turn = 0; // counts loads and stops, so that a slow load notices that it was overtaken

export const video = () => byId("screen").querySelector("video");

// freshVideo replaces the video element and lets its events drive the status line. An idle one has no controls.
function freshVideo(controls) {
	const old = video();
	const fresh = element("video", { controls, playsInline: true, muted: old?.muted ?? false, volume: old?.volume ?? 1 });
	if (controls) fresh.tabIndex = 0;
	fresh.setAttribute("aria-label", "Video");
	const lines = {
		playing: ["Playing.", "good"], pause: ["Paused.", ""], waiting: ["Waiting for media…", "busy"],
		ended: ["The end.", ""], waitingforkey: ["Waiting for a key…", "busy"],
	};
	for (const [name, line] of Object.entries(lines)) {
		fresh.addEventListener(name, () => {
			// What still comes after a failure must not hide it, unless it is the picture itself.
			if (name === "playing") delete fresh.dataset.failed;
			if (fresh.isConnected && !fresh.dataset.failed) say(...line);
		});
	}
	fresh.addEventListener("error", () => {
		if (fresh.isConnected && !fresh.dataset.ending && fresh.error) fail(mediaFailure(fresh.error));
	});
	byId("screen").replaceChildren(fresh);
	return fresh;
}

function fail(problem) {
	if (!video().readyState) video().controls = false; // nothing to control, and no wheel that turns forever
	video().dataset.failed = "true";
	say("Playback failed.", "bad");
	alarm(problem);
}

async function play(element) {
	try {
		await element.play();
	} catch (error) {
		if (error.name === "NotAllowedError") say("Ready. Press play.", "");
	}
}

// load plays a manifest of a DRM group in the player {id, url}. onTexts is called with the subtitle tracks whenever they may have changed.
export async function load(offered, { manifest, group }, onTexts) {
	await stop();
	const mine = ++turn;
	clearAlarms();
	say(`Loading in ${offered.name}…`, "busy");
	const screen = freshVideo(true);
	const onError = (problem) => {
		if (mine !== turn) return;
		if (problem.fatal) fail(problem);
		else alarm(problem);
	};
	let player;
	try {
		const { url, drm } = await playable(manifest, group);
		if (mine !== turn) return;
		player = await PLAYERS[offered.id].start({ script: offered.url, video: screen, url, drm, onError });
	} catch (error) {
		onError({ text: error.message, code: offered.id, fatal: true });
		return;
	}
	if (mine !== turn) {
		await player.stop();
		return;
	}
	current = { player, timer: setInterval(() => refresh(screen, player, onTexts), 500) };
	await player.ready;
	if (mine === turn && !byId("alerts").children.length) await play(screen);
}

function refresh(screen, player, onTexts) {
	showFacts(screen, player.rendition());
	onTexts(player.texts());
}

export function selectText(id) {
	current?.player.selectText(id);
}

// stop ends the playback and leaves an idle video element.
export async function stop() {
	turn++;
	const ending = current;
	current = undefined;
	if (ending) {
		clearInterval(ending.timer);
		video().dataset.ending = "true"; // a player that takes the source away makes an error of it
		try {
			await ending.player.stop();
		} catch (error) {
			alarm({ text: `Stopping: ${error.message}`, code: "stop" });
		}
	}
	freshVideo(false);
	showFacts();
	say("Stopped.");
}
