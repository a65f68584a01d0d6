//! Data of the browser: performance entries and events of the page's life, as plain values.
//!
//! One [`Item`] is one fact. The snippet queues items from the first byte as short arrays `[kind, numbers…, texts…]`.
//! The wasm module takes the queue over, or the server reads it from a raw beacon. Both use [`Item::from_fields`], the
//! only place that interprets the fields of a kind, so both read the same facts.
//!
//! Items are generic in their texts (URLs, routes, selectors). Texts are only stored and returned, and compared for
//! URLs of one page ([`Text::same_page`]).
//!
//! All times are milliseconds since the document's time origin.

use crate::view::{NavigationType, ViewId};

/// Maximum count of numbers in an item.
pub const NUMBERS_MAX: usize = 6;
/// Maximum count of texts in an item, including a view's id.
pub const TEXTS_MAX: usize = 3;

/// A text, or the index of a text. The default is the empty text.
pub trait Text: Clone + core::fmt::Debug + Default + Ord {
    /// The form in which a beacon has the text.
    type Written<'a>: Written + Into<Self>
    where
        Self: 'a;

    /// Returns the text, or `None` if it is empty.
    fn filled(&self) -> Option<Self> {
        (!self.is_blank()).then(|| self.clone())
    }

    /// Whether the text is empty.
    fn is_blank(&self) -> bool {
        *self == Self::default()
    }

    /// Whether two URLs are equal except for trailing slashes, which routers add and remove.
    fn same_page(&self, other: &Self) -> bool;

    /// The form in which a beacon has the text.
    fn written(&self) -> Self::Written<'_>;
}

/// A text by its characters, or by its index in a table of the writer. The default is the empty text.
pub trait Written: Copy + core::fmt::Debug + Default + Ord {
    /// Returns one of the texts of the wire format, by its place in
    /// [`texts`](crate::beacon::write::texts).
    fn own(place: u32) -> Self;

    /// Returns the text, or `None` if it is empty.
    fn filled(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

impl Text for String {
    type Written<'a> = &'a str;

    fn written(&self) -> &str {
        self
    }

    fn same_page(&self, other: &Self) -> bool {
        without_slashes(self) == without_slashes(other)
    }
}

/// The index of a text in a table that has one index for the URLs of one page.
impl Text for u32 {
    type Written<'a> = Self;

    fn written(&self) -> Self {
        *self
    }

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

/// The document's navigation entry, read at the start of its response and again after load. Without an entry, all times
/// are 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Navigation {
    /// Arrival of the first byte of the response.
    pub response_start: f64,
    /// Activation of a prerendered document; 0 for other documents.
    pub activation_start: f64,
    /// End of the `DOMContentLoaded` handlers; 0 before.
    pub dom_content_loaded_end: f64,
    /// The navigation type; `None` if the browser does not report it.
    pub navigation_type: Option<NavigationType>,
    /// Arrival of the last byte of the response; 0 before, or if not read.
    pub response_end: f64,
    /// Completion of the document, just before its load event; 0 before.
    pub dom_complete: f64,
}

impl Navigation {
    /// No entry.
    pub const NONE: Self = Self {
        response_start: 0.0,
        activation_start: 0.0,
        dom_content_loaded_end: 0.0,
        navigation_type: None,
        response_end: 0.0,
        dom_complete: 0.0,
    };
}

/// An `event` or `first-input` entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// Time at which the browser received the input.
    pub start: f64,
    /// Time from the start to the next paint, rounded by browsers to 8 ms.
    pub duration: f64,
    /// Start of the first handler.
    pub processing_start: f64,
    /// The interaction of the event; 0 for none.
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
        /// Time of the shift.
        start: f64,
        /// Score of the shift.
        value: f64,
    },
    /// Kind 4: the `first-input` entry.
    FirstInput(Event),
    /// Kind 5: an `event` entry.
    Event(Event),
    /// Kind 6: a `longtask` entry.
    LongTask {
        /// Start of the task.
        start: f64,
        /// Duration of the task.
        duration: f64,
    },
    /// Kind 7: a `resource` entry.
    Resource {
        /// Start of the request.
        start: f64,
        /// End of the response.
        end: f64,
        /// The HTTP status; 0 if the browser does not report it.
        status: f64,
    },
    /// Kind 8: the page became hidden or visible (a `visibility-state` entry or the event). If the page is hidden when
    /// its first script runs or at its activation, it was hidden from the start: then `at` is 0, or the activation's
    /// start.
    Visibility {
        /// Time of the change.
        at: f64,
        /// Whether the page is hidden from then on.
        hidden: bool,
    },
    /// Kind 9: a trusted key press or click. A view's first input finalizes its largest paint, and later moves are not
    /// redirects.
    Input(f64),
    /// Kind 10: the page was restored from the back/forward cache; a new view begins.
    Restore {
        /// Start of the restore (the `pageshow` event's time stamp).
        at: f64,
        /// The id of the new view.
        id: ViewId,
    },
    /// Kind 11: the first frame after a restore.
    RestorePaint(f64),
    /// Kind 12: the history moved to another path. Begins a view or redirects the current view
    /// ([`crate::metrics::views`]).
    ///
    /// A repeated id with an earlier time moves the start: some browsers report the click that navigated afterwards.
    /// URL and route may then be empty. Changes at the same time are ordered by their ids, so a sender gives each
    /// change a later time than the change before.
    Moved {
        /// Time of the move, or of the click that caused it.
        at: f64,
        /// The id of the view, if the move begins a view.
        id: ViewId,
        /// The new URL.
        url: T,
        /// A route that the page named at once, or empty; older snippets send it here.
        route: T,
    },
    /// Kind 13: a contentful paint caused by a soft navigation, by its presentation time.
    SoftPaint(f64),
    /// Kind 14: a prerendered document was activated, by its `activationStart`.
    Activation(f64),
    /// Kind 15: a reading of `performance.interactionCount`, at the start of a view and before sending.
    InteractionCount {
        /// Time of the reading.
        at: f64,
        /// Number of interactions of the document so far.
        count: f64,
    },
    /// Kind 16: the entry types that the browser supports, as a sum of [`support`] bits.
    Support(u32),
    /// Kinds 17 to 20: details that explain a value.
    Detail(Detail<T>),
    /// Kind 21: the page named its route (`navigate`; at 0 `data-route`). Names the current view or begins a view
    /// ([`crate::metrics::views`]). Kind 22 (`route`) has the same fields, and begins no view.
    Named {
        /// Time of the naming.
        at: f64,
        /// The id of the view, if the naming begins a view; [`ViewId::NONE`] for kind 22.
        id: ViewId,
        /// The route.
        route: T,
    },
}

/// Details of an entry, which explain a metric but change no value. Not sent if the visitor has set Global Privacy
/// Control or Do Not Track.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detail<T = String> {
    /// The kind.
    pub kind: DetailKind,
    /// The time of the search, the weight, and two more numbers.
    pub numbers: [f64; 4],
    /// The texts.
    pub texts: [T; 2],
}

/// The kinds of details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DetailKind {
    /// Kind 17: details of a largest paint.
    Paint = 0,
    /// Kind 18: details of an interaction's event.
    Event = 1,
    /// Kind 19: details of a layout shift.
    Shift = 2,
    /// Kind 20: the longest script of a long animation frame.
    Script = 3,
}

impl DetailKind {
    /// The number of kinds.
    pub const COUNT: usize = 4;
}

impl<T: Text> Detail<T> {
    /// Creates details of a largest paint. `start` is the candidate's start (for a soft navigation: its presentation
    /// time), which identifies the paint. `request_start` and `response_end` are those of its image; 0 without one.
    /// `target` is the element, as a selector, and `url` the image's URL.
    pub const fn paint(start: f64, request_start: f64, response_end: f64, target: T, url: T) -> Self {
        let numbers = [start, start, request_start, response_end];
        Self { kind: DetailKind::Paint, numbers, texts: [target, url] }
    }

    /// Creates details of an event. `start` is the time at which the browser received the input, and `duration` lasts
    /// until the next paint. `processing` has the start of the first handler and the end of the last one. `target` is
    /// the element, as a selector, and `name` the event's type, such as `click`.
    pub const fn event(start: f64, duration: f64, processing: [f64; 2], target: T, name: T) -> Self {
        let [processing_start, processing_end] = processing;
        let numbers = [start, duration, processing_start, processing_end];
        Self { kind: DetailKind::Event, numbers, texts: [target, name] }
    }

    /// Creates details of a layout shift: its time, its score, and the element that moved most, as a selector.
    pub fn shift(start: f64, value: f64, target: T) -> Self {
        Self { kind: DetailKind::Shift, numbers: [start, value, 0.0, 0.0], texts: [target, T::default()] }
    }

    /// Creates details of the longest script in a frame. `start` and `duration` are those of the frame.
    pub fn script(start: f64, duration: f64, script_duration: f64, url: T) -> Self {
        let numbers = [start, script_duration, duration, 0.0];
        Self { kind: DetailKind::Script, numbers, texts: [url, T::default()] }
    }
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
    /// Builds an item from the number of its kind and its fields; `None` if they are not valid.
    ///
    /// `id` is the first text, if the kind's first text is a view's id; `texts` are all texts. Missing numbers are 0,
    /// missing texts empty. Numbers must be finite.
    #[must_use]
    pub fn from_fields(
        kind: u8,
        numbers: &[f64; NUMBERS_MAX],
        id: Option<ViewId>,
        texts: [T; TEXTS_MAX],
    ) -> Option<Self> {
        let [a, b, c, d, e, f] = *numbers;
        let [first, second, third] = texts;
        // The snippet draws ids as [kind, time, start in UTC milliseconds, random number]; older snippets send the id
        // itself.
        let (id, own, other) = match id {
            Some(id) => (Some(id), second.clone(), third),
            None => ((b > 0.0).then(|| ViewId::drawn(b, c)), first.clone(), second.clone()),
        };
        if !numbers.iter().all(|number| number.abs() <= f64::MAX) {
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
            // [8, time, 1] of an event, [8, time, 0, 1] of an entry
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
            // The module makes its details itself.
            #[cfg(feature = "native")]
            17 => Self::Detail(Detail::paint(a, b, c, first, second)),
            #[cfg(feature = "native")]
            18 => Self::Detail(Detail::event(a, b, [c, d], first, second)),
            #[cfg(feature = "native")]
            19 => Self::Detail(Detail::shift(a, b, first)),
            #[cfg(feature = "native")]
            20 => Self::Detail(Detail::script(a, b, c, first)),
            21 => Self::Named { at: a, id: id?, route: own },
            22 => Self::Named { at: a, id: ViewId::NONE, route: own },
            _ => return None,
        })
    }
}
