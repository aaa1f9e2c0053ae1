// Loads a player's script once. The three are classic scripts that leave one global behind.

const loading = new Map();

export function loadScript(url) {
	if (!loading.has(url)) {
		loading.set(url, new Promise((resolve, reject) => {
			const script = document.createElement("script");
			script.src = url;
			script.onload = resolve;
			script.onerror = () => {
				loading.delete(url); // the next try loads it again
				script.remove();
				reject(new Error("the player's script could not be loaded"));
			};
			document.head.append(script);
		}));
	}
	return loading.get(url);
}
