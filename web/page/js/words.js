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

// Reasons say more than their status. The codes are stable; one that is not here is explained by its status.
const REASON = {
	token_missing: "This stream needs a token, and none came with the request.",
	token_ambiguous: "The request carried several different tokens.",
	token_invalid: "The token is not valid here. Check that it is whole and made for this gateway.",
	token_expired: "The token has expired. Get a new one.",
	token_not_yet_valid: "The token is not valid yet.",
	token_scope: "The token is for another stream.",
	token_unverifiable: "The gateway cannot check tokens at the moment. Try again shortly.",
	country_denied: "This stream may not be shown where you are.",
	country_unknown: "The gateway does not know where you are, and this stream may not be shown everywhere.",
	token_request: "The token is for another kind of request.",
	token_address: "The token is for another address or network.",
	token_replayed: "The token was good for one use, and has been used. Get a new one.",
	token_unsupported: "The token demands what this gateway cannot judge.",
	session_binding: "The session was handed out to another address or program. Load the stream again.",
	not_entitled: "This viewer has no right to this stream.",
	entitlement_unknown: "The gateway cannot find out whether this viewer may watch. Try again shortly.",
	network_denied: "This stream may not be watched from your network, such as through a VPN or a proxy.",
	network_unknown: "The gateway does not know your network, and this stream may not be watched from every one.",
	rights_unavailable: "The gateway does not know at the moment who may watch this stream. Try again shortly.",
	rights_unlisted: "This stream is in no catalog.",
	rights_territory: "This stream may not be shown where you are.",
	rights_not_started: "This stream cannot be watched yet.",
	rights_ended: "This stream can no longer be watched.",
	rights_plan: "This stream is for subscribers of another plan.",
	rights_purchase: "This stream is for who has bought or rented it.",
	rights_blackout: "This programme may not be shown where you are.",
	path_invalid: "No rule speaks about this address.",
	revoked: "Access has been revoked: of this viewer, the token, the session, the device or the stream.",
	state_unavailable: "The gateway cannot decide at the moment. Try again shortly.",
	stream_limit: "As many streams as this viewer may watch are being watched. End one of them.",
	stream_kicked: "This stream was ended, because the viewer began to watch another one.",
	level_denied: "This device may not have this stream in this quality.",
	license_required: "The player has no license for this part of the stream.",
	license_keys_unread: "Nobody can tell which keys the license is for.",
	license_over: "There is no time left for a license.",
	license_server_refused: "The license server refused.",
	license_server_unavailable: "The license server is not available at the moment. Try again shortly.",
	grants_unavailable: "The gateway cannot tell who has a license at the moment. Try again shortly.",
	rate_limited: "Too many requests. Wait a little.",
	license_no_keys: "No key of this stream may be given to this viewer.",
	license_type_unsupported: "The player asked for a kind of license that this gateway does not give.",
	keys_unavailable: "The gateway gets no keys at the moment. Try again shortly.",
	origin_unavailable: "The origin is not available at the moment.",
	init_replaced: "The media was replaced while it was playing. Load it again.",
	media_already_protected: "The origin's media is encrypted already.",
	media_unsupported: "The origin's media is in a form that the gateway cannot protect.",
	manifest_already_protected: "The origin's manifest is protected already.",
};

const KIND = {
	manifest: "The manifest was refused", license: "The license was refused", key: "The key was refused",
	init: "An init segment was refused", segment: "A segment was refused", text: "A subtitle file was refused",
	other: "A request was refused",
};

// refusal describes a failed request: {text, code, lasting}. Undefined means that it did not fail; an aborted one did not, nor one for the
// player configuration: without it the manifest is tried, and what is refused there is said.
export function refusal(seen) {
	if (seen.aborted || (seen.status > 0 && seen.status < 400)) return undefined;
	if (seen.kind === "config") return undefined;
	if (!seen.status) {
		return { text: "A request got no readable answer: the host cannot be reached, or it does not allow this page (CORS).", code: seen.kind };
	}
	const { reason, title, detail, opens } = seen.problem ?? {};
	const why = REASON[reason] ?? STATUS[seen.status] ?? title ?? "The gateway gave no explanation.";
	const when = opens ? ` It opens at ${new Date(opens).toLocaleString()}.` : "";
	const text = `${KIND[seen.kind]} (${seen.status}). ${why}${when}${detail ? ` It says: ${detail}.` : ""}`;
	return { text, code: reason ?? String(seen.status), lasting: Boolean(reason) };
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
