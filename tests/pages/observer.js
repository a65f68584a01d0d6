// An observer that shares nothing with what is tested: it records the browser's own entries and the life
// of the page, and sends them to the test whenever the page is hidden. The truth is computed from them.
(() => {
  "use strict";
  const FIELDS = [
    "entryType", "name", "startTime", "duration", "processingStart", "interactionId", "value",
    "hadRecentInput", "responseStart", "responseEnd", "responseStatus", "activationStart", "initiatorType",
    "domContentLoadedEventEnd", "type", "presentationTime", "paintTime", "navigationId", "size",
  ];
  const TYPES = [
    "paint", "largest-contentful-paint", "layout-shift", "first-input", "event", "longtask",
    "visibility-state", "resource", "soft-navigation", "interaction-contentful-paint",
  ];
  const CHUNK = 150;
  const base = document.currentScript.src.replace(/[^/]*$/, "");
  let entries = [];
  let life = [];

  const plain = (entry) => {
    const fields = {};
    for (const field of FIELDS) if (entry[field] !== undefined) fields[field] = entry[field];
    fields.name = String(entry.name).slice(-80);
    return fields;
  };
  const counts = {};
  const take = (list) => {
    for (const entry of list) counts[entry.entryType] = (counts[entry.entryType] || 0) + 1;
    entries.push(...list.map(plain));
    for (const { entryType, startTime } of list) {
      if (entryType === "largest-contentful-paint") lab.largest = Math.max(lab.largest, startTime);
    }
  };
  const observer = new PerformanceObserver((list) => take(list.getEntries()));
  const supported = PerformanceObserver.supportedEntryTypes || [];
  for (const type of TYPES) {
    if (supported.includes(type)) observer.observe({ type, buffered: true, durationThreshold: 40 });
  }

  const send = (report) => navigator.sendBeacon(base + "capture", JSON.stringify(report));
  const flush = () => {
    take(observer.takeRecords());
    const navigation = performance.getEntriesByType("navigation").map(plain);
    const whole = {
      supported,
      origin: performance.timeOrigin,
      navigation: navigation[0],
      interactionCount: performance.interactionCount,
      now: performance.now(),
      url: location.pathname,
      viewport: [innerWidth, innerHeight],
    };
    do {
      send({ kind: "observed", ...whole, entries: entries.splice(0, CHUNK), life });
      life = [];
    } while (entries.length);
  };

  // What happened, when by the event, when by the clock, and whether the page is hidden now.
  const tell = (what, at, more) =>
    life.push({ what, at, now: performance.now(), hidden: document.visibilityState === "hidden", ...more });
  tell("start", 0);
  addEventListener("visibilitychange", (event) => {
    tell("visibility", event.timeStamp);
    if (document.visibilityState === "hidden") flush();
  }, true);
  addEventListener("pagehide", (event) => {
    tell("pagehide", event.timeStamp, { persisted: event.persisted });
    flush();
  }, true);
  addEventListener("pageshow", (event) => {
    tell("pageshow", event.timeStamp, { persisted: event.persisted });
    if (event.persisted) {
      lab.expect("restored", event.timeStamp);
      requestAnimationFrame(() => requestAnimationFrame(() => tell("frame", performance.now())));
    }
  }, true);
  for (const type of ["keydown", "click"]) {
    addEventListener(type, (event) => event.isTrusted && tell("input", event.timeStamp), true);
  }
  document.addEventListener("prerenderingchange", (event) => tell("activation", event.timeStamp));

  // What the pages are built of.
  window.lab = {
    base,
    // How many entries of each type there have been.
    counts,
    // When the largest paint so far was.
    largest: 0,
    // Says that a navigation inside the document begins.
    soft: () => tell("soft", performance.now()),
    // Keeps the main thread busy.
    busy: (ms) => {
      const end = performance.now() + ms;
      while (performance.now() < end);
    },
    // What the page was built to have; the test compares it with what was measured.
    expect: (name, value) => send({ kind: "expected", name, value }),
  };
})();
