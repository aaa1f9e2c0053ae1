// Shortcuts for the whole page. Whatever has a use for a key of its own keeps it: form fields, buttons, links,
// scrolling regions, and the video element, whose own controls know Space and the arrows.

import { video } from "./session.js";

const SEEK_SECONDS = 5;
const FIELDS = "input, select, textarea, [contenteditable]";
const PRESSED = "button, a, summary";

function seek(by) {
	const v = video();
	if (v.readyState) v.currentTime = Math.max(0, Math.min(v.currentTime + by, Number.isFinite(v.duration) ? v.duration : Infinity));
}

function toggle() {
	const v = video();
	if (!v.readyState) return;
	if (v.paused) v.play().catch(() => {}); // a refusal to play is shown by the element itself
	else v.pause();
}

const ACTIONS = {
	" ": toggle,
	k: toggle,
	m: () => { video().muted = !video().muted; },
	ArrowLeft: () => seek(-SEEK_SECONDS),
	ArrowRight: () => seek(SEEK_SECONDS),
};

function taken(event, key) {
	const at = event.target;
	if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return true;
	if (at.closest?.(FIELDS)) return true;
	if (key === " " && at.closest?.(PRESSED)) return true;
	const native = key === " " || key.startsWith("Arrow");
	return native && Boolean(at.closest?.("video, .scroll"));
}

export function installShortcuts() {
	document.addEventListener("keydown", (event) => {
		const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
		const action = ACTIONS[key];
		if (!action || taken(event, key)) return;
		event.preventDefault();
		action();
	});
}
