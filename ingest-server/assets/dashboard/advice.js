// What to fix first: the repairs that reach most page views, with the numbers that say so.
import { failed, h, quoted } from "./dom.js";
import { count, share } from "./format.js";

const HORIZONS = { immediate: "in hours", "short-term": "in days", "long-term": "in months" };

/** The first `most` recommendations of an answer, or of the error of reading it. */
export function advicePanel(advice, most) {
  if (advice === null || advice === undefined) return null;
  const panel = (...content) => h("section", { class: "panel advice", "aria-labelledby": "advice" }, h("h2", { id: "advice" }, "What to fix first"), content);
  if (advice instanceof Error) return panel(failed(advice));
  const { recommendations, silent } = advice;
  const isQuiet = silent.length > 0 && silent.every(({ code }) => code === "good");
  return panel(
    recommendations.length === 0
      ? h("p", { class: "soft" }, isQuiet ? "Nothing: every metric that advice is about is good." : "No advice yet.")
      : h("ol", {}, recommendations.slice(0, most).map(recommendation)),
    recommendations.length === 0 && !isQuiet ? h("ul", { class: "soft small" }, silent.map(({ metric, message }) => h("li", {}, `${metric}: `, quoted(message)))) : null);
}

function recommendation({ code, metric, severity, title, evidence, dominated, slow_explained: slow, element, resource, steps }) {
  return h("li", {},
    h("p", { class: "cause-line" }, h("strong", {}, title), h("span", { class: `severity ${severity}` }, `${severity} · ${metric}`)),
    h("p", { class: "small" }, quoted(evidence)),
    element || resource ? h("p", { class: "small" }, element ? [h("code", {}, quoted(element)), " "] : null, resource ? quoted(resource, "route") : null) : null,
    h("details", { class: "counts", "data-open": `advice-${code}` },
      h("summary", { "data-key": `advice-${code}` }, `${steps.length === 1 ? "One step" : `${steps.length} steps`}, for ${share(dominated, slow)} of ${count(slow)} slow page views`),
      h("ul", {}, steps.map(({ horizon, text }) => h("li", {}, h("strong", {}, `${HORIZONS[horizon] ?? horizon}: `), text)))));
}
