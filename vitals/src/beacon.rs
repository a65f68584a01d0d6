//! Defines wire format v1, which the collector sends; the only module that knows its shape.
//!
//! `docs/wire-format.md` describes it for people. A beacon is one request body: JSON with the facts of the document,
//! and either finished page views (`views`, from the wasm module) or the snippet's queue (`raw`, measured by the
//! server with the module's code).
//!
//! Writing and reading are separate. [`write`] writes page views; it compiles for the browser, without a JSON parser.
//! [`read::decode`] reads both shapes and keeps every valid field.

#[cfg(feature = "native")]
pub mod read;
pub mod write;

use crate::document::Document;
use crate::entry::Item;
use crate::metric::{Metric, Value};
use crate::snapshot::Snapshot;
use crate::view::{Device, Rtt, Tier, ViewId, Viewport};
#[cfg(feature = "native")]
pub use read::{DecodeError, decode, mended, too_deep, unknown_metric};
use std::collections::BTreeMap;
pub use write::Wire;

/// The version that this code writes.
pub const VERSION: u32 = 1;
/// The versions that this code reads.
pub const VERSIONS: std::ops::RangeInclusive<u32> = 1..=1;

/// Replaces, in a raw queue, the URL of a view that the page's own hook has dropped. Such a view is not stored.
pub const DROPPED_URL: &str = "about:blank";

/// One beacon.
#[derive(Clone, Debug, PartialEq)]
pub struct Beacon {
    /// The site's public key.
    pub site: String,
    /// Counts the beacons of a document, over all senders; the update with the highest number replaces the others.
    pub seq: u32,
    /// The document's URL; empty if the field is invalid.
    pub url: String,
    /// The route that the page named, by `data-route`.
    pub route: Option<String>,
    /// The class of the device.
    pub device: Option<Device>,
    /// The effective connection type: `4g`, `3g`, `2g`, `slow-2g`.
    pub connection: Option<String>,
    /// The class of the connection's round trip.
    pub rtt: Option<Rtt>,
    /// The class of the device's memory.
    pub memory: Option<Tier>,
    /// The class of its processor.
    pub cpu: Option<Tier>,
    /// The release of the page, by `data-release`.
    pub release: Option<String>,
    /// The class of the window's width.
    pub viewport: Option<Viewport>,
    /// The page's tags, by name: at most [`TAGS_MAX`](crate::limits::TAGS_MAX).
    pub tags: BTreeMap<String, String>,
    /// The sample rate, [`SAMPLE_MIN`](crate::limits::SAMPLE_MIN) to 1: a sent page view stands for `1 / sample`.
    pub sample: f64,
    /// Which parts of the collector have failed in this document, a sum of the [`errors`] bits.
    pub errors: u32,
    /// Whether a program drives the browser (`navigator.webdriver`).
    pub webdriver: bool,
    /// The page's marks.
    pub marks: Vec<Mark>,
    /// The measurements.
    pub content: Content,
    /// Counts of the invalid fields.
    pub dropped: Dropped,
}

/// A moment named by the page with `fieldvitals.mark(name)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// The page view.
    pub view: ViewId,
    /// The name.
    pub name: String,
    /// The time since the view's start.
    pub at: Value,
}

/// Bits of [`Beacon::errors`]. They report failures of the collector, which are invisible to the page.
pub mod errors {
    /// The snippet.
    pub const SNIPPET: u32 = 1;
    /// An exception in the collector.
    pub const GLUE: u32 = 2;
    /// The module was refused, missing, or has trapped.
    pub const MODULE: u32 = 4;
    /// A function of the page, such as a listener or a hook.
    pub const PAGE: u32 = 8;
    /// The server dropped an invalid field.
    pub const FIELD: u32 = 16;
}

/// The content of a beacon.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Page views, measured in the browser.
    Views(Vec<Snapshot>),
    /// The snippet's queue, from which the server measures the page views.
    Raw(Raw),
}

/// A snippet's queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Raw {
    /// The document's first page view.
    pub id: ViewId,
    /// The moment of sending, in milliseconds since the document's time origin; `None` if the field is invalid.
    pub now: Option<f64>,
    /// All queued items, in order.
    pub queue: Vec<Item>,
}

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident $name:literal,)+) => {
        /// A field that can be dropped. The set is closed, so that counters by name are bounded.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Field { $($(#[$doc])* $variant,)+ }

        impl Field {
            /// All fields, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in the wire format and in counters.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

fields! {
    /// See [`Beacon::seq`]; replaced by 0.
    Seq "seq",
    /// The URL of the document, or of a view; the view then has the document's URL.
    Url "url",
    /// A named route.
    Route "route",
    /// See [`Beacon::device`].
    Device "device",
    /// See [`Beacon::connection`].
    Connection "connection",
    /// See [`Beacon::rtt`].
    Rtt "rtt",
    /// See [`Beacon::memory`].
    Memory "memory",
    /// See [`Beacon::cpu`].
    Cpu "cpu",
    /// See [`Beacon::release`].
    Release "release",
    /// See [`Beacon::viewport`].
    Viewport "viewport",
    /// All tags, or one of them.
    Tags "tags",
    /// See [`Beacon::sample`]; replaced by 1.
    Sample "sample",
    /// See [`Beacon::errors`].
    Errors "errors",
    /// See [`Beacon::webdriver`].
    Webdriver "webdriver",
    /// A page view without a valid id, past the bound, or out of time.
    Views "views",
    /// The navigation type.
    Nav "nav",
    /// A metric's value, or all of a view's.
    Values "values",
    /// See [`Snapshot::tti_gap`].
    TtiGap "tti_gap",
    /// See [`Snapshot::tbt`].
    Tbt "tbt",
    /// The attribution of one metric, one of its texts, or all of a view's.
    Attribution "attribution",
    /// See [`Snapshot::engaged`].
    Engaged "engaged",
    /// See [`Snapshot::first_input_ms`].
    FirstInput "first_input",
    /// All marks of a view, or one of them.
    Marks "marks",
    /// An item of a raw queue, or the moment of its sending.
    Raw "raw",
    /// An unpaired surrogate; replaced by U+FFFD.
    Text "text",
    /// A field of a later version.
    Unknown "unknown",
}

/// Counts of the dropped fields, and the problem of the first dropped value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    counts: [u16; Field::ALL.len()],
    problem: Option<String>,
}

impl Dropped {
    /// Counts a field.
    pub fn note(&mut self, field: Field) {
        if let Some(count) = self.counts.get_mut(field as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// Counts a field, and keeps the first problem as the error message of a body without a valid value.
    pub fn because(&mut self, field: Field, problem: impl FnOnce() -> String) {
        self.note(field);
        self.problem.get_or_insert_with(problem);
    }

    /// The count of a field.
    #[must_use]
    pub fn count(&self, field: Field) -> u16 {
        self.counts.get(field as usize).copied().unwrap_or(0)
    }

    /// The dropped fields, with their counts.
    pub fn counts(&self) -> impl Iterator<Item = (Field, u16)> {
        Field::ALL.iter().map(|&field| (field, self.count(field))).filter(|(_, count)| *count > 0)
    }

    /// Whether no field was dropped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// The problem of the first dropped value.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}

impl Beacon {
    /// Returns the page views of this beacon; [`Document`] measures a raw queue.
    #[must_use]
    pub fn snapshots(self) -> Vec<Snapshot> {
        match self.content {
            Content::Views(views) => views,
            Content::Raw(raw) => {
                let mut document = Document::new(raw.id).at(self.url);
                for item in &raw.queue {
                    document.push(item);
                }
                let mut views = document.snapshots(raw.now.unwrap_or(f64::MAX));
                if raw.now.is_none() {
                    // TTI depends on the time of observation, which is unknown.
                    for view in &mut views {
                        view.values.set(Metric::Tti, None);
                        (view.tti_gap, view.tbt) = (None, None);
                        // The visible time is unknown, too.
                        view.engaged = view.first_input_ms.map(|_| true);
                    }
                }
                views
            }
        }
    }
}
