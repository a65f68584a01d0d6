//! What a browser tells: performance entries and the life of the page, as plain values.
//!
//! One [`Item`] is one fact. The snippet queues items from the first byte as short arrays
//! `[kind, numbers…, texts…]`; the wasm module takes them over, or the server reads them from a raw
//! beacon. [`Item::from_fields`] is the only place that knows what the fields of a kind mean, so both
//! read the same facts.
//!
//! All times are milliseconds since the document's time origin.

use crate::view::{NavigationType, ViewId};

/// Numbers that an item may have.
pub const NUMBERS_MAX: usize = 5;
/// Texts that an item may have.
pub const TEXTS_MAX: usize = 3;

/// The document's navigation entry, read when its response has begun, and again after load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Navigation {
    /// When the first byte of the response arrived.
    pub response_start: f64,
    /// When a prerendered document was activated; 0 for every other.
    pub activation_start: f64,
    /// When `DOMContentLoaded` handlers had ended; 0 before.
    pub dom_content_loaded_end: f64,
    /// How the document came to be.
    pub navigation_type: NavigationType,
    /// When the last byte of the response arrived; 0 before, or where it was not read.
    pub response_end: f64,
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
pub enum Item {
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
    /// Kind 9: a trusted key press or click, after which the largest paint is final.
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
    /// Kind 12: a navigation inside the document; a new view begins.
    SoftNavigation {
        /// When the navigation began.
        at: f64,
        /// The new view.
        id: ViewId,
        /// The new URL.
        url: String,
        /// The route that the page named, or empty.
        route: String,
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
    /// `visibility-state`
    pub const VISIBILITY_STATE: u32 = 64;
}

impl Item {
    /// The item of a kind's number and fields, or `None` where they are not an item's.
    ///
    /// Missing numbers are 0, missing texts empty. A number that is not finite makes no item.
    #[must_use]
    pub fn from_fields(kind: u8, numbers: &[f64; NUMBERS_MAX], texts: [&str; TEXTS_MAX]) -> Option<Self> {
        let [a, b, c, d, e] = *numbers;
        let [id, url, route] = texts;
        if numbers.iter().any(|number| !number.is_finite()) {
            return None;
        }
        Some(match kind {
            // [0, responseStart, activationStart, domContentLoadedEventEnd, type, responseEnd]
            0 => Self::Navigation(Navigation {
                response_start: a,
                activation_start: b,
                dom_content_loaded_end: c,
                navigation_type: NavigationType::from_number(d as u8)?,
                response_end: e,
            }),
            1 => Self::FirstContentfulPaint(a),
            2 => Self::LargestContentfulPaint(a),
            3 => Self::LayoutShift { start: a, value: b },
            // [4 or 5, startTime, duration, processingStart, interactionId]
            4 => Self::FirstInput(Event { start: a, duration: b, processing_start: c, interaction_id: d }),
            5 => Self::Event(Event { start: a, duration: b, processing_start: c, interaction_id: d }),
            6 => Self::LongTask { start: a, duration: b },
            7 => Self::Resource { start: a, end: b, status: c },
            8 => Self::Visibility { at: a, hidden: b != 0.0 },
            9 => Self::Input(a),
            10 => Self::Restore { at: a, id: ViewId::parse(id)? },
            11 => Self::RestorePaint(a),
            12 => Self::SoftNavigation {
                at: a,
                id: ViewId::parse(id)?,
                url: url.to_owned(),
                route: route.to_owned(),
            },
            13 => Self::SoftPaint(a),
            14 => Self::Activation(a),
            // [15, interactionCount, time of reading]
            15 => Self::InteractionCount { at: b, count: a },
            16 => Self::Support(a as u32),
            _ => return None,
        })
    }
}
