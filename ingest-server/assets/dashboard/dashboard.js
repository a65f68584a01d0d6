// The dashboard's start: its state lives in the address, so that every view can be shared and the back
// button works; a change of state reads the API again and draws the page anew.
import { ApiError, forgetToken, get, hasToken, setToken, sitePath, takeTokenFromAddress } from "./api.js";
import { h, quoted, readable } from "./dom.js";
import { EXPLAINED } from "./causes.js";
import { METRICS } from "./format.js";
import { detail, failure, noSites, overview, signIn } from "./views.js";

const DEFAULTS = { site: null, route: null, period: "7d", device: null, metric: "LCP", sort: "views", order: "desc" };
const CHOICES = {
  period: ["24h", "7d", "28d", "90d"],
  device: ["phone", "tablet", "desktop"],
  metric: METRICS.map(({ name }) => name),
  sort: ["views", "p75", "route", "poor"],
  order: ["asc", "desc"],
};
const PAGES_LIMIT = 50;
const CAUSES_LIMIT = 5;
const LOOK_AGAIN_MS = 4_000;
const STALE_MS = 3_000;

const main = document.getElementById("main");
const status = document.getElementById("status");
const account = document.getElementById("account");
const siteBox = document.getElementById("site");
const home = document.getElementById("home");

let state = readAddress();
let sites = null;
let answers = null;
let request = null;
let lookAgain = null;

history.scrollRestoration = "manual";

function readAddress() {
  const query = new URLSearchParams(location.search);
  const read = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS)) {
    const given = query.get(name);
    if (given !== null && given !== "" && (CHOICES[name]?.includes(given) ?? true)) read[name] = given;
  }
  return read;
}

/** The address of a state: only what differs from the defaults, and slashes and colons left readable. */
function address(target) {
  const query = new URLSearchParams();
  for (const [name, standard] of Object.entries(DEFAULTS)) {
    if (target[name] !== standard && target[name] !== null) query.set(name, target[name]);
  }
  const text = query.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
  return text === "" ? "/" : `/?${text}`;
}

function link(change, props, ...children) {
  const target = { ...state, ...change };
  const follow = (event) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(target);
  };
  return h("a", { href: address(target), onclick: follow, ...props }, ...children);
}

function go(target) {
  const moved = target.route !== state.route || target.site !== state.site;
  history.replaceState({ scroll: scrollY }, "");
  history.pushState(null, "", address(target));
  state = target;
  load({ moved, scroll: moved ? 0 : null });
}

/** Reads what the state needs and draws it. `quiet` reads leave the page as it is until they succeed. */
async function load({ moved = false, scroll = null, quiet = false } = {}) {
  clearTimeout(lookAgain);
  request?.abort();
  if (!hasToken()) return showSignIn(null);
  const mine = new AbortController();
  request = mine;
  if (!quiet) document.body.setAttribute("data-busy", "");
  try {
    if (sites === null) {
      const known = await get("/api/v1/sites", null, mine.signal);
      sites = known.sites;
      document.getElementById("demo").hidden = !known.demo;
    }
    const site = sites.find(({ name }) => name === state.site) ?? (state.site === null ? sites[0] : undefined);
    if (site === undefined) {
      if (sites.length === 0) show([noSites()]);
      else throw new ApiError(0, { code: "unknown_site", message: `There is no site “${state.site}” that this token may read.`, hint: `Sites: ${sites.map(({ name }) => name).join(", ")}.` });
      return;
    }
    state.site = site.name;
    const fresh = await read(site, mine.signal);
    // A quiet read that found nothing new must not disturb what the reader has selected or opened.
    if (quiet && answers !== null && figures(fresh) === figures(answers)) {
      answers.read = fresh.read;
      return;
    }
    answers = fresh;
    draw({ moved, scroll });
  } catch (error) {
    if (error.name === "AbortError" || (quiet && error.status !== 401)) return;
    if (error.status === 401) {
      forgetToken();
      showSignIn(`${error.message} ${error.hint}`);
      return;
    }
    if (!(error instanceof ApiError)) throw error;
    show([failure(error, () => load())]);
    drawSites();
  } finally {
    if (request === mine) {
      document.body.removeAttribute("data-busy");
      if (answers?.report.views === 0 && hasToken()) lookAgain = setTimeout(look, LOOK_AGAIN_MS);
    }
  }
}

async function read(site, signal) {
  const { period, device, route } = state;
  const of = (resource, query) => get(sitePath(site.name, resource), query, signal);
  // Violations and rejections explain the figures; a failure to read them must not hide the figures.
  const softly = (promise) => promise.catch((error) => {
    if (error.name === "AbortError" || error.status === 401) throw error;
    return error;
  });
  const [report, pages, violations, server, ...causes] = await Promise.all([
    of("report", { route, period, device }),
    route === null ? of("pages", pagesQuery(null)) : null,
    softly(of("violations", { status: "open" })),
    softly(get("/api/v1/status", null, signal)),
    ...(route === null ? [] : EXPLAINED.map((metric) => softly(of("attribution", { route, period, device, metric, limit: CAUSES_LIMIT })))),
  ]);
  const rejections = route === null && report.views === 0 ? await softly(of("rejections")) : null;
  const failed = violations instanceof Error;
  return {
    site,
    report,
    pages: pages?.pages ?? [],
    nextCursor: pages?.next_cursor ?? null,
    hidden: pages?.routes_hidden ?? 0,
    minViews: pages?.min_n ?? 1,
    violations: failed ? [] : violations.violations,
    violationsError: failed ? violations : null,
    crowded: (server.crowded ?? []).filter((names) => names.site === site.name).map((names) => names.kind),
    rejections: rejections?.rejections ?? rejections,
    causes,
    read: new Date(),
  };
}

/** What a drawing depends on, without the period, whose end moves with the clock. */
function figures({ report, pages, violations, crowded, rejections, causes }) {
  const explained = causes.map(({ causes, tbt, tti }) => [causes, tbt, tti]);
  return JSON.stringify([report.views, report.views_estimated, report.metrics, pages, violations, crowded, rejections, explained]);
}

function pagesQuery(cursor) {
  const { period, device, metric, sort, order } = state;
  return { period, device, metric, sort, order, limit: PAGES_LIMIT, cursor };
}

const actions = {
  refresh: () => load(),

  async more() {
    const [before, signal] = [answers, request.signal];
    document.body.setAttribute("data-busy", "");
    try {
      const next = await get(sitePath(before.site.name, "pages"), pagesQuery(before.nextCursor), signal);
      const first = before.pages.length;
      answers = { ...before, pages: [...before.pages, ...next.pages], nextCursor: next.next_cursor };
      draw({});
      status.textContent = `${next.pages.length} more pages`;
      main.querySelectorAll(".ranking tbody a")[first]?.focus();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof ApiError)) throw error;
      show([failure(error, () => load())]);
    } finally {
      if (!signal.aborted) document.body.removeAttribute("data-busy");
    }
  },

  async rejections() {
    const [before, signal] = [answers, request.signal];
    const found = await get(sitePath(before.site.name, "rejections"), null, signal).catch((error) => error);
    if (found.name === "AbortError" || answers !== before) return;
    answers = { ...before, rejections: found.rejections ?? found };
    draw({});
    main.querySelector(".rejections").open = true;
  },
};

function draw({ moved = false, scroll = null }) {
  const view = state.route === null ? overview : detail;
  const focused = document.activeElement?.getAttribute("data-key");
  const opened = main.querySelector(".rejections")?.open === true && answers.rejections !== null;
  show(view(state, answers, link, actions));
  drawSites();
  if (opened) main.querySelector(".rejections")?.setAttribute("open", "");
  document.title = readable([state.route, state.site, "fieldvitals"].filter(Boolean).join(" · "));
  if (scroll !== null) scrollTo(0, scroll);
  if (moved) {
    status.textContent = state.route === null ? `All pages of ${state.site}` : `Page ${readable(state.route)}`;
    main.querySelector("h1")?.focus({ preventScroll: true });
  } else if (focused) {
    [...main.querySelectorAll("[data-key]")].find((node) => node.getAttribute("data-key") === focused)?.focus({ preventScroll: true });
  }
}

function show(nodes) {
  account.hidden = !hasToken();
  main.replaceChildren(...nodes.flat(Infinity).filter(Boolean));
}

function drawSites() {
  siteBox.hidden = sites === null || sites.length === 0;
  if (siteBox.hidden) return;
  if (sites.length === 1 && sites[0].name === state.site) {
    siteBox.replaceChildren(quoted(sites[0].name));
    return;
  }
  const select = h("select", { "aria-label": "Site", onchange: () => go({ ...DEFAULTS, site: select.value, period: state.period, device: state.device }) },
    sites.some(({ name }) => name === state.site) ? null : h("option", { value: "", disabled: true, selected: true }, "Choose a site"),
    sites.map(({ name }) => h("option", { value: name, selected: name === state.site }, name)));
  siteBox.replaceChildren(select);
}

function showSignIn(message) {
  sites = null;
  answers = null;
  siteBox.hidden = true;
  document.title = "Sign in · fieldvitals";
  document.body.removeAttribute("data-busy");
  show([signIn(message, (text) => {
    if (!setToken(text)) return false;
    load({ moved: true });
    return true;
  })]);
  document.getElementById("token").focus();
}

/** Reads again what may have changed, unless that would fold a list that the reader has unfolded. */
function look() {
  const unfolded = answers !== null && answers.pages.length > PAGES_LIMIT;
  const stale = answers !== null && Date.now() - answers.read > STALE_MS;
  if (document.visibilityState === "visible" && hasToken() && stale && !unfolded) load({ quiet: true });
}

document.addEventListener("visibilitychange", look);
addEventListener("pageshow", (event) => {
  if (event.persisted) look();
});
addEventListener("popstate", (event) => {
  const before = state;
  state = readAddress();
  state.site ??= sites?.[0]?.name ?? null;
  // A change of the fragment alone, such as the skip link's, is no other view.
  if (answers !== null && JSON.stringify(state) === JSON.stringify(before)) return;
  load({ moved: state.route !== before.route, scroll: event.state?.scroll ?? 0 });
});
addEventListener("hashchange", () => {
  if (takeTokenFromAddress()) {
    sites = null;
    load({ moved: true });
  }
});
home.addEventListener("click", (event) => {
  if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || !hasToken()) return;
  event.preventDefault();
  go({ ...DEFAULTS, site: sites?.find(({ name }) => name === state.site)?.name ?? null });
});
document.getElementById("sign-out").addEventListener("click", () => {
  request?.abort();
  clearTimeout(lookAgain);
  forgetToken();
  showSignIn(null);
});

takeTokenFromAddress();
load();
