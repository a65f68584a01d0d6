//! Interactions and navigations before the module runs, and navigations inside the document.
//!
//! A navigation inside the document counts as a redirect if it follows no trusted input in its view and comes within
//! 2 s after the load (or after the start of that view). The view then continues under the new URL. Any other
//! navigation begins a view.

use super::foreign::RICH;
use super::judge::Stored;
use super::page::{self, DELAYED, LOAD, LOADED, Parts};
use super::{By, Condition, PLAIN, Step, View};
use crate::scenarios::lab::{Folder, Module};
use crate::scenarios::verdict::Must;
use vitals::beacon::errors;

/// The first view, ended by a navigating click. The click's handler takes 120 ms.
const FIRST: View = LOAD;

/// A view begun by a click. The handler of its own navigating click takes 600 ms.
const SECOND: View = View {
    at: "/view1.html",
    route: None,
    nav: Some("soft-navigation"),
    values: &[("INP", Must::LieIn(592.0, 2_000.0)), ("TTFB", Must::BeAbsent)],
};

/// A view with one fast click. Browsers report no interaction below 40 ms, so its INP is at most 40 ms. On a busy
/// machine the click may take longer, and then the browser reports it.
const FAST: &[(&str, Must)] = &[("INP", Must::LieIn(0.0, 105.0)), ("TTFB", Must::BeAbsent)];

/// The view of the second navigating click.
const THIRD: View = View { at: "/view2.html", values: FAST, ..SECOND };

/// A folder whose page has this tag and sets its route by this script during the load. The module is held.
fn named(tag: &str, script: &str) -> Folder {
    let after = &format!("<script>{script}</script>");
    Folder { module: Module::Held, ..Parts { tag, after, ..Parts::default() }.folder() }
}

/// One click before the module runs, and one after.
const CLICKED: &[Step] = &[
    Step::Open(DELAYED),
    Step::Told("ready"),
    Step::Press("slow"),
    Step::Release,
    Step::Module,
    Step::Press("fast"),
    Step::Leave,
];

const NAMED: &[View] = &[View { route: Some("/home"), ..LOAD }];

/// Two navigating clicks, then a fast click.
const CLICKS: &[Step] = &[
    Step::Open(DELAYED),
    Step::Told("ready"),
    Step::Module,
    Step::Press("next"),
    Step::Press("next"),
    Step::Press("fast"),
    Step::Leave,
];

/// The plain page's view after a redirect.
const REDIRECTED: &[View] = &[View { at: "/en", ..LOAD }];

/// A navigating click, a redirect 250 ms later, and a layout shift in the new view.
const CLICK_REDIRECTED: &str = "
    document.getElementById('fast').addEventListener('click', function () {
        window.history.pushState(null, '', '__BASE__/a');
        lab.later(function () { window.history.replaceState(null, '', '__BASE__/b') }, 250);
        lab.later(function () {
            document.getElementById('pad').style.height = '240px';
            lab.painted(function () { lab.told('moved') });
        }, 900);
    })";

/// 56 interactions, including the navigating click. One takes 440 ms, one 300 ms. INP leaves out the slowest one for
/// every fifty interactions, so it is 300 ms.
const MANY: &[Step] = &[
    Step::Open(DELAYED),
    Step::Told("ready"),
    Step::Module,
    Step::Keys("aaaaaaaaaaaaaaa"),
    Step::Keys("x"),
    Step::Told("x"),
    Step::Keys("aaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    Step::Keys("y"),
    Step::Told("y"),
    Step::Keys("aaaaaaaaaa"),
    Step::Press("next"),
    Step::Hide,
    Step::Sent,
    Step::Show,
    Step::Leave,
];

const MANY_VIEWS: &[View] = &[
    View { values: &[("TTFB", Must::LieIn(100.0, 4_000.0)), ("INP", Must::LieIn(296.0, 432.0))], ..LOAD },
    View { values: &[("TTFB", Must::BeAbsent)], ..SECOND },
];

/// 800 requests before the load event, more than the snippet's queue takes (`QUEUED_MASSES_MAX`). Reports `heavy` once
/// observers have received their entries.
const HEAVY: &str = "
    (function () {
        var left = 800;
        var one = function () { if (!--left) lab.later(function () { lab.told('heavy') }, 300) };
        for (var number = 0; number < 800; number++) fetch('slow?' + number).then(one, one);
    })()";

/// A page with a hook that does this for every view but the first.
fn hooked(script: &str) -> Folder {
    let before =
        format!("<script>function hook(url) {{ if (/view/.test(url)) {{ {script} }} return url }}</script>");
    let tag = "<script async src='__TAG_URL__' data-site='__KEY__' data-before-send='hook'></script>";
    Parts { before: &before, tag, ..Parts::default() }.folder()
}

/// The second view is dropped, and its values are not the first view's.
const HOOKED: Condition = Condition {
    steps: &[
        Step::Open(DELAYED),
        Step::Told("ready"),
        Step::Module,
        Step::Press("next"),
        Step::Press("next"),
        Step::Leave,
    ],
    views: &[FIRST],
    also: |stored| errors_are(stored, errors::PAGE),
    ..PLAIN
};

fn errors_are(stored: &Stored, expected: u32) -> Result<(), String> {
    let told = stored.beacons.iter().fold(0, |told, beacon| told | beacon.errors);
    if told == expected { Ok(()) } else { Err(format!("errors are {told}, {expected} is right")) }
}

/// All conditions of this module.
pub const CONDITIONS: &[Condition] = &[
    Condition {
        name: "route-in-tag",
        folder: || {
            named(
                "<script async src='__TAG_URL__' data-site='__KEY__' data-route='__BASE__/home'></script>",
                "",
            )
        },
        steps: CLICKED,
        views: NAMED,
        ..PLAIN
    },
    Condition {
        name: "route-named-in-order",
        folder: || {
            named(
                "<script src='__TAG_URL__' data-site='__KEY__'></script>",
                "fieldvitals.navigate('__BASE__/home')",
            )
        },
        steps: CLICKED,
        views: NAMED,
        ..PLAIN
    },
    Condition {
        name: "route-named-on-load",
        folder: || {
            named(
                "__TAG__",
                "addEventListener('load', function () { fieldvitals.navigate('__BASE__/home') })",
            )
        },
        steps: CLICKED,
        views: NAMED,
        ..PLAIN
    },
    Condition {
        name: "clicks-before-module",
        folder: || Folder { module: Module::Held, ..page::after("") },
        steps: &[
            Step::Open(DELAYED),
            Step::Told("ready"),
            Step::Press("next"),
            Step::Press("next"),
            Step::Release,
            Step::Module,
            Step::Press("fast"),
            Step::Leave,
        ],
        views: &[FIRST, SECOND, THIRD],
        ..PLAIN
    },
    Condition {
        name: "click-between",
        folder: || Folder { module: Module::Held, ..page::after("") },
        steps: &[
            Step::Open(DELAYED),
            Step::Told("ready"),
            Step::Press("next"),
            Step::Release,
            Step::Module,
            Step::Press("next"),
            Step::Press("fast"),
            Step::Leave,
        ],
        views: &[FIRST, SECOND, THIRD],
        ..PLAIN
    },
    Condition { name: "clicks", steps: CLICKS, views: &[FIRST, SECOND, THIRD], ..PLAIN },
    Condition { name: "hook-throws-on-move", folder: || hooked("throw Error('hook')"), ..HOOKED },
    Condition { name: "hook-gives-a-number-on-move", folder: || hooked("return 7"), ..HOOKED },
    Condition {
        name: "hook-gives-nothing-on-move",
        folder: || hooked("return /b/.test(url) && null"),
        also: |stored| errors_are(stored, 0),
        ..HOOKED
    },
    Condition {
        name: "hook-throws-before-module",
        folder: || Folder { module: Module::Missing, ..hooked("throw Error('hook')") },
        by: By::Server,
        also: |stored| errors_are(stored, errors::PAGE | errors::MODULE),
        is_loud: true,
        ..HOOKED
    },
    Condition {
        name: "clicks-without-module",
        folder: || Folder { module: Module::Missing, ..page::after("") },
        steps: CLICKS,
        views: &[FIRST, SECOND, THIRD],
        by: By::Server,
        is_loud: true,
        ..PLAIN
    },
    Condition {
        name: "clicks-without-wasm",
        folder: || Folder { module: Module::WasmMissing, ..page::after("") },
        steps: CLICKS,
        views: &[FIRST, SECOND, THIRD],
        by: By::Server,
        is_loud: true,
        ..PLAIN
    },
    Condition {
        name: "router-at-once",
        folder: || page::scripted("window.history.replaceState(null, '', '__BASE__/en')"),
        views: REDIRECTED,
        ..PLAIN
    },
    Condition {
        name: "router-after-load",
        folder: || {
            page::ending(
                "addEventListener('load', function () {
                     lab.later(function () {
                         window.history.replaceState(null, '', '__BASE__/en');
                         lab.told('moved');
                     }, 250);
                 })",
            )
        },
        steps: &[
            Step::Open(DELAYED),
            Step::Told("ready"),
            Step::Told("moved"),
            Step::Module,
            Step::Press("slow"),
            Step::Leave,
        ],
        views: REDIRECTED,
        ..PLAIN
    },
    Condition {
        name: "router-pushes-after-load",
        folder: || Folder {
            module: Module::Held,
            ..page::ending(
                "addEventListener('load', function () {
                     lab.later(function () {
                         window.history.pushState(null, '', '__BASE__/en');
                         lab.told('pushed');
                     }, 250);
                 })",
            )
        },
        steps: &[
            Step::Open(DELAYED),
            Step::Told("ready"),
            Step::Told("pushed"),
            Step::Release,
            Step::Module,
            Step::Press("slow"),
            Step::Leave,
        ],
        views: REDIRECTED,
        ..PLAIN
    },
    Condition {
        name: "router-after-paint",
        folder: || {
            page::ending(
                "lab.later(function () {
                     document.getElementById('box').textContent = 'on the way';
                     lab.painted(function () { window.history.replaceState(null, '', '__BASE__/en') });
                 }, 250)",
            )
        },
        views: REDIRECTED,
        ..PLAIN
    },
    Condition {
        name: "router-without-module",
        folder: || Folder {
            module: Module::Missing,
            ..page::ending(
                "addEventListener('load', function () {
                     lab.later(function () {
                         window.history.replaceState(null, '', '__BASE__/en');
                         lab.told('pushed');
                     }, 250);
                 })",
            )
        },
        steps: &[
            Step::Open(DELAYED),
            Step::Told("ready"),
            Step::Told("pushed"),
            Step::Module,
            Step::Press("slow"),
            Step::Leave,
        ],
        views: REDIRECTED,
        by: By::Server,
        is_loud: true,
        ..PLAIN
    },
    Condition {
        name: "moved-late-without-input",
        folder: || {
            page::ending(
                "addEventListener('load', function () {
                     lab.later(function () {
                         window.history.pushState(null, '', '__BASE__/later');
                         lab.told('pushed');
                     }, 2600);
                 })",
            )
        },
        steps: &[
            Step::Open(DELAYED),
            Step::Told("ready"),
            Step::Module,
            Step::Told("pushed"),
            Step::Press("slow"),
            Step::Leave,
        ],
        views: &[
            View { values: &[("LCP", Must::LieIn(400.0, 10_000.0)), ("INP", Must::BeAbsent)], ..LOAD },
            View {
                at: "/later",
                values: &[("INP", Must::LieIn(112.0, 560.0)), ("TTFB", Must::BeAbsent)],
                ..SECOND
            },
        ],
        ..PLAIN
    },
    Condition {
        name: "click-redirected",
        folder: || page::ending(CLICK_REDIRECTED),
        steps: &[
            Step::Open(DELAYED),
            Step::Told("ready"),
            Step::Module,
            Step::Press("fast"),
            Step::Told("moved"),
            Step::Press("slow"),
            Step::Leave,
        ],
        views: &[
            View {
                values: &[
                    ("LCP", Must::LieIn(400.0, 10_000.0)),
                    ("CLS", Must::LieIn(0.045, 0.075)),
                    ("INP", Must::LieIn(0.0, 105.0)),
                ],
                ..LOAD
            },
            View {
                at: "/b",
                values: &[
                    ("CLS", Must::LieIn(0.03, 0.2)),
                    ("INP", Must::LieIn(112.0, 560.0)),
                    ("TTFB", Must::BeAbsent),
                ],
                ..SECOND
            },
        ],
        ..PLAIN
    },
    Condition {
        name: "navigate-without-move",
        folder: || {
            page::ending(
                "document.getElementById('fast').addEventListener('click', function () {
                     fieldvitals.navigate('__BASE__/step');
                 })",
            )
        },
        steps: &[
            Step::Open(DELAYED),
            Step::Told("ready"),
            Step::Module,
            Step::Press("fast"),
            Step::Press("slow"),
            Step::Leave,
        ],
        views: &[
            View {
                values: &[("LCP", Must::LieIn(400.0, 10_000.0)), ("INP", Must::LieIn(0.0, 105.0))],
                ..LOAD
            },
            View {
                at: "",
                route: Some("/step"),
                values: &[("INP", Must::LieIn(112.0, 560.0)), ("TTFB", Must::BeAbsent)],
                ..SECOND
            },
        ],
        ..PLAIN
    },
    Condition {
        name: "navigate-after-move",
        folder: || {
            page::ending(
                "document.getElementById('next').addEventListener('click', function () {
                     // The clock stands still between these calls, and the last one counts.
                     fieldvitals.navigate('__BASE__/named');
                     fieldvitals.route('__BASE__/zero');
                     fieldvitals.route('__BASE__/named');
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
                route: Some("/named"),
                values: &[("INP", Must::LieIn(112.0, 560.0)), ("TTFB", Must::BeAbsent)],
                ..SECOND
            },
        ],
        ..PLAIN
    },
    Condition {
        name: "restored-before-module",
        folder: || Folder {
            module: Module::Held,
            // A pending request would keep the page out of the back-forward cache.
            ..page::scripted(
                "window.requestIdleCallback = function (run) { window.whenIdle = run };
                 addEventListener('pageshow', function (event) {
                     if (!event.persisted || !window.whenIdle) return;
                     whenIdle({ timeRemaining: function () { return 50 } });
                 })",
            )
        },
        steps: &[
            Step::Open(DELAYED),
            Step::Told("ready"),
            Step::Press("slow"),
            Step::Away,
            Step::Back,
            Step::Told("restored"),
            Step::Release,
            Step::Module,
            Step::Press("fast"),
            Step::Leave,
        ],
        views: &[
            LOAD,
            View {
                nav: Some("back-forward-cache"),
                values: &[
                    ("TTFB", Must::Be(0.0, 0.0)),
                    ("FCP", Must::LieIn(0.0, 5_000.0)),
                    ("LCP", Must::LieIn(0.0, 5_000.0)),
                    ("CLS", Must::Be(0.0, 0.0)),
                ],
                ..LOAD
            },
        ],
        ..PLAIN
    },
    Condition {
        name: "heavy-page",
        engines: RICH,
        folder: || {
            Parts {
                after: &format!(
                    "<script>{HEAVY}</script><img alt=\"\" width=\"1\" height=\"1\" style=\"position:fixed\" src=\"__SITE____BASE__/held.bmp\"/>"
                ),
                ..Parts::default()
            }
            .folder()
        },
        steps: &[
            Step::Open(DELAYED),
            Step::Told("heavy"),
            // The first input has its own entry type (`first-input`).
            Step::Press("fast"),
            Step::Press("slow"),
            Step::Release,
            Step::Told("ready"),
            Step::Module,
            Step::Press("fast"),
            Step::Leave,
        ],
        views: &[View {
            values: &[("TTFB", Must::LieIn(100.0, 4_000.0)), ("INP", Must::LieIn(112.0, 560.0))],
            ..LOAD
        }],
        ..PLAIN
    },
    Condition {
        name: "fast-click-in-later-view",
        steps: &[
            Step::Open(DELAYED),
            Step::Told("ready"),
            Step::Module,
            Step::Press("next"),
            Step::Press("fast"),
            Step::Leave,
        ],
        views: &[LOAD, View { values: FAST, ..SECOND }],
        ..PLAIN
    },
    Condition {
        name: "fast-click-without-module",
        folder: || Folder { module: Module::Missing, ..page::after("") },
        steps: &[
            Step::Open(DELAYED),
            Step::Told("ready"),
            Step::Module,
            Step::Press("next"),
            Step::Press("fast"),
            Step::Leave,
        ],
        views: &[LOAD, View { values: FAST, ..SECOND }],
        by: By::Server,
        is_loud: true,
        ..PLAIN
    },
    Condition { name: "many-interactions", engines: RICH, steps: MANY, views: MANY_VIEWS, ..PLAIN },
    Condition {
        name: "many-without-module",
        engines: RICH,
        folder: || Folder { module: Module::Missing, ..page::after("") },
        steps: MANY,
        views: MANY_VIEWS,
        by: By::Server,
        is_loud: true,
        ..PLAIN
    },
    Condition {
        name: "left-at-once",
        steps: &[Step::Open(DELAYED), Step::Told("ready"), Step::Leave],
        folder: || Folder { module: Module::Held, ..page::after("") },
        views: &[View {
            values: &[
                ("TTFB", Must::LieIn(100.0, 4_000.0)),
                ("FCP", Must::LieIn(100.0, 10_000.0)),
                ("LCP", Must::LieIn(400.0, 10_000.0)),
                ("CLS", Must::LieIn(0.045, 0.075)),
                ("INP", Must::BeAbsent),
            ],
            ..LOAD
        }],
        by: By::Server,
        is_loud: true,
        ..PLAIN
    },
    Condition {
        name: "module-forever-away",
        folder: || Folder { module: Module::Held, ..page::after("") },
        steps: &[Step::Open(DELAYED), Step::Told("ready"), Step::Press("slow"), Step::Leave],
        views: &[View { values: LOADED, ..LOAD }],
        by: By::Server,
        is_loud: true,
        ..PLAIN
    },
];
