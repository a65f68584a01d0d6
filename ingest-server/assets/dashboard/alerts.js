// Alerts: broken budgets and silent sites, with their notices; acknowledge, snooze, resolve.
import { changeButton } from "./forms.js";
import { channelTable } from "./channels.js";
import { chip } from "./chart.js";
import { counted, moment } from "./format.js";
import { h, quoted } from "./dom.js";
import { get, post, sitePath, softly } from "./api.js";
import { alertTitle } from "./violations.js";
import { segmented } from "./controls.js";

const ALERTS_MAX = 100;
const SNOOZES = [[60, "1 hour"], [360, "6 hours"], [1_440, "1 day"], [10_080, "1 week"]];
const ALERT_STATES = { open: ["poor", "Open"], acknowledged: ["needs-improvement", "Acknowledged"], snoozed: ["needs-improvement", "Snoozed"], resolved: ["good", "Over"] };

export const alertsView = {
  still: true,
  /** The server looks every minute, and delivers every second. */
  again: 15_000,

  async read(state, site, { signal }) {
    const [alerts, channels] = await Promise.all([
      get(sitePath(site.name, "alerts"), { status: state.status, limit: ALERTS_MAX }, signal),
      softly(get("/api/v1/channels", null, signal)),
    ]);
    return { alerts, channels };
  },

  title: () => "Alerts",

  draw(state, answers, link, actions) {
    const { alerts: { alerts, next_cursor: more }, channels, site } = answers;
    const mayWrite = answers.scope !== "read" && !answers.isLink;
    const isOpen = state.status === "open";
    return [
      h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, "Alerts of ", quoted(state.site)),
        h("p", { class: "subtitle" }, "A kept budget is broken, or the site stopped sending. An alert is told when it opens and when it ends.")),
      h("div", { class: "controls" }, segmented("status", "Alerts", [["open", "Open"], ["all", "All"]], state, link)),
      alerts.length === 0
        ? h("section", { class: "panel waiting arrived" }, h("p", {}, h("span", { class: "lamp", "aria-hidden": "true" }), h("strong", {}, isOpen ? "No alert is open." : "There was no alert yet.")))
        : h("section", { class: "panel alerts", "aria-labelledby": "alerts" }, h("h2", { id: "alerts" }, counted(alerts.length, isOpen ? "open alert" : "alert")),
            h("ul", { class: "rejection-list" }, alerts.map((alert) => alertItem(alert, site.name, mayWrite, link, actions))),
            more === null ? null : h("p", { class: "soft" }, `The latest ${ALERTS_MAX} are shown.`)),
      channels instanceof Error ? null : h("section", { class: "panel", "aria-labelledby": "channels" },
        h("div", { class: "panel-head flush" }, h("h2", { id: "channels" }, "Channels"), link({ view: "settings", part: "channels" }, { "data-key": "to-channels" }, "Add or remove")),
        channels.channels.length === 0 ? h("p", { class: "soft" }, "None: alerts are shown here, and sent nowhere.") : channelTable(channels.channels, mayWrite)),
    ];
  },
};

function alertItem(alert, site, mayWrite, link, actions) {
  const { id, state, severity, since, opened, acknowledged, acknowledged_by: by, snoozed_until: until, resolved, resolved_by: resolver, details, notices } = alert;
  const [rating, text] = ALERT_STATES[state] ?? [state, state];
  const budget = details?.budget;
  const act = (body, says) => post(sitePath(site, `alerts/${id}`), body).then(() => actions.changed(says));
  const times = [`since ${moment(since)}`, opened !== since && `told ${moment(opened)}`, acknowledged && `acknowledged by ${by} ${moment(acknowledged)}`, state === "snoozed" && `snoozed until ${moment(until)}`,
    resolved && (resolver === null ? `over ${moment(resolved)}` : `resolved by ${resolver} ${moment(resolved)}`)].filter(Boolean);
  return h("li", { class: state === "resolved" ? "resolved" : null },
    h("p", {}, chip(rating, text), " ", h("strong", {}, alertTitle(alert)), severity === "warning" ? [" ", h("span", { class: "severity" }, "warning")] : null),
    details?.evidence ? h("p", { class: "small" }, quoted(details.evidence)) : null,
    h("p", { class: "soft small" }, quoted(times.join(" · "))),
    notices.length === 0 ? null : h("ul", { class: "soft small" }, notices.map(noticeLine)),
    h("div", { class: "line acts" },
      budget?.route && !budget.route.includes("*") ? link({ view: "overview", route: budget.route, metric: budget.metric }, { class: "secondary", "data-key": `alert-page-${id}` }, "Look at the page") : null,
      mayWrite && resolved === null ? [
        acknowledged === null ? changeButton({ text: "Acknowledge", "data-key": `ack-${id}`, send: () => act({ action: "acknowledge" }, "The alert is acknowledged: no more reminders.") }) : null,
        snooze(id, act),
        changeButton({ text: "Resolve", "data-key": `resolve-${id}`, send: () => act({ action: "resolve" }, "The alert is resolved.") }),
      ] : null));
}

/** A list of times; choosing one snoozes the alert. */
function snooze(id, act) {
  const minutes = h("select", { "data-key": `snooze-for-${id}`, "aria-label": "Snooze for" }, SNOOZES.map(([of, text]) => h("option", { value: of }, text)));
  return h("span", { class: "joined" }, changeButton({ text: "Snooze for", "data-key": `snooze-${id}`, send: () => act({ action: "snooze", minutes: Number(minutes.value) }, "The alert is snoozed.") }), minutes);
}

function noticeLine({ channel, event, attempts, due, sent, error }) {
  const words = [
    due === null && sent !== null ? `told ${event === "resolved" ? "of its end " : ""}${moment(sent)}` : null,
    due !== null ? `${attempts > 0 ? `${counted(attempts, "failed attempt")}, ` : ""}next ${moment(due)}` : null,
    due === null && sent === null ? "not told" : null,
    error === null ? null : error,
  ].filter(Boolean);
  return h("li", {}, h("bdi", {}, channel), ": ", quoted(words.join("; ")));
}
