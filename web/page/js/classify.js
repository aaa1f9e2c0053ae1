// What a request was for, judged by what was sent and by the first bytes of the answer. Names only help where bytes
// cannot: an origin may call its files anything.

import { kidFromBase64URL } from "./redact.js";

const text = (bytes) => new TextDecoder().decode(bytes);

function json(bytes) {
	try {
		return JSON.parse(text(bytes));
	} catch {
		return undefined;
	}
}

// kids reads the KIDs of a license request ({"kids":[…]}) or of a license ({"keys":[{"kid":…}]}). The key beside each
// KID is never looked at.
function kids(message) {
	const list = Array.isArray(message?.kids) ? message.kids : message?.keys?.map?.((key) => key?.kid);
	return list?.map((kid) => (typeof kid === "string" && kidFromBase64URL(kid)) || "unreadable");
}

const boxType = (bytes) => (bytes.length >= 8 ? String.fromCharCode(...bytes.subarray(4, 8)) : "");
const SEGMENT_BOXES = new Set(["styp", "moof", "sidx", "emsg", "prft", "mdat"]);

function kindOf(exchange) {
	const path = URL.parse(exchange.url, location.href)?.pathname ?? "";
	if (exchange.method === "POST" && (kids(json(exchange.sent)) || path.includes("/.drm/"))) return "license";
	if (/\/\.drm\/(~s\.[^/]*\/)?config\//.test(path)) return "config";
	if (path.includes("/.drm/")) return "key";
	const type = exchange.contentType;
	if (/mpegurl|dash\+xml/i.test(type) || /\.(mpd|m3u8?)$/i.test(path)) return "manifest";
	if (/vtt|ttml/i.test(type) || /\.(vtt|ttml)$/i.test(path)) return "text";
	if (exchange.status < 400) {
		const box = boxType(exchange.prefix);
		if (box === "ftyp") return "init";
		if (SEGMENT_BOXES.has(box) || exchange.prefix[0] === 0x47) return "segment";
		if (exchange.bytes === 16) return "key";
	}
	if (/init[^/]*$|\.mp4$/i.test(path)) return "init";
	return /\.(m4[sva]|cmf[vat]|ts|aac)$|seg/i.test(path) ? "segment" : "other";
}

// problem reads a refusal in the form of RFC 9457, which the gateway extends with a reason code.
function problem(exchange) {
	if (exchange.status < 400 || !/json/i.test(exchange.contentType)) return undefined;
	const body = json(exchange.prefix);
	const word = (value) => (typeof value === "string" && value ? value.slice(0, 200) : undefined);
	return body && { reason: word(body.reason), title: word(body.title), detail: word(body.detail), opens: word(body.opens) };
}

// classify takes what an observer saw and returns what the panels show. The bytes stay behind.
//
// exchange: {method, url, sent, status, aborted, contentType, prefix, bytes, ms}; sent and prefix are Uint8Array.
export function classify(exchange) {
	const kind = kindOf(exchange);
	const { method, url, status, aborted, bytes, ms } = exchange;
	const seen = { method, url, status, aborted, bytes, ms, kind, problem: problem(exchange) };
	if (kind === "license") {
		seen.asked = kids(json(exchange.sent)) ?? [];
		seen.returned = status < 400 ? kids(json(exchange.prefix)) ?? [] : [];
	}
	return seen;
}
