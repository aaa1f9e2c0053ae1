// Small tools for the document. Text only ever enters it as text, never as markup.

export const byId = (id) => document.getElementById(id);

// element makes <name> with properties and children; strings become text nodes.
export function element(name, properties = {}, ...children) {
	const made = document.createElement(name);
	for (const [key, value] of Object.entries(properties)) {
		if (key === "data") Object.assign(made.dataset, value);
		else if (value !== undefined) made[key] = value;
	}
	made.append(...children);
	return made;
}
