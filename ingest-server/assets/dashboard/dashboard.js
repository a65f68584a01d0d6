// The dashboard's start: a change of the address, and a change of the site's data, read the API again and draw the page
// anew. What was there stays, dimmed, until the new figures are there; an error stands above it.
import { ApiError, VERSION, get, signOut, sitePath, softly } from "./api.js";
import { FILTERS, UNFILTERED, address, elsewhere, filtersOf, ofSite, readAddress, scope } from "./address.js";
import { alertsView } from "./alerts.js";
import { budgetsView } from "./budgets.js";
import { compareView } from "./compare.js";
import { enterByAddress, failure, noSites, signIn } from "./entry.js";
import { h, quoted, readable } from "./dom.js";
import { dirtyFields, isDirty, restoreFields } from "./forms.js";
import { openPalette, openSharing } from "./dialogs.js";
import { overviewView } from "./overview.js";
import { pageView } from "./page.js";
import { serverView } from "./server.js";
import { settingsView } from "./settings.js";
import { setupView } from "./setup.js";
import { unwatch, watchSite } from "./live.js";
import { useZone } from "./format.js";

const NAMES = { overview: "Overview", compare: "Compare", budgets: "Budgets", alerts: "Alerts", setup: "Set up", settings: "Settings", server: "Server" };
/** Views: `still` ones are not read again when the site's data change, `again` is the time after which one is read again. */
const DRAWN = { overview: overviewView, compare: compareView, budgets: budgetsView, alerts: alertsView, setup: setupView, settings: settingsView, server: serverView };
/** Views of the server, which a link to one site does not show. */
const OF_SERVER = ["settings", "server"];
/** Rows by which the ranking grows. */
const ROWS = 50;
/** Parameters that order the rows of the ranking: a change of them keeps their number. */
const ORDER = ["metric", "sort", "order"];
/** Time for which the end of a change is told. */
const TOLD_MS = 6_000;
/** Time until another look whether the reader is still occupied. */
const OCCUPIED_MS = 1_000;

const main = document.getElementById("main");
const announcer = document.getElementById("status");
const account = document.getElementById("account");
const siteBox = document.getElementById("site");
const navigation = document.getElementById("views");
const home = document.getElementById("home");
const skipRanking = document.getElementById("skip-ranking");

let { state, problems } = readAddress();
let known = null;
let answers = null;
let request = null;
let rows = ROWS;
let values = {};
let seen = null;
let later = null;
let told = null;
/** Whether the data changed while they were read. */
let missed = false;

history.scrollRestoration = "manual";

function viewOf({ route, view }) {
  return route === null ? DRAWN[view] : pageView;
}

function link(change, props, ...children) {
  const target = { ...state, ...change };
  const follow = (event) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    event.currentTarget.setAttribute("aria-busy", "true");
    go(target);
  };
  return h("a", { href: address(target), onclick: follow, ...props }, ...children);
}

function go(target) {
  const moved = target.route !== state.route || target.site !== state.site || target.view !== state.view;
  history.replaceState({ scroll: scrollY }, "");
  history.pushState(null, "", address(target));
  const isReordered = !moved && Object.keys(target).every((name) => ORDER.includes(name) || target[name] === state[name]);
  state = target;
  problems = [];
  if (!isReordered) rows = ROWS;
  load({ moved, scroll: moved ? 0 : null });
}

/** Reads what the state needs and draws it. `quiet` reads leave the page as it is until they succeed. */
async function load({ moved = false, scroll = null, quiet = false } = {}) {
  clearTimeout(later);
  request?.abort();
  const mine = new AbortController();
  request = mine;
  if (!quiet) document.body.setAttribute("data-busy", "");
  try {
    known ??= await get("/api/v1/sites", null, mine.signal);
    const { sites } = known;
    const site = sites.find(({ name }) => name === state.site) ?? (state.site === null ? sites[0] : undefined);
    if (site === undefined) {
      if (sites.length === 0) show([noSites()]);
      else throw new ApiError(0, { code: "unknown_site", message: `There is no site “${state.site}” here that you may read.`, hint: `Sites: ${sites.map(({ name }) => name).join(", ")}.` });
      return;
    }
    state.site = site.name;
    useZone(site.timezone);
    watchSite(site.name, onSeen);
    const read = await viewOf(state).read(state, site, { signal: mine.signal, rows });
    mine.signal.throwIfAborted();
    const fresh = { ...read, site, demo: known.demo, scope: known.scope, isLink: known.link, retention: known.retention, values, read: new Date() };
    // A quiet read that found nothing new must not disturb what the reader has opened.
    if (quiet && answers !== null && values === answers.values && figures(fresh) === figures(answers)) {
      answers = { ...answers, version: fresh.report?.[VERSION] ?? answers.version };
      return;
    }
    answers = { ...fresh, version: fresh.report?.[VERSION] ?? null };
    draw({ moved, scroll });
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.status === 401) {
      await showSignIn(known === null ? null : `${error.message} ${error.hint}`);
      return;
    }
    if (!(error instanceof ApiError)) throw error;
    if (quiet) return;
    showError(error);
  } finally {
    if (request === mine) {
      document.body.removeAttribute("data-busy");
      request = null;
      for (const node of document.querySelectorAll("a[aria-busy]")) node.removeAttribute("aria-busy");
      const isOld = missed && answers !== null && answers.version !== seen?.version;
      missed = false;
      if (isOld && viewOf(state).still !== true) look();
      const { again } = viewOf(state);
      if (again !== undefined) later = setTimeout(look, again);
    }
  }
}

/** What a drawing depends on, without the period, whose end moves with the clock. */
function figures(all) {
  const leftOut = new Set(["read", "values", "version", "period"]);
  return JSON.stringify(all, (name, value) => (leftOut.has(name) ? undefined : value));
}

const actions = {
  refresh: () => load(),

  /** After a change of settings: tells it, and reads all again; `target` is where to go. */
  changed(text, target = {}) {
    say(text);
    known = null;
    const wanted = { ...state, ...target };
    if (address(wanted) === address(state)) return load();
    for (const form of main.querySelectorAll("form.edit")) form.reset();
    go(wanted);
    return undefined;
  },
  go: (change) => go({ ...state, ...change }),

  more() {
    const first = answers.report.pages.length;
    rows = first + ROWS;
    load().then(() => {
      announcer.textContent = `${answers.report.pages.length - first} more pages`;
      whenDrawn(() => main.querySelectorAll(".ranking tbody .route-cell a")[first], (node) => node.focus());
    });
  },

  /** Reads the values of every filter, once for each site and period. */
  async values() {
    const { from, to, period, site } = state;
    const of = [site, period, from, to].join(" ");
    if (values.of === of) return;
    values = { of };
    const query = scope({ ...state, ...UNFILTERED });
    const names = FILTERS.map(({ name }) => name).filter((name) => name !== "device");
    const found = await Promise.all(names.map((by) =>
      softly(get(sitePath(site, "breakdown"), { ...query, by, metrics: "LCP" })).catch(() => null)));
    const given = (answer) => (answer?.values ?? []).map(({ value }) => value).filter((value) => value !== null && value !== "(other)");
    values = { of, ...Object.fromEntries(names.map((name, place) => [name, given(found[place])])) };
    redraw();
  },
};

/** Draws the answers again. A request on its way draws them itself: until then the state is not that of the answers. */
function redraw() {
  if (answers === null || request !== null) return;
  answers = { ...answers, values };
  draw({});
}

function draw({ moved = false, scroll = null }) {
  const view = viewOf(state);
  const focused = document.activeElement?.getAttribute("data-key");
  const unsaved = moved ? [] : dirtyFields(main);
  const opened = new Map([...main.querySelectorAll("details[data-open]")].map((node) => [node.getAttribute("data-open"), node.open]));
  show([problemList(), ...view.draw(state, answers, link, actions)]);
  drawFrame();
  restoreFields(main, unsaved);
  if (!moved) {
    for (const node of main.querySelectorAll("details[data-open]")) node.open = opened.get(node.getAttribute("data-open")) ?? node.open;
  }
  skipRanking.hidden = main.querySelector("#rows") === null;
  document.title = readable([view.title(state), state.site, "fieldvitals"].filter(Boolean).join(" · "));
  if (scroll !== null) {
    scrollTo(0, scroll);
    if (scrollY < scroll - 1) whenDrawn(() => document.documentElement.scrollHeight - innerHeight >= scroll, () => scrollTo(0, scroll));
  }
  if (moved) {
    announcer.textContent = state.route === null ? `${NAMES[state.view]} of ${state.site}` : `Page ${readable(state.route)}`;
    main.querySelector("h1")?.focus({ preventScroll: true });
  } else if (focused) {
    const same = () => [...main.querySelectorAll("[data-key]")].find((node) => node.getAttribute("data-key") === focused);
    whenDrawn(same, (node) => node.focus({ preventScroll: true }));
  }
}

/** Runs `act` with what `find` returns: now, or once all rows of a long ranking are drawn. */
function whenDrawn(find, act) {
  const found = find();
  if (found) {
    act(found);
    return;
  }
  const mine = answers;
  main.addEventListener("drawn", () => {
    const late = answers === mine ? find() : null;
    if (late) act(late);
  }, { once: true });
}

/** What in the address was not understood. */
function problemList() {
  if (problems.length === 0) return null;
  return h("section", { class: "panel notice", role: "alert" }, problems.map((problem) => h("p", {}, readable(problem))));
}

/** Tells the end of a change, for all to see and hear. */
function say(text) {
  announcer.textContent = text;
  announcer.className = "toast";
  clearTimeout(told);
  told = setTimeout(() => { announcer.className = "hidden"; }, TOLD_MS);
}

function show(nodes) {
  main.replaceChildren(...nodes.flat(Infinity).filter(Boolean));
}

/** An error above what was there. */
function showError(error) {
  const box = failure(error, () => load());
  if (filtersOf(state).length > 0) box.append(link(UNFILTERED, { class: "secondary", "data-key": "unfiltered" }, "Look without filters"));
  if (answers === null) {
    show([problemList(), box]);
  } else {
    main.querySelector(".failure")?.remove();
    main.prepend(box);
    box.scrollIntoView({ block: "nearest" });
  }
  drawFrame();
}

/** The header: site, views, account. */
function drawFrame() {
  const isIn = known !== null;
  siteBox.hidden = !isIn || known.sites.length === 0;
  navigation.hidden = siteBox.hidden;
  account.hidden = !isIn;
  if (!isIn) return;
  const { sites } = known;
  if (sites.length === 1 && sites[0].name === state.site) {
    siteBox.replaceChildren(quoted(sites[0].name));
  } else {
    const select = h("select", { "aria-label": "Site", onchange: () => go(ofSite(state, select.value)) },
      sites.some(({ name }) => name === state.site) ? null : h("option", { value: "", disabled: true, selected: true }, "Choose a site"),
      sites.map(({ name }) => h("option", { value: name, selected: name === state.site }, name)));
    siteBox.replaceChildren(select);
  }
  const names = Object.keys(NAMES).filter((view) => !OF_SERVER.includes(view) || !known.link);
  navigation.replaceChildren(...names.map((view) =>
    link(elsewhere(state, { view }), { "aria-current": state.route === null && state.view === view ? "page" : null }, NAMES[view])));
  const current = navigation.querySelector("[aria-current]");
  hintAtMore();
  if (current !== null) navigation.scrollLeft = current.offsetLeft + current.offsetWidth - navigation.offsetLeft - navigation.clientWidth / 2;
  const buttons = [
    h("button", { class: "plain", type: "button", onclick: find, title: "Find a page or a view: / or Ctrl K" }, "Find"),
    h("button", { class: "plain", type: "button", onclick: () => openSharing(state.site, known.link) }, "Share"),
    known.demo ? h("a", { class: "plain", href: "demo/" }, "Demo pages") : null,
    h("button", { class: "plain", type: "button", id: "sign-out", onclick: leave }, "Sign out"),
  ];
  account.replaceChildren(...buttons.filter(Boolean));
}

/** Marks the sides at which a narrow window hides views. */
function hintAtMore() {
  const { scrollLeft, scrollWidth, clientWidth } = navigation;
  navigation.classList.toggle("more-before", scrollLeft > 1);
  navigation.classList.toggle("more-after", scrollLeft + clientWidth < scrollWidth - 1);
}

function find() {
  const views = Object.keys(NAMES).filter((view) => !OF_SERVER.includes(view) || !known?.link).map((view) => ({ text: NAMES[view], hint: "view", run: () => go(elsewhere(state, { view })) }));
  const others = (known?.sites ?? []).map(({ name }) => ({ text: name, hint: "site", run: () => go(ofSite(state, name)) }));
  const commands = [...views, ...others, { text: "Share this view", hint: "command", run: () => openSharing(state.site, known.link) }];
  openPalette(commands, state.site, scope(state), (route) => go(elsewhere(state, { route })));
}

async function leave() {
  request?.abort();
  await signOut().catch(() => null);
  await showSignIn(null);
}

async function showSignIn(message) {
  unwatch();
  known = null;
  answers = null;
  document.title = "Sign in · fieldvitals";
  document.body.removeAttribute("data-busy");
  drawFrame();
  show([await signIn(message, () => load({ moved: true }))]);
  main.querySelector("input")?.focus();
}

/** The server says what the data are now. */
function onSeen(now) {
  const before = seen;
  seen = now;
  if (request !== null) {
    missed = true;
    return;
  }
  const isShown = answers !== null && answers.version === now.version;
  const isRefused = before !== null && before.refused !== now.refused && answers?.rejections !== undefined;
  if (answers !== null && viewOf(state).still !== true && (!isShown || isRefused)) look();
}

/** Reads again, but not while the reader is occupied. */
function look() {
  clearTimeout(later);
  if (document.visibilityState !== "visible" || known === null) return;
  if (isOccupied() || document.querySelector("dialog[open]") !== null) later = setTimeout(look, OCCUPIED_MS);
  else load({ quiet: true });
}

/** Whether the reader does what drawing would undo: selects text, types, or has a list open. */
function isOccupied() {
  const selection = getSelection();
  if (!selection.isCollapsed && main.contains(selection.anchorNode)) return true;
  const field = /** @type {any} */ (document.activeElement);
  if (main.contains(field) && field.matches("input") && field.value !== field.defaultValue) return true;
  if (isDirty(main)) return true;
  return CSS.supports("selector(select:open)") && main.querySelector("select:open") !== null;
}

addEventListener("popstate", (event) => {
  const before = state;
  ({ state, problems } = readAddress());
  state.site ??= known?.sites[0]?.name ?? null;
  // A change of the fragment alone, such as the skip link's, is no other view.
  if (answers !== null && JSON.stringify(state) === JSON.stringify(before)) return;
  rows = ROWS;
  load({ moved: state.route !== before.route || state.view !== before.view, scroll: event.state?.scroll ?? 0 });
});
addEventListener("hashchange", () => start());
// Charts take their colors when they are drawn.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
addEventListener("keydown", (event) => {
  const isTyping = event.target instanceof Element && event.target.closest("input, select, textarea") !== null;
  const isAsked = (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) || (event.key === "k" && (event.ctrlKey || event.metaKey));
  if (!isAsked || known === null) return;
  event.preventDefault();
  find();
});
navigation.addEventListener("scroll", hintAtMore, { passive: true });
addEventListener("resize", hintAtMore);
home.addEventListener("click", (event) => {
  if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || known === null) return;
  event.preventDefault();
  go(ofSite({ ...state, view: "overview" }, state.site));
});

/** Signs in by the address if it says how, and reads the page. */
async function start() {
  if (/^#(token|link)=/.test(location.hash)) {
    known = null;
    try {
      await enterByAddress();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 0) showError(error);
      else await showSignIn(`${error.message} ${error.hint}`);
      return;
    }
    await load({ moved: true });
  } else if (answers === null && known === null) {
    await load();
  }
}

start();
