// The loader: starts the wasm module behind the snippet (v.js) after the load event. `cargo xtask collector` puts
// this file behind what wasm-bindgen writes for the module, so `start` and `__wbg_…` below are the module's.
//
// Three things must be JavaScript: a guard around every function that the browser calls, the history of browsers
// without a Navigation API, and JSON. If the module does not start, the snippet goes on queueing, and the server
// measures.
//
// Names that begin with an underscore are the snippet's.

// The module's URL; `cargo xtask collector` writes it here.
const MODULE = "";

// JSON without `JSON` and the `toJSON` of prototypes, because pages replace them. Half a character becomes U+FFFD.
const json = (value) => {
  if (typeof value == "string") {
    const escape = (c) => (c < "\x7f" ? "\\u" + (c.charCodeAt() + 65536).toString(16).slice(1) : "\ufffd");
    return '"' + value.replace(/["\\\0-\x1f\ud800-\udfff]/gu, escape) + '"';
  }
  if (Array.isArray(value)) return "[" + value.map(json).join() + "]";
  if (value instanceof Map) return "{" + [...value].map((pair) => pair.map(json).join(":")).join() + "}";
  return Number.isFinite(value) || typeof value == "boolean" ? "" + value : "null";
};

// Takes over from the snippet in one task, so no entry and no event is lost between them.
const begin = (shared, data, endpoint, id, url, here, observer, hidden, out, queue, calls, read, pageUrl, install) => {
  const guard = (run) => (argument) => {
    try {
      return run(argument);
    } catch (error) {
      shared._errors |= error instanceof WebAssembly.RuntimeError ? 4 : 2;
      if (data.debug != null) window.console.debug("fieldvitals: failed:", error);
    }
  };
  const now = () => window.performance.now();
  // Another script's observer in the place of the browser's may not have it.
  guard(() => read(observer.takeRecords()))();
  let event;
  guard(start)({
    data,
    endpoint: new URL(endpoint, document.baseURI).href,
    id,
    url,
    here,
    queue,
    calls,
    observer,
    hidden,
    out,
    consent: shared.consent,
    seq: shared._seq,
    pageUrl,
    json,
    window,
    fail: (bits) => (shared._errors |= bits),
    guard,
    install(push, takeEvent, takeCall) {
      event = takeEvent;
      install(push, event, (name, given) => takeCall([name, given, now()]));
    },
  });
  // Nothing was taken over.
  if (!event) return;
  // A page's own variable may stand in the place of the browser's.
  if (window.navigation?.currentEntry) return;
  const past = window.history;
  const move = guard(() => event({ timeStamp: now() }));
  guard(() => {
    for (const name of ["pushState", "replaceState"]) {
      const original = past[name];
      past[name] = function () {
        const result = original.apply(this, arguments);
        move();
        return result;
      };
    }
  })();
  window.addEventListener("popstate", move, true);
};

// Gives the takeover by the module. If the module does not start, nothing takes over and the snippet goes on.
export default WebAssembly.instantiateStreaming(fetch(MODULE), __wbg_get_imports()).then(
  ({ instance, module }) => {
    __wbg_finalize_init(instance, module);
    return begin;
  },
  (error) => (shared, data) => {
    shared._errors |= 4;
    if (data.debug != null) window.console.debug("fieldvitals: raw-queue mode, as wasm did not start:", error);
  },
);
