//! Conditions of third-party scripts, markup and policies.

use super::judge::Stored;
use super::page::{self, DELAYED, LOAD, Parts};
use super::{By, Condition, PLAIN, Step, View};
use crate::engines::Engine::{self, Chromium, Firefox};
use crate::scenarios::lab::Folder;
use crate::scenarios::verdict::Must;
use vitals::limits;

/// The tag with a nonce, which the page's own scripts have too.
const NONCED: &str = "<script async=\"\" nonce=\"lab\" src=\"__TAG_URL__\" data-site=\"__KEY__\"></script>";

/// The lines of Prototype 1.6.1 that change the language's objects: JSON methods of arrays and strings, `Array.from`
/// without a mapping function, a different `bind`, and an `Event` that is no constructor.
const PROTOTYPE: &str = r#"
    Object.toJSON = function (object) {
        switch (typeof object) {
            case 'undefined': case 'function': case 'unknown': return;
            case 'boolean': return object.toString();
        }
        if (object === null) return 'null';
        if (object.toJSON) return object.toJSON();
        if (object.nodeType == 1) return;
        var results = [];
        for (var property in object) {
            var value = Object.toJSON(object[property]);
            if (value !== undefined) results.push(property.toJSON() + ': ' + value);
        }
        return '{' + results.join(', ') + '}';
    };
    String.prototype.toJSON = function () { return '"' + this.replace(/"/g, '\\"') + '"' };
    Number.prototype.toJSON = function () { return isFinite(this) ? this.toString() : 'null' };
    Array.prototype.toJSON = function () {
        var results = [];
        for (var place = 0; place < this.length; place++) {
            var value = Object.toJSON(this[place]);
            if (value !== undefined) results.push(value);
        }
        return '[' + results.join(', ') + ']';
    };
    Array.prototype.each = function (run) { for (var place = 0; place < this.length; place++) run(this[place], place) };
    Array.from = window.$A = function (iterable) {
        if (!iterable) return [];
        if (iterable.toArray) return iterable.toArray();
        var length = iterable.length || 0, results = new Array(length);
        while (length--) results[length] = iterable[length];
        return results;
    };
    Function.prototype.bind = function () {
        if (arguments.length < 2 && arguments[0] === undefined) return this;
        var method = this, args = window.$A(arguments), object = args.shift();
        return function () { return method.apply(object, args.concat(window.$A(arguments))) };
    };
    Object.keys = function (object) { var keys = []; for (var property in object) keys.push(property); return keys };
    window.Event = { KEY_TAB: 9, observe: function () {}, stop: function () {}, element: function (event) { return event.target } };
    Element.prototype.remove = function () { this.parentNode.removeChild(this); return this };
    Element.prototype.matches = function () { return this };
    Element.prototype.closest = function () { return [this] };
    Element.prototype.getAttribute = function (name) { return this.attributes[name] ? this.attributes[name].value : null };
"#;

/// A page's own `Promise`, as libraries provided it before browsers did. It lacks all other members of the standard
/// `Promise`.
const PROMISE: &str = "
    window.Promise = function (run) {
        var settled, callbacks = [], take = function (kind) { return function (value) {
            if (settled) return;
            if (kind == 0 && value && typeof value.then == 'function') return value.then(take(0), take(1));
            settled = [kind, value];
            callbacks.forEach(function (callback) { lab.later(callback, 0) });
        } };
        this.then = function (done, failed) {
            return new window.Promise(function (resolve, reject) {
                var call = function () {
                    var run = [done, failed][settled[0]];
                    if (typeof run != 'function') return settled[0] ? reject(settled[1]) : resolve(settled[1]);
                    try { resolve(run(settled[1])) } catch (error) { reject(error) }
                };
                settled ? lab.later(call, 0) : callbacks.push(call);
            });
        };
        try { run(take(0), take(1)) } catch (error) { take(1)(error) }
    };";

/// The page with this library before the tag.
fn with_library(name: &str) -> Folder {
    page::after(&format!("<script src=\"__SITE____BASE__/libraries/{name}\"></script>"))
}

/// Hides the page and waits for its beacon. Leaving would send a beacon in any case, so it comes last.
const HIDE: &[Step] = &[
    Step::Open(DELAYED),
    Step::Told("ready"),
    Step::Module,
    Step::Press("slow"),
    Step::Hide,
    Step::Sent,
    Step::Show,
    Step::Leave,
];

fn release_is(stored: &Stored, right: &str) -> Result<(), String> {
    let wrong = stored.beacons.iter().map(|beacon| beacon.release.as_deref()).find(|&has| has != Some(right));
    wrong.map_or(Ok(()), |has| Err(format!("the release is {has:?}, {right:?} is right")))
}

fn tag_is(stored: &Stored, name: &str, right: &str) -> Result<(), String> {
    // Checks the last beacon, because a raw beacon has no tags.
    let last = stored.beacons.iter().max_by_key(|beacon| beacon.seq);
    let has = last.and_then(|beacon| beacon.tags.get(name)).map(String::as_str);
    if has == Some(right) { Ok(()) } else { Err(format!("the tag {name} is {has:?}, {right:?} is right")) }
}

/// Checks that every start is within 1 h of now. A run takes minutes; a wrong clock is days off.
fn starts_now(stored: &Stored) -> Result<(), String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_millis() as i64);
    let away =
        stored.views.iter().map(|view| view.snapshot.id.start_ms() - now).find(|ms| ms.abs() > 3_600_000);
    away.map_or(Ok(()), |ms| Err(format!("a view starts {} h from now", ms / 3_600_000)))
}

/// The plain page's values without a navigation entry: TTFB is absent.
const NO_ENTRY: &[(&str, Must)] = &[
    ("TTFB", Must::BeAbsent),
    ("FCP", Must::LieIn(100.0, 10_000.0)),
    ("LCP", Must::LieIn(400.0, 10_000.0)),
    ("CLS", Must::LieIn(0.045, 0.075)),
    ("INP", Must::LieIn(112.0, 560.0)),
];

/// The values of a page whose button opens a dialog.
const ASKING: &[(&str, Must)] =
    &[("TTFB", Must::LieIn(100.0, 4_000.0)), ("LCP", Must::LieIn(400.0, 10_000.0))];

/// A string one character too long; its last two characters have two UTF-16 units each.
fn long(characters: usize) -> String {
    format!("{}😀😀", "x".repeat(characters - 1))
}

/// All conditions of this module.
pub const CONDITIONS: &[Condition] = &[
    Condition {
        name: "tag-crossorigin",
        folder: || page::tagged("<script async src='__TAG_URL__' data-site='__KEY__' crossorigin></script>"),
        ..PLAIN
    },
    Condition {
        name: "csp-hosts",
        folder: || Folder {
            policy: Some(
                "script-src 'self' 'unsafe-inline' __VITALS__ 'wasm-unsafe-eval'; connect-src 'self' __VITALS__",
            ),
            ..page::after("")
        },
        ..PLAIN
    },
    Condition {
        name: "csp-nonce",
        folder: || Folder {
            policy: Some("script-src 'nonce-lab' 'wasm-unsafe-eval'; connect-src 'self' __VITALS__"),
            ..page::tagged(NONCED)
        },
        ..PLAIN
    },
    Condition {
        name: "csp-strict-dynamic",
        folder: || Folder {
            policy: Some(
                "script-src 'nonce-lab' 'strict-dynamic' 'wasm-unsafe-eval'; connect-src 'self' __VITALS__; base-uri 'none'; object-src 'none'",
            ),
            ..page::tagged(NONCED)
        },
        ..PLAIN
    },
    Condition {
        name: "trusted-types",
        folder: || Folder { policy: Some("require-trusted-types-for 'script'"), ..page::after("") },
        ..PLAIN
    },
    Condition {
        name: "trusted-types-named",
        folder: || Folder {
            policy: Some("require-trusted-types-for 'script'; trusted-types fieldvitals"),
            ..page::after("")
        },
        ..PLAIN
    },
    Condition {
        name: "trusted-types-other",
        folder: || Folder {
            policy: Some("require-trusted-types-for 'script'; trusted-types page"),
            ..page::after("")
        },
        ..PLAIN
    },
    Condition {
        name: "trusted-types-nonce",
        folder: || Folder {
            policy: Some(
                "require-trusted-types-for 'script'; trusted-types fieldvitals; script-src 'nonce-lab' 'strict-dynamic' 'wasm-unsafe-eval'",
            ),
            ..page::tagged(NONCED)
        },
        ..PLAIN
    },
    Condition {
        name: "old-array-from",
        folder: || page::scripted("Array.from = function (list) { return [].slice.call(list) }"),
        ..PLAIN
    },
    Condition {
        name: "old-object-keys",
        folder: || {
            page::scripted(
                "Object.keys = function (of) { var keys = []; for (var key in of) keys.push(key); return keys };
                 Object.entries = Object.assign = Object.fromEntries = undefined",
            )
        },
        ..PLAIN
    },
    Condition {
        name: "old-bind",
        folder: || {
            // The `bind` of early libraries takes no arguments beside the object.
            page::scripted(
                "Function.prototype.bind = function (object) { var run = this; return function () { return run.apply(object, arguments) } }",
            )
        },
        ..PLAIN
    },
    Condition { name: "old-promise", folder: || page::scripted(PROMISE), ..PLAIN },
    Condition {
        name: "old-json",
        folder: || {
            page::after(
                "<script>window.JSON = {}</script><script src=\"__SITE____BASE__/libraries/json2.js\"></script>",
            )
        },
        ..PLAIN
    },
    Condition {
        name: "old-event",
        folder: || {
            page::scripted(
                "window.Event = window.CustomEvent = { observe: function () {}, stop: function () {} }",
            )
        },
        ..PLAIN
    },
    Condition {
        name: "old-element",
        folder: || {
            page::scripted(
                "Element.prototype.matches = Element.prototype.closest = Element.prototype.querySelector = function () { return [this] };
                 Element.prototype.remove = function () { return this };
                 Element.prototype.getAttribute = function () { return '' };
                 Element.prototype.append = Element.prototype.prepend = undefined",
            )
        },
        ..PLAIN
    },
    Condition { name: "prototype", folder: || page::scripted(PROTOTYPE), ..PLAIN },
    Condition { name: "mootools", folder: || with_library("mootools.js"), ..PLAIN },
    Condition {
        name: "es5-shim",
        folder: || {
            page::after(
                "<script src=\"__SITE____BASE__/libraries/es5-shim.js\"></script><script src=\"__SITE____BASE__/libraries/es5-sham.js\"></script>",
            )
        },
        ..PLAIN
    },
    Condition { name: "core-js", folder: || with_library("core-js.js"), ..PLAIN },
    Condition { name: "zone", folder: || with_library("zone.js"), ..PLAIN },
    Condition {
        name: "to-json-array",
        folder: || page::scripted("Array.prototype.toJSON = function () { return '[' + this.join() + ']' }"),
        ..PLAIN
    },
    Condition {
        name: "to-json-object",
        folder: || page::scripted("Object.prototype.toJSON = function () { return 'an object' }"),
        ..PLAIN
    },
    Condition {
        name: "to-json-string",
        folder: || page::scripted("String.prototype.toJSON = function () { return '\"' + this + '\"' }"),
        ..PLAIN
    },
    Condition {
        name: "to-json-number",
        folder: || page::scripted("Number.prototype.toJSON = function () { return 'a number' }"),
        ..PLAIN
    },
    Condition {
        name: "to-json-date",
        folder: || page::scripted("Date.prototype.toJSON = function () { throw new Error('no date') }"),
        ..PLAIN
    },
    Condition { name: "top-const-navigation", folder: || page::scripted("const navigation = []"), ..PLAIN },
    Condition { name: "top-let-history", folder: || page::scripted("let history"), ..PLAIN },
    Condition {
        name: "top-const-performance",
        folder: || page::scripted("const performance = { mark: function () {} }"),
        by: By::Either,
        ..PLAIN
    },
    Condition {
        name: "img-named-hidden",
        folder: || Parts { inside: "<img name=\"hidden\" alt=\"\"/>", ..Parts::default() }.folder(),
        steps: HIDE,
        ..PLAIN
    },
    Condition {
        name: "form-named-hidden",
        folder: || Parts { inside: "<form name=\"hidden\"></form>", ..Parts::default() }.folder(),
        steps: HIDE,
        ..PLAIN
    },
    Condition {
        name: "form-of-children",
        folder: || {
            Parts {
                inside: "<form>text of the form<input name=\"id\" type=\"hidden\"/><input name=\"classList\" type=\"hidden\"/><input name=\"localName\" type=\"hidden\"/><input name=\"parentNode\" type=\"hidden\"/><input name=\"nodeType\" type=\"hidden\"/></form>",
                after: "<script>document.forms[0].addEventListener('click', function () {
                    lab.busy(120);
                    lab.later(function () { lab.told('form') }, 300);
                })</script>",
                ..Parts::default()
            }
            .folder()
        },
        steps: &[Step::Open(DELAYED), Step::Told("ready"), Step::Module, Step::Press("form"), Step::Leave],
        also: |stored| {
            let view = stored.views.first().ok_or("no view")?;
            let target = view.snapshot.attribution.inp.as_ref().map(|cause| cause.target.as_str());
            match target {
                Some("html>body>form") => Ok(()),
                // INP is absent in engines that do not report interactions.
                None if stored.value(0, "INP").is_none() => Ok(()),
                other => Err(format!("INP's element is {other:?}, \"html>body>form\" is right")),
            }
        },
        ..PLAIN
    },
    Condition {
        name: "two-metas-of-release",
        folder: || {
            page::after(
                "<meta name=\"release\" content=\"1.2.3\"/><meta name=\"release\" content=\"4.5.6\"/>",
            )
        },
        also: |stored| release_is(stored, "1.2.3"),
        ..PLAIN
    },
    Condition {
        name: "template-of-release",
        folder: || {
            page::after("<template id=\"release\"></template><meta name=\"release\" content=\"1.2.3\"/>")
        },
        also: |stored| release_is(stored, "1.2.3"),
        ..PLAIN
    },
    Condition {
        name: "navigation-entry-missing",
        folder: || {
            page::scripted(
                "Performance.prototype.getEntriesByType = function () { return [] };
                 var getEntries = Performance.prototype.getEntries;
                 Performance.prototype.getEntries = function () {
                     return getEntries.call(this).filter(function (entry) { return entry.entryType != 'navigation' });
                 }",
            )
        },
        views: &[View { nav: None, values: NO_ENTRY, ..LOAD }],
        ..PLAIN
    },
    Condition {
        name: "navigation-type-undefined",
        folder: || {
            page::scripted(
                "Object.defineProperty(PerformanceNavigationTiming.prototype, 'type', { get: function () {} })",
            )
        },
        views: &[View { nav: None, ..LOAD }],
        ..PLAIN
    },
    Condition {
        name: "time-origin-behind",
        folder: || {
            page::scripted(
                "Object.defineProperty(performance, 'timeOrigin', { value: performance.timeOrigin - 3 * 864e5 })",
            )
        },
        also: starts_now,
        ..PLAIN
    },
    Condition {
        name: "time-origin-undefined",
        folder: || page::scripted("Object.defineProperty(performance, 'timeOrigin', { value: undefined })"),
        also: starts_now,
        ..PLAIN
    },
    Condition {
        name: "date-now-frozen",
        folder: || page::scripted("(function (at) { Date.now = function () { return at } })(Date.now())"),
        also: starts_now,
        ..PLAIN
    },
    Condition {
        name: "date-now-in-seconds",
        folder: || {
            page::scripted(
                "(function (now) { Date.now = function () { return Math.floor(now() / 1000) } })(Date.now)",
            )
        },
        // The server discards a view that starts in 1970.
        may_be_filtered: true,
        ..PLAIN
    },
    Condition {
        name: "emoji-cut-in-tag",
        folder: || {
            let value = long(limits::TAG_VALUE_CHARS_MAX);
            page::tagged(&format!(
                "<script async src='__TAG_URL__' data-site='__KEY__' data-tags='plan={value}'></script>"
            ))
        },
        also: |stored| tag_is(stored, "plan", &format!("{}😀", "x".repeat(limits::TAG_VALUE_CHARS_MAX - 1))),
        ..PLAIN
    },
    Condition {
        name: "emoji-cut-in-mark",
        folder: || {
            let name = long(limits::TAG_NAME_CHARS_MAX);
            page::ending(&format!(
                "addEventListener('load', function () {{ lab.later(function () {{ fieldvitals.mark('{name}') }}, 50) }})"
            ))
        },
        also: |stored| {
            let names =
                || stored.beacons.iter().flat_map(|beacon| &beacon.marks).map(|mark| mark.name.as_str());
            let right = format!("{}😀", "x".repeat(limits::TAG_NAME_CHARS_MAX - 1));
            if names().any(|name| name == right) {
                Ok(())
            } else {
                Err(format!("the marks are {:?}, {right:?} is right", names().collect::<Vec<_>>()))
            }
        },
        ..PLAIN
    },
    Condition {
        name: "emoji-cut-in-route",
        folder: || {
            // The limit counts bytes: the emoji has four and begins three bytes before the limit.
            let route = format!("__BASE__/{}😀", "r".repeat(limits::ROUTE_BYTES_MAX));
            page::ending(&format!(
                "addEventListener('load', function () {{ var cut = '{route}', length = {} - 3;
                 fieldvitals.navigate(cut.slice(0, length) + '😀') }})",
                limits::ROUTE_BYTES_MAX
            ))
        },
        views: &[View { route: Some("rrr"), ..LOAD }],
        ..PLAIN
    },
    Condition {
        name: "emoji-cut-in-release",
        folder: || {
            let release = format!("{}😀", "v".repeat(limits::RELEASE_BYTES_MAX - 3));
            page::tagged(&format!(
                "<script async src='__TAG_URL__' data-site='__KEY__' data-release='{release}'></script>"
            ))
        },
        // The browser may leave the cut to the server. Half a character would not decode there.
        also: |stored| {
            let cut = "v".repeat(limits::RELEASE_BYTES_MAX - 3);
            let whole = format!("{cut}😀");
            release_is(stored, &cut).or_else(|_| release_is(stored, &whole))
        },
        ..PLAIN
    },
    Condition {
        name: "tags-of-prototypes",
        folder: || {
            page::tagged(
                "<script async src='__TAG_URL__' data-site='__KEY__' data-tags='__proto__=p;constructor=x;hasOwnProperty=y;toString=z;a=1;b=2;c=3;d=4;e=5;f=6'></script>",
            )
        },
        also: |stored| {
            tag_is(stored, "__proto__", "p")?;
            tag_is(stored, "constructor", "x")?;
            tag_is(stored, "hasOwnProperty", "y")?;
            tag_is(stored, "d", "4")?;
            let most = stored.beacons.iter().map(|beacon| beacon.tags.len()).max();
            if most == Some(limits::TAGS_MAX) { Ok(()) } else { Err(format!("{most:?} tags")) }
        },
        ..PLAIN
    },
    Condition {
        name: "document-written",
        folder: || rewritten(2_000),
        steps: WRITTEN,
        views: &[View { values: REWRITTEN, ..LOAD }],
        by: By::Either,
        ..PLAIN
    },
    Condition {
        name: "document-written-early",
        folder: || rewritten(20),
        steps: &[Step::Open(DELAYED), Step::Told("rewritten"), Step::Leave],
        views: &[View { values: REWRITTEN, ..LOAD }],
        by: By::Either,
        ..PLAIN
    },
    Condition {
        name: "replaced-before-hero",
        folder: || {
            page::ending(
                "addEventListener('load', function () {
                     lab.later(function () { window.history.replaceState(null, '', '__BASE__/arrived.html') }, 300);
                     lab.later(function () {
                         var hero = document.createElement('div');
                         hero.style.cssText = 'position:fixed;left:220px;top:20px;font-size:120px;line-height:1;z-index:1';
                         hero.textContent = 'THE HERO TEXT';
                         document.body.appendChild(hero);
                         lab.painted(function () { lab.told('hero') });
                     }, 800);
                 })",
            )
        },
        steps: ARRIVED,
        views: &[View {
            at: "/arrived.html",
            values: &[
                ("TTFB", Must::LieIn(100.0, 4_000.0)),
                ("LCP", Must::LieIn(1_200.0, 10_000.0)),
                ("CLS", Must::LieIn(0.045, 0.075)),
                ("INP", Must::LieIn(112.0, 560.0)),
            ],
            ..LOAD
        }],
        ..PLAIN
    },
    Condition {
        name: "replaced-by-slash",
        folder: || {
            page::ending(
                "addEventListener('load', function () {
                     lab.later(function () {
                         window.history.replaceState(null, '', location.pathname + '/');
                         lab.told('hero');
                     }, 300);
                 })",
            )
        },
        steps: ARRIVED,
        views: &[View { at: "", ..LOAD }],
        ..PLAIN
    },
    Condition {
        name: "slash-after-input",
        folder: || {
            page::ending(
                "document.getElementById('slow').addEventListener('click', function () {
                     window.history.replaceState(null, '', location.pathname + '/');
                 })",
            )
        },
        views: &[View { at: "", ..LOAD }],
        ..PLAIN
    },
    Condition {
        name: "alert-in-click",
        engines: &[Chromium],
        steps: &[
            Step::Open(DELAYED),
            Step::Told("ready"),
            Step::Module,
            Step::Tap("alert"),
            Step::Dialog(1_500),
            Step::Told("alert"),
            Step::Leave,
        ],
        views: &[View { values: ASKING, ..LOAD }],
        also: |stored| {
            let view = stored.views.first().ok_or("no view")?;
            let inp = stored.value(0, "INP").ok_or("no INP")?;
            let script = view.snapshot.attribution.inp.as_ref().map_or(0.0, |cause| cause.script_ms);
            if script <= inp { Ok(()) } else { Err(format!("a script of {script} ms in an INP of {inp} ms")) }
        },
        ..PLAIN
    },
    Condition {
        name: "options-in-address",
        folder: || {
            page::tagged(
                "<script async src='__TAG_URL__?site=__KEY__&amp;tags=plan%3Dfree&amp;release=1.2.3&amp;route=__BASE__%2Fnamed'></script>",
            )
        },
        views: &[View { route: Some("/named"), ..LOAD }],
        also: |stored| {
            tag_is(stored, "plan", "free")?;
            release_is(stored, "1.2.3")
        },
        ..PLAIN
    },
    Condition {
        name: "script-unknown",
        folder: || {
            page::scripted(
                "Object.defineProperty(document, 'currentScript', { get: function () { return null } })",
            )
        },
        ..PLAIN
    },
    Condition {
        name: "script-unknown-and-bare",
        folder: || {
            Parts {
                before: "<script>Object.defineProperty(document, 'currentScript', { value: null })</script>",
                tag: "<script async src='__TAG_URL__?site=__KEY__'></script>",
                ..Parts::default()
            }
            .folder()
        },
        ..PLAIN
    },
    Condition {
        name: "type-module",
        folder: || page::tagged("<script type='module' src='__TAG_URL__' data-site='__KEY__'></script>"),
        ..PLAIN
    },
    Condition {
        name: "type-module-and-bare",
        folder: || page::tagged("<script type='module' src='__TAG_URL__?site=__KEY__'></script>"),
        ..PLAIN
    },
    Condition {
        name: "srcdoc",
        folder: || {
            Parts {
                tag: "",
                inside: "<iframe width=\"100\" height=\"100\" style=\"position:fixed;top:0;right:0\" srcdoc=\"&lt;script src='__SITE____BASE__/own.js'&gt;&lt;/script&gt;&lt;script async src='__TAG_URL__' data-site='__KEY__'&gt;&lt;/script&gt;&lt;p&gt;framed\"></iframe>",
                ..Parts::default()
            }
            .folder()
        },
        views: &[View { nav: None, values: &[("FCP", Must::LieIn(0.0, 10_000.0))], ..LOAD }],
        by: By::Either,
        may_be_absent: true,
        ..PLAIN
    },
    Condition {
        name: "file-page",
        steps: &[
            Step::OpenFile("page.html"),
            Step::Told("ready"),
            Step::Module,
            Step::Press("slow"),
            Step::Leave,
        ],
        views: &[View {
            nav: None,
            values: &[("FCP", Must::LieIn(0.0, 10_000.0)), ("INP", Must::LieIn(112.0, 560.0))],
            ..LOAD
        }],
        by: By::Either,
        ..PLAIN
    },
];

/// The values of a document before its rewrite: only the network's and the first paint's.
const REWRITTEN: &[(&str, Must)] =
    &[("TTFB", Must::LieIn(100.0, 4_000.0)), ("FCP", Must::LieIn(100.0, 10_000.0))];

const WRITTEN: &[Step] = &[Step::Open(DELAYED), Step::Module, Step::Told("rewritten"), Step::Leave];

/// A navigation by the page itself, then an input.
const ARRIVED: &[Step] = &[
    Step::Open(DELAYED),
    Step::Told("ready"),
    Step::Told("hero"),
    Step::Module,
    Step::Press("slow"),
    Step::Leave,
];

/// A page that rewrites itself this long after its load; `document.open` removes the listeners of its window.
fn rewritten(ms: u32) -> Folder {
    page::ending(&format!(
        "addEventListener('load', function () {{
             lab.later(function () {{
                 lab.painted(function () {{
                     document.open();
                     document.write('<p>written anew</p>');
                     document.close();
                     lab.later(function () {{ lab.told('rewritten') }}, 500);
                 }});
             }}, {ms});
         }})"
    ))
}

/// The engines that report interactions.
pub(super) const RICH: &[Engine] = &[Chromium, Firefox];
