// The first run: the tag, where it goes, and whether visits arrive; and why beacons were refused.
import { controls, subtitle } from "./controls.js";
import { counted, moment } from "./format.js";
import { change, get, sitePath, softly } from "./api.js";
import { changeButton } from "./forms.js";
import { h, quoted } from "./dom.js";
import { filtersOf, scope } from "./address.js";
import { snippetBox } from "./snippet.js";

export const setupView = {
  async read(state, site, { signal }) {
    const of = (resource, query) => get(sitePath(site.name, resource), query, signal);
    const [report, rejections] = await Promise.all([of("report", scope(state)), softly(of("rejections"))]);
    return { report, rejections };
  },

  title: () => "Set up",

  draw(state, answers, link, actions) {
    return [
      h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, "Set up ", quoted(state.site)), subtitle(answers.report, answers, actions)),
      answers.report.views === 0 ? null : controls(state, answers, link, actions),
      waiting(state, answers, link),
      rejectionPanel(true, answers, actions),
    ];
  },
};

/** The steps to the first visit, and whether there is one. */
export function waiting(state, answers, link) {
  const { report, rejections, site } = answers;
  const isFiltered = filtersOf(state).length > 0;
  const key = site.keys.find(({ until }) => until === null)?.key ?? site.keys[0]?.key;
  const refused = Array.isArray(rejections?.rejections) && rejections.rejections.length > 0;
  return [
    h("section", { class: `panel waiting ${report.views > 0 ? "arrived" : refused ? "refused" : ""}`, "aria-live": "polite" },
      h("p", {}, h("span", { class: "lamp", "aria-hidden": "true" }),
        h("strong", {}, report.views > 0 ? `Visits arrive: ${counted(report.views, "page view")} so far.`
          : isFiltered ? "No page view has these filters in this period."
            : refused ? "No visit yet, and beacons were refused: see the reasons below."
              : "Waiting for your first visit…")),
      h("p", { class: "soft small" }, report.views > 0
        ? link({ view: "overview", route: null }, { "data-key": "to-overview" }, "Look at the overview")
        : "This page changes by itself within two seconds after a visited page is left, or its tab is hidden.")),
    h("section", { class: "panel empty", "aria-labelledby": "empty" },
      h("h2", { id: "empty" }, report.views > 0 ? "The script tag" : "No data yet"),
      h("ol", { class: "steps" },
        h("li", {}, h("h3", {}, "Put the script tag into your pages"),
          key
            ? [snippetBox(tag(key)), stacks(key)]
            : h("p", { class: "soft" }, "This site has no key. ", h("code", {}, "fieldvitals site rotate-key"), " makes one.")),
        h("li", {}, h("h3", {}, "Allow your pages' origin"),
          h("p", { class: "soft" }, "Beacons are taken from ", site.origins.length > 0 ? origins(site.origins) : "no origin yet", ". To change that, run where the server's data is:"),
          snippetBox(`fieldvitals site update ${site.name} --origin https://www.example.com`)),
        h("li", {}, h("h3", {}, "Visit a page and leave it"),
          h("p", { class: "soft" }, "A visit is complete when its page is left: follow a link, or switch tabs. ",
            answers.demo ? ["The ", h("a", { href: "demo/" }, "demo pages"), " are there to try it."] : null)))),
  ];
}

/** The script tag of a key. */
export function tag(key) {
  return `<script async src="${new URL("v.js", location.href).href}" data-site="${key}"></script>`;
}

/** Where the tag goes, by stack. */
function stacks(key) {
  const src = `${new URL("v.js", location.href).href}`;
  const places = [
    ["Any HTML", "Into the head of every page, before other scripts.", tag(key)],
    ["Next.js", "Into app/layout.tsx, with `import Script from \"next/script\"`.", `<Script src="${src}" data-site="${key}" strategy="beforeInteractive" />`],
    ["Vite, React, Vue, Svelte", "Into the head of index.html. Routes of the application are measured as page views of their own.", tag(key)],
    ["WordPress", "Into functions.php of the theme.", `add_action('wp_head', function () {\n  echo '${tag(key)}';\n}, 1);`],
    ["Google Tag Manager", "As a tag of the kind Custom HTML, with the trigger All Pages. Visits that end before the manager has loaded are not measured.",
      `<script>\n  var s = document.createElement("script");\n  s.async = true; s.src = "${src}"; s.dataset.site = "${key}";\n  document.head.append(s);\n</script>`],
  ];
  return h("div", { class: "stacks" }, places.map(([name, where, code], place) =>
    h("details", { name: "stack", "data-open": `stack-${place}` }, h("summary", {}, name), h("p", { class: "soft" }, where), snippetBox(code))));
}

function origins(list) {
  return list.map((origin, index) => [index > 0 ? ", " : "", origin === "*" ? "every origin" : h("code", {}, quoted(origin))]);
}

/** What mends a refusal, by its reason. */
const REMEDIES = {
  origin: (site, origin) => `fieldvitals site update ${site} --origin ${origin}`,
  unknown_site: () => "fieldvitals site list",
  bot: () => "fieldvitals serve --bots keep",
};

/** Beacons that were refused. `answer` may be the error of reading them. */
export function rejectionPanel(open, { rejections: answer, site, scope: may }, actions) {
  if (answer === null || answer === undefined) return null;
  const allow = may === "read" ? null : (origin) => allowButton(site, origin, (settings) => change("PATCH", `/api/v1/sites/${encodeURIComponent(site.name)}`, settings).then(() => actions.changed("The origin is allowed.")));
  return h("details", { class: "panel rejections", open, "data-open": "rejections" }, h("summary", { "data-key": "rejections" }, h("h2", {}, "Refused beacons")), rejectionList(answer, site, allow));
}

/** A button that allows an origin; `update` changes the site. Others may have changed the origins since the page was drawn. */
export function allowButton(site, origin, update) {
  if (allows(site, origin)) return null;
  return changeButton({ text: "Allow", "aria-label": `Allow ${origin}`, send: async () => {
    const { sites } = await get("/api/v1/sites", null);
    const fresh = sites.find(({ name }) => name === site.name) ?? site;
    return update({ origins: allows(fresh, origin) ? fresh.origins : [...fresh.origins, origin] });
  } });
}

function allows({ origins }, origin) {
  return origins.includes("*") || origins.includes(origin);
}

function rejectionList(answer, site, allow) {
  if (answer instanceof Error) return h("p", {}, `They could not be read: ${answer.message} ${answer.hint}`);
  if (answer.rejections.length === 0) {
    return h("p", { class: "soft" }, "None since the server started: every beacon that reached it for this site was taken. If you expected some, look at the browser's console with ",
      h("code", {}, "data-debug"), " on the script tag.");
  }
  return h("ul", { class: "rejection-list" }, answer.rejections.map(({ reason, origin, count: n, last_seen: seen, message }) => {
    const remedy = REMEDIES[reason];
    const isPlain = /^[\w.:/*-]*$/.test(origin);
    return h("li", {},
      h("p", {}, h("code", {}, reason), origin ? [" from ", quoted(origin, "origin")] : null),
      h("p", {}, message),
      reason === "origin" && origin && allow !== null ? h("p", {}, allow(origin) ?? "It is allowed now.")
        : remedy !== undefined && isPlain ? snippetBox(remedy(site.name, origin || "ORIGIN")) : null,
      h("p", { class: "soft small" }, `${counted(n, "beacon")}, last at ${moment(seen)}`));
  }));
}
