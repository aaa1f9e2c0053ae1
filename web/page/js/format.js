// Numbers as people read them.

export const milliseconds = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

export function size(bytes) {
	if (bytes < 1000) return `${bytes} B`;
	return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

export const bitrate = (bits) => (bits < 1e6 ? `${Math.round(bits / 1e3)} kbit/s` : `${(bits / 1e6).toFixed(1)} Mbit/s`);

export function clock(seconds) {
	if (!Number.isFinite(seconds)) return "live";
	const two = (n) => String(Math.floor(n)).padStart(2, "0");
	const hours = Math.floor(seconds / 3600);
	return (hours ? `${hours}:` : "") + `${two((seconds / 60) % 60)}:${two(seconds % 60)}`;
}

export const timeOfDay = (date) => date.toTimeString().slice(0, 8);
