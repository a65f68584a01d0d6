//! Wire format v1: what the collector sends, and the only place that knows its shape.
//!
//! `docs/wire-format.md` describes it for people. A beacon is one request body: JSON with the facts of the
//! document, and either finished page views (`views`, from the wasm module) or the snippet's queue (`raw`,
//! measured by the server with the module's code).
//!
//! The sides are separate. [`Wire`] writes page views; it compiles for the browser, without a JSON parser.
//! [`read::decode`] reads both shapes and keeps every valid field.

pub mod cause;
#[cfg(feature = "native")]
pub mod read;

use crate::document::Document;
use crate::entry::{Item, Text};
use crate::metric::{Metric, Value, Values};
use crate::view::{Device, NavigationType, Snapshot, TtiGap, ViewId, Viewport};
use cause::WireAttribution;
#[cfg(feature = "native")]
pub use read::{DecodeError, decode, mended, too_deep, unknown_metric};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// The version that this code writes.
pub const VERSION: u32 = 1;
/// The versions that this code reads.
pub const VERSIONS: std::ops::RangeInclusive<u32> = 1..=1;

/// Stands in a raw queue for the URL of a view that the page's own hook has dropped: it is not kept.
pub const DROPPED_URL: &str = "about:blank";

/// One beacon.
#[derive(Clone, Debug, PartialEq)]
pub struct Beacon {
    /// The site's public key.
    pub site: String,
    /// Counts the beacons of a document, whoever sends them; the highest is the last word on a view.
    pub seq: u32,
    /// The document's URL; empty if the field is invalid.
    pub url: String,
    /// The route that the page named, by `data-route`.
    pub route: Option<String>,
    /// The class of the device.
    pub device: Option<Device>,
    /// The effective connection type: `4g`, `3g`, `2g`, `slow-2g`.
    pub connection: Option<String>,
    /// The release of the page, by `data-release`.
    pub release: Option<String>,
    /// The class of the window's width.
    pub viewport: Option<Viewport>,
    /// What the page says of itself, by name: at most [`TAGS_MAX`](crate::limits::TAGS_MAX).
    pub tags: BTreeMap<String, String>,
    /// The share of page views that are sent, [`SAMPLE_MIN`](crate::limits::SAMPLE_MIN) to 1: one that is sent
    /// stands for `1 / sample`.
    pub sample: f64,
    /// Which parts of the collector have failed in this document, a sum of the [`errors`] bits.
    pub errors: u32,
    /// Whether a program drives the browser (`navigator.webdriver`).
    pub webdriver: bool,
    /// Moments that the page has marked.
    pub marks: Vec<Mark>,
    /// What was seen.
    pub content: Content,
    /// Counts of the invalid fields.
    pub dropped: Dropped,
}

/// A moment that the page has named by `fieldvitals.mark(name)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// The page view.
    pub view: ViewId,
    /// The name.
    pub name: String,
    /// When, since the view's start.
    pub at: Value,
}

/// Bits of [`Beacon::errors`]. Whatever fails in the collector stays unseen by the page; this is how it is
/// seen all the same.
pub mod errors {
    /// The snippet.
    pub const SNIPPET: u32 = 1;
    /// The glue.
    pub const GLUE: u32 = 2;
    /// The module was refused, missing, or has trapped.
    pub const MODULE: u32 = 4;
    /// A function of the page's: a listener, a hook.
    pub const PAGE: u32 = 8;
    /// The server dropped an invalid field.
    pub const FIELD: u32 = 16;
}

/// What a beacon carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Page views, measured in the browser.
    Views(Vec<Snapshot>),
    /// The snippet's queue, to be measured by the server.
    Raw(Raw),
}

/// A snippet's queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Raw {
    /// The document's first page view.
    pub id: ViewId,
    /// The moment of sending, in milliseconds since the document's time origin; `None` if the field is invalid.
    pub now: Option<f64>,
    /// Everything seen, in the order of queueing.
    pub queue: Vec<Item>,
}

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident $name:literal,)+) => {
        /// A field that can be dropped. The set is closed, so that counters by name are bounded.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Field { $($(#[$doc])* $variant,)+ }

        impl Field {
            /// All of them, in the order of the counters.
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
    /// A page view: without a valid id, past the bound, or out of time.
    Views "views",
    /// The navigation type.
    Nav "nav",
    /// A metric's value, or all of a view's.
    Values "values",
    /// See [`Snapshot::tti_gap`].
    TtiGap "tti_gap",
    /// See [`Snapshot::tbt`].
    Tbt "tbt",
    /// The cause of one metric, a text of it, or all of a view's.
    Attribution "attribution",
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

    /// Counts a field, and keeps the first problem for the refusal of a body without a valid value.
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
    /// The page views of this beacon, a raw queue measured by [`Document`].
    #[must_use]
    pub fn snapshots(self) -> Vec<Snapshot> {
        match self.content {
            Content::Views(views) => views,
            Content::Raw(raw) => {
                let mut document = Document::new(raw.id);
                for item in &raw.queue {
                    document.push(item);
                }
                let mut views = document.snapshots(raw.now.unwrap_or(f64::MAX));
                if raw.now.is_none() {
                    // TTI depends on the time of observation, which is unknown.
                    for view in &mut views {
                        view.values.set(Metric::Tti, None);
                        (view.tti_gap, view.tbt) = (None, None);
                    }
                }
                views
            }
        }
    }
}

/// The JSON object of a beacon with page views. The collector writes it, by any serializer of serde; no other place on
/// the writing side names its fields.
#[derive(Debug, Serialize)]
pub struct Wire<T = String> {
    /// [`VERSION`].
    pub v: u32,
    /// See [`Beacon::site`].
    pub site: T,
    /// See [`Beacon::seq`].
    pub seq: u32,
    /// See [`Beacon::url`].
    pub url: T,
    /// See [`Beacon::route`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<T>,
    /// See [`Beacon::device`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// See [`Beacon::connection`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<T>,
    /// See [`Beacon::release`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<T>,
    /// See [`Beacon::viewport`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewport: Option<Viewport>,
    /// See [`Beacon::tags`].
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    pub tags: Pairs<T, T>,
    /// See [`Beacon::sample`]; absent is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<f64>,
    /// See [`Beacon::errors`].
    pub errors: u32,
    /// See [`Beacon::webdriver`]; absent is false.
    #[serde(skip_serializing_if = "is_false")]
    pub webdriver: bool,
    /// The page views.
    pub views: Vec<WireView<T>>,
}

/// The JSON object of a page view.
#[derive(Debug, Serialize)]
pub struct WireView<T = String> {
    /// See [`Snapshot::id`].
    pub id: WireId,
    /// See [`Snapshot::url`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<T>,
    /// See [`Snapshot::route`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<T>,
    /// See [`Snapshot::navigation_type`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nav: Option<NavigationType>,
    /// Metric names and values.
    pub values: WireValues,
    /// See [`Snapshot::tti_gap`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tti_gap: Option<TtiGap>,
    /// See [`Snapshot::tbt`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tbt: Option<WireMs>,
    /// See [`Snapshot::attribution`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribution: Option<WireAttribution<T>>,
    /// See [`Beacon::marks`]; at most [`MARKS_MAX`](crate::limits::MARKS_MAX).
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    pub marks: Pairs<T, WireMs>,
}

/// A JSON object of names and values, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairs<K, V>(pub Vec<(K, V)>);

/// A time of a metric's bounds, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WireMs(pub Value);

/// A view's id as text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WireId(pub ViewId);

/// Values as an object of metric names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WireValues(pub Values);

/// serde asks for a reference.
#[expect(clippy::trivially_copy_pass_by_ref)]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl<K, V> Pairs<K, V> {
    /// No pair.
    pub const EMPTY: Self = Self(Vec::new());

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Serialize, V: Serialize> Serialize for Pairs<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<T: Text> From<&Snapshot<T>> for WireView<T> {
    fn from(snapshot: &Snapshot<T>) -> Self {
        Self {
            id: WireId(snapshot.id),
            url: snapshot.url.clone(),
            route: snapshot.route.clone(),
            nav: snapshot.navigation_type,
            values: WireValues(snapshot.values),
            tti_gap: snapshot.tti_gap,
            tbt: snapshot.tbt.map(WireMs),
            attribution: (!snapshot.attribution.is_empty()).then(|| (&snapshot.attribution).into()),
            marks: Pairs::EMPTY,
        }
    }
}

impl Serialize for WireMs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.number(Metric::Tti))
    }
}

impl Serialize for WireId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = self.0.digits();
        serializer.serialize_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

impl Serialize for WireValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(metric, value)| (metric.name(), value.number(metric))))
    }
}
