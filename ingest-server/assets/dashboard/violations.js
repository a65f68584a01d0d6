// What is wrong on a site, in a line: a violation of a budget with its evidence, or an alert.
import { boundary, counted, moment, share, value } from "./format.js";
import { h, quoted } from "./dom.js";

/** A violation with its evidence. */
export function violationLine(violation, link) {
  const { route, metric, percentile, unit, n, within, measured, device, release, opened, last_seen: seen, resolved, dismissed, dismissed_by: by } = violation;
  const words = [quoted(route, "route")];
  return [
    h("span", { class: "where" }, route.includes("*") ? words : link({ view: "overview", route }, {}, words)),
    h("span", { class: "what" }, h("strong", {}, `${metric} p${percentile} ${measured === null ? "" : value(unit, measured, [violation.max])}`),
      ` over its budget of ${boundary(unit, violation.max)}`),
    h("span", { class: "soft small" },
      [`${share(within, n)} of ${counted(n, "page view")} within the budget, ${percentile} % must be`, device, release && `release ${release}`, `since ${moment(opened)}`, resolved === null ? `last seen ${moment(seen)}` : `met again ${moment(resolved)}`,
        dismissed && `dismissed by ${by} ${moment(dismissed)}`].filter(Boolean).join(" · ")),
  ];
}

/** The condition of an alert. */
export function alertTitle({ summary, since, details }) {
  return details?.kind === "silence" ? `No page view since ${moment(since)}` : quoted(summary);
}
