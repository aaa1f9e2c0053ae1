// The tables of what happened: requests, license exchanges, keys. Newest first, bounded, so that a day of live playback
// does not fill the memory.

import { byId, element } from "./dom.js";
import { milliseconds, size, timeOfDay } from "./format.js";
import { shortURL } from "./redact.js";
import { keyWord } from "./words.js";

const MOST_ROWS = 200;

const body = (id) => byId(id).tBodies[0];

function cell(text, tone, className) {
	return element("td", { className, data: tone ? { tone } : {} }, text);
}

// prepend adds a row on top, removes the placeholder, and drops the oldest.
function prepend(id, ...cells) {
	const rows = body(id);
	rows.querySelector(".empty")?.parentElement.remove();
	rows.prepend(element("tr", {}, ...cells));
	while (rows.rows.length > MOST_ROWS) rows.lastElementChild.remove();
}

function empty(id, text) {
	const columns = byId(id).tHead.rows[0].cells.length;
	body(id).replaceChildren(element("tr", {}, element("td", { className: "empty", colSpan: columns }, text)));
}

function statusCell(seen) {
	if (seen.aborted) return cell("stopped", "warn");
	if (!seen.status) return cell("failed", "bad");
	const reason = seen.problem?.reason ? ` ${seen.problem.reason}` : "";
	return cell(`${seen.status}${reason}`, seen.status < 400 ? "good" : "bad");
}

export function showRequest(seen) {
	prepend("requests",
		cell(seen.kind), statusCell(seen),
		cell(milliseconds(seen.ms), "", "number"), cell(seen.bytes ? size(seen.bytes) : "–", "", "number"),
		cell(`${seen.method} ${shortURL(seen.url)}`, "", "mono"));
	if (seen.kind === "license" || seen.kind === "key") showLicense(seen);
}

// showLicense names what was asked and what came back. For a raw key there is only the fact that 16 bytes came.
function showLicense(seen) {
	const list = (kids) => (kids?.length ? kids.join(" ") : "–");
	const returned = seen.kind === "key" && seen.status === 200 ? "one raw key, not shown" : list(seen.returned);
	prepend("licenses",
		cell(timeOfDay(new Date())), cell(seen.kind === "key" ? "HLS key" : "ClearKey license"), statusCell(seen),
		cell(list(seen.asked), "", "mono"), cell(returned, "", "mono"));
}

const keyRows = new Map();

export function showKey({ kid, status }) {
	const [word, tone] = keyWord(status);
	if (keyRows.has(kid)) {
		const old = keyRows.get(kid).cells[1];
		old.textContent = word;
		old.dataset.tone = tone;
		return;
	}
	prepend("keys", cell(kid, "", "mono"), cell(word, tone));
	const rows = body("keys");
	keyRows.set(kid, rows.rows[0]);
	for (const [known, row] of keyRows) if (!row.isConnected) keyRows.delete(known);
}

export function clearRequests() {
	empty("requests", "None yet.");
}

export function clearPanels() {
	keyRows.clear();
	clearRequests();
	empty("licenses", "None yet.");
	empty("keys", "None yet.");
}
