// The snippet: the whole integration of a page is
//   <script async src="https://HOST/v.js" data-site="KEY"></script>
//
// From its first moment it observes and queues what the browser tells, as short arrays
// [kind, numbers…, texts…]; vitals/src/entry.rs defines the fields of each kind. After the load event, when
// the browser is idle, it imports the loader (loader.js), which starts the wasm module; the module then takes
// over the queue, the events and the calls. Until then, and for good where wasm or the loader cannot be had,
// the snippet sends its queue itself ("raw") and the server measures it with the module's code.
//
// The page may have replaced built-ins, shadowed globals and named elements like properties of the document:
// globals are read from `window` (but `document` and `location`, which no script can declare), properties of the
// document from its prototype.
//
// Every byte here is paid before the load event, so what can wait is elsewhere.
(() => {
  // The loader's file name, which carries its hash. `cargo xtask collector` writes it here; an empty name
  // means that there is no module.
  const COLLECTOR = "";
  // The same numbers as in vitals/src/limits.rs, which says what they mean; `cargo xtask tidy` compares them.
  const QUEUED_ITEMS_MAX = 1200;
  const QUEUED_MASSES_MAX = 700;
  // An entry's kind is its type's place here, counted from 1; the types observed make kind 16, by bit.
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
  new URL(tag.src).searchParams.forEach((value, name) => (data[name] = value));
  //#endregion
  if (!data.site) return console.warn("fieldvitals needs data-site");
  // A second copy does nothing. The window is not asked: there an element or a frame of this name passes for a copy.
  if (perf.fieldvitals) return;
  const api = (window.fieldvitals = perf.fieldvitals = {});
  const now = () => perf.now();
  // What a page view's id is made of: the view's start in UTC milliseconds, and a random number. The monotonic
  // clock stands still while a machine sleeps, and the other may have been replaced: the later one is right.
  const draw = (at) => [Math.max(Date.now() - now(), perf.timeOrigin || 0) + at, Math.random()];
  const id = draw(0);
  // A frame of `srcdoc` has no host; its page is its parent's.
  const bareUrl = () => (location.host ? location : parent.location).href.split(/[?#]/)[0];
  let path = bareUrl();
  const endpoint = data.endpoint || beside("/v1/beacon");
  // Of a call the name, what it was given, and when.
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
  // Whether this page view is not among those that `data-sample` wants. What is more than 1, or no number, wants all.
  const out = Math.random() >= (data.sample || 1);

  // Whatever goes wrong in here, the page does not notice; the next beacon says that something did.
  const safe =
    (run, bit) =>
    (...args) => {
      try {
        return run(...args);
      } catch {
        page._errors |= bit || 1;
      }
    };
  // The page's own hook may rewrite the URL, or drop the page view by giving none. What is no text cannot be trimmed.
  const pageUrl = safe(
    (own = bareUrl()) => ((data.beforeSend ? window[data.beforeSend](own) : own) || "").trim(),
    8,
  );
  // JSON of texts, numbers and arrays that the `toJSON` of a page's libraries does not reach.
  const json = (value) => (value?.map ? `[${value.map(json)}]` : (JSON.stringify(value) ?? "null"));

  // Queues an item; the entry that it was read from goes along for the module, unseen by JSON. Entries that come in
  // masses leave room for interactions.
  let push = (item, entry) => {
    item.entry = entry;
    // The entry forgets its element when it is removed.
    item.target = entry?.element;
    // Kinds of few entries are powers of two; of interactions the place 4 has the id.
    const mass = entry && item[0] & (item[0] - 1) && !item[4];
    if (queue.length < (mass ? QUEUED_MASSES_MAX : QUEUED_ITEMS_MAX)) queue.push(item);
  };
  const view = (kind, at, ...texts) => push([kind, at, ...draw(at), ...texts]);
  const count = () => push([15, perf.interactionCount || 0, now()]);
  // Reads entries. Fields that a kind does not have are 0, and fields beyond a kind's are not looked at.
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
  // What the browser tells only when asked.
  const ask = () => {
    const e = perf.getEntriesByType("navigation")[0];
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
  // Sends everything now, synchronously to the end: the page may be gone when this returns.
  const flush = () => {
    // Another script's observer may stand in the place of the browser's.
    safe(() => read(observer.takeRecords()))();
    ask();
    count();
    url ??= pageUrl();
    if (url && page.consent && !out)
      window.navigator.sendBeacon(
        endpoint,
        json([
          1,
          data.site,
          ++page._seq,
          url,
          // Of a touch screen its shorter side, which tells a phone from a tablet.
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
  // Takes any event, or a move of the history: what has changed since the last one?
  let event = ({ type, timeStamp, isTrusted, persisted }) => {
    const before = hidden;
    const left = type == "pagehide";
    hidden = left || of("hidden");
    if (path != (path = bareUrl())) {
      count();
      // Before the input that tells of it, where the browser has no Navigation API.
      view(12, timeStamp - 0.01, pageUrl() || "about:blank");
    }
    // Of the five types, those of inputs have a k. They come in masses.
    if (isTrusted && /k/.test(type)) push([9, timeStamp], 1);
    if (hidden != before) push([8, timeStamp, 0, +hidden]);
    if (left || hidden > before) flush();
    if (persisted && !left) {
      view(10, timeStamp);
      requestAnimationFrame(() => requestAnimationFrame(() => push([11, now()])));
    }
  };
  // The consent and the route count at once, other calls are kept for the module.
  let call = (name, args) => {
    page[name] = args[0];
    if (name == "navigate") view(21, now(), "" + args[0]);
    else calls.push([name, args, now()]);
  };
  "navigate tag mark consent on".split(" ").map((name) => (api[name] = safe((...args) => call(name, args))));
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
  const loaded = () => {
    url ??= pageUrl();
    // Not if the hook has failed.
    if (COLLECTOR && url != null) (window.requestIdleCallback || setTimeout)(load, { timeout: 3e3 });
  };
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
    TYPES.map((type, place) => {
      if (PerformanceObserver.supportedEntryTypes.includes(type)) {
        // Shorter events make no INP worth knowing; the browser's own default would miss those under 104 ms.
        observer.observe({ type, buffered: true, durationThreshold: 40 });
        support |= 1 << place;
      }
    });
    push([16, support, +hidden]);
    // Read early, as Firefox writes another type into the entry when it restores the page.
    ask();
  };
  if (of("prerendering")) on("prerenderingchange", begin);
  else safe(begin)();
})();
