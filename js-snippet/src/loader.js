// The loader starts the wasm module for the snippet (v.js) after the load event. `cargo xtask collector` appends this
// file to the glue of wasm-bindgen. `start`, `take` and `__wbg_…` belong to the module. The module imports the functions
// from `guard` to `callback` (collector-wasm/src/page.rs). No text passes between both: a text is a number.
//
// Five things must be JavaScript: a guard around every function that the browser calls, access to values with caught
// exceptions, the texts of facts, the history of browsers without a Navigation API, and JSON. If the module does not
// start, the snippet goes on queueing, and the server measures.
//
// Names that begin with an underscore are the snippet's.

// `cargo xtask collector` writes the module's URL, the names (collector-wasm/src/names.rs) and the texts of the wire
// format (vitals/src/beacon/write.rs) here.
const MODULE = "";
const NAMES = "";
const TEXTS = "";

// vitals/src/limits.rs. `cargo xtask tidy` compares it.
const TEXTS_MAX = 20000;

// JSON without `JSON` and the `toJSON` of prototypes, because pages replace them. Half a character becomes U+FFFD.
const json = (value) => {
  if (typeof value == "string") {
    const escape = (c) => (c < "\x7f" ? "\\u" + (c.charCodeAt() + 65536).toString(16).slice(1) : "\ufffd");
    return '"' + value.replace(/["\\\0-\x1f\ud800-\udfff]/gu, escape) + '"';
  }
  if (Array.isArray(value)) return "[" + value.map(json).join() + "]";
  if (typeof value != "object") return Number.isFinite(value) || typeof value == "boolean" ? "" + value : "null";
  const pairs = [];
  // Without the names that a page has added to every object.
  for (const name in { __proto__: null, ...value }) pairs.push(json(name) + ":" + json(value[name]));
  return "{" + pairs.join() + "}";
};

let shared, data, replace, listener;

// The values that the module works with, by number: first the constants of `Js` in page.rs, then the names, then the
// values of the current call. The module's kept values have negative numbers.
let values = [];
const numbers = { __proto__: null };
// The texts of the wire format and of facts, and the place of each fact's text.
const texts = TEXTS.split("\t");
const places = { __proto__: null };
const encoder = new TextEncoder();
let constants = 0;
let kept = 0;
let depth = 0;

const debug = (what, more) => data.debug != null && window.console.debug("fieldvitals: " + what, more);
// A function for the browser. No exception leaves it, and the values of the module's call end with it.
const guard = (run) => (argument) => {
  depth++;
  try {
    return run(argument);
  } catch (error) {
    shared._errors |= error instanceof WebAssembly.RuntimeError ? 4 : 2;
    debug("failed:", error);
  } finally {
    if (!--depth) values.length = constants;
  }
};
// An absent value has the number 0.
const put = (value) => {
  if (value == null) return 0;
  values[values.length] = value;
  return values.length - 1;
};
const caught = (run) => {
  try {
    return run();
  } catch {}
};

// The module's imports. `key` 0 is the value itself.
const at = (object, key) => (key ? caught(() => values[object][values[key]]) : values[object]);
const get = (object, key) => put(at(object, key));
const getBy = (class_, object, key) =>
  put(caught(() => Reflect.get(window[values[class_]].prototype, values[key], values[object])));
const item = (list, place) => put(caught(() => values[list][place]));
const number = (object, key, otherwise) => {
  const value = at(object, key);
  return typeof value == "number" ? value : otherwise;
};
const counted = (object, key) => caught(() => +at(object, key)) ?? NaN;
const is = (object, key) => !!at(object, key);
const same = (one, other) => values[one] === values[other];
const named = (object, key) => {
  const value = at(object, key);
  return (typeof value == "string" && numbers[value]) || 0;
};
// An empty text has the number 0.
const putText = (text) => put(text || null);
const text = (object, key) => {
  const value = at(object, key);
  return putText(typeof value == "string" && value);
};
const spelled = (object, key) => putText(caught(() => "" + at(object, key)));
// The first group of a regular expression.
const matched = (text, pattern) => putText(caught(() => values[text].match(new RegExp(values[pattern], "su"))[1]));
const cut = (text, bytes) =>
  putText(caught(() => values[text].slice(0, encoder.encodeInto(values[text], new Uint8Array(bytes)).read)));
const joined = (first, sign, second) => (second ? putText((values[first] ?? "") + values[sign] + values[second]) : first);
const placeAs = (text, key) => {
  if (text && !places[key] && texts.length < TEXTS_MAX) places[key] = texts.push(text) - 1;
  return (text && places[key]) || 0;
};
const place = (text) => placeAs(values[text], values[text]);
// Routers add and remove slashes at the end. No URL contains the sign that keeps these keys apart from other texts.
const placeUrl = (url) => placeAs(values[url], (values[url] ?? "").replace(/\/*$/, "\0"));
const set = (object, key, value) => caught(() => (values[object][values[key]] = values[value]));
// An absent second argument is not passed, as `push` would add it.
const call = (object, key, first, second) =>
  put(
    caught(() =>
      second ? values[object][values[key]](values[first], values[second]) : values[object][values[key]](values[first]),
    ),
  );
const create = (class_, argument) => put(caught(() => new window[values[class_]](values[argument])));
const object = () => put({});
const list = () => put([]);
const value = (number) => values[number];
const hold = (place, value) => {
  values[place] = values[value];
};
const keep = (value) => {
  values[--kept] = values[value];
  return kept;
};
const release = (value) => delete values[value];
const attempt = (run, argument) => {
  try {
    // Not as a method of the table, which is none of the page's business.
    value(run)(values[argument]);
    return 0;
  } catch (error) {
    return put(error);
  }
};
const say = (what, more) => caught(() => debug(values[what], values[more]));
const fail = (bits) => (shared._errors |= bits);
// Appends a byte of a view's id to its text. The id has hyphens before the bytes 4, 6, 8 and 10.
const identify = (place, byte) => {
  texts[1] = (place ? texts[1] : "") + ((1360 >> place) & 1 ? "-" : "") + (byte + 256).toString(16).slice(1);
};
// The object that a list of parts describes: a kind, a name, a text and a number each (vitals/src/beacon/write.rs).
const build = (parts) => {
  let place = 0;
  const fill = (into) => {
    for (;;) {
      const [kind, name, text, number] = parts.slice(place, (place += 4));
      if (!kind) return into;
      const value = [, texts[text], number, number, !!number][kind] ?? fill(kind == 5 ? {} : []);
      if (Array.isArray(into)) into.push(value);
      // A new object, because a page may have given every object a setter with the name of a field.
      else into = { ...into, [texts[name]]: value };
    }
  };
  return fill([])[0];
};
const tree = (parts) => put(caught(() => build(values[parts])));
const written = (tree) => put(caught(() => json(values[tree])));
const listen = (kind) => caught(() => window.addEventListener(values[kind], listener, true));
const install = (push, event, call) => {
  listener = values[event];
  const take = values[call];
  replace(values[push], listener, (name, given) => take([name, given, window.performance.now()]));
};
const callback = (signal, subject) => put(guard((argument) => take(signal, subject, put(argument))));
// Takes over from the snippet in one task, so no entry and no event is lost between them.
const begin = (page, tag, endpoint, id, url, here, observer, hidden, out, queue, calls, read, pageUrl, change) => {
  shared = page;
  data = tag;
  replace = change;
  // Another script's observer in the place of the browser's may not have it.
  guard(() => read(observer.takeRecords()))();
  guard(() => {
    const { performance, navigator } = window;
    const { consent, _seq: seq } = shared;
    const snippet = { id, url, here, queue, calls, observer, hidden, out, consent, seq, pageUrl };
    endpoint = new URL(endpoint, document.baseURI).href;
    values = [, true, false, window, document, performance, navigator, snippet, data, endpoint, , , , texts, , , [],];
    for (const name of NAMES.split("\t")) numbers[name] = put(name);
    constants = values.length;
    start();
  })();
  // Nothing was taken over.
  if (!listener) return;
  // A page's own variable may stand in the place of the browser's.
  if (window.navigation?.currentEntry) return;
  const past = window.history;
  const move = guard(() => listener({ timeStamp: window.performance.now() }));
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
  (error) => (page, tag) => {
    page._errors |= 4;
    data = tag;
    debug("raw-queue mode, as wasm did not start:", error);
  },
);
