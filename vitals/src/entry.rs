//! What a browser tells: performance entries and the life of the page, as plain values.
//!
//! One [`Item`] is one fact. The snippet queues items from the first byte as short arrays
//! `[kind, numbers…, texts…]`; the wasm module takes them over, or the server reads them from a raw
//! beacon. [`Item::from_fields`] is the only place that knows what the fields of a kind mean, so both
//! read the same facts.
//!
//! Items are generic in their texts (URLs, routes, selectors). Texts are kept and given back; the only
//! question about two of them is whether they are the URL of one page ([`Text::same_page`]).
//!
//! All times are milliseconds since the document's time origin.

use crate::view::{NavigationType, ViewId};

/// Numbers that an item may have.
pub const NUMBERS_MAX: usize = 6;
/// Texts that an item may have, a view's id among them.
pub const TEXTS_MAX: usize = 3;

/// A text, or a number that stands for one; its default is the empty text.
pub trait Text: Clone + core::fmt::Debug + Default + Ord {
    /// The text, or nothing if it is empty.
    fn filled(&self) -> Option<Self> {
        (!self.is_blank()).then(|| self.clone())
    }

    /// Whether it is the empty text.
    fn is_blank(&self) -> bool {
        *self == Self::default()
    }

    /// Whether two URLs differ in trailing slashes at most: routers add and remove these on their own.
    fn same_page(&self, other: &Self) -> bool;
}

impl Text for String {
    fn same_page(&self, other: &Self) -> bool {
        without_slashes(self) == without_slashes(other)
    }
}

/// The place of a text in a table, which has one place for the URLs of one page.
impl Text for u32 {
    fn same_page(&self, other: &Self) -> bool {
        self == other
    }
}

fn without_slashes(url: &str) -> &[u8] {
    let mut bytes = url.as_bytes();
    while let [rest @ .., b'/'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The document's navigation entry, read when its response has begun, and again after load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Navigation {
    /// When the first byte of the response arrived.
    pub response_start: f64,
    /// When a prerendered document was activated; 0 for every other.
    pub activation_start: f64,
    /// When `DOMContentLoaded` handlers had ended; 0 before.
    pub dom_content_loaded_end: f64,
    /// How the document came to be; `None` where the browser does not tell.
    pub navigation_type: Option<NavigationType>,
    /// When the last byte of the response arrived; 0 before, or where it was not read.
    pub response_end: f64,
    /// When the document was complete, just before its load event; 0 before.
    pub dom_complete: f64,
}

/// An `event` or `first-input` entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// When the browser received the input.
    pub start: f64,
    /// From start to the next paint, in the browser's steps of 8 ms.
    pub duration: f64,
    /// When the first handler began.
    pub processing_start: f64,
    /// Which interaction the event belongs to; 0 for none.
    pub interaction_id: f64,
}

/// One fact about a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Item<T = String> {
    /// Kind 0: the navigation entry.
    Navigation(Navigation),
    /// Kind 1: `first-contentful-paint`, by its start.
    FirstContentfulPaint(f64),
    /// Kind 2: a `largest-contentful-paint` candidate, by its start.
    LargestContentfulPaint(f64),
    /// Kind 3: a `layout-shift` without recent input.
    LayoutShift {
        /// When it happened.
        start: f64,
        /// Its score.
        value: f64,
    },
    /// Kind 4: the `first-input` entry.
    FirstInput(Event),
    /// Kind 5: an `event` entry.
    Event(Event),
    /// Kind 6: a `longtask` entry.
    LongTask {
        /// When the task began.
        start: f64,
        /// How long it ran.
        duration: f64,
    },
    /// Kind 7: a `resource` entry.
    Resource {
        /// When the request began.
        start: f64,
        /// When its response had ended.
        end: f64,
        /// The HTTP status, 0 where the browser does not tell.
        status: f64,
    },
    /// Kind 8: the page became hidden or visible (a `visibility-state` entry or the event). A page that
    /// is hidden when its first script runs, or when it is activated, was so from the start: then `at`
    /// is 0, or the activation's start.
    Visibility {
        /// When.
        at: f64,
        /// Whether it is hidden from then on.
        hidden: bool,
    },
    /// Kind 9: a trusted key press or click. The largest paint is final after the first of a view, and a
    /// later move is no redirect.
    Input(f64),
    /// Kind 10: the page was restored from the back/forward cache; a new view begins.
    Restore {
        /// When the restore began (the `pageshow` event's time stamp).
        at: f64,
        /// The new view.
        id: ViewId,
    },
    /// Kind 11: the first frame after a restore.
    RestorePaint(f64),
    /// Kind 12: the history moved to another path. Begins a view or redirects the current one
    /// ([`crate::metrics::views`]).
    ///
    /// The same id again, with an earlier time, moves the start: some browsers tell afterwards which
    /// click navigated. URL and route may be empty then. Changes at one time are ordered by their ids, so
    /// a sender gives each change a later time than the one before.
    Moved {
        /// When the history moved, or the click that moved it.
        at: f64,
        /// The id of the view that this begins, if it begins one.
        id: ViewId,
        /// The new URL.
        url: T,
        /// A route that the page named at once, or empty; older snippets tell it here.
        route: T,
    },
    /// Kind 13: a contentful paint that a soft navigation caused, by its presentation time.
    SoftPaint(f64),
    /// Kind 14: a prerendered document was activated, by its `activationStart`.
    Activation(f64),
    /// Kind 15: a reading of `performance.interactionCount`: when a view begins, and before sending.
    InteractionCount {
        /// When it was read.
        at: f64,
        /// The interactions of the document so far.
        count: f64,
    },
    /// Kind 16: which entry types the browser supports: a sum of the [`support`] bits.
    Support(u32),
    /// Kinds 17 to 20: what explains a value.
    Detail(Detail<T>),
    /// Kind 21: the page named its route (`navigate`; at 0 `data-route`). Names the current view or begins
    /// one ([`crate::metrics::views`]).
    Named {
        /// When.
        at: f64,
        /// The id of the view that this begins, if it begins one.
        id: ViewId,
        /// The route.
        route: T,
    },
}

/// What is known of an entry beyond what makes a metric; told only where the visitor has not asked to be
/// left alone. It changes no value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Detail<T = String> {
    /// Kind 17: of a largest paint.
    Paint {
        /// The candidate's start (of a soft navigation: its presentation time), by which it is found.
        start: f64,
        /// When the request of its image began; 0 where it has none.
        request_start: f64,
        /// When that image had arrived; 0 where it has none.
        response_end: f64,
        /// The element, as a selector.
        target: T,
        /// The image's URL.
        url: T,
    },
    /// Kind 18: of an event of an interaction.
    Event {
        /// When the browser received the input.
        start: f64,
        /// From start to the next paint.
        duration: f64,
        /// When the first handler began.
        processing_start: f64,
        /// When the last handler had ended.
        processing_end: f64,
        /// The element, as a selector.
        target: T,
        /// The event's type, such as `click`.
        name: T,
    },
    /// Kind 19: of a layout shift.
    Shift {
        /// When it happened.
        start: f64,
        /// Its score.
        value: f64,
        /// The element that moved most, as a selector.
        target: T,
    },
    /// Kind 20: the longest script of a long animation frame.
    Script {
        /// When the frame began.
        start: f64,
        /// How long the frame was.
        duration: f64,
        /// How long the script ran.
        script_duration: f64,
        /// The script's URL.
        url: T,
    },
}

/// Bits of [`Item::Support`].
pub mod support {
    /// `paint`
    pub const PAINT: u32 = 1;
    /// `largest-contentful-paint`
    pub const LCP: u32 = 2;
    /// `layout-shift`
    pub const LAYOUT_SHIFT: u32 = 4;
    /// `first-input`
    pub const FIRST_INPUT: u32 = 8;
    /// `event`, with `interactionId`
    pub const EVENT: u32 = 16;
    /// `longtask`
    pub const LONG_TASK: u32 = 32;
    /// `resource`
    pub const RESOURCE: u32 = 64;
    /// `visibility-state`
    pub const VISIBILITY_STATE: u32 = 128;
    /// Every entry type.
    pub const ALL: u32 = 255;
    /// The page was hidden when the snippet ran, or when the prerendered document was activated.
    pub const HIDDEN_AT_START: u32 = 256;
}

impl<T: Text> Item<T> {
    /// The item of a kind's number and fields, or `None` where they are not an item's.
    ///
    /// `id` is the first text of a kind whose first text is a view's id; `texts` are all of them. Missing
    /// numbers are 0, missing texts empty. A number that is not finite makes no item.
    #[must_use]
    pub fn from_fields(
        kind: u8,
        numbers: &[f64; NUMBERS_MAX],
        id: Option<ViewId>,
        texts: [T; TEXTS_MAX],
    ) -> Option<Self> {
        let [a, b, c, d, e, f] = *numbers;
        let [first, second, third] = texts;
        // The snippet draws ids as [kind, time, start in UTC milliseconds, random number]; older ones write them.
        let (id, own, other) = match id {
            Some(id) => (Some(id), second.clone(), third),
            None => ((b > 0.0).then(|| ViewId::drawn(b, c)), first.clone(), second.clone()),
        };
        if numbers.iter().any(|number| !number.is_finite()) {
            return None;
        }
        Some(match kind {
            // [0, responseStart, activationStart, domContentLoadedEventEnd, type, responseEnd, domComplete]
            0 => Self::Navigation(Navigation {
                response_start: a,
                activation_start: b,
                dom_content_loaded_end: c,
                navigation_type: if d < 0.0 { None } else { Some(NavigationType::from_number(d as u8)?) },
                response_end: e,
                dom_complete: f,
            }),
            1 => Self::FirstContentfulPaint(a),
            2 => Self::LargestContentfulPaint(a),
            3 => Self::LayoutShift { start: a, value: b },
            // [4 or 5, startTime, duration, processingStart, interactionId]
            4 => Self::FirstInput(Event { start: a, duration: b, processing_start: c, interaction_id: d }),
            5 => Self::Event(Event { start: a, duration: b, processing_start: c, interaction_id: d }),
            6 => Self::LongTask { start: a, duration: b },
            7 => Self::Resource { start: a, end: b, status: c },
            // [8, time, 1] of older snippets, [8, time, 0, 1] of an entry and of this one
            8 => Self::Visibility { at: a, hidden: b != 0.0 || c != 0.0 },
            9 => Self::Input(a),
            10 => Self::Restore { at: a, id: id? },
            11 => Self::RestorePaint(a),
            12 => Self::Moved { at: a, id: id?, url: own, route: other },
            13 => Self::SoftPaint(a),
            14 => Self::Activation(a),
            // [15, interactionCount, time of reading]
            15 => Self::InteractionCount { at: b, count: a },
            // [16, support, 1 if the page was hidden when the snippet ran]
            16 => Self::Support(a as u32 | if b == 0.0 { 0 } else { support::HIDDEN_AT_START }),
            17 => Self::Detail(Detail::Paint {
                start: a,
                request_start: b,
                response_end: c,
                target: first,
                url: second,
            }),
            18 => Self::Detail(Detail::Event {
                start: a,
                duration: b,
                processing_start: c,
                processing_end: d,
                target: first,
                name: second,
            }),
            19 => Self::Detail(Detail::Shift { start: a, value: b, target: first }),
            20 => Self::Detail(Detail::Script { start: a, duration: b, script_duration: c, url: first }),
            21 => Self::Named { at: a, id: id?, route: own },
            _ => return None,
        })
    }
}
