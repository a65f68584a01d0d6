// The state of the server: received beacons, backlog, faults, and the command that mends each fault.
import { chip } from "./chart.js";
import { count, counted, moment } from "./format.js";
import { get } from "./api.js";
import { dataTable, h, quoted } from "./dom.js";

export const serverView = {
  /** The server's own figures have no events. */
  again: 5_000,
  read: async (state, site, { signal }) => ({ server: await get("/api/v1/status", null, signal) }),

  title: () => "Server",

  draw(state, { server }) {
    const troubles = troublesOf(server);
    const advised = server.checks.filter(({ recommendation }) => recommendation);
    return [
      h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, "Server"),
        h("p", { class: "subtitle" }, h("span", {}, `fieldvitals ${server.version}`), h("span", {}, `collector: ${server.collector}`))),
      troubles.length === 0
        ? h("section", { class: advised.length === 0 ? "panel waiting arrived" : "panel notice" }, h("p", {},
            advised.length === 0 ? h("span", { class: "lamp", "aria-hidden": "true" }) : null,
            h("strong", {}, advised.length === 0 ? "Everything works: beacons are taken, loaded and kept." : `Beacons are taken, loaded and kept, but ${counted(advised.length, "check is", "checks are")} past a limit.`)))
        : h("section", { class: "panel waiting refused" }, h("h2", {}, counted(troubles.length, "problem")),
            h("ul", { class: "rejection-list" }, troubles.map(([what, why, remedy]) => h("li", {}, h("p", {}, h("strong", {}, what)), h("p", {}, quoted(why)), h("p", { class: "soft small" }, remedy))))),
      health(server, advised),
      h("div", { class: "figures" },
        table("Beacons since the start", "Outcome", Object.entries(server.outcomes).filter(([, n]) => n > 0), server.received),
        table("Spool", "State", [["appended", server.spool.appended], ["loaded", server.spool.loaded], ["superseded", server.spool.superseded],
          ["discarded", server.spool.discarded], ["waiting", server.spool.waiting], ["waiting, bytes", server.spool.waiting_bytes], ["commits", server.spool.commits]]),
        table("Questions", "State", [["asked", server.questions.asked], ["running", server.questions.running], ["queued", server.questions.queued],
          ["refused: busy", server.questions.busy], ["dropped", server.questions.dropped], ["answers from memory", server.answers.hits], ["computed", server.answers.computed], ["unchanged", server.answers.unchanged]]),
        table("Live dashboards", "State", [["clients", server.live.streams], ["limit", server.live.streams_max], ["sites", server.live.sites]]),
        table("Connections", "State", [["open", server.connections.open], ["limit", server.connections.max], ...Object.entries(server.connections.closed).map(([why, n]) => [`closed: ${why}`, n])]),
        table("Bots, filtered", "Kind", Object.entries(server.bots).filter(([, n]) => n > 0)),
        table("Unusable fields, removed", "Field", Object.entries(server.dropped_fields).filter(([, n]) => n > 0))),
    ];
  },
};

/** What is wrong: what, the error, and what to do. */
function troublesOf({ spool, crowded = [] }) {
  return [
    ...(spool.stalled ? [[`Loading is stalled since ${moment(spool.stalled.since)}.`, spool.stalled.error, "Beacons are taken all the same. Check that the database is reachable; loading goes on by itself."]] : []),
    ...(spool.refused ? [[`Beacons are refused since ${moment(spool.refused.since)}: ${count(spool.refused.beacons)} so far.`, spool.refused.error, "Free space on the disk of --data-dir, or raise --spool-mib."]] : []),
    ...(spool.held ?? []).map((held) => [`The beacons of site ${held.site} are set aside since ${moment(held.since)}: ${counted(held.beacons, "beacon")}.`, held.error, "Other sites are loaded. The loader tries again by itself."]),
    ...crowded.map(({ site, kind, updates }) => [`Site ${site} has more ${kind} than it has places.`, `${counted(updates, "update")} counted under (other)`,
      "If names are made up, `fieldvitals site erase` removes their page views. If URLs have ids in them, route rules join them."]),
  ];
}

const CONDITIONS = { ok: ["good", "ok"], warning: ["needs-improvement", "warning"], critical: ["poor", "critical"] };

/** The checks of the server with their limits, and what to do about those that are past one. */
function health({ health: state, checks }, advised) {
  const shown = (number, unit) => (number === null ? "–" : `${Number(number.toFixed(2))} ${unit}`);
  const named = ({ name, title }) => h("span", { title: name }, title);
  const mark = (of) => chip(...(CONDITIONS[of] ?? [of, of]));
  return h("section", { class: "panel", "aria-labelledby": "health" }, h("h2", { id: "health" }, "Health ", mark(state)),
    advised.length === 0 ? null
      : h("ul", { class: "rejection-list" }, advised.map((check) => h("li", {},
          h("p", {}, mark(check.state), " ", h("strong", {}, named(check)), ` ${shown(check.value, check.unit)}, since ${moment(check.since)}`), h("p", { class: "soft small" }, check.recommendation)))),
    dataTable("", ["Check", "State", "Value", "Limits"], checks.map((check) => {
      const side = check.warning > check.critical ? "under" : "over";
      return [named(check), mark(check.state), shown(check.value, check.unit), `warning ${side} ${shown(check.warning, check.unit)}, critical ${side} ${shown(check.critical, check.unit)}`];
    })));
}

function table(caption, name, rows, sum) {
  return h("section", { class: "panel" }, h("h2", {}, caption),
    rows.length === 0
      ? h("p", { class: "soft" }, "None.")
      : h("table", { class: "plain-table" },
          h("thead", { class: "hidden" }, h("tr", {}, h("th", { scope: "col" }, name), h("th", { scope: "col" }, "Number"))),
          h("tbody", {}, rows.map(([of, n]) => h("tr", {}, h("th", { scope: "row" }, of), h("td", {}, count(n))))),
          sum === undefined ? null : h("tfoot", {}, h("tr", {}, h("th", { scope: "row" }, "received"), h("td", {}, count(sum))))));
}
