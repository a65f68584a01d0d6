// The snippet: the whole integration of a page is
//   <script async src="https://HOST/v.js" data-site="KEY"></script>
//
// It observes entries from the first byte and queues them as short arrays [kind, numbers…, texts…].
// vitals/src/entry.rs defines the fields of each kind. After the load event, when the browser is idle, it imports
// the loader (loader.js), which starts the wasm module. The module then takes over the queue, the events and the
// calls. Until then, or forever without wasm, the snippet sends its queue itself ("raw"), and the server measures
// it with the module's code.
//
// The page may have replaced built-ins, shadowed globals and named elements like properties of the document.
// Globals are therefore read from `window`, and properties of the document from its prototype. No script can
// declare `document` and `location`.
//
// Every byte here costs the page before its load event, so all other code is in the module.
(() => {
  // The loader's file name with its hash, written by `cargo xtask collector`. Empty without a module.
  const COLLECTOR = "";
  // The numbers of vitals/src/limits.rs and collector-wasm/src/limits.rs. `cargo xtask tidy` compares them.
  const EVENT_DURATION_MS_MIN = 40;
  const QUEUED_ITEMS_MAX = 1200;
  const QUEUED_MASSES_MAX = 700;
  // An entry's kind is the place of its type here, counted from 1. Kind 16 has a bit for each observed type.
  const TYPES =
    "paint largest-contentful-paint layout-shift first-input event longtask resource visibility-state".split(" ");

  const perf = window.performance;
  const of = (name) => Reflect.get(Document.prototype, name, document);
  //#region options
  // A module script has no `currentScript`.
  const tag = of("currentScript") || document.querySelector("[src*='/v.js']");
  if (!tag) return;
  // Options may be parameters of the script's URL, as tag managers remove attributes.
  const beside = (path) => new URL(path, tag.src);
  const data = { ...tag.dataset };
  beside("").searchParams.forEach((value, name) => (data[name] = value));
  //#endregion
  if (!data.site) return console.warn("no data-site");
  // A second copy does nothing. The mark is not on the window, where an element or a frame of this name would count
  // as a copy.
  if (perf.fieldvitals) return;
  const api = (window.fieldvitals = perf.fieldvitals = {});
  const now = () => perf.now();
  // The parts of a page view's id: its start in UTC milliseconds and a random number. The monotonic clock stands
  // still while a machine sleeps, and a page may have replaced `Date`. The later of both clocks is right.
  const draw = (at) => [Math.max(Date.now() - now(), perf.timeOrigin || 0) + at, Math.random()];
  const id = draw(0);
  // A frame of `srcdoc` has no host; its page is its parent's.
  const bareUrl = () => (location.host ? location : parent.location).href.split(/[?#]/)[0];
  let path = bareUrl();
  const endpoint = data.endpoint || beside("v1/beacon");
  // The page's calls: name, arguments and time.
  const calls = [];
  const queue = [];
  // Shared with the module.
  const page = {
    _errors: 0,
    _seq: 0,
    consent: data.consent != "required",
  };
  let hidden, observer, url;
  let support = 0;
  // Whether `data-sample` leaves this page view out. A value above 1, or no number, leaves none out.
  const out = Math.random() >= (data.sample || 1);

  // Catches every exception, and sets a bit in the next beacon.
  const safe =
    (run, bit) =>
    (...args) => {
      try {
        return run(...args);
      } catch {
        page._errors |= bit || 1;
      }
    };
  // The page's hook may rewrite the URL, or drop the page view by returning no text.
  const pageUrl = safe(
    (own = bareUrl()) => ((data.beforeSend ? window[data.beforeSend](own) : own) || "").trim(),
    8,
  );
  // JSON of texts, numbers and arrays, without the `toJSON` of a page's libraries.
  const json = (value) => (value?.map ? `[${value.map(json)}]` : JSON.stringify(value ?? null));

  // Queues an item with its entry, which the module needs and JSON omits. Frequent entries leave room for
  // interactions.
  let push = (item, entry) => {
    item.entry = entry;
    // The entry forgets its element when it is removed.
    item.target = entry?.element;
    // Kinds of few entries are powers of two; of interactions the place 4 has the id.
    if (queue.length < (entry && item[0] & (item[0] - 1) && !item[4] ? QUEUED_MASSES_MAX : QUEUED_ITEMS_MAX))
      queue.push(item);
  };
  const view = (kind, at, ...texts) => push([kind, at, ...draw(at), ...texts]);
  const count = () => push([15, perf.interactionCount || 0, now()]);
  // Reads entries. Missing fields of a kind are 0, and further fields are ignored.
  const read = (entries) =>
    entries.map((e) => {
      const kind = TYPES.indexOf(e.entryType) + 1;
      if (kind && e.name != "first-paint" && !e.hadRecentInput)
        push(
          [
            kind,
            e.startTime,
            e.value ?? e.responseEnd ?? e.duration,
            e.processingStart || e.responseStatus || +(e.name == "hidden"),
            e.interactionId || 0,
          ],
          e,
        );
    });
  // Reads the values that the browser gives only on request.
  const ask = () => {
    const [e] = perf.getEntriesByType("navigation");
    if (e)
      push([
        0,
        e.responseStart,
        e.activationStart || 0,
        e.domContentLoadedEventEnd,
        "nrb".indexOf(("" + e.type)[0]),
        e.responseEnd,
        e.domComplete,
      ]);
  };
  // Sends everything synchronously, because the page may end after this function.
  const flush = () => {
    // Another script's observer may stand in the place of the browser's.
    safe(() => read(observer.takeRecords()))();
    ask();
    count();
    if ((url ??= pageUrl()) && page.consent && !out)
      window.navigator.sendBeacon(
        endpoint,
        json([
          1,
          data.site,
          ++page._seq,
          url,
          // The shorter side of a touch screen tells a phone from a tablet.
          matchMedia("(pointer:coarse)").matches && Math.min(screen.width, screen.height),
          window.navigator.connection?.effectiveType,
          // Or what `<meta name="release">` says.
          data.release || document.querySelector("meta[name=release]")?.content,
          data.sample,
          page._errors,
          ...id,
          now(),
          queue,
        ]),
      );
  };
  // Handles an event or a move of the history: compares path and visibility with the last one's.
  let event = ({ type, timeStamp, isTrusted, persisted }) => {
    const before = hidden;
    const left = type == "pagehide";
    hidden = left || of("hidden");
    if (path != (path = bareUrl())) {
      count();
      // Without the Navigation API the move is seen at the next input. The move comes before that input.
      view(12, timeStamp - 0.01, pageUrl() || "about:blank");
    }
    // Only `click` and `keydown` have a k. Inputs are frequent.
    if (isTrusted && /k/.test(type)) push([9, timeStamp], 1);
    if (hidden != before) push([8, timeStamp, +hidden]);
    if (left || hidden > before) flush();
    if (persisted && !left) {
      view(10, timeStamp);
      requestAnimationFrame(() => requestAnimationFrame(() => push([11, now()])));
    }
  };
  // The consent and the route count at once, other calls are kept for the module.
  let call = (name, args, place) => {
    page[name] = args[0];
    // Kind 21 for `navigate`, 22 for `route`.
    if (place < 2) view(21 + place, now(), "" + args[0]);
    else calls.push([name, args, now()]);
  };
  "navigate route tag mark consent on"
    .split(" ")
    .map((name, place) => (api[name] = safe((...args) => call(name, args, place))));
  const on = (type, run) => window.addEventListener(type, safe(run), true);
  const load = () =>
    //#region load
    import(beside("c/" + COLLECTOR))
      //#endregion
      .then((loader) => loader.default)
      .then((start) =>
        start(
          page,
          data,
          endpoint,
          id,
          url,
          path,
          observer,
          hidden,
          out,
          queue,
          calls,
          read,
          pageUrl,
          (...own) => ([push, event, call] = own),
        ),
      )
      .catch(() => (page._errors |= 4));
  // Not if the hook has failed.
  const loaded = () =>
    (url ??= pageUrl()) != null && COLLECTOR && (window.requestIdleCallback || setTimeout)(load, { timeout: 3e3 });
  // A prerendered page begins when it is activated; until then the browser keeps its entries.
  const begin = () => {
    hidden = of("hidden");
    // A hook need not be there before the load event.
    if (!data.beforeSend) url = path;
    "click keydown pagehide pageshow visibilitychange".split(" ").map((type) => on(type, (e) => event(e)));
    window.navigation?.addEventListener?.("currententrychange", safe((e) => event(e)));
    if (of("readyState") == "complete") loaded();
    else on("load", loaded);
    if (data.route) view(21, 0, data.route);
    // Last, as a browser may have no observers.
    observer = new PerformanceObserver(safe((list) => read(list.getEntries())));
    TYPES.map(
      (type, place) =>
        PerformanceObserver.supportedEntryTypes.includes(type) &&
        (observer.observe({ type, buffered: true, durationThreshold: EVENT_DURATION_MS_MIN }), (support |= 1 << place)),
    );
    push([16, support, +hidden]);
    // Read early, as Firefox writes another type into the entry when it restores the page.
    ask();
  };
  if (of("prerendering")) on("prerenderingchange", begin);
  else safe(begin)();
})();
