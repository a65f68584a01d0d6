// API tokens: made, shown once, revoked.
import { change, post } from "./api.js";
import { changeForm, confirmChange, field } from "./forms.js";
import { dataTable, failedPanel, h, quoted, readable } from "./dom.js";
import { moment } from "./format.js";
import { openDialog } from "./dialogs.js";
import { snippetBox } from "./snippet.js";

const SCOPES = [["read", "read: reports, checks"], ["write", "write: also settings of sites, budgets, alerts"], ["admin", "admin: also sites, tokens, the log"]];

export function tokenPanels({ part: answer, sites }, access, actions) {
  if (answer instanceof Error) return failedPanel("Tokens are of the whole server", answer);
  return [
    h("section", { class: "panel", "aria-labelledby": "tokens" }, h("h2", { id: "tokens" }, "Tokens"),
      dataTable("", ["Name", "Id", "Scope", "Sites", "Made", "Revoke"], answer.tokens.map((token) => tokenRow(token, actions)))),
    h("section", { class: "panel", "aria-labelledby": "new-token" }, h("h2", { id: "new-token" }, "A new token"),
      changeForm({ button: "Make the token", kind: "primary", send: (form) => addToken(form, actions) },
        h("div", { class: "fields" },
          field("Name", h("input", { type: "text", name: "name", required: true, maxlength: 64, "data-key": "token-name", autocomplete: "off" }), "Who or what uses it; no other token may have it."),
          field("Scope", h("select", { name: "scope", "data-key": "token-scope" }, SCOPES.map(([scope, text]) => h("option", { value: scope }, text))))),
        h("fieldset", { class: "choices" }, h("legend", {}, "Limited to these sites. No choice: all sites"),
          sites.map(({ name }) => h("label", { class: "check" }, h("input", { type: "checkbox", name: "sites", value: name, "data-key": `token-site-${name}` }), h("span", {}, readable(name))))))),
  ];
}

function tokenRow({ id, name, scope, sites, created }, actions) {
  const revoke = () => confirmChange({
    title: `Revoke ${name} (id ${id})`, button: "Revoke", says: "Its sessions and links end at once, and what uses it stops working.",
    send: () => change("DELETE", `/api/v1/tokens/${id}`).then(() => actions.changed("The token is revoked.")),
  });
  return [quoted(name), `id ${id}`, scope, sites === null ? "all sites" : sites.map((site, place) => [place > 0 ? ", " : "", quoted(site)]), moment(created),
    h("button", { type: "button", class: "plain", onclick: revoke, "aria-label": `Revoke ${name} (id ${id})`, "data-key": `revoke-${id}` }, "Revoke…")];
}

async function addToken(form, actions) {
  const sites = form.getAll("sites");
  const made = await post("/api/v1/tokens", { name: form.get("name"), scope: form.get("scope"), ...(sites.length > 0 ? { sites } : {}) });
  const dialog = openDialog("The new token", h("h2", {}, "The new token of ", quoted(made.name)),
    h("p", {}, "It is shown now and never again. Copy it to where it is used."), snippetBox(made.token),
    h("form", { method: "dialog" }, h("button", { class: "primary", type: "submit" }, "I have copied it")));
  dialog.addEventListener("close", () => actions.changed("The token is made."));
}
