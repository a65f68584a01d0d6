// Channels of alerts: listed and tried. They hold secrets and addresses inside of networks, so the server's owner has them in a
// file; here are the lines for it.
import { changeButton, field } from "./forms.js";
import { chip } from "./chart.js";
import { dataTable, failedPanel, h, quoted } from "./dom.js";
import { post } from "./api.js";
import { snippetBox } from "./snippet.js";

/** The kinds whose receivers take weekly digests. */
const DIGESTS = ["slack", "teams", "email", "webhook"];
/** The lines of each kind of channel, but for its name. */
const KINDS = {
  slack: ["url = { env = \"SLACK_URL\" }  # of an incoming webhook"],
  teams: ["url = { env = \"TEAMS_URL\" }  # of a workflow that takes webhook requests"],
  pagerduty: ["key = { env = \"PAGERDUTY_KEY\" }  # of an integration Events API v2"],
  email: ["url = \"smtps://mail.example.com\"", "user = \"vitals\"", "password = { env = \"MAIL_PASSWORD\" }", "from = \"vitals@example.com\"", "to = [\"team@example.com\"]"],
  webhook: ["url = \"https://hooks.example.com/vitals\"", "secret = { env = \"WEBHOOK_SECRET\" }"],
  alertmanager: ["url = \"https://alertmanager.example.com\""],
};

export function channelPanels({ part: answer, fresh: site }, { mayWrite }) {
  if (answer instanceof Error) return failedPanel("Channels are of the whole server", answer);
  return [
    h("section", { class: "panel", "aria-labelledby": "channels" }, h("h2", { id: "channels" }, "Channels"),
      answer.channels.length === 0 ? h("p", {}, "This server has no channel: alerts are shown here, and sent nowhere.") : channelTable(answer.channels, mayWrite)),
    newPanel(site.name),
  ];
}

export function channelTable(channels, mayWrite) {
  return dataTable("", ["Name", "Kind", "Tells", "Sites", "State", "Test"], channels.map(({ name, kind, alerts, digest, sites, problems }) => [quoted(name), kind,
    [alerts ? "alerts" : null, digest ? "weekly digest" : null].filter(Boolean).join(", "),
    sites.length === 0 ? "all sites" : sites.map((site, place) => [place > 0 ? ", " : "", quoted(site)]), stateOf(problems), mayWrite ? tryButton(name) : null]));
}

/** What keeps notices from a channel, as it is configured. */
function stateOf(problems) {
  if (problems.length === 0) return "no fault known";
  return problems.map((problem) => h("div", { class: "small" }, chip("poor", "Fault"), " ", quoted(problem)));
}

/** Sends a test notice, and shows what the receiver answered. */
function tryButton(name) {
  const done = h("span", { class: "small good-text", role: "status" });
  const send = async () => {
    done.textContent = "";
    await post(`/api/v1/channels/${encodeURIComponent(name)}/test`, {});
    done.textContent = "The test notice was taken.";
  };
  return [changeButton({ text: "Send a test", "aria-label": `Send a test to ${name}`, send }), " ", done];
}

/** The lines of a new channel. */
function newPanel(site) {
  const text = h("div", {});
  const kind = h("select", { name: "kind" }, Object.keys(KINDS).map((name) => h("option", { value: name }, name)));
  const only = h("input", { type: "checkbox", name: "only" });
  const weekly = h("input", { type: "checkbox", name: "weekly" });
  const draw = () => text.replaceChildren(snippetBox(["[[channel]]", `name = "${kind.value}"`, `kind = "${kind.value}"`, ...KINDS[kind.value],
    ...(only.checked ? [`sites = ["${site}"]`] : []), ...(weekly.checked && DIGESTS.includes(kind.value) ? ["digest = true"] : [])].join("\n")));
  kind.addEventListener("change", draw);
  only.addEventListener("change", draw);
  weekly.addEventListener("change", draw);
  draw();
  return h("section", { class: "panel", "aria-labelledby": "new-channel" }, h("h2", { id: "new-channel" }, "Add or remove a channel"),
    h("p", { class: "soft" }, "Channels hold secrets, so they are in a file of the server's owner, and no token can change them. Add these lines to it or remove a channel's lines, and restart the server with ",
      h("code", {}, "--alerts alerts.toml"), ". Beacons are kept meanwhile."),
    h("div", { class: "fields" }, field("Kind", kind), h("label", { class: "check" }, only, h("span", {}, "Only of ", quoted(site))),
      h("label", { class: "check" }, weekly, h("span", {}, "Also a weekly digest (Slack, Teams, mail, webhook)"))),
    text);
}
