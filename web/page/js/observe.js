// Watches what the players do, from outside of them: fetch, XMLHttpRequest and MediaKeySession are wrapped once, before
// a player is loaded. Each finished request is reported as classify describes it.

import { classify } from "./classify.js";
import { kidText } from "./redact.js";

// The first bytes of a body are enough to tell what it is; licenses and refusals are far smaller.
const PREFIX = 64 * 1024;

const encode = (text) => new TextEncoder().encode(text);

function bytesOf(body) {
	if (body instanceof ArrayBuffer) return new Uint8Array(body);
	if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
	return typeof body === "string" ? encode(body) : new Uint8Array();
}

// measure reads a body to its end and keeps only its beginning.
async function measure(body) {
	const prefix = [];
	let bytes = 0;
	if (body) {
		for (const reader = body.getReader(); ;) {
			const { done, value } = await reader.read();
			if (done) break;
			if (bytes < PREFIX) prefix.push(value.subarray(0, PREFIX - bytes));
			bytes += value.length;
		}
	}
	return { bytes, prefix: new Uint8Array(await new Blob(prefix).arrayBuffer()) };
}

function observeFetch(report) {
	const plain = window.fetch;
	window.fetch = async function (input, init) {
		const started = performance.now();
		const exchange = {
			method: (init?.method ?? input?.method ?? "GET").toUpperCase(),
			url: String(input?.url ?? input),
			sent: bytesOf(init?.body),
			status: 0, contentType: "", prefix: new Uint8Array(), bytes: 0,
		};
		const finish = (outcome) => report(classify({ ...exchange, ...outcome, ms: performance.now() - started }));
		let response;
		try {
			response = await plain.call(window, input, init);
		} catch (error) {
			finish({ aborted: error?.name === "AbortError" });
			throw error;
		}
		const head = { status: response.status, contentType: response.headers.get("Content-Type") ?? "" };
		// Not awaited: the player must not wait for us.
		measure(response.clone().body).then(
			(body) => finish({ ...head, ...body }),
			(error) => finish({ ...head, aborted: error?.name === "AbortError" }),
		);
		return response;
	};
}

function responseBytes(xhr) {
	if (xhr.responseType === "arraybuffer") return bytesOf(xhr.response);
	return xhr.responseType === "" || xhr.responseType === "text" ? encode(xhr.responseText) : new Uint8Array();
}

function observeXHR(report) {
	window.XMLHttpRequest = class extends XMLHttpRequest {
		#method = "GET";
		#url = "";

		open(method, url, ...rest) {
			this.#method = String(method).toUpperCase();
			this.#url = String(url);
			// Without the third argument a request must stay asynchronous; passing undefined would not.
			return rest.length ? super.open(method, url, ...rest) : super.open(method, url);
		}

		send(body) {
			const started = performance.now();
			const exchange = { method: this.#method, url: this.#url, sent: bytesOf(body) };
			let aborted = false;
			this.addEventListener("abort", () => { aborted = true; }, { once: true });
			this.addEventListener("loadend", () => {
				const answer = this.status ? responseBytes(this) : new Uint8Array();
				report(classify({
					...exchange, aborted, status: this.status, ms: performance.now() - started,
					contentType: this.status ? this.getResponseHeader("Content-Type") ?? "" : "",
					prefix: answer.subarray(0, PREFIX), bytes: answer.length,
				}));
			}, { once: true });
			return super.send(body);
		}
	};
}

// observeKeys reports {kid, status} whenever a session's key changes its status, "closed" when the session ends.
function observeKeys(report) {
	if (!window.MediaKeySession) return;
	const plain = MediaKeySession.prototype.generateRequest;
	MediaKeySession.prototype.generateRequest = function (...args) {
		const known = new Set();
		this.addEventListener("keystatuseschange", () => {
			for (const [id, status] of this.keyStatuses) {
				const kid = kidText(ArrayBuffer.isView(id) ? bytesOf(id) : id);
				known.add(kid);
				report({ kid, status });
			}
		});
		this.closed.then(() => known.forEach((kid) => report({ kid, status: "closed" })));
		return plain.apply(this, args);
	};
}

export function observe({ request, key }) {
	observeFetch(request);
	observeXHR(request);
	observeKeys(key);
}
