// The glue: takes over from the snippet (v.js) after the load event and feeds the wasm module, which is all
// arithmetic. Here is what JavaScript does in fewer bytes: listeners, texts, JSON, storage, sending.
//
// `cargo xtask collector` puts this file behind what wasm-bindgen writes for the module, inside one function, so
// `begin`, `push`, `report` and `__wbg_…` below are the module's, and its import `emit` is the function here. Where
// wasm is refused, everything but the arithmetic stays here and the queue is sent as it is ("raw").
//
// Names that begin with an underscore are the snippet's; v.js says what they mean.

// The module's URL, relative to the glue's; `cargo xtask collector` writes it here.
const MODULE = "";
// The same numbers as in vitals/src/limits.rs; `cargo xtask tidy` compares them.
const QUEUE_ITEMS_MAX = 1500;
const VIEWS_PER_BEACON_MAX = 16;
const TAGS_MAX = 8;
const MARKS_MAX = 16;
const SELECTOR_BYTES_MAX = 128;
const TAG_NAME_UNITS_MAX = 32;
const TAG_VALUE_UNITS_MAX = 64;
const ROUTE_BYTES_MAX = 512;
const TIME_MS_MAX = 600000;
const EXPLAINING_TEXTS_MAX = 500;
const SOFT_PAINTS_MAX = 50;
const BODY_BYTES_MAX = 65536;
const URL_BYTES_MAX = 1024;
const KEPT_BODIES_MAX = 8;
const REPORT_MS = 60000;
// The key of everything that is stored.
const KEY = "fieldvitals";

const METRICS = ["LCP", "INP", "CLS", "FCP", "TTFB", "FID", "TTI"];
const RATINGS = ["good", "needs-improvement", "poor"];
const NAVIGATIONS =
  "navigate,reload,back-forward,back-forward-cache,prerender,restore,soft-navigation".split(",");
const GAPS = ["hidden", "network", "cpu"];
const LOADS = ["loading", "dom-content-loaded", "complete"];

let emitted = [];
function emit(number) {
  emitted.push(number);
}

// Tags, ids and classes from the element up to the nearest id; never text.
const selector = (node) => {
  let path = "";
  while (node && node.nodeType != 9 && path.length < SELECTOR_BYTES_MAX) {
    if (node.nodeType == 1) {
      const part = node.id
        ? "#" + node.id
        : [node.localName, ...[...node.classList].slice(0, 2)].join(".");
      path = part + (path && ">" + path);
      if (node.id) break;
    }
    node = node.parentNode;
  }
  return path.slice(0, SELECTOR_BYTES_MAX);
};

// A resource's URL without query and fragment; of one with its content inside, the scheme.
const bareUrl = (url) => url?.match(/^http[^?#]{0,500}|^\w*/)[0] || "";

const json = JSON.stringify;

const start = async (
  shared,
  data,
  endpoint,
  id,
  queue,
  calls,
  observer,
  [on, pageUrl, makeId, read, ask, wire],
  install,
) => {
  const doc = document;
  const perf = performance;
  const now = () => perf.now();
  const debug = data.debug != null;
  const say = (...words) => debug && console.debug("fieldvitals:", ...words);
  const safe =
    (run) =>
    (...args) => {
      try {
        return run(...args);
      } catch (error) {
        shared._errors |= 2;
        say("failed:", error);
      }
    };

  // Who asks to be left alone is counted and nothing else: no attribution, tags or storage.
  const quiet = navigator.globalPrivacyControl || navigator.doNotTrack == 1;
  const tags = {};
  const marks = {};
  const listeners = [];
  const endpointUrl = new URL(endpoint, doc.baseURI).href;
  let granted = data.consent == "granted";
  let raw, failing, deferred, more, late;

  try {
    const { instance, module } = await WebAssembly.instantiateStreaming(
      fetch(new URL(MODULE, shared._base)),
      __wbg_get_imports(),
    );
    __wbg_finalize_init(instance, module);
  } catch (error) {
    raw = 1;
    shared._errors |= 4;
    say("raw-queue mode, as wasm did not start:", error);
  }
  // From here to the end is one task: no entry and no event can fall between.

  // ---- Storage ----

  const canStore = () => granted && shared.consent && !quiet;
  const stored = () => (canStore() && JSON.parse(localStorage[KEY] || "[]")) || [];
  const store = safe((bodies) => {
    if (bodies.length) localStorage[KEY] = json(bodies.slice(-KEPT_BODIES_MAX));
    else delete localStorage[KEY];
  });
  const keep = safe((body) => canStore() && store([...stored(), body]));
  // Where it may be stored, one number decides for the whole session.
  const sample = safe(() => {
    // Both are texts, and would be compared as such.
    if (data.sample && canStore()) shared._out = (sessionStorage[KEY] ||= Math.random()) >= +data.sample;
  });

  // ---- Sending ----

  const post = (body, keepalive = true) =>
    fetch(endpoint, { method: "POST", body, keepalive, credentials: "omit" }).then(
      async (answer) => {
        if (debug) say(answer.ok ? "the server took it:" : "not taken:", answer.status, await answer.text());
        failing = answer.status == 503 || answer.status == 429;
        if (failing) keep(body);
      },
      (error) => {
        // Browsers let 64 KiB outlive their page; what is more may still come through while the page is there.
        if (keepalive) return post(body, false);
        say("no answer:", error);
        failing = 1;
        keep(body);
      },
    );
  const send = (body, leaving) => {
    say("sends", body);
    // Without a network, or where the server refused before and the page will hear of no answer, it waits for the
    // next page.
    if ((navigator.onLine === false || (failing && leaving)) && canStore()) keep(body);
    else if ((canStore() && !leaving) || debug || !navigator.sendBeacon?.(endpoint, body)) post(body);
  };
  const retry = safe(() => {
    const bodies = stored();
    if (bodies.length) {
      store([]);
      bodies.forEach((body) => post(body));
    }
  });

  // ---- Facts ----

  const texts = [""];
  const numberOf = (text) => (texts.indexOf(text) + 1 || texts.push(text)) - 1;
  let changed = 0;
  let views = 1;
  let begun = 0;
  // The view that lasts, as the item that began it.
  let current = [12, ask()[2], id];

  // Makes room in the queue by letting go of the newest items of the least valuable kinds: resources and long
  // tasks serve TTI alone, then what explains values, then layout shifts, then events.
  const drop = (count) => {
    const before = queue.length;
    for (const kind of [7, 6, 20, 19, 18, 17, 3, 5]) {
      for (let place = before; place-- && before - queue.length < count; ) {
        if (queue[place]?.[0] == kind) queue.splice(place, 1);
      }
    }
    return before - queue.length;
  };
  // Tells the module a fact, or queues it.
  const tell = (item) => {
    const [kind, ...fields] = item;
    if ((kind == 10 || kind == 12) && item != current) {
      current = item;
      views++;
      // A document keeps so many views; those that it will let go must be sent before.
      if (++begun > VIEWS_PER_BEACON_MAX - 3 && !raw) flush();
    }
    // Being hidden or shown alone is no news, and neither is an answer.
    changed |= kind != 8 && kind != 0 && kind != 15;
    if (!raw) {
      const numbers = fields.filter((field) => field.toFixed);
      push(
        kind,
        ...numbers.concat(0, 0, 0, 0, 0, 0).slice(0, 6),
        ...fields.filter((field) => field.trim).map(numberOf),
      );
    } else if (views <= VIEWS_PER_BEACON_MAX) {
      if (queue.length >= QUEUE_ITEMS_MAX - 1) drop(1);
      if (queue.length < QUEUE_ITEMS_MAX - 1) queue.push(item);
    }
  };

  // The largest paint so far: its image's times come later.
  let paint;
  const explainPaint = (start, entry, target) => {
    paint = [entry.url, 17, start, 0, 0, selector(target), bareUrl(entry.url)];
    tell(paint.slice(1));
  };
  const explain = (kind, entry, target) => {
    const start = entry.startTime;
    if (quiet || texts.length > EXPLAINING_TEXTS_MAX) return;
    if (kind == 2) explainPaint(start, entry, target);
    if (kind == 3) {
      const area = (source) => (source.node ? source.currentRect.width * source.currentRect.height : -1);
      const source = [...entry.sources].sort((one, other) => area(other) - area(one))[0];
      tell([19, start, entry.value, selector(source?.node)]);
    }
    if (entry.interactionId && (kind == 4 || kind == 5)) {
      tell([18, start, entry.duration, entry.processingStart, entry.processingEnd, selector(target), entry.name]);
    }
  };
  const take = (item, entry) => {
    // An event that is no interaction makes no INP. A beacon is no request that the page waits for, and neither
    // is one of ours.
    if (item[0] == 5 && !item[4]) return;
    if (entry?.initiatorType == "beacon" || entry?.name == endpointUrl) return;
    tell(item);
    // The browser may tell of an interaction only after the page was hidden, and it may have no other moment.
    if (shared._hidden && (item[0] == 4 || item[0] == 5)) late ||= Promise.resolve().then(() => flush());
    if (entry) explain(item[0], entry, item._target || entry.element || entry.target);
  };

  // What the browser tells only when asked.
  const askAll = () => {
    const item = ask();
    if (doc.wasDiscarded) item[4] = 5;
    tell(item);
    if (perf.interactionCount >= 0) tell([15, perf.interactionCount, now()]);
    const image = paint?.[0] && perf.getEntriesByName(paint[0], "resource").pop();
    if (image) {
      paint[3] = image.requestStart || image.startTime;
      paint[4] = image.responseEnd;
      tell(paint.slice(1));
    }
  };

  // ---- Views inside the document ----

  // The views that navigations inside the document began, as their items; the first is the document's own.
  let softs = [current];
  let named = shared.navigate;
  let path = shared._path;
  const navigated = (at, route) => {
    shared._input = 0;
    path = location.pathname;
    named = route;
    softs = [...softs.slice(1 - VIEWS_PER_BEACON_MAX), [
      12,
      at,
      makeId(Date.now() - now() + at),
      (pageUrl() || "about:blank").slice(0, URL_BYTES_MAX),
      route || "",
    ]];
    tell(softs.at(-1));
    askAll();
  };
  // A new path is a new view; a new query or fragment alone is not.
  const moved = (at) => location.pathname == path || navigated(at);
  let startedAt = 0;
  if (window.navigation?.currentEntry) {
    navigation.addEventListener("navigate", safe((event) => (startedAt = event.timeStamp)));
    navigation.addEventListener(
      "currententrychange",
      safe(() => {
        moved(startedAt || now());
        startedAt = 0;
      }),
    );
  } else {
    safe(() => {
      for (const name of ["pushState", "replaceState"]) {
        const original = history[name];
        history[name] = function () {
          const at = now();
          const result = original.apply(this, arguments);
          safe(moved)(at);
          return result;
        };
      }
    })();
    on("popstate", (event) => moved(event.timeStamp));
  }
  on("pageshow", (event) => {
    if (event.persisted) {
      named = 1;
      askAll();
      requestAnimationFrame(() => requestAnimationFrame(safe(() => tell([11, now()]))));
    }
  });

  // ---- Reports ----

  const decode = () => {
    const list = [];
    let place = 0;
    const next = () => emitted[place++];
    const text = () => texts[next()] || undefined;
    const numbers = (count) => Array.from({ length: count }, next);
    const cause = (read) => (emitted[place] < 0 ? void next() : read());
    while (place < emitted.length) {
      const id = text();
      const ratings = {};
      const values = {};
      const view = { id, url: text(), route: text(), nav: NAVIGATIONS[next()], tti_gap: GAPS[next()] };
      const tbt = next();
      for (const metric of METRICS) {
        const [value, rating] = numbers(2);
        if (value >= 0) {
          values[metric] = value;
          ratings[metric] = RATINGS[rating];
        }
      }
      const lcp = cause(() => ({ target: text(), url: text(), parts: numbers(4) }));
      const inp = cause(() => ({
        target: text(),
        event: text(),
        at: next(),
        parts: numbers(3),
        script: text(),
        script_ms: next(),
        load: LOADS[next()],
      }));
      const cls = cause(() => ({ target: text(), at: next(), value: next(), load: LOADS[next()] }));
      view.values = values;
      if (tbt >= 0) view.tbt = tbt;
      if (lcp || inp || cls) view.attribution = { lcp, inp, cls };
      view.marks = marks[id];
      list.push([view, ratings]);
    }
    return list;
  };
  // A listener's own failure is told in the console and stays there.
  const tellListeners = ([view, ratings]) => {
    for (const [metric, run, last] of listeners) {
      const value = view.values[metric];
      if (value !== undefined && last[view.id] !== value) {
        last[view.id] = value;
        try {
          run({
            name: metric,
            value,
            rating: ratings[metric],
            id: view.id,
            navigationType: view.nav,
            attribution: view.attribution?.[metric.toLowerCase()],
          });
        } catch (error) {
          shared._errors |= 8;
          console.error(error);
        }
      }
    }
  };
  const head = () => ({
    ...wire(),
    viewport: innerWidth < 600 ? "small" : innerWidth < 1200 ? "medium" : "large",
    tags: quiet ? undefined : tags,
  });
  // A character has up to three bytes.
  const tooLarge = (body) => body.length * 3 > BODY_BYTES_MAX && new Blob([body]).size > BODY_BYTES_MAX;
  // The bodies of these views: one, or more where it would be too large.
  const bodies = (list) => {
    const body = json({ ...head(), views: list });
    const half = list.length >> 1;
    return half && tooLarge(body)
      ? [list.slice(0, half), list.slice(half)].flatMap(bodies)
      : [body];
  };
  // What was told of the views that the module still has, by id.
  let told = {};
  // The bodies of what is news, with all told from now on unless it is only a draft.
  const news = (draft) => {
    if (raw) {
      if (!changed) return [];
      if (!draft) changed = 0;
      let body;
      do body = json({ ...head(), raw: { id, now: now(), queue: [...queue, ask()] } });
      while (tooLarge(body) && drop(100));
      return [body];
    }
    emitted = [];
    report(now());
    const decoded = decode();
    decoded.forEach(tellListeners);
    const next = {};
    const list = decoded
      .map(([view]) => view)
      .filter((view) => {
        const text = json(view);
        next[view.id] = text;
        return view.url != "about:blank" && told[view.id] != text;
      });
    if (!draft) told = next;
    return list.length ? bodies(list) : list;
  };
  // Where the hook has dropped the document's URL, nothing of the document is sent.
  const maySend = () => shared.consent && !shared._out && !doc.prerendering && shared._url;
  const flush = safe((left) => {
    read(observer?.takeRecords() || []);
    more?.takeRecords().forEach(extra);
    askAll();
    begun = late = 0;
    deferred?.abort();
    const list = news(!maySend());
    if (maySend()) list.forEach((body) => send(body, left));
  });
  // Leaves with the browser what it is to send should the page end without a word.
  const defer = safe(() => {
    if (window.fetchLater && maySend()) {
      deferred?.abort();
      deferred = new AbortController();
      for (const body of news(1)) fetchLater(endpoint, { method: "POST", body, signal: deferred.signal });
    }
  });

  // ---- Entries that only the glue needs ----

  // The paints that interactions have caused, until it is known which of them were navigations.
  let paints = [];
  const softPaint = (entry, largest) => {
    const at = entry.presentationTime || entry.paintTime;
    tell([13, at]);
    if (largest && !quiet) explainPaint(at, largest, largest.element);
  };
  const extra = (entry) => {
    if (entry.scripts) {
      const script = [...entry.scripts].sort((one, other) => other.duration - one.duration)[0];
      if (script && !quiet && texts.length < EXPLAINING_TEXTS_MAX) {
        tell([20, entry.startTime, entry.duration, script.duration, bareUrl(script.sourceURL) || script.invokerType]);
      }
    } else if (entry.largestContentfulPaint) {
      const soft = softs.find((one) => one._by == entry.interactionId);
      if (soft) softPaint(entry, entry.largestContentfulPaint);
      else paints = [...paints.slice(1 - SOFT_PAINTS_MAX), entry];
    } else {
      // The browser says afterwards which interaction made a navigation that its history has told already.
      const soft = softs.findLast((one) => one[3] && entry.startTime <= one[1] && one[1] < entry.startTime + 5e3);
      if (soft && !soft._by) {
        soft._by = entry.interactionId;
        // Just after the click, which belongs to the view that it left.
        soft[1] = entry.startTime + 0.001;
        tell(soft);
        softPaint(entry);
        paints
          .filter((one) => one.interactionId == soft._by)
          .forEach((one) => softPaint(one, one.largestContentfulPaint));
      }
    }
  };
  safe(() => {
    more = new PerformanceObserver(safe((list) => list.getEntries().forEach(extra)));
    for (const type of ["long-animation-frame", "soft-navigation", "interaction-contentful-paint"]) {
      if (PerformanceObserver.supportedEntryTypes.includes(type)) more.observe({ type, buffered: true });
    }
  })();

  // ---- The page's own interface ----

  const cut = (value, max) => String(value).slice(0, max);
  const api = {
    navigate(at, value) {
      const route = cut(value, ROUTE_BYTES_MAX);
      if (named || shared._input || path != location.pathname) navigated(at, route);
      else {
        named = route;
        const soft = softs.at(-1);
        if (soft[3]) {
          soft[4] = route;
          tell(soft);
        } else shared.navigate = route;
      }
    },
    tag(at, name, value) {
      if (name in tags || Object.keys(tags).length < TAGS_MAX) tags[cut(name, TAG_NAME_UNITS_MAX)] = cut(value, TAG_VALUE_UNITS_MAX);
    },
    mark(at, name) {
      const [, start, id] = current;
      const own = (marks[id] ||= {});
      // A server refuses what no metric could be.
      if (!quiet && at >= start && at < start + TIME_MS_MAX && Object.keys(own).length < MARKS_MAX) {
        own[cut(name, TAG_NAME_UNITS_MAX)] = at - start;
      }
    },
    consent(at, value) {
      granted = shared.consent = !!value;
      if (value) {
        sample();
        retry();
      } else {
        deferred?.abort();
        safe(() => delete localStorage[KEY] && delete sessionStorage[KEY])();
      }
    },
    on(at, metric, run) {
      listeners.push([metric, run, {}]);
    },
  };
  const call = (name, args, at = now()) => api[name](at, ...args);

  // ---- Taking over ----

  read(observer?.takeRecords() || []);
  install(take, flush, call);
  if (!raw) begin(numberOf(id));
  queue.splice(0).forEach((item) => take(item, item._entry));
  for (const pair of (data.tags || "").split(";")) {
    const [name, value] = pair.split("=");
    if (value) api.tag(0, name.trim(), value.trim());
  }
  sample();
  retry();
  const loaded = ask()[6];
  for (const [name, args, at] of calls) {
    if (name != "navigate" || at > loaded) safe(call)(name, args, at);
  }
  // The history may have moved while the module was on its way; what moved it was an input.
  safe(moved)(shared._input > loaded ? shared._input : now());
  if (shared._hidden) flush();
  let ticks = 0;
  setInterval(() => (++ticks % 6 ? defer() : flush()), REPORT_MS / 6);
  say("measures", raw ? "as a raw queue" : "by wasm", "and sends to", endpointUrl);
  if (data.sample && !(data.sample <= 1)) say(`data-sample="${data.sample}" is no share: all page views are sent`);
  if (shared._out) say("data-sample leaves this page view out");
};

performance.fieldvitals._glue(start);
