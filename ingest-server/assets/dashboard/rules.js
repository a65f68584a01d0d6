// The names of pages: a site's rules with a preview of what they join, and its groups, learned and suggested.
import { ApiError, change, post, sitePath } from "./api.js";
import { changeButton, changeForm, field, lines, textBox } from "./forms.js";
import { count, counted, share } from "./format.js";
import { dataTable, failed, h, quoted } from "./dom.js";

/** Time without a key press until the rules are tried. */
const TYPED_MS = 400;

export function routePanels({ fresh: site, part: suggestions }, { mayWrite }, actions) {
  const path = `/api/v1/sites/${encodeURIComponent(site.name)}`;
  const groups = (body, text) => post(sitePath(site.name, "routes/groups"), body).then(() => actions.changed(text));
  return [
    rulesPanel(site, path, mayWrite, actions),
    presentPanel(site, path, mayWrite, groups, actions),
    suggestedPanel(suggestions, mayWrite, groups),
  ];
}

function rulesPanel(site, path, mayWrite, actions) {
  const preview = h("div", { class: "preview", "aria-live": "polite" });
  const box = textBox("routes", "site-routes", site.routes, 4);
  let typed = null;
  let asked = 0;
  const look = async () => {
    asked += 1;
    const mine = asked;
    const rules = lines(box.value);
    if (rules.length === 0) {
      preview.replaceChildren(h("p", { class: "soft" }, "Without rules, each path is a page; ids and dates in paths are joined."));
      return;
    }
    preview.setAttribute("aria-busy", "true");
    const answer = await post(sitePath(site.name, "routes/preview"), { routes: rules }).catch((error) => error);
    if (mine !== asked) return;
    if (answer instanceof Error && !(answer instanceof ApiError)) throw answer;
    preview.removeAttribute("aria-busy");
    preview.replaceChildren(...(answer instanceof Error ? [failed(answer)] : previewed(answer)));
  };
  box.addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(look, TYPED_MS);
  });
  if (site.routes.length > 0) look();
  return h("section", { class: "panel", "aria-labelledby": "rules" }, h("h2", { id: "rules" }, "Rules"),
    changeForm({ button: "Save rules", disabled: !mayWrite, send: (form) => change("PATCH", path, { routes: lines(form.get("routes")) }).then(() => actions.changed("The rules are saved: new page views are named by them.")) },
      field("The first rule that matches a path names its page", box,
        "One a line: /docs/:page stands for one part of the path, /docs/* for everything below. Stored page views keep their names."),
      h("h3", {}, "What these rules would join"), preview));
}

/** The answer of a preview as a table. */
function previewed({ rules, views, routes_now: now, routes_then: then, sampled }) {
  if (views === 0) return [h("p", { class: "soft" }, "No page view of the last 30 days is there to try them on.")];
  const note = ({ pages, named_views: named, shadowed_by: by }) => {
    if (pages > 0) return null;
    if (named > 0) return `${counted(named, "page view")} of these paths keep the names that their pages give (data-route)`;
    return by === undefined ? "matches no page of the last 30 days" : ["its pages go to earlier rules, such as ", quoted(by, "route")];
  };
  return [
    h("p", {}, `${counted(now, "page")} become ${count(then)}, of ${counted(views, "page view")} of the last 30 days${sampled === undefined ? "" : " (a sample)"}.`),
    dataTable("rules", ["Rule", "Pages", "Page views", "Such as"], rules.map((rule) => [quoted(rule.pattern, "route"), counted(rule.pages, "page"),
      `${count(rule.views)} (${share(rule.views, views)})`, note(rule) ?? rule.examples.map((page, place) => [place > 0 ? ", " : "", quoted(page, "route")])])),
  ];
}

function presentPanel(site, path, mayWrite, groups, actions) {
  const { groups: present, apart } = site.route_groups;
  return h("section", { class: "panel", "aria-labelledby": "groups" }, h("h2", { id: "groups" }, "Groups"),
    h("p", { class: "soft" }, "A group joins many small pages that no rule names. ", h("code", {}, ":slug"), " stands for one part of any text."),
    present.length === 0 ? h("p", {}, "This site has no groups.")
      : h("ul", { class: "rejection-list" }, present.map((pattern) => h("li", { class: "line" }, quoted(pattern, "route"),
          mayWrite ? h("span", {}, changeButton({ text: "Remove", "aria-label": `Remove ${pattern}`, send: () => groups({ remove: [pattern] }, "The group is removed; servers do not add it again.") })) : null))),
    apart.length === 0 ? null : h("details", { class: "counts", "data-open": "apart" }, h("summary", { "data-key": "apart" }, `${counted(apart.length, "page")} beside them keep their names`),
      h("ul", {}, apart.map((route) => h("li", {}, quoted(route, "route"))))),
    changeForm({ button: "Save", disabled: !mayWrite, send: (form) => change("PATCH", path, { auto_routes: form.get("auto") !== null }).then(() => actions.changed("Saved.")) },
      h("label", { class: "check" }, h("input", { type: "checkbox", name: "auto", checked: site.auto_routes, "data-key": "auto-routes" }), h("span", {}, "Add groups that are certain by themselves"))));
}

function suggestedPanel(answer, mayWrite, groups) {
  const panel = (...content) => h("section", { class: "panel", "aria-labelledby": "suggested" }, h("h2", { id: "suggested" }, "Suggested groups"), content);
  if (answer instanceof Error) return panel(failed(answer));
  if (answer.groups.length === 0) return panel(h("p", { class: "soft" }, `None: of ${counted(answer.views, "page view")} of the last 30 days, no part of the paths has very many small values.`));
  const certain = answer.groups.filter(({ doubt }) => doubt === undefined).map(({ pattern }) => pattern);
  return panel(
    h("p", { class: "soft" }, `Of ${counted(answer.views, "page view")} of the last 30 days, ${share(answer.other_views, answer.views)} under (other).`),
    h("ul", { class: "rejection-list" }, answer.groups.map((group) => h("li", { class: "line" },
      h("div", {}, h("p", {}, h("strong", {}, quoted(group.pattern, "route")), ` joins ${counted(group.pages, "page")}, ${count(group.views)} page views (${share(group.views, answer.views)})`),
        h("p", { class: "soft small" }, "Such as ", group.examples.map((page, place) => [place > 0 ? ", " : "", quoted(page, "route")])),
        group.message === undefined ? null : h("p", { class: "small" }, `Not certain: ${group.message}`)),
      mayWrite ? h("span", {}, changeButton({ text: "Add", "aria-label": `Add ${group.pattern}`, send: () => groups({ add: [group.pattern] }, "The group is added.") })) : null))),
    mayWrite && certain.length > 1 ? h("p", { class: "buttons" }, changeButton({ text: `Add all ${certain.length} certain ones`, kind: "primary", send: () => groups({ add: certain }, "The groups are added.") })) : null);
}
