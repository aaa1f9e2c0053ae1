// Start of the page: reads the configuration, fills the form, and joins form, players and panels.

import { groupOf, manifestURL } from "./choices.js";
import { byId, element } from "./dom.js";
import { chosen, follow, keep, offer, showTexts, token } from "./form.js";
import { installShortcuts } from "./keyboard.js";
import { observe } from "./observe.js";
import { clearPanels, clearRequests, showKey, showRequest } from "./panels.js";
import { load, selectText, stop } from "./session.js";
import { alarm, clearAlarms, say } from "./status.js";
import { refusal } from "./words.js";

function onRequest(seen) {
	showRequest(seen);
	const failed = refusal(seen);
	if (failed) alarm(failed);
}

async function onLoad(config) {
	const player = config.players.find((p) => p.id === chosen().player);
	const url = manifestURL(config, chosen(), token(), location.href);
	if (!player || !url) {
		clearAlarms();
		say(player ? "Enter the URL of a manifest first." : "No player is built into this gateway.", "bad");
		return;
	}
	keep();
	clearPanels();
	byId("stop").disabled = false;
	await load(player, { manifest: url, group: groupOf(config, chosen()) }, showTexts);
}

async function onStop() {
	await stop();
	showTexts([]);
	byId("stop").disabled = true;
	byId("load").focus(); // the button that had the focus can no longer keep it
}

async function copyLink() {
	keep();
	try {
		await navigator.clipboard.writeText(location.href);
		say("Link copied. It holds no token.");
	} catch {
		say("The link is in the address bar. It holds no token.");
	}
}

function showNotices(players) {
	for (const player of players) {
		const notice = element("a", { href: player.notice }, player.license);
		byId("notices").append(`${player.name} ${player.version} (`, notice, "). ");
	}
}

async function main() {
	const answer = await fetch("config.json");
	if (!answer.ok) throw new Error(`the configuration cannot be read (${answer.status})`);
	const config = await answer.json();
	document.title = byId("title").textContent = config.title;
	showNotices(config.players);
	observe({ request: onRequest, key: showKey });
	offer(config, keep);
	follow();
	clearPanels();
	await stop();
	say(config.players.length ? "Choose a stream and press Load." : "No player is built into this gateway.");
	byId("load").disabled = !config.players.length;
	byId("setup").addEventListener("submit", (event) => {
		event.preventDefault();
		onLoad(config);
	});
	byId("stop").addEventListener("click", onStop);
	byId("link").addEventListener("click", copyLink);
	byId("clear").addEventListener("click", clearRequests);
	byId("texts").addEventListener("change", (event) => selectText(event.target.value));
	window.addEventListener("hashchange", () => location.hash !== "#stage" && follow());
	installShortcuts();
	document.documentElement.dataset.ready = "true";
}

main().catch((error) => {
	alarm({ text: `The page could not start: ${error.message}.`, code: "page" });
	say("The page could not start.", "bad");
});
