// Small lines in the rows of the ranking, read in one request when the rows come into view.
import { get, sitePath, softly } from "./api.js";
import { h } from "./dom.js";
import { sparkline } from "./timeline.js";

/** A line outlives changes of the data for this time: it is about days, and costs a pass over them. */
const FRESH_MS = 60_000;
/** Distance of the rows from the window at which their lines are read. */
const NEAR = "300px";

/** Lines that are drawn in one task. */
const LINES_PART = 50;

let drawn = { key: null, at: 0, answer: null };

/** The cell of a row's line. */
export function trendCell(route) {
  return h("td", { role: "cell", class: "trend-cell", "data-trend": route });
}

/** Fills the cells of a table that is about to be shown. */
export function followTrends(table, site, query) {
  if (table.querySelector("[data-trend]") === null) return;
  const path = sitePath(site, "trends");
  const key = JSON.stringify([site, query]);
  if (drawn.key === key) fillTrends(table, drawn.answer);
  if (drawn.key === key && Date.now() - drawn.at < FRESH_MS) return;
  const observer = new IntersectionObserver(async (entries) => {
    if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
    observer.disconnect();
    const answer = await softly(get(path, query)).catch((error) => error);
    // A line is an extra: without it, the row says all the same.
    if (answer instanceof Error) return;
    drawn = { key, at: Date.now(), answer };
    fillTrends(table, answer);
  }, { rootMargin: NEAR });
  observer.observe(table);
}

function fillTrends(table, { pages }) {
  const lines = new Map(pages.map((page) => [page.route, page]));
  const cells = [...table.querySelectorAll("[data-trend]")];
  const next = () => {
    if (!table.isConnected && cells.length > LINES_PART) return;
    for (const cell of cells.splice(0, LINES_PART)) {
      const line = lines.get(cell.getAttribute("data-trend"));
      if (line === undefined) continue;
      const drawing = sparkline({ unit: line.unit, points: line.points.map((number) => ({ value: number })) });
      if (drawing !== null) cell.replaceChildren(drawing);
    }
    if (cells.length > 0) setTimeout(next);
  };
  next();
}
