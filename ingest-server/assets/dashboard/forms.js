// Forms that change something on the server.
import { ApiError } from "./api.js";
import { h } from "./dom.js";
import { openDialog } from "./dialogs.js";

/**
 * A form of the class `edit`: `send` gets its data, and returns the promise of the change. The form shows the error of a
 * refused change, and keeps what was typed. `disabled` forms show values only.
 */
export function changeForm({ button, send, disabled = false, kind = "secondary" }, ...content) {
  const error = h("p", { class: "error", role: "alert" });
  const submit = h("button", { class: kind, type: "submit" }, button);
  const form = h("form", { class: "edit", onsubmit: async (event) => {
    event.preventDefault();
    // Marked as saved before the answer, because a redraw may come first.
    form.setAttribute("data-saved", "");
    if (!(await attempt(submit, error, () => send(new FormData(form), form)))) form.removeAttribute("data-saved");
  } }, h("fieldset", { disabled }, content, disabled ? null : h("p", { class: "buttons" }, submit)), error);
  return form;
}

/** A button that changes something, and the place of its error. */
export function changeButton({ text, send, kind = "secondary", ...props }) {
  const error = h("span", { class: "error", role: "alert" });
  const button = h("button", { class: kind, type: "button", onclick: () => attempt(button, error, send), ...props }, text);
  return [button, error];
}

/** Runs a change while its button waits. Returns whether it took place. */
async function attempt(button, error, send) {
  error.textContent = "";
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    await send();
    return true;
  } catch (refusal) {
    if (!(refusal instanceof ApiError)) throw refusal;
    error.textContent = `${refusal.message} ${refusal.hint ?? ""}`.trim();
    return false;
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}

/** Asks before a change that cannot be undone. With `name`, the reader must type it: `send` gets it as `confirm`. */
export function confirmChange({ title, says, button, name = null, send }) {
  const typed = name === null ? null : h("label", { class: "field" }, h("span", {}, "Type ", h("code", {}, name), " to confirm"),
    h("input", { type: "text", name: "confirm", autocomplete: "off", spellcheck: "false", required: true, pattern: literal(name) }));
  const dialog = openDialog(title, h("h2", {}, title), h("p", {}, says),
    changeForm({ button, kind: "primary danger", send: async (form) => {
      await send(form);
      dialog.close();
    } }, typed),
    h("form", { method: "dialog" }, h("button", { class: "secondary", type: "submit" }, "Cancel")));
}

/** A pattern of a form's field that takes one text only. Browsers refuse an escaped `-` in it, and take any text then. */
function literal(text) {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}

/** A field with its label above, and a line of help below. */
export function field(text, input, help = null) {
  return h("label", { class: "field" }, h("span", {}, text), input, help === null ? null : h("span", { class: "soft small" }, help));
}

/** The lines of a text, without empty ones. */
export function lines(text) {
  return text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
}

/** A text with a line a value. */
export function textBox(name, key, values, rows = 3) {
  const box = h("textarea", { name, rows: Math.max(rows, values.length + 1), spellcheck: "false", autocapitalize: "none", "data-key": key });
  box.defaultValue = values.join("\n");
  return box;
}

/** Whether a form in `root` has an unsaved value. */
export function isDirty(root) {
  return dirtyFields(root).length > 0;
}

/** The fields of forms in `root` whose value is not the one that the page was drawn with. */
export function dirtyFields(root) {
  return [...root.querySelectorAll("form.edit:not([data-saved]) :is(input, select, textarea)")].filter((node) => {
    if (node.type === "checkbox") return node.checked !== node.defaultChecked;
    if (node instanceof HTMLSelectElement) return [...node.options].some((option) => option.selected !== option.defaultSelected) && node.selectedIndex !== standard(node);
    return node.value !== node.defaultValue;
  });
}

/** The place of the option that a list starts with. */
function standard(select) {
  return Math.max(0, [...select.options].findIndex((option) => option.defaultSelected));
}

/** Takes over unsaved values after the page was drawn anew; `fields` are those of before. */
export function restoreFields(root, fields) {
  for (const node of fields) {
    const key = node.getAttribute("data-key");
    const now = key === null ? undefined : [...root.querySelectorAll("[data-key]")].find((other) => other.getAttribute("data-key") === key);
    if (now === undefined) continue;
    if (now.type === "checkbox") now.checked = node.checked;
    else now.value = node.value;
    now.dispatchEvent(new Event("input", { bubbles: true }));
  }
}
