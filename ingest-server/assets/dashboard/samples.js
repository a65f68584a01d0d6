// Slow page views, each as a waterfall; and engagement beside speed.
import { chip, figure } from "./chart.js";
import { count, moment, share, value } from "./format.js";
import { h, quoted } from "./dom.js";

/** Slow page views; `answer` may be the error of reading them. */
export function samplesPanel(metric, answer) {
  const panel = (...content) => h("section", { class: "panel", "aria-labelledby": "samples" }, h("h2", { id: "samples" }, `Slow page views by ${metric}`), content);
  if (answer instanceof Error) return panel(h("p", { class: "soft" }, `${answer.message} ${answer.hint}`));
  if (answer.samples.length === 0) return panel(h("p", { class: "soft" }, `No page view here has a value of ${metric}.`));
  return panel(h("p", { class: "soft small" }, `Shown: ${answer.rule}.`),
    h("div", { class: "samples" }, answer.samples.map((view, place) => sample(answer.unit, view, place))));
}

function sample(unit, view, place) {
  const about = [view.device, view.browser, view.os, view.country, view.connection, view.navigation_type, view.release && `release ${view.release}`].filter(Boolean);
  return h("details", { class: "sample", "data-open": `sample-${place}`, open: place === 0 },
    h("summary", { "data-key": `sample-${place}` }, h("strong", {}, figure(unit, view.value)), " ", chip(view.rating), h("span", { class: "soft small" }, " ", quoted(about.join(" · ")), ` · ${moment(view.started)}`)),
    waterfall(view.waterfall),
    h("p", { class: "small soft" }, Object.entries(view.metrics).map(([name, { value: number }]) => `${name} ${value(name === "CLS" ? "score" : "ms", number)}`).join(" · ")),
    ["lcp", "inp", "cls"].filter((name) => view[name]?.target).map((name) => h("p", { class: "small" }, `${name.toUpperCase()} `, h("code", {}, quoted(view[name].target)), view[name].url ? [" ", quoted(view[name].url, "route")] : null)));
}

/** The parts of one page view in time. */
function waterfall(spans) {
  if (spans.length === 0) return h("p", { class: "soft small" }, "No parts are known of this page view.");
  const end = Math.max(...spans.map(({ end_ms }) => end_ms), 1);
  return h("ol", { class: "waterfall" }, spans.map(({ name, start_ms: start, end_ms: stop }) => {
    const bar = h("span", { class: `${stop > start ? "span" : "instant"} ${name.split(/[.:]/)[0].toLowerCase()}` });
    bar.style.left = `${(100 * start) / end}%`;
    bar.style.width = stop > start ? `${(100 * (stop - start)) / end}%` : "";
    return h("li", {}, h("span", { class: "name" }, quoted(name.replaceAll("_", " "))), h("span", { class: "track", "aria-hidden": "true" }, bar),
      h("span", { class: "ms" }, stop > start ? value("ms", stop - start) : `at ${value("ms", start)}`));
  }));
}

/** Engagement by the ratings of a metric; `answer` may be the error of reading it. */
export function engagementPanel(answer) {
  const panel = (...content) => h("section", { class: "panel", "aria-labelledby": "engagement" }, h("h2", { id: "engagement" }, "Engagement beside speed"), content);
  if (answer instanceof Error) return panel(h("p", { class: "soft" }, `${answer.message} ${answer.hint}`));
  if (answer.known === 0) return panel(h("p", { class: "soft" }, "No page view here says whether its visitor engaged."));
  return panel(h("p", { class: "soft small" }, answer.note),
    h("table", { class: "plain-table wide", tabindex: "0" },
      h("thead", {}, h("tr", {}, ["Page views", "n", "interacted", "engaged"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, answer.ratings.map(({ rating, n, interaction, engaged }) => h("tr", {},
        h("th", { scope: "row" }, chip(rating), ` ${answer.metric}`), h("td", {}, count(n)), h("td", {}, percent(interaction, n)), h("td", {}, percent(engaged, n)))))));
}

function percent({ views, interval }, n) {
  if (n === 0) return "–";
  const range = interval === null ? "" : ` (${Math.round(100 * interval[0])} to ${Math.round(100 * interval[1])} %)`;
  return share(views, n) + range;
}
