// Text to copy.
import { h } from "./dom.js";

/** A line or more of code, with a button that copies it. */
export function snippetBox(text) {
  const button = h("button", { type: "button", class: "secondary copy", onclick: copy }, "Copy");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // Browsers refuse the clipboard on plain http: select the text, so that one key press copies it.
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }
  const code = h("code", {}, text);
  return h("div", { class: "snippet" }, h("pre", { tabindex: "0" }, code), button);
}
