// Refusals and failures in plain words.

const STATUS = {
	400: "The request was not understood.",
	401: "A valid token is needed. Enter one, or get a new one if yours has expired.",
	403: "This viewer may not play this stream.",
	404: "There is nothing at this address, or its seal no longer holds.",
	410: "This stream is no longer available.",
	425: "The viewer's address is not proven yet. Try again.",
	429: "Too many requests or too many streams at once. Wait a little.",
	451: "This stream may not be shown where you are.",
	500: "The gateway failed.",
	502: "The origin gave an answer that cannot be protected.",
	503: "The gateway cannot decide or has no key at the moment. Try again shortly.",
	504: "The origin did not answer in time.",
};

const KIND = {
	manifest: "The manifest was refused", license: "The license was refused", key: "The key was refused",
	init: "An init segment was refused", segment: "A segment was refused", text: "A subtitle file was refused",
	other: "A request was refused",
};

// refusal describes a failed request: {text, code}. Undefined means that it did not fail; an aborted one did not.
export function refusal(seen) {
	if (seen.aborted || (seen.status > 0 && seen.status < 400)) return undefined;
	if (!seen.status) {
		return { text: "A request got no readable answer: the host cannot be reached, or it does not allow this page (CORS).", code: seen.kind };
	}
	const said = seen.problem?.detail ?? seen.problem?.title;
	const text = `${KIND[seen.kind]} (${seen.status}). ${STATUS[seen.status] ?? said ?? "The gateway gave no explanation."}`;
	return { text, code: seen.problem?.reason ?? String(seen.status) };
}

const MEDIA = {
	1: "Loading the media was stopped.",
	2: "The media could not be fetched.",
	3: "The picture or sound could not be decoded. With protected media this usually means a wrong key.",
	4: "This browser cannot play the media.",
};

// mediaFailure describes the error of a video element.
export const mediaFailure = (error) => ({ text: MEDIA[error.code] ?? "Playback failed.", code: `media ${error.code}` });

const KEY = {
	usable: "usable", expired: "expired", released: "released", "output-restricted": "output not allowed",
	"output-downscaled": "shown in lower quality", "usable-in-future": "not valid yet", "status-pending": "being checked",
	"internal-error": "failed in the browser", closed: "session closed",
};

// keyWord returns [word, tone] for a MediaKeyStatus.
export function keyWord(status) {
	const tone = status === "usable" ? "good" : /expired|error|restricted/.test(status) ? "bad" : "warn";
	return [KEY[status] ?? status, tone];
}
