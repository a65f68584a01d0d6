// The settings of a site: script tag, keys, origins, name, time zone, retention, and its end.
import { change, post, sitePath } from "./api.js";
import { changeForm, confirmChange, field, lines, textBox } from "./forms.js";
import { counted, moment } from "./format.js";
import { h, quoted } from "./dom.js";
import { allowButton, tag } from "./setup.js";
import { snippetBox } from "./snippet.js";

const KEPT_HOURS = [[0, "at once"], [24, "after 1 day"], [168, "after 7 days"], [720, "after 30 days"]];

export function sitePanels({ fresh: site, part: rejections, retention }, { mayWrite, isAdmin }, actions) {
  const path = `/api/v1/sites/${encodeURIComponent(site.name)}`;
  const update = (settings, text) => change("PATCH", path, settings).then((after) => actions.changed(text, { site: after.name }));
  return [
    keysPanel(site, mayWrite, actions),
    originsPanel(site, rejections, mayWrite, update),
    h("div", { class: "figures" },
      h("section", { class: "panel" }, h("h2", {}, "Name"),
        changeForm({ button: "Rename", disabled: !mayWrite, send: (form) => update({ name: form.get("name") }, "The site has its new name.") },
          field("Name of the site", h("input", { type: "text", name: "name", value: site.name, required: true, maxlength: 64, "data-key": "site-name", autocomplete: "off", spellcheck: "false" }),
            "Lower-case letters, digits, dots, - and _. Script tags go on working; scripts and channels that name the site need the new name."))),
      zonePanel(site, mayWrite, update),
      retentionPanel(retention, isAdmin, actions)),
    isAdmin ? endPanels(site, path, actions) : null,
  ];
}

function keysPanel({ name, keys }, mayWrite, actions) {
  const current = keys.find(({ until }) => until === null)?.key;
  const rotate = (form) => {
    const hours = Number(form.get("hours"));
    confirmChange({
      title: "Make a new key", button: "Make a new key",
      says: `Pages with the present key are measured until it ends: ${KEPT_HOURS.find(([of]) => of === hours)[1]}. Put the new script tag into your pages before.`,
      send: () => post(sitePath(name, "keys"), { keep_old_hours: hours }).then(() => actions.changed("The site has a new key.")),
    });
  };
  return h("section", { class: "panel", "aria-labelledby": "keys" }, h("h2", { id: "keys" }, "Script tag and key"),
    current === undefined ? null : snippetBox(tag(current)),
    h("table", { class: "plain-table wide" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Key"), h("th", { scope: "col" }, "Valid"))),
      h("tbody", {}, keys.map(({ key, until }) => h("tr", {}, h("th", { scope: "row" }, h("code", {}, key)),
        h("td", {}, until === null ? "the present key" : `until ${moment(until)}`))))),
    mayWrite ? changeForm({ button: "Make a new key…", send: async (form) => rotate(form) },
      field("The present key ends", h("select", { name: "hours", "data-key": "key-hours" }, KEPT_HOURS.map(([hours, text]) => h("option", { value: hours, selected: hours === 24 }, text))))) : null);
}

/** The allowed origins, and those that were refused with a button that allows each. */
function originsPanel(site, rejections, mayWrite, update) {
  const refused = (rejections instanceof Error ? [] : rejections.rejections).filter(({ reason, origin }) => reason === "origin" && origin && !site.origins.includes(origin));
  return h("section", { class: "panel", "aria-labelledby": "origins" }, h("h2", { id: "origins" }, "Allowed origins"),
    changeForm({ button: "Save origins", disabled: !mayWrite, send: (form) => update({ origins: lines(form.get("origins")) }, "The origins are saved.") },
      field("Pages of these origins may send", textBox("origins", "site-origins", site.origins),
        "One a line: https://shop.example, https://*.shop.example for its subdomains, or * for any.")),
    refused.length === 0 ? null : h("div", { class: "refused" }, h("h3", {}, "Refused since the server started"),
      h("ul", { class: "rejection-list" }, refused.map(({ origin, count: n }) => h("li", { class: "line" },
        h("span", {}, quoted(origin, "origin"), h("span", { class: "soft small" }, ` ${counted(n, "beacon")}`)),
        mayWrite ? h("span", {}, allowButton(site, origin, (settings) => update(settings, "The origin is allowed."))) : null)))));
}

function zonePanel(site, mayWrite, update) {
  const zones = h("datalist", { id: "zones" });
  const fill = () => {
    if (zones.children.length === 0) zones.append(...Intl.supportedValuesOf("timeZone").map((zone) => h("option", { value: zone })));
  };
  return h("section", { class: "panel" }, h("h2", {}, "Time zone"),
    changeForm({ button: "Save time zone", disabled: !mayWrite, send: (form) => update({ timezone: form.get("timezone") }, "The time zone is saved.") },
      field("Days and weeks of charts begin in", h("input", { type: "text", name: "timezone", value: site.timezone, list: "zones", required: true, "data-key": "site-timezone", autocomplete: "off", spellcheck: "false", onfocus: fill }),
        "An IANA name, such as Europe/Berlin."), zones));
}

function retentionPanel(retention, isAdmin, actions) {
  const kinds = [["views_days", "Page views"], ["hours_days", "By hour"], ["rollups_days", "By day"]];
  const isOfOptions = retention.from === "options";
  if (isOfOptions || !isAdmin) {
    return h("section", { class: "panel" }, h("h2", {}, "Retention"),
      h("table", { class: "plain-table" }, h("tbody", {}, kinds.map(([name, text]) =>
        h("tr", {}, h("th", { scope: "row" }, text), h("td", {}, counted(retention[name], "day")))))),
      h("p", { class: "soft small" }, "Of all sites. ", isOfOptions
        ? ["The options ", h("code", {}, "--keep-views-days"), ", ", h("code", {}, "--keep-hours-days"), " and ", h("code", {}, "--keep-rollups-days"), " of this server say it."]
        : "A token of the scope admin changes it."));
  }
  const keep = (days) => change("PUT", "/api/v1/retention", days).then(() => actions.changed("The retention is set; what is older goes within a minute."));
  const send = async (form) => {
    const days = Object.fromEntries(kinds.map(([name]) => [name, Number(form.get(name))]));
    const lost = kinds.filter(([name]) => days[name] < retention[name]).map(([name, text]) => `${text.toLowerCase()}: older than ${counted(days[name], "day")}`);
    if (lost.length === 0) return keep(days);
    confirmChange({ title: "Keep data for a shorter time", button: "Remove for good",
      says: `Of all sites, this removes what does not come back (${lost.join("; ")}).`, send: () => keep(days) });
  };
  return h("section", { class: "panel" }, h("h2", {}, "Retention"),
    changeForm({ button: "Set the retention", send }, h("div", { class: "fields" }, kinds.map(([name, text]) =>
      field(text, h("input", { type: "number", name, min: name === "hours_days" ? 1 : 2, max: 3660, required: true, value: retention[name], "data-key": `retention-${name}` }), "Days")))),
    h("p", { class: "soft small" }, "Of all sites of all servers of this store."));
}

/** Another site, and the end of this one. */
function endPanels(site, path, actions) {
  const add = async (form) => {
    const added = await post("/api/v1/sites", { name: form.get("name"), origins: lines(form.get("origins")) });
    actions.changed("The site is added.", { site: added.name, view: "setup" });
  };
  const remove = () => confirmChange({
    title: "Delete this site", button: "Delete for good", name: site.name,
    says: "Removes the site and everything measured on it, for good. Its pages are no longer measured.",
    send: (form) => change("DELETE", `${path}?confirm=${encodeURIComponent(form.get("confirm"))}`).then(() => actions.changed("The site is deleted.", { site: null })),
  });
  return h("div", { class: "figures" },
    h("section", { class: "panel" }, h("h2", {}, "Another site"),
      changeForm({ button: "Add the site", send: add },
        field("Name of the new site", h("input", { type: "text", name: "name", required: true, maxlength: 64, "data-key": "new-site", autocomplete: "off", spellcheck: "false" })),
        field("Its origins", textBox("origins", "new-origins", [], 2), "One a line, such as https://blog.example"))),
    h("section", { class: "panel" }, h("h2", {}, "Delete this site"),
      h("p", { class: "soft" }, "With all that was measured on it."),
      h("p", { class: "buttons" }, h("button", { type: "button", class: "secondary danger", onclick: remove, "data-key": "delete-site" }, "Delete this site…"))));
}
