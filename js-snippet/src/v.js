// The snippet: the whole integration of a page is
//   <script async src="https://HOST/v.js" data-site="KEY"></script>
//
// From its first moment it observes and queues what the browser tells, as short arrays
// [kind, numbers…, texts…]; vitals/src/entry.rs says what the fields of each kind mean. After the load
// event, when the browser is idle, it fetches the glue (collector.js), which takes over. Where the page is
// left earlier, or the glue cannot be had, the snippet sends its queue itself ("raw") and the server
// measures with the module's code.
//
// Every byte here is paid before the load event, so what can wait is in the glue. Names that begin with an
// underscore are shared with it and shortened by `cargo xtask collector`. The npm package has other code in the
// regions (xtask/src/npm.rs).
(() => {
  // The glue's file name, which carries its hash. `cargo xtask collector` writes it here; where it is
  // empty, the snippet never asks for the module.
  const COLLECTOR = "";
  // The same numbers as in vitals/src/limits.rs, which says what they mean; `cargo xtask tidy` compares them.
  const QUEUED_ITEMS_MAX = 1200;
  const QUEUED_MASSES_MAX = 700;
  // An entry's kind is its type's place here, counted from 1; the types observed make kind 16, by bit.
  const TYPES =
    "paint,largest-contentful-paint,layout-shift,first-input,event,longtask,resource,visibility-state".split(",");

  const doc = document;
  const perf = performance;
  //#region options
  const tag = doc.currentScript;
  const data = tag?.dataset;
  //#endregion
  if (!data?.site) return console.warn("fieldvitals: no data-site");
  // A second copy does nothing. The window is not asked: there an element or a frame of this name passes for a copy.
  if (perf.fieldvitals) return;
  const api = (window.fieldvitals = perf.fieldvitals = {});
  const queue = [];
  const calls = [];
  const endpoint = data.endpoint || new URL("/v1/beacon", tag.src);
  // What changes, here and in the glue.
  const shared = {
    _errors: 0,
    _seq: 0,
    // Whether this page view is not among those that `data-sample` wants. What is more than 1, or no number, wants all.
    _out: Math.random() >= (data.sample || 1),
    // The last argument of the page's call of this name.
    consent: data.consent != "required",
    navigate: data.route,
  };
  let observer;
  let support = 0;

  // Whatever goes wrong in here, the page does not notice; the next beacon says that something did.
  const safe = (run) => (event) => {
    try {
      return run(event);
    } catch {
      shared._errors |= 1;
    }
  };
  const on = (type, run) => addEventListener(type, safe(run), true);
  // The page's own hook may rewrite the URL, or drop the page view by giving none.
  const pageUrl = () => {
    const url = location.origin + location.pathname;
    return data.beforeSend ? window[data.beforeSend](url) : url;
  };

  // A UUID version 7: the view's start in UTC milliseconds (12 hexadecimal digits, the first 0 until the
  // year 2527), then random ones. It tells views apart and guards nothing, so Math.random will do.
  const makeId = (ms) =>
    ("0" + Math.round(ms).toString(16)).replace(/.{4}$/, "-$&-") +
    "7xxx-8xxx-xxxxxxxxxxxx".replace(/x/g, () => ((Math.random() * 16) | 0).toString(16));
  const id = makeId(perf.timeOrigin);

  // Queues an item; the entry that it was read from goes along for the glue, unseen by JSON, as does the
  // element, which the entry forgets when it is removed.
  let push = (item, entry) => {
    // Masses are no powers of two.
    if (queue.length < (item[0] & (item[0] - 1) ? QUEUED_MASSES_MAX : QUEUED_ITEMS_MAX)) {
      item._entry = entry;
      item._target = entry?.element;
      queue.push(item);
    }
  };
  // Reads entries. Fields that a kind does not have are 0, and fields beyond a kind's are not looked at.
  const read = (entries) => {
    for (const e of entries) {
      const kind = TYPES.indexOf(e.entryType) + 1;
      if (kind && e.name != "first-paint" && !e.hadRecentInput) {
        push(
          [
            kind,
            e.startTime,
            e.value ?? e.responseEnd ?? (kind > 7 ? +(e.name == "hidden") : e.duration),
            e.processingStart || e.responseStatus || 0,
            e.interactionId || 0,
          ],
          e,
        );
      }
    }
  };
  // What the browser tells only when asked.
  const ask = () => {
    const e = perf.getEntriesByType("navigation")[0];
    return [
      0,
      e.responseStart,
      e.activationStart || 0,
      e.domContentLoadedEventEnd,
      "nrb".indexOf(e.type[0]),
      e.responseEnd,
      e.domComplete,
    ];
  };
  // What every beacon holds. Whoever sends next counts `seq` up.
  const wire = () => ({
    v: 1,
    site: data.site,
    seq: ++shared._seq,
    url: shared._url || pageUrl(),
    route: shared.navigate,
    // Of a touch screen its shorter side, which tells a phone from a tablet.
    device: matchMedia("(pointer:coarse)").matches && Math.min(screen.width, screen.height),
    connection: navigator.connection?.effectiveType,
    // Or what `<meta name="release">` says.
    release: data.release || doc.all.release?.content,
    // What the page's author got wrong must not cost all data.
    sample: (data.sample <= 1 && +data.sample) || 1,
    errors: shared._errors,
  });
  // Sends everything now, synchronously to the end: the page may be gone when this returns.
  let flush = () => {
    if (observer) read(observer.takeRecords());
    const body = { ...wire(), raw: { id, now: perf.now(), queue: [...queue, ask()] } };
    if (body.url && shared.consent && !shared._out) navigator.sendBeacon(endpoint, JSON.stringify(body));
  };
  // Calls of the page's are kept for the glue; only the consent counts before, and the route, which names
  // the first view until the page has loaded.
  let call = (name, args) => {
    if (!shared._path || name == "consent") shared[name] = args[0];
    calls.push([name, args, perf.now()]);
  };
  for (const name of ["navigate", "tag", "mark", "consent", "on"]) {
    api[name] = (...args) => safe(() => call(name, args))();
  }

  const life = (event) => {
    // A page that is being left is hidden, though the browser may say so only afterwards.
    const left = event.type == "pagehide";
    const hidden = left || doc.hidden;
    const before = shared._hidden;
    if (hidden != before) push([8, event.timeStamp, +(shared._hidden = hidden)]);
    if (left || hidden > before) flush(left);
    if (!left && event.persisted) {
      shared._input = 0;
      push([10, event.timeStamp, makeId(Date.now())]);
    }
  };
  // The first trusted input ends a view's LCP.
  const input = (event) => {
    if (event.isTrusted && !shared._input) push([9, (shared._input = event.timeStamp)]);
  };
  const failed = () => (shared._errors |= 4);
  const load = () => {
    // The glue calls it once it runs.
    api._glue = (start) =>
      start(
        shared,
        data,
        endpoint,
        id,
        queue,
        calls,
        observer,
        [on, pageUrl, makeId, read, ask, wire],
        (...own) => ([push, flush, call] = own),
      ).catch(failed);
    //#region load
    // A classic script, since a page of another origin may load one without CORS.
    const script = doc.createElement("script");
    script.src = shared._base = new URL("c/" + COLLECTOR, tag.src).href;
    script.nonce = tag.nonce;
    script.onerror = failed;
    doc.head.append(script);
    //#endregion
  };
  const whenLoaded = () => {
    // What was a redirect until now is a navigation from now on.
    shared._url = pageUrl();
    shared._path = location.pathname;
    if (COLLECTOR) (window.requestIdleCallback || setTimeout)(load, { timeout: 3e3 });
  };
  // A prerendered page begins when it is activated; until then the browser keeps its entries.
  const begin = () => {
    shared._hidden = doc.hidden;
    for (const type of ["visibilitychange", "pagehide", "pageshow"]) on(type, life);
    for (const type of ["keydown", "click"]) on(type, input);
    if (doc.readyState == "complete") whenLoaded();
    else on("load", whenLoaded);
    // Last, as a browser may have no observers.
    observer = new PerformanceObserver(safe((list) => read(list.getEntries())));
    TYPES.forEach((type, place) => {
      if (PerformanceObserver.supportedEntryTypes.includes(type)) {
        // Shorter events make no INP worth knowing; the browser's own default would miss those under 104 ms.
        observer.observe({ type, buffered: true, durationThreshold: 40 });
        support |= 1 << place;
      }
    });
    push([16, support]);
    // Read early, as Firefox writes another type into the entry when it restores the page.
    const start = ask();
    push(start);
    const at = start[2];
    // Where the browser keeps no visibility-state entries, or they are those of a page that nobody could see, a
    // page that is hidden now counts as hidden from its start.
    if (shared._hidden && (at || support < 128)) push([8, at, 1]);
  };
  if (doc.prerendering) on("prerenderingchange", begin);
  else safe(begin)();
})();
