// The status line and the errors below the picture; both are live regions.

import { byId, element } from "./dom.js";
import { scrub } from "./redact.js";

const MOST_ALERTS = 4;

// say shows one line; tone is busy, good, bad or empty.
export function say(text, tone = "") {
	if (byId("status-text").textContent !== text) byId("status-text").textContent = text;
	byId("status").dataset.tone = tone;
}

// alarm shows {text, code}, each pair once until the next load. What the gateway said, the lasting ones, makes no room for what players
// make of it.
export function alarm({ text, code, lasting }) {
	const alerts = byId("alerts");
	const shown = scrub(text);
	const mark = `${code} ${shown}`;
	if ([...alerts.children].some((child) => child.dataset.mark === mark)) return;
	const line = element("p", { data: { mark, lasting: String(Boolean(lasting)) } }, `${shown} `, element("code", {}, scrub(code)));
	if (lasting) alerts.prepend(line);
	else alerts.append(line);
	while (alerts.children.length > MOST_ALERTS) (alerts.querySelector('[data-lasting="false"]') ?? alerts.lastElementChild).remove();
}

export function clearAlarms() {
	byId("alerts").replaceChildren();
}
