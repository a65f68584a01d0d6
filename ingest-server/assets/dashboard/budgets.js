// Budgets that a check found broken: the open ones, or all with their history.
import { get, sitePath } from "./api.js";
import { h, quoted } from "./dom.js";
import { segmented } from "./controls.js";
import { snippetBox } from "./snippet.js";
import { violationList } from "./overview.js";

const VIOLATIONS_MAX = 200;

export const budgetsView = {
  async read(state, site, { signal }) {
    return { violations: await get(sitePath(site.name, "violations"), { status: state.status, limit: VIOLATIONS_MAX }, signal) };
  },

  title: () => "Budgets",

  draw(state, answers, link) {
    const { violations } = answers;
    return [
      h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, "Budgets of ", quoted(state.site)),
        h("p", { class: "subtitle" }, "A budget is a limit on a percentile of a metric. A check that fails with --record opens a violation; a check that passes closes it.")),
      h("div", { class: "controls" }, segmented("status", "Violations", [["open", "Open"], ["all", "All"]], state, link)),
      violationList(violations, link, state.status === "open" ? "open budget violation" : "budget violation")
        ?? h("section", { class: "panel waiting arrived" }, h("p", {}, h("span", { class: "lamp", "aria-hidden": "true" }),
          h("strong", {}, state.status === "open" ? "No budget is broken." : "No budget was ever broken."))),
      violations.next_cursor === null ? null : h("p", { class: "soft" }, `The latest ${VIOLATIONS_MAX} are shown.`),
      h("section", { class: "panel empty" }, h("h2", {}, "Check a budget"),
        h("p", { class: "soft" }, "Write limits into a file, and run this in the pipeline; docs/budgets.md has the format."),
        snippetBox("fieldvitals check --budget budgets.toml --release 1.4.2 --record")),
    ];
  },
};
