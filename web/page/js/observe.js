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
	switch (xhr.responseType) {
	case "arraybuffer": return bytesOf(xhr.response);
	case "json": return encode(JSON.stringify(xhr.response));
	case "": case "text": return encode(xhr.responseText);
	default: return new Uint8Array();
	}
}

function observeXHR(report) {
	window.XMLHttpRequest = class extends XMLHttpRequest {
		#exchange;
		#started = 0;

		constructor() {
			super();
			// The first listener of all: a player may move the buffer to a worker as soon as it hears of it.
			this.addEventListener("readystatechange", () => this.readyState === 4 && this.status && this.#take());
			this.addEventListener("abort", () => { this.#exchange.aborted = true; });
			this.addEventListener("loadend", () => report(classify({ ...this.#exchange, ms: performance.now() - this.#started })));
		}

		open(method, url, ...rest) {
			this.#exchange = { method: String(method).toUpperCase(), url: String(url) };
			// Without the third argument a request must stay asynchronous; passing undefined would not.
			return rest.length ? super.open(method, url, ...rest) : super.open(method, url);
		}

		send(body) {
			this.#started = performance.now();
			Object.assign(this.#exchange, { sent: bytesOf(body), status: 0, contentType: "", prefix: new Uint8Array(), bytes: 0 });
			return super.send(body);
		}

		#take() {
			const answer = responseBytes(this);
			Object.assign(this.#exchange, {
				status: this.status, contentType: this.getResponseHeader("Content-Type") ?? "",
				prefix: answer.slice(0, PREFIX), bytes: answer.length,
			});
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
