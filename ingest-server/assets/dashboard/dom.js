// Builds DOM nodes. Text only ever becomes a text node or an attribute's value, never markup: routes,
// origins and releases come from strangers.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element: `props` are attributes, `on…` functions are listeners, null and false are left out. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An SVG element, with the same arguments as `h`. */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/**
 * The error of reading a part of a view, in the place of that part.
 * @param {{ message: string, hint?: string }} error
 */
export function failed({ message, hint }) {
  return h("p", { class: "soft failed" }, `${message} ${hint ?? ""}`.trim());
}

/** A table whose rows begin with a header. On a phone its rows become blocks; the roles keep it a table. */
export function dataTable(name, heads, rows) {
  return h("table", { class: `plain-table wide stacked ${name}`, role: "table" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads.map((text) => h("th", { scope: "col", role: "columnheader" }, text)))),
    h("tbody", { role: "rowgroup" }, rows.map(([first, ...cells]) =>
      h("tr", { role: "row" }, h("th", { scope: "row", role: "rowheader" }, first), cells.map((cell) => h("td", { role: "cell" }, cell))))));
}

/** A part of a view that the session may not read, or that failed, as a panel. */
export function failedPanel(title, error) {
  return h("section", { class: "panel notice" }, h("h2", {}, title), failed(error));
}

/** A string from a stranger with its invisible and reordering characters written out, as in `⟨U+202E⟩`. */
export function readable(text) {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    `⟨U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/** An element with a string from a stranger, kept from reordering the text around it. */
export function quoted(text, className) {
  return h("bdi", { class: className, dir: "ltr" }, readable(text));
}
