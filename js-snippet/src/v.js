// The snippet: the whole integration of a page is
//   <script async src="https://HOST/v.js" data-site="KEY"></script>
//
// From its first moment it observes and queues what the browser tells, as short arrays
// [kind, numbers…, texts…]; vitals/src/entry.rs says what the fields of each kind mean. After the load
// event, when the browser is idle, it fetches the wasm module, which takes the queue over and measures.
// Where the page is left earlier, or the module cannot run, the snippet sends the queue itself ("raw")
// and the server measures with the module's code. Nothing is stored in the browser: no cookie, no
// storage; every id is random and lives as long as one page view.
(() => {
  "use strict";

  // The glue's file name, which carries its hash. `cargo xtask collector` writes it here; where it is
  // empty, the snippet never asks for the module.
  const COLLECTOR = "";
  // The same numbers as in vitals/src/limits.rs; `cargo xtask tidy` compares them.
  const QUEUE_ITEMS_MAX = 1500;
  const VIEWS_PER_BEACON_MAX = 16;
  // A raw queue's body in UTF-16 units: what stays of 64 KiB after names that take more bytes than units.
  const BODY_UNITS_MAX = 56000;
  // Shorter events make no INP worth knowing; the browser's own default would miss those under 104 ms.
  const EVENT_DURATION_MS_MIN = 40;
  // How long after the load event the module may wait for an idle moment.
  const IDLE_WAIT_MS_MAX = 3000;

  // Entry types and their bits of vitals::entry::support.
  const TYPES = {
    paint: 1,
    "largest-contentful-paint": 2,
    "layout-shift": 4,
    "first-input": 8,
    event: 16,
    longtask: 32,
    "visibility-state": 64,
    resource: 0,
  };
  const NAVIGATION_TYPES = ["navigate", "reload", "back_forward", "back_forward_cache", "prerender"];

  let say = () => {};
  // Whatever goes wrong in here, the page does not notice.
  const safe = (run) =>
    function () {
      try {
        return run.apply(this, arguments);
      } catch (error) {
        say("failed:", error);
      }
    };
  const on = (type, run, target = window) => target.addEventListener(type, safe(run), true);

  safe(() => {
    const tag = document.currentScript || document.querySelector("script[data-site]");
    const data = (tag && tag.dataset) || {};
    if ("debug" in data) say = (...words) => console.debug("fieldvitals:", ...words);
    if (!data.site) {
      console.warn('fieldvitals: nothing is measured, as the script tag has no data-site="KEY"');
      return;
    }
    if (window.fieldvitals && window.fieldvitals.navigate) {
      say("this second copy does nothing; the page has one already");
      return;
    }

    const now = () => performance.now();
    const pageUrl = () => location.href.split(/[?#]/)[0];
    const endpoint = new URL(data.endpoint || new URL("/v1/beacon", tag.src), document.baseURI).href;

    // A UUID version 7: the view's start in UTC milliseconds, then random bits. (randomUUID is version 4,
    // and missing on pages without TLS.)
    const makeId = (start) => {
      // performance.now() stands still while a device sleeps, so a later view's start is told from now.
      const ms = start ? Date.now() - now() + start : performance.timeOrigin;
      let hex = Math.round(ms).toString(16).padStart(12, "0");
      crypto.getRandomValues(new Uint8Array(10)).forEach((byte, place) => {
        const bits = place === 0 ? (byte & 15) | 112 : place === 2 ? (byte & 63) | 128 : byte;
        hex += bits.toString(16).padStart(2, "0");
      });
      return hex.replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
    };

    const coarse = matchMedia("(pointer:coarse)").matches;
    const release = data.release || (document.querySelector('meta[name="release"]') || {}).content;
    // What snippet and module share; the module replaces `push` and `flush` when it takes over.
    const shared = {
      // The fields of every beacon. Whoever sends next counts `seq` up.
      wire: {
        v: 1,
        site: data.site,
        seq: 0,
        url: pageUrl(),
        route: data.route || undefined,
        device: coarse ? (Math.min(screen.width, screen.height) < 600 ? "phone" : "tablet") : "desktop",
        connection: (navigator.connection || {}).effectiveType,
        release: release || undefined,
      },
      id: makeId(0),
      queue: [],
      // The entry types that are observed.
      types: [],
      // Whether a resource entry is that of our own beacon.
      own: (entry) => entry.name.startsWith(endpoint),
      safe,
    };
    const listeners = [];
    let changed = false;
    let views = 1;
    let wasHidden = document.visibilityState === "hidden";
    // Whether the current view has had its first trusted input; only that one ends its LCP.
    let inputSeen = false;
    // The last items of the kinds that are read and not told.
    const lastRead = {};
    // The soft navigation that made the current view, and whether the page has named its route.
    let soft = { path: location.pathname, named: true };

    // ---- The queue ----

    // Makes room by letting go of the newest item of the least valuable kind: resources and long tasks
    // serve TTI alone, then layout shifts, then events. False where the queue holds none of them.
    const dropOne = () => {
      const kinds = shared.queue.map((item) => item[0]);
      for (const kind of [7, 6, 3, 5]) {
        const place = kinds.lastIndexOf(kind);
        if (place >= 0) return shared.queue.splice(place, 1);
      }
      return false;
    };

    shared.push = (item) => {
      // A raw beacon is a whole document. Past the views that one may hold, the queue stays as it is:
      // what came later is lost, and what was measured stays right.
      if (views > VIEWS_PER_BEACON_MAX) return;
      if (shared.queue.length < QUEUE_ITEMS_MAX || dropOne()) {
        shared.queue.push(item);
        // Being hidden or shown alone is no news worth a beacon.
        if (item[0] !== 8) changed = true;
      }
    };
    const push = (...item) => shared.push(item);

    // ---- Entries ----

    const read = {
      paint: (e) => e.name === "first-contentful-paint" && push(1, e.startTime),
      "largest-contentful-paint": (e) => push(2, e.startTime),
      "layout-shift": (e) => e.hadRecentInput || push(3, e.startTime, e.value),
      "first-input": (e) => push(4, e.startTime, e.duration, e.processingStart, e.interactionId || 0),
      event: (e) =>
        e.interactionId && push(5, e.startTime, e.duration, e.processingStart, e.interactionId),
      longtask: (e) => push(6, e.startTime, e.duration),
      "visibility-state": (e) => push(8, e.startTime, +(e.name === "hidden")),
      resource: (e) => shared.own(e) || push(7, e.startTime, e.responseEnd, e.responseStatus || 0),
    };
    const readAll = (entries) => entries.forEach((entry) => read[entry.entryType](entry));

    const observer = new PerformanceObserver(safe((list) => readAll(list.getEntries())));
    const supported = PerformanceObserver.supportedEntryTypes || [];
    let bits = 0;
    for (const type in TYPES) {
      // Event entries without interaction ids cannot make an INP.
      if (
        supported.includes(type) &&
        (type !== "event" || "interactionId" in PerformanceEventTiming.prototype)
      ) {
        safe(() => {
          observer.observe({ type, buffered: true, durationThreshold: EVENT_DURATION_MS_MIN });
          bits |= TYPES[type];
          shared.types.push(type);
        })();
      }
    }
    push(16, bits);

    // Where the browser keeps no visibility-state entries, a page that is hidden now counts as hidden from
    // its start; a prerendered one is not seen as hidden before it is activated.
    if (wasHidden && !document.prerendering && !(bits & 64)) push(8, 0, 1);

    const pushNew = (known, ...item) => {
      if (lastRead[item[0]] !== known) {
        lastRead[item[0]] = known;
        shared.push(item);
      }
    };

    // What the browser tells only when asked: the navigation entry and the number of interactions.
    const ask = () => {
      const entry = performance.getEntriesByType("navigation")[0];
      if (entry) {
        const activation = entry.activationStart || 0;
        const type =
          document.prerendering || activation > 0
            ? 4
            : document.wasDiscarded
              ? 5
              : Math.max(0, NAVIGATION_TYPES.indexOf(entry.type));
        const times = [entry.responseStart, activation, entry.domContentLoadedEventEnd, type, entry.responseEnd];
        pushNew(String(times), 0, ...times);
      }
      const count = performance.interactionCount;
      if (count >= 0) pushNew(views + " " + count, 15, count, now());
    };
    ask();

    // ---- Sending ----

    shared.send = (body) => {
      if ("debug" in data) {
        say("sends", JSON.parse(body));
        fetch(endpoint, { method: "POST", body, keepalive: true, credentials: "omit" })
          .then((answer) =>
            answer.ok
              ? say("the server took it:", answer.status)
              : answer.text().then((text) => {
                  console.warn("fieldvitals: the server did not take it:", answer.status, text);
                }),
          )
          .catch((error) => console.warn("fieldvitals: the server did not answer at", endpoint, error));
      } else if (!(navigator.sendBeacon && navigator.sendBeacon(endpoint, body))) {
        fetch(endpoint, { method: "POST", body, keepalive: true, credentials: "omit" }).catch(() => {});
      }
    };

    // Sends the queue raw; the module puts its own in this place.
    shared.flush = () => {
      readAll(observer.takeRecords());
      if (!changed) return;
      changed = false;
      const wire = shared.wire;
      wire.seq++;
      let body;
      do {
        const raw = { id: shared.id, now: now(), queue: shared.queue };
        // Browsers give times as 12.300000000745; what is cut off is below any clock's step.
        body = JSON.stringify({ ...wire, raw }, (_, value) =>
          typeof value === "number" ? Math.round(value * 1e6) / 1e6 : value,
        );
      } while (body.length > BODY_UNITS_MAX && Array(200).fill().filter(dropOne).length);
      shared.send(body);
    };

    // Asks and sends, unless nobody has seen the page yet. Synchronous to the end: the page may be gone
    // when this returns.
    shared.report = safe(() => {
      if (document.prerendering) return;
      ask();
      shared.flush();
    });

    // ---- The life of the page ----

    // Queues a change of visibility; true where the page is hidden from now on.
    const isHidden = (event) => {
      if (document.prerendering) return false;
      // A page that is being left is hidden, though the browser may say so only afterwards.
      const hidden = event.type === "pagehide" || document.visibilityState === "hidden";
      if (hidden !== wasHidden) push(8, event.timeStamp, +hidden);
      return (wasHidden = hidden);
    };
    const visibility = (event) => isHidden(event) && shared.report();
    on("visibilitychange", visibility);
    on("pagehide", visibility);
    on("pageshow", (event) => {
      if (!event.persisted) return;
      isHidden(event);
      views++;
      inputSeen = false;
      soft.named = true;
      push(10, event.timeStamp, makeId(event.timeStamp));
      ask();
      requestAnimationFrame(() => requestAnimationFrame(safe(() => push(11, now()))));
    });
    on(
      "prerenderingchange",
      () => {
        ask();
        push(14, performance.getEntriesByType("navigation")[0].activationStart);
        // It was hidden while nobody could see it; what counts begins here.
        wasHidden = document.visibilityState === "hidden";
        if (wasHidden) push(8, performance.getEntriesByType("navigation")[0].activationStart, 1);
      },
      document,
    );

    const input = (event) => {
      if (event.isTrusted && !inputSeen) {
        inputSeen = true;
        push(9, event.timeStamp);
      }
    };
    on("keydown", input);
    on("click", input);

    // ---- Navigations inside the document ----

    const pushSoft = (route) => push(12, soft.at, soft.id, pageUrl(), route || "");
    const begin = (at, route) => {
      views++;
      inputSeen = false;
      soft = { path: location.pathname, at, id: makeId(at), named: !!route };
      pushSoft(route);
      ask();
    };
    // Until the page has loaded or the visitor has done something, a new path is no navigation but where
    // the load was led to, by a router's redirect: the first view is that of the new URL.
    const starting = () => views < 2 && !inputSeen && document.readyState !== "complete";
    // A new path is a new view; a new query or fragment alone is not.
    const moved = safe((at) => {
      if (location.pathname === soft.path) return;
      if (starting()) {
        soft.path = location.pathname;
        shared.wire.url = pageUrl();
      } else begin(at);
    });

    if (window.navigation && navigation.currentEntry) {
      let startedAt = 0;
      on("navigate", (event) => (startedAt = event.timeStamp), navigation);
      on(
        "currententrychange",
        () => {
          moved(startedAt || now());
          startedAt = 0;
        },
        navigation,
      );
    } else {
      for (const name of ["pushState", "replaceState"]) {
        const original = history[name];
        history[name] = function () {
          const at = now();
          const result = original.apply(this, arguments);
          moved(at);
          return result;
        };
      }
      on("popstate", (event) => moved(event.timeStamp));
    }

    // ---- The page's own interface ----

    // A value, as the module tells it. A listener's own failure is told in the console and stays there.
    shared.tell = (name, value, rating) => {
      for (const [metric, run] of listeners) {
        if (metric === name) {
          try {
            run({ name, value, rating });
          } catch (error) {
            console.error(error);
          }
        }
      }
    };

    window.fieldvitals = {
      // Begins a view of this route; or names the view that the load or the browser's history has just begun.
      navigate: safe((route) => {
        if (starting()) shared.wire.route = String(route);
        else if (soft.named || inputSeen || soft.path !== location.pathname) {
          begin(now(), String(route));
        } else {
          soft.named = true;
          pushSoft(String(route));
        }
      }),
      // Calls back with { name, value, rating } whenever a report finds a new value.
      on: (metric, run) => {
        listeners.push([metric, run]);
      },
    };

    // ---- The module ----

    shared.observer = observer;
    // A page that is hidden may never be seen again: it reports what there is.
    const reportIfHidden = () => wasHidden && shared.report();
    const load = () =>
      import(new URL("c/" + COLLECTOR, tag.src).href)
        .then((glue) =>
          glue.default().then(() => {
            // From here to the end is one task, so no entry can fall between the two observers.
            readAll(observer.takeRecords());
            ask();
            reportIfHidden();
            if (!glue.start(shared, !changed)) throw Error("the module does not understand the queue");
            say("the wasm module measures from now on");
          }),
        )
        .catch((error) => {
          say("stays in raw-queue mode, as the wasm module did not start:", error);
          reportIfHidden();
        });
    const arrive = () => {
      if (COLLECTOR) return load();
      say("stays in raw-queue mode, as this server was built without the wasm module");
      reportIfHidden();
    };
    const whenIdle = () =>
      window.requestIdleCallback
        ? requestIdleCallback(safe(arrive), { timeout: IDLE_WAIT_MS_MAX })
        : setTimeout(safe(arrive), 200);
    const whenLoaded = () => {
      if (document.readyState === "complete") whenIdle();
      else on("load", whenIdle);
    };
    if (document.prerendering) document.addEventListener("prerenderingchange", whenLoaded, { once: true });
    else whenLoaded();
    say("measures, and will send to", endpoint);
  })();
})();
