// The audit log: who changed which setting, when, and what it was before.
import { dataTable, failedPanel, h, quoted, readable } from "./dom.js";
import { moment } from "./format.js";

export function auditPanels({ part: answer }) {
  if (answer instanceof Error) return failedPanel("The log is of the whole server", answer);
  return h("section", { class: "panel", "aria-labelledby": "log" }, h("h2", { id: "log" }, "Changes of settings"),
    answer.entries.length === 0 ? h("p", { class: "soft" }, "Nothing was changed yet.")
      : dataTable("log", ["When", "Who", "What", "Change"], answer.entries.map(({ at, actor, action, target, before, after }) =>
          [moment(at), quoted(actor), [action, " ", quoted(target)], differences(before, after).map((text) => h("div", {}, h("bdi", {}, text)))])),
    answer.next_cursor === null ? null : h("p", { class: "soft small" }, `The latest ${answer.entries.length} are shown; fieldvitals audit lists all.`));
}

/** The settings that differ, as `name: before → after`. */
function differences(before, after) {
  const names = new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})]);
  const shown = (value) => (value === undefined || value === null ? "–" : readable(typeof value === "string" ? value : JSON.stringify(value)));
  return [...names].filter((name) => JSON.stringify(before?.[name]) !== JSON.stringify(after?.[name]))
    .map((name) => (before === null ? `${name}: ${shown(after[name])}` : `${name}: ${shown(before[name])} → ${shown(after?.[name])}`));
}
