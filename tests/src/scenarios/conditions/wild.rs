//! Conditions reported from the field, by the issue trackers of web-vitals, boomerang, the browser SDKs of Datadog,
//! Sentry, New Relic and PostHog, Simple Analytics, Segment and others.

use super::foreign::RICH;
use super::judge::Stored;
use super::page::{self, DELAYED, LOAD, Parts, folder};
use super::{By, Condition, PLAIN, Step, View};
use crate::engines::Engine::WebKit;
use crate::scenarios::lab::{Folder, Module};
use crate::scenarios::verdict::Must;

/// A loader that disables scripts, and re-inserts copies of them after the load event.
const ROCKET_LOADER: &str = "
    addEventListener('load', function () {
        var inert = document.querySelectorAll('script[type=\"rocket-text/javascript\"]');
        Array.prototype.forEach.call(inert, function (old) {
            var script = document.createElement('script');
            Array.prototype.forEach.call(old.attributes, function (attribute) {
                if (attribute.name != 'type') script.setAttribute(attribute.name, attribute.value);
            });
            old.parentNode.insertBefore(script, old);
            old.parentNode.removeChild(old);
        });
    })";

/// Freezes the language's built-in objects, as SES does. Then inherited properties cannot be set either.
const LOCKDOWN: &str = "
    [Object, Function, Array, String, Number, Boolean, Date, RegExp, Error, TypeError, Promise, Map, Set, Symbol].forEach(
        function (type) { Object.freeze(type.prototype); Object.freeze(type) });
    [JSON, Math, Reflect].forEach(Object.freeze)";

/// A service worker that fails requests for the collector's files.
const WORKER: &str = "
    addEventListener('install', function () { skipWaiting() });
    addEventListener('activate', function (event) { event.waitUntil(clients.claim()) });
    addEventListener('fetch', function (event) {
        if (event.request.url.indexOf('/c/') > 0) event.respondWith(Promise.reject(new Error('of the worker')));
    })";

const INSTALLS: &str = r#"<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>installs</title>
    <script src="__BASE__/own.js"></script><script>
    navigator.serviceWorker.addEventListener('controllerchange', function () { lab.told('controlled') });
    navigator.serviceWorker.register('worker.js');
    </script>"#;

/// A tag with a non-ASCII value, for pages in other encodings than UTF-8.
const FOREIGN_TAG: &str =
    "<script async=\"\" src=\"__TAG_URL__\" data-site=\"__KEY__\" data-tags=\"plan=fr\u{fc}hling\"></script>";

fn is_spring(stored: &Stored) -> Result<(), String> {
    let last = stored.beacons.iter().max_by_key(|beacon| beacon.seq).ok_or("no beacon")?;
    let plan = last.tags.get("plan").map(String::as_str);
    if plan == Some("fr\u{fc}hling") { Ok(()) } else { Err(format!("the tag is {plan:?}")) }
}

fn encoded(name: &str) -> Folder {
    let html = Parts { tag: FOREIGN_TAG, ..Parts::default() }.html();
    // Removes the page's charset declaration, which would be wrong.
    folder(&[(name, &format!("<!doctype html>{}", html.replace("<meta charset=\"utf-8\"/>", "")))])
}

/// The page in a sandboxed frame that may only run scripts. It has no origin and no storage.
fn sandboxed() -> Folder {
    let tag = "<script async src='__TAG_URL__' data-site='__KEY__' data-consent='granted' data-sample='1'></script>";
    let page = format!("<!doctype html>{}", Parts { tag, ..Parts::default() }.html());
    let outer =
        "<!doctype html><meta charset=\"utf-8\"><link rel=\"icon\" href=\"data:,\"><title>outer</title>
        <style>body { margin: 0 } iframe { border: 0; width: 100vw; height: 600px }</style>
        <iframe sandbox=\"allow-scripts\" src=\"page.html?delay=100\"></iframe>";
    folder(&[("page.html", &page), ("outer.html", outer)])
}

const FRAMED: &[Step] =
    &[Step::Open("outer.html"), Step::Told("ready"), Step::Module, Step::Press("slow"), Step::Leave];

/// A tag with a hook.
const HOOKED: &str = "<script async src='__TAG_URL__' data-site='__KEY__' data-before-send='hook'></script>";

/// A report at hide, and another at the end.
const REPORTED_TWICE: &[Step] = &[
    Step::Open(DELAYED),
    Step::Told("ready"),
    Step::Module,
    Step::Press("slow"),
    Step::Hide,
    Step::Sent,
    Step::Show,
    Step::Leave,
];

/// What the page calls while a beacon is sent is in the next one.
fn is_marked(stored: &Stored) -> Result<(), String> {
    let mut marks = stored.beacons.iter().flat_map(|beacon| &beacon.marks);
    if marks.any(|mark| mark.name == "sent") { Ok(()) } else { Err("the mark is lost".to_owned()) }
}

/// All conditions of this module.
pub const CONDITIONS: &[Condition] = &[
    Condition {
        name: "rocket-loader",
        folder: || {
            Parts {
                before: &format!("<script>{ROCKET_LOADER}</script>"),
                tag: "<script type=\"rocket-text/javascript\" async=\"\" src=\"__TAG_URL__\" data-site=\"__KEY__\"></script>",
                ..Parts::default()
            }
            .folder()
        },
        ..PLAIN
    },
    Condition { name: "frozen-prototypes", folder: || page::scripted(LOCKDOWN), ..PLAIN },
    Condition {
        name: "enumerable-prototypes",
        folder: || {
            page::scripted(
                "['extend', 'each', 'route', 'tags', 'sample', 'consent', 'release', 'debug', 'url', 'type', 'name'].forEach(
                     function (name) { Object.prototype[name] = Array.prototype[name] = function () { return this } })",
            )
        },
        also: |stored| {
            let routes: Vec<_> = stored.views.iter().filter_map(|view| view.route.as_deref()).collect();
            if routes.is_empty() { Ok(()) } else { Err(format!("routes that nobody named: {routes:?}")) }
        },
        ..PLAIN
    },
    Condition {
        name: "worker-fails",
        folder: || {
            let page = format!("<!doctype html>{}", Parts::default().html());
            folder(&[("page.html", &page), ("install.html", INSTALLS), ("worker.js", WORKER)])
        },
        steps: &[
            Step::Open("install.html"),
            Step::Told("controlled"),
            Step::Open(DELAYED),
            Step::Told("ready"),
            Step::Press("slow"),
            Step::Leave,
        ],
        by: By::Server,
        is_loud: true,
        ..PLAIN
    },
    Condition {
        name: "beacon-throws",
        folder: || {
            page::scripted("navigator.sendBeacon = function () { throw new TypeError('Illegal invocation') }")
        },
        ..PLAIN
    },
    Condition {
        name: "beacon-says-nothing",
        folder: || {
            page::scripted(
                "(function (send) { navigator.sendBeacon = function (url, body) { send(url, body) } })(navigator.sendBeacon.bind(navigator))",
            )
        },
        ..PLAIN
    },
    Condition {
        name: "beacon-calls-interface",
        folder: || {
            page::scripted(
                "(function (send) {
                     navigator.sendBeacon = function (url, body) {
                         fieldvitals.mark('sent');
                         return send(url, body);
                     };
                 })(navigator.sendBeacon.bind(navigator))",
            )
        },
        steps: REPORTED_TWICE,
        also: is_marked,
        ..PLAIN
    },
    Condition {
        name: "fetch-calls-interface",
        folder: || {
            page::scripted(
                "navigator.sendBeacon = function () { return false };
                 (function (send) {
                     window.fetch = function (url, options) {
                         if (options) fieldvitals.mark('sent');
                         return send(url, options);
                     };
                 })(window.fetch.bind(window))",
            )
        },
        steps: REPORTED_TWICE,
        also: is_marked,
        ..PLAIN
    },
    Condition {
        name: "hook-calls-interface",
        folder: || {
            Parts {
                before: "<script>function hook(url) { window.fieldvitals.mark('sent'); return url }</script>",
                tag: HOOKED,
                ..Parts::default()
            }
            .folder()
        },
        steps: &[
            Step::Open(DELAYED),
            Step::Told("ready"),
            Step::Module,
            Step::Press("next"),
            Step::Press("slow"),
            Step::Leave,
        ],
        views: &[LOAD, View { at: "/view1.html", nav: Some("soft-navigation"), values: &[], ..LOAD }],
        also: |stored| {
            // The call of the load event belongs to the first view, that of the move to the view that it begins.
            let views = stored.beacons.iter().flat_map(|beacon| &beacon.marks).map(|mark| mark.view);
            let views = views.collect::<std::collections::BTreeSet<_>>();
            if views.len() == 2 { Ok(()) } else { Err(format!("marks of {views:?}")) }
        },
        ..PLAIN
    },
    Condition {
        name: "kept-by-older-version",
        folder: || {
            Parts {
                before: "<script>localStorage.setItem('fieldvitals', '[1,\"old\"]')</script>",
                tag: "<script async src='__TAG_URL__' data-site='__KEY__' data-consent='granted'></script>",
                ..Parts::default()
            }
            .folder()
        },
        ..PLAIN
    },
    Condition {
        name: "timers-throw",
        folder: || {
            page::scripted("window.setInterval = function () { throw new Error('timer of the page') }")
        },
        ..PLAIN
    },
    Condition {
        name: "clock-throws",
        folder: || {
            page::ending(
                "addEventListener('load', function () {
                     lab.later(function () { performance.now = function () { throw new Error('clock of the page') } }, 250);
                 })",
            )
        },
        steps: &[
            Step::Open(DELAYED),
            Step::Told("ready"),
            Step::Module,
            Step::Press("next"),
            Step::Press("slow"),
            Step::Leave,
        ],
        // Without a clock the document's answer is not known to have come.
        views: &[
            View {
                values: &[
                    ("TTFB", Must::BeAbsent),
                    ("FCP", Must::LieIn(100.0, 10_000.0)),
                    ("LCP", Must::LieIn(400.0, 10_000.0)),
                    ("INP", Must::LieIn(112.0, 560.0)),
                ],
                ..LOAD
            },
            View { at: "/view1.html", nav: Some("soft-navigation"), values: &[], ..LOAD },
        ],
        ..PLAIN
    },
    Condition {
        name: "fetch-throws",
        folder: || page::scripted("window.fetch = function () { throw new Error('fetch of the page') }"),
        by: By::Either,
        ..PLAIN
    },
    Condition {
        name: "fetch-gives-nothing",
        folder: || page::scripted("window.fetch = function () {}"),
        by: By::Either,
        ..PLAIN
    },
    Condition {
        name: "read-only-globals",
        folder: || {
            page::scripted(
                "['fetch', 'history', 'performance'].forEach(function (name) {
                     try { Object.defineProperty(window, name, { value: window[name], writable: false, configurable: false }) } catch (error) {}
                 });
                 Object.freeze(window.navigator); Object.freeze(window.performance)",
            )
        },
        by: By::Either,
        ..PLAIN
    },
    Condition {
        name: "window-stopped",
        folder: || {
            page::ending(
                "addEventListener('load', function () { [0, 30, 60].forEach(function (ms) { lab.later(function () { window.stop() }, ms) }) })",
            )
        },
        by: By::Either,
        is_loud: true,
        ..PLAIN
    },
    Condition {
        name: "base-elsewhere",
        folder: || page::after("<base href=\"https://elsewhere.example/deep/er/\"/>"),
        ..PLAIN
    },
    Condition {
        name: "latin-1",
        folder: || encoded("page.latin1.html"),
        steps: &[
            Step::Open("page.latin1.html?delay=100"),
            Step::Told("ready"),
            Step::Module,
            Step::Press("slow"),
            Step::Leave,
        ],
        views: &[View { at: "/page.latin1.html", ..LOAD }],
        also: is_spring,
        ..PLAIN
    },
    Condition {
        name: "utf-16",
        folder: || encoded("page.utf16.html"),
        steps: &[
            Step::Open("page.utf16.html?delay=100"),
            Step::Told("ready"),
            Step::Module,
            Step::Press("slow"),
            Step::Leave,
        ],
        views: &[View { at: "/page.utf16.html", ..LOAD }],
        also: is_spring,
        ..PLAIN
    },
    Condition {
        name: "xhtml",
        folder: || {
            let tag = "<script async=\"\" src=\"__TAG_URL__\" data-site=\"__KEY__\"></script>";
            let html = Parts { tag, ..Parts::default() }.html();
            let html = html.replacen("<html>", "<html xmlns=\"http://www.w3.org/1999/xhtml\">", 1);
            folder(&[("page.xhtml", &html)])
        },
        steps: &[
            Step::Open("page.xhtml?delay=100"),
            Step::Told("ready"),
            Step::Module,
            Step::Press("slow"),
            Step::Leave,
        ],
        views: &[View { at: "/page.xhtml", ..LOAD }],
        ..PLAIN
    },
    Condition { name: "quirks", folder: || folder(&[("page.html", &Parts::default().html())]), ..PLAIN },
    Condition {
        name: "document-domain",
        folder: || page::scripted("try { document.domain = 'localhost' } catch (error) {}"),
        ..PLAIN
    },
    Condition {
        name: "sandboxed-frame",
        engines: RICH,
        folder: sandboxed,
        steps: FRAMED,
        views: &[View { nav: None, ..LOAD }],
        by: By::Either,
        ..PLAIN
    },
    Condition {
        // WebKit reports neither the time of the answer nor paints to a frame without an origin.
        name: "sandboxed-frame-untold",
        engines: &[WebKit],
        folder: sandboxed,
        steps: FRAMED,
        views: &[View { nav: None, values: &[("TTFB", Must::BeAbsent), ("FCP", Must::BeAbsent)], ..LOAD }],
        by: By::Either,
        ..PLAIN
    },
    Condition {
        name: "csp-refuses-beacons",
        folder: || Folder {
            policy: Some(
                "connect-src 'self'; script-src 'self' 'unsafe-inline' __VITALS__ 'wasm-unsafe-eval'",
            ),
            ..page::after("")
        },
        steps: &[Step::Open(DELAYED), Step::Told("ready"), Step::Press("slow"), Step::Leave],
        views: &[],
        is_loud: true,
        ..PLAIN
    },
    Condition {
        name: "two-versions",
        folder: || {
            page::tagged(
                "<script async src='__TAG_URL__?v=1' data-site='__KEY__'></script><script async src='__TAG_URL__?v=2' data-site='__KEY__' data-tags='plan=second'></script>",
            )
        },
        ..PLAIN
    },
    Condition {
        name: "tag-removed",
        folder: || {
            page::tagged(
                "<script id=\"tag\" async=\"\" src=\"__TAG_URL__?delay=200\" data-site=\"__KEY__\"></script><script>
                 (function (tag) { tag.parentNode.removeChild(tag) })(document.getElementById('tag'))</script>",
            )
        },
        ..PLAIN
    },
    Condition {
        name: "tag-of-a-manager",
        folder: || {
            page::tagged(
                "<script>(function () {
                     var script = document.createElement('script');
                     script.src = '__TAG_URL__?site=__KEY__';
                     script.onload = function () { script.parentNode.removeChild(script) };
                     document.head.appendChild(script);
                 })()</script>",
            )
        },
        ..PLAIN
    },
    Condition {
        name: "fake-timers",
        folder: || {
            page::scripted(
                "window.setTimeout = window.setInterval = window.requestAnimationFrame = window.requestIdleCallback = function () { return 1 };
                 window.clearTimeout = window.clearInterval = window.cancelAnimationFrame = window.queueMicrotask = function () {}",
            )
        },
        by: By::Either,
        ..PLAIN
    },
    Condition {
        name: "coarse-clock",
        folder: || {
            page::scripted(
                "(function (now, calls) {
                     // In steps of 100 ms, and now and then backwards.
                     Performance.prototype.now = function () { return Math.floor(now() / 100) * 100 - (++calls % 5 ? 0 : 200) };
                 })(performance.now.bind(performance), 0)",
            )
        },
        ..PLAIN
    },
    Condition {
        name: "timings-cleared",
        folder: || {
            page::scripted(
                "performance.setResourceTimingBufferSize(0);
                 setInterval(function () { performance.clearResourceTimings(); performance.clearMarks() }, 20)",
            )
        },
        ..PLAIN
    },
    Condition {
        name: "observer-wrapped",
        // WebKit does not deliver earlier paints to a late observer.
        engines: RICH,
        folder: || {
            // The wrapper has neither `supportedEntryTypes` nor `takeRecords`.
            page::scripted(
                "(function (Original) {
                     window.PerformanceObserver = function (callback) {
                         var self = this;
                         var observer = new Original(function (list) { callback.call(self, list, self) });
                         this.observe = function (options) { observer.observe(options) };
                         this.disconnect = function () { observer.disconnect() };
                     };
                 })(PerformanceObserver)",
            )
        },
        ..PLAIN
    },
    Condition {
        name: "huge-document",
        folder: || {
            let many = "<div class=\"row odd\"><span>cell</span></div>".repeat(10_000);
            Parts {
                after: &format!("<div style=\"position:absolute;top:2000px\">{many}</div>"),
                ..Parts::default()
            }
            .folder()
        },
        ..PLAIN
    },
    Condition {
        name: "push-state-throws",
        folder: || {
            page::scripted(
                "History.prototype.pushState = History.prototype.replaceState = function () { throw new DOMException('too many calls', 'SecurityError') }",
            )
        },
        steps: &[Step::Open(DELAYED), Step::Told("ready"), Step::Module, Step::Press("next"), Step::Leave],
        ..PLAIN
    },
    Condition {
        name: "push-state-wrapped",
        folder: || {
            page::scripted(
                "['pushState', 'replaceState'].forEach(function (name) {
                     var original = window.history[name];
                     window.history[name] = function () {
                         var result = original.apply(window.history, arguments);
                         dispatchEvent(new CustomEvent('locationchange', { detail: name }));
                         return result;
                     };
                 })",
            )
        },
        steps: &[
            Step::Open(DELAYED),
            Step::Told("ready"),
            Step::Module,
            Step::Press("next"),
            Step::Press("slow"),
            Step::Leave,
        ],
        views: &[
            LOAD,
            View {
                at: "/view1.html",
                route: None,
                nav: Some("soft-navigation"),
                values: &[("INP", Must::LieIn(112.0, 560.0)), ("TTFB", Must::BeAbsent)],
            },
        ],
        ..PLAIN
    },
    Condition {
        name: "wasm-unknown",
        folder: || page::scripted("delete window.WebAssembly"),
        steps: &[Step::Open(DELAYED), Step::Told("ready"), Step::Press("slow"), Step::Leave],
        by: By::Server,
        ..PLAIN
    },
    Condition {
        // WebKit changes processes for such a page, and then reports wrong times.
        name: "cross-origin-isolated",
        engines: RICH,
        folder: || Folder {
            headers: &[
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-embedder-policy", "require-corp"),
            ],
            ..page::after("")
        },
        ..PLAIN
    },
    Condition {
        name: "no-referrer",
        folder: || Folder { headers: &[("referrer-policy", "no-referrer")], ..page::after("") },
        ..PLAIN
    },
    Condition { name: "restricted", folder: || Folder { is_restricted: true, ..page::after("") }, ..PLAIN },
    Condition {
        // Firefox and WebKit send `Origin: null` from such a page.
        name: "restricted-no-referrer",
        folder: || Folder {
            is_restricted: true,
            headers: &[("referrer-policy", "no-referrer")],
            ..page::after("")
        },
        ..PLAIN
    },
    Condition {
        name: "listeners-stopped",
        folder: || {
            // The page stops events before the collector's listeners, also in the capturing phase.
            page::scripted(
                "['click', 'keydown', 'visibilitychange'].forEach(function (type) {
                     document.addEventListener(type, function (event) {
                         if (type == 'click') lab.busy(1);
                         else event.stopImmediatePropagation();
                     }, true);
                 })",
            )
        },
        ..PLAIN
    },
    Condition {
        name: "module-held-in-csp",
        folder: || Folder {
            module: Module::Held,
            policy: Some("script-src 'nonce-lab' 'strict-dynamic' 'wasm-unsafe-eval'"),
            ..page::tagged("<script async nonce=\"lab\" src=\"__TAG_URL__\" data-site=\"__KEY__\"></script>")
        },
        steps: &[
            Step::Open(DELAYED),
            Step::Told("ready"),
            Step::Press("slow"),
            Step::Release,
            Step::Module,
            Step::Press("fast"),
            Step::Leave,
        ],
        ..PLAIN
    },
];
