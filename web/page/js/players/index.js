// The players by id. Each module exports start({script, video, url, drm, onError}), which takes its own part of the
// player configuration drm, if there is one, and resolves to
//
//	ready        a promise, settled when playback can begin or has failed (onError has said why)
//	stop()       ends all that the player does; returns a promise
//	rendition()  {width, height, bits per second, codecs} of what is shown, or undefined
//	texts()      the subtitle tracks: {id, language, label, active}
//	selectText(id)  the id as text, or "" for none

import * as dash from "./dash.js";
import * as hls from "./hls.js";
import * as shaka from "./shaka.js";

export const PLAYERS = { shaka, hls, dash };
