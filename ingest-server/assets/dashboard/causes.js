// What explains LCP, INP, CLS and TTFB on a page: the elements that page views name, or the longest part of TTFB, those of
// most views first; and the conditions of the page views.
import { chip, figure } from "./chart.js";
import { h, quoted } from "./dom.js";
import { count, counted, share, value } from "./format.js";

/** The metrics that page views explain. */
export const EXPLAINED = ["LCP", "INP", "CLS", "TTFB"];

const PARTS = {
  LCP: [["ttfb", "Time to first byte"], ["load_delay", "Load delay"], ["load_duration", "Load"], ["render_delay", "Render delay"]],
  INP: [["input_delay", "Input delay"], ["processing", "Processing"], ["presentation", "Presentation"]],
  CLS: [],
  TTFB: [["redirect", "Redirect"], ["service_worker", "Service worker"], ["cache", "Cache"], ["dns", "DNS"], ["connect", "Connect"], ["request", "Request"]],
};
const STATES = { loading: "while loading", "dom-content-loaded": "before the load event", complete: "after the load event" };
const NOBODY = {
  LCP: "No page view here says which element was the largest.",
  INP: "No page view here says which element was used.",
  CLS: "No page view here says what moved.",
  TTFB: "No page view here says what the browser waited for.",
};

/** One panel a metric; `answers` are attribution answers, or the errors of reading them. */
export function causePanels(answers) {
  return h("section", { class: "causes", "aria-labelledby": "causes" },
    h("h2", { id: "causes" }, "What explains the values"),
    EXPLAINED.map((name, place) => panel(name, answers[place])),
    beside(answers.find((answer) => !(answer instanceof Error))));
}

function panel(name, answer) {
  const title = h("h3", {}, name);
  if (answer instanceof Error) {
    return h("section", { class: "panel cause-panel", "aria-label": name }, title,
      h("p", { class: "soft" }, answer.message), answer.hint ? h("p", { class: "soft small" }, answer.hint) : null);
  }
  const more = answer.causes_found - answer.causes.length;
  return h("section", { class: "panel cause-panel", "aria-label": name },
    h("div", { class: "cause-head" }, title,
      h("p", { class: "soft small" }, `explained by ${count(answer.explained)} of ${counted(answer.measured, "page view")}${inSample(answer)}`)),
    answer.causes.length === 0
      ? h("p", { class: "soft" }, NOBODY[name])
      : h("ol", {}, answer.causes.map((cause) => item(name, answer, cause))),
    name === "TTFB" ? conditions(answer) : null,
    more > 0 ? h("p", { class: "soft small" }, `${count(more)} more not shown.`) : null);
}

/** States the sample of an answer. */
export function inSample({ sample }) {
  if (sample === undefined) return "";
  const cut = sample.cut ? ", without a part of the period" : "";
  return ` in a sample of ${(sample.share * 100).toFixed(1)} %${cut}`;
}

function item(name, { unit, explained }, cause) {
  return h("li", {},
    h("p", { class: "cause-line" },
      h("span", { class: "cause-target" }, name === "TTFB" ? title(cause.longest_part) : cause.target ? quoted(cause.target, "route") : h("span", { class: "soft" }, "an element that is gone")),
      h("span", { class: "cause-value" }, figure(unit, cause.p75), chip(cause.rating))),
    what(name, cause),
    parts(name, cause),
    h("p", { class: "soft small facts" },
      h("span", {}, `${share(cause.n, explained)} (${counted(cause.n, "page view")})`),
      h("span", {}, facts(name, cause))));
}

/** A part of TTFB, in words. */
const title = (part) => PARTS.TTFB.find(([key]) => key === part)?.[1] ?? part;

/** The conditions of page views: how many there are of each class, and TTFB in them. */
function conditions({ unit, conditions: { classes, server_timings, not_restored, document_kb } }) {
  const rows = [
    ...Object.entries(classes).flatMap(([condition, of]) => of.map((one) => [condition, one.class, one])),
    ...server_timings.map((one) => ["server-timing", `${one.name} ${one.description ?? ""}`.trim(), one]),
  ];
  const known = [
    document_kb.n > 0 ? `compressed document p75 ${count(document_kb.p75)} kB` : null,
    ...not_restored.map(({ reason, n }) => `no back/forward cache (${count(n)}): ${reason}`),
  ].filter(Boolean);
  if (rows.length === 0 && known.length === 0) return null;
  return h("details", {}, h("summary", {}, "By condition"),
    h("ul", { class: "part-names" }, rows.map(([condition, of, { n, p75 }]) =>
      h("li", {}, h("span", { class: "name" }, `${condition} ${of}`), ` ${count(n)} · p75 ${value(unit, p75)}`))),
    known.length > 0 ? h("p", { class: "soft small" }, known.join(" · ")) : null);
}

function what(name, { url, event, script }) {
  if (name === "LCP") return h("p", { class: "soft small cause-what" }, url ? quoted(url) : "Text");
  if (name === "INP") {
    return h("p", { class: "soft small cause-what" }, event ? quoted(event) : "",
      script ? [" · longest script ", quoted(script.url), ` ${value("ms", script.median_ms)}`] : null);
  }
  return null;
}

/** The medians of the parts as a bar, and in words. */
function parts(name, { parts_ms }) {
  const all = PARTS[name].map(([key, text], place) => ({ text, ms: parts_ms?.[key] ?? 0, place }));
  const sum = all.reduce((total, { ms }) => total + ms, 0);
  if (sum === 0) return null;
  const shown = all.filter(({ ms }) => ms > 0);
  return [
    h("div", { class: "parts", "aria-hidden": "true" },
      shown.map(({ ms, place }) => {
        const part = h("span", { class: `part-${place}` });
        part.style.flexGrow = ms;
        return part;
      })),
    h("ul", { class: "part-names" }, all.map(({ text, ms, place }) =>
      h("li", { class: `part-${place}` }, h("span", { class: "name" }, text), ` ${value("ms", ms)}`))),
  ];
}

function facts(name, { at_ms, shift, load_states }) {
  if (name === "LCP" || name === "TTFB") return "";
  const [state] = Object.entries(load_states ?? {}).sort(([, one], [, other]) => other - one)[0] ?? [];
  const known = [
    shift === undefined ? null : `largest shift ${value("score", shift)}`,
    at_ms === undefined ? null : `at ${value("ms", at_ms)}`,
    state === undefined ? null : `mostly ${STATES[state] ?? state}`,
  ];
  return known.filter(Boolean).join(" · ");
}

/** Total Blocking Time, why TTI was not reached, and what failed in the collector. */
function beside(answer) {
  if (answer === undefined) return null;
  const { tbt, tti, collector_errors } = answer;
  const unreached = [["hidden", "hidden or left"], ["network", "requests in flight"], ["cpu", "main thread busy"]]
    .filter(([key]) => tti[key] > 0).map(([key, text]) => `${text} ${count(tti[key])}`);
  const failed = Object.entries(collector_errors).filter(([, n]) => n > 0).map(([part, n]) => `${part} ${count(n)}`);
  const known = [
    tbt.n > 0 ? ["Total Blocking Time", `p50 ${value("ms", tbt.p50)}, p75 ${value("ms", tbt.p75)} of ${counted(tbt.n, "page view")}`] : null,
    tti.reached > 0 || unreached.length > 0 ? ["Time to Interactive", [`reached in ${count(tti.reached)}`, ...unreached].join(" · ")] : null,
    failed.length > 0 ? ["Collector errors", `${failed.join(" · ")} page views`] : null,
  ].filter(Boolean);
  if (known.length === 0) return null;
  return h("dl", { class: "panel beside" }, known.map(([term, text]) => h("div", {}, h("dt", {}, term), h("dd", {}, text))));
}
