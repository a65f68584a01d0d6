// The change of a metric, with its uncertainty.
import { h } from "./dom.js";
import { counted, value } from "./format.js";

const VERDICTS = {
  worse: ["▲", "worse"],
  better: ["▼", "better"],
  "no clear change": ["≈", "no clear change"],
  "not enough data": ["?", "too few values to compare"],
};

/** A difference with its sign: `+120 ms`, `−0.012`. */
export function difference(unit, number) {
  return `${number < 0 ? "−" : "+"}${value(unit, Math.abs(number))}`;
}

/** The interval of a change, for views with room for it. */
export function changeRange({ unit, interval: range, verdict }) {
  if (range === null || verdict === "not enough data") return null;
  return h("span", { class: "soft small range-of-change" }, ` 90 % CI ${difference(unit, range[0])} to ${difference(unit, range[1])}`);
}

/** The sign and the words of a verdict. A side without values is no small one. */
function wordsOf({ verdict, baseline, current }, than) {
  if (current === null) return ["", "no values now"];
  if (baseline === null) return ["", `no values in ${than}`];
  return VERDICTS[verdict] ?? ["", verdict];
}

/** The change of a row's metric since the period before; `before` is absent if one of both has too few values. */
export function rowChange(unit, before) {
  if (before === undefined) return null;
  const { n, p75, change_percent: percent, verdict } = before;
  const [sign, words] = VERDICTS[verdict] ?? ["", verdict];
  const size = percent === null || verdict === "no clear change" ? "" : `${percent < 0 ? "−" : "+"}${Number(Math.abs(percent).toFixed(percent > -10 && percent < 10 ? 1 : 0))} % `;
  return h("span", { class: `change small ${verdict.replaceAll(" ", "-")}`, title: `The period before: ${value(unit, p75)}, p75 of ${counted(n, "value")}` },
    h("span", { "aria-hidden": "true" }, `${sign} `), size, words);
}

/** A change in a few words; `than` names the other side. */
export function changeMark(change, than) {
  if (change === undefined || change === null) return null;
  const [sign, words] = wordsOf(change, than);
  const isKnown = change.change !== null && change.verdict !== "not enough data";
  const title = change.interval === null ? words
    : `${words}: ${difference(change.unit, change.change)} against ${than}; the 90 % confidence interval of the change is ${difference(change.unit, change.interval[0])} to ${difference(change.unit, change.interval[1])}`;
  return h("span", { class: `change ${change.verdict.replaceAll(" ", "-")}`, title },
    sign === "" ? null : h("span", { "aria-hidden": "true" }, `${sign} `), isKnown ? `${difference(change.unit, change.change)} ` : "", words);
}
