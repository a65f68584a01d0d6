// Slow page views, each as a waterfall; and engagement beside speed.
import { chip, figure } from "./chart.js";
import { count, counted, moment, share, value } from "./format.js";
import { failed, h, quoted, readable } from "./dom.js";
import { inSample } from "./causes.js";

/** Slow page views; `answer` may be the error of reading them; `control` chooses which. */
export function samplesPanel(metric, answer, control) {
  const panel = (...content) => h("section", { class: "panel", "aria-labelledby": "samples" },
    h("div", { class: "panel-head flush" }, h("h2", { id: "samples" }, `Slow page views by ${metric}`), control), content);
  if (answer instanceof Error) return panel(failed(answer));
  if (answer.samples.length === 0) return panel(h("p", { class: "soft" }, `No page view here has a value of ${metric}.`));
  return panel(h("p", { class: "soft small" }, `Shown${inSample(answer)}: ${answer.rule}.`),
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

const PART_NAMES = { ttfb: "TTFB", lcp: "LCP", inp: "INP", dns: "DNS" };

/** The name of a span for people: `lcp.load_delay` is `LCP load delay`, `mark:order` is `mark order`. */
function spanName(name) {
  const mark = /^mark:(.*)$/s.exec(name);
  if (mark !== null) return `mark ${mark[1]}`;
  return name.split(".").map((part) => PART_NAMES[part] ?? part.replaceAll("_", " ")).join(" ");
}

/** The parts of one page view in time. */
function waterfall(spans) {
  if (spans.length === 0) return h("p", { class: "soft small" }, "No parts are known of this page view.");
  const end = Math.max(...spans.map(({ end_ms }) => end_ms), 1);
  return h("ol", { class: "waterfall" }, spans.map(({ name, start_ms: start, end_ms: stop }) => {
    const bar = h("span", { class: `${stop > start ? "span" : "instant"} ${name.split(/[.:]/)[0].toLowerCase()}` });
    bar.style.left = `${(100 * start) / end}%`;
    bar.style.width = stop > start ? `${(100 * (stop - start)) / end}%` : "";
    return h("li", {}, h("span", { class: "name" }, quoted(spanName(name))), h("span", { class: "track", "aria-hidden": "true" }, bar),
      h("span", { class: "ms" }, stop > start ? value("ms", stop - start) : `at ${value("ms", start)}`));
  }));
}

/** Engagement by the ratings of a metric; `answer` may be the error of reading it. */
export function engagementPanel(answer) {
  const panel = (...content) => h("section", { class: "panel", "aria-labelledby": "engagement" }, h("h2", { id: "engagement" }, "Engagement beside speed"), content);
  if (answer instanceof Error) return panel(failed(answer));
  if (answer.known === 0) return panel(h("p", { class: "soft" }, "No page view here says whether its visitor engaged."));
  return panel(
    h("table", { class: "plain-table wide engagement" },
      h("thead", {}, h("tr", {}, [`${answer.metric} rating`, "Page views", "Interacted", "Engaged", answer.mark === null ? null : `Mark ${readable(answer.mark)}`].filter(Boolean).map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, answer.ratings.map(({ rating, n, interaction, engaged, mark }) => h("tr", {},
        h("th", { scope: "row" }, chip(rating)), h("td", {}, count(n)), [interaction, engaged, mark].filter(Boolean).map((part) => h("td", {}, percent(part, n))))))),
    h("p", { class: "soft small" }, `${counted(answer.known, "page view")} of known engagement${inSample(answer)}. Shares have 90 % confidence intervals. ${answer.note}`));
}

/** A share as a bar and in words, with its confidence interval. */
function percent({ views, interval }, n) {
  if (n === 0) return "–";
  const bar = h("span", { class: "filled" });
  bar.style.width = `${(100 * views) / n}%`;
  return [share(views, n), interval === null ? null : h("span", { class: "soft small range-of-share" }, ` ${Math.round(100 * interval[0])} – ${Math.round(100 * interval[1])} %`),
    h("span", { class: "proportion", "aria-hidden": "true" }, bar)];
}
