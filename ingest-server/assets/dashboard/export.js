// What is shown, to take away: a table as CSV, a chart as PNG.
import { h, readable } from "./dom.js";

/** A button that downloads rows as CSV; `rows` makes them: the names of the columns first. */
export function csvButton(name, rows) {
  return h("button", { type: "button", class: "plain export", "data-key": `csv-${name}`, onclick: () => {
    // The mark at the start tells spreadsheets that the text is UTF-8.
    save(`${name}.csv`, new Blob([`\ufeff${rows().map((row) => row.map(csvField).join(",")).join("\r\n")}\r\n`], { type: "text/csv" }));
  } }, "CSV");
}

/** A field of CSV (RFC 4180). An apostrophe keeps spreadsheets from running a text as a formula, as the command line does. */
function csvField(content) {
  if (content === null || content === undefined) return "";
  if (typeof content === "number") return String(content);
  const text = content.split(/(?<=[;\t])/).map((piece) => (/^[=+\-@\t\r\n\0＝＋－＠]/.test(piece) ? `'${piece}` : piece)).join("");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll("\"", "\"\"")}"` : text;
}

const TITLE_PX = 34;

/** A button that downloads the chart of a figure, with a title above it. */
export function pngButton(name, title) {
  return h("button", { type: "button", class: "plain export", "data-key": `png-${name}`, onclick: (event) => {
    const chart = event.currentTarget.closest("section").querySelector("canvas");
    if (chart === null) return;
    const scale = devicePixelRatio;
    const style = getComputedStyle(document.documentElement);
    const color = (of) => style.getPropertyValue(`--${of}`).trim();
    const picture = h("canvas", { width: chart.width, height: chart.height + TITLE_PX * scale });
    const context = picture.getContext("2d");
    context.fillStyle = color("panel");
    context.fillRect(0, 0, picture.width, picture.height);
    context.fillStyle = color("ink");
    context.font = `600 ${14 * scale}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    context.fillText(readable(title), 12 * scale, (TITLE_PX / 2) * scale, picture.width - 24 * scale);
    context.drawImage(chart, 0, TITLE_PX * scale);
    picture.toBlob((blob) => save(`${name}.png`, blob), "image/png");
  } }, "PNG");
}

/** Downloads a file. */
function save(name, blob) {
  const address = URL.createObjectURL(blob);
  const anchor = h("a", { href: address, download: name.replace(/[^\w.-]+/g, "-") });
  anchor.click();
  // Firefox reads the file after this task.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
