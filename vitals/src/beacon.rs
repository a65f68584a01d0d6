//! Wire format v1: what the collector sends, and the only place that knows its shape.
//!
//! `docs/wire-format.md` describes it for people. A beacon is one request body: JSON with what holds
//! for the whole document, and either finished page views (`views`, from the wasm module) or the queue
//! of items that the snippet saw (`raw`, where the module never came). [`decode`] reads both;
//! [`Beacon::snapshots`] turns a raw queue into page views with the code that the module runs.

pub mod cause;

use crate::attribution::Attribution;
use crate::document::Document;
use crate::entry::{Item, NUMBERS_MAX, TEXTS_MAX};
use crate::limits;
use crate::metric::{Metric, Value, Values};
use crate::view::{Device, NavigationType, Snapshot, TtiGap, ViewId, Viewport};
use cause::WireAttribution;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

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
    /// The document's URL.
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
    /// What the page says of itself, by name: at most [`limits::TAGS_MAX`].
    pub tags: BTreeMap<String, String>,
    /// The share of page views that are sent, [`limits::SAMPLE_MIN`] to 1: one that is sent stands for
    /// `1 / sample`.
    pub sample: f64,
    /// Which parts of the collector have failed in this document, a sum of the [`errors`] bits.
    pub errors: u32,
    /// Moments that the page has marked.
    pub marks: Vec<Mark>,
    /// What was seen.
    pub content: Content,
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
    /// The snippet; or an item of a raw queue had something that is neither number nor text, and was left out.
    pub const SNIPPET: u32 = 1;
    /// The glue.
    pub const GLUE: u32 = 2;
    /// The module was refused, missing, or has trapped.
    pub const MODULE: u32 = 4;
    /// A function of the page's: a listener, a hook.
    pub const PAGE: u32 = 8;
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
    /// The moment of sending, in milliseconds since the document's time origin.
    pub now: f64,
    /// Everything seen, in the order of queueing.
    pub queue: Vec<Item>,
}

/// Why a body is not a beacon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The body is not UTF-8.
    NotUtf8,
    /// The body is not JSON, or not of the beacon's shape; the text says where and what was expected.
    Malformed(String),
    /// The body is of a version that this server does not read.
    Version(u64),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("the body is not UTF-8"),
            Self::Malformed(problem) => f.write_str(problem),
            Self::Version(version) => write!(
                f,
                "wire format version {version} is not known here; this server reads {} to {}",
                VERSIONS.start(),
                VERSIONS.end()
            ),
        }
    }
}

impl std::error::Error for DecodeError {}

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
                document.snapshots(raw.now)
            }
        }
    }
}

/// Reads a beacon.
///
/// # Errors
/// Where the body is not UTF-8, not JSON, not of a known version, or not of its shape.
pub fn decode(body: &[u8]) -> Result<Beacon, DecodeError> {
    #[derive(Deserialize)]
    struct Version {
        v: u64,
    }

    let text = std::str::from_utf8(body).map_err(|_| DecodeError::NotUtf8)?;
    if too_deep(text) {
        return Err(DecodeError::Malformed(format!("nested more than {} deep", limits::JSON_DEPTH_MAX)));
    }
    match serde_json::from_str::<Wire>(text) {
        Ok(wire) => wire.into_beacon(),
        // A later version may have another shape; its number is the better explanation.
        Err(error) => match serde_json::from_str::<Version>(text) {
            Ok(Version { v }) if !known(v) => Err(DecodeError::Version(v)),
            _ => Err(DecodeError::Malformed(error.to_string())),
        },
    }
}

/// Whether JSON is nested deeper than any beacon is: serde skips a field that it does not know however
/// deep it is.
#[must_use]
pub fn too_deep(text: &str) -> bool {
    // Nearly every beacon opens fewer than may stand in one another, which is quickly counted.
    let opened: usize = text
        .as_bytes()
        .chunks(usize::from(u8::MAX))
        .map(|chunk| usize::from(chunk.iter().map(|byte| u8::from(matches!(byte, b'[' | b'{'))).sum::<u8>()))
        .sum();
    if opened <= limits::JSON_DEPTH_MAX {
        return false;
    }
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth = depth.saturating_add(1);
                if depth > limits::JSON_DEPTH_MAX {
                    return true;
                }
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

fn known(version: u64) -> bool {
    u32::try_from(version).is_ok_and(|version| VERSIONS.contains(&version))
}

/// The JSON object of a beacon. The glue builds it in the browser (`js-snippet/src/collector.js`), the server
/// reads it, and tests write it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(expecting = "a beacon object")]
pub struct Wire {
    /// Version.
    pub v: u64,
    /// See [`Beacon::site`].
    pub site: String,
    /// See [`Beacon::seq`].
    pub seq: u32,
    /// See [`Beacon::url`].
    pub url: String,
    /// See [`Beacon::route`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// See [`Beacon::device`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<WireDevice>,
    /// See [`Beacon::connection`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// See [`Beacon::release`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// See [`Beacon::viewport`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub viewport: Option<Viewport>,
    /// See [`Beacon::tags`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// See [`Beacon::sample`]; absent is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<f64>,
    /// See [`Beacon::errors`].
    #[serde(default)]
    pub errors: u32,
    /// Page views, or absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub views: Option<Vec<WireView>>,
    /// A raw queue, or absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<WireRaw>,
}

/// The JSON object of a page view.
#[derive(Debug, Serialize, Deserialize)]
#[serde(expecting = "a page view object")]
pub struct WireView {
    /// See [`Snapshot::id`].
    pub id: WireId,
    /// See [`Snapshot::url`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// See [`Snapshot::route`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// See [`Snapshot::navigation_type`].
    pub nav: NavigationType,
    /// Metric names and values.
    pub values: WireValues,
    /// See [`Snapshot::tti_gap`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tti_gap: Option<TtiGap>,
    /// See [`Snapshot::tbt`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tbt: Option<WireMs>,
    /// See [`Snapshot::attribution`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<Box<WireAttribution>>,
    /// See [`Beacon::marks`]; at most [`limits::MARKS_MAX`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub marks: BTreeMap<String, WireMs>,
}

/// The JSON object of a raw queue.
#[derive(Debug, Serialize, Deserialize)]
#[serde(expecting = "a raw queue object")]
pub struct WireRaw {
    /// See [`Raw::id`].
    pub id: WireId,
    /// See [`Raw::now`].
    pub now: f64,
    /// Arrays `[kind, numbers…, texts…]`.
    #[serde(skip_serializing)]
    pub queue: WireQueue,
}

/// A device's class: its name; or `false` where the primary pointer is fine, else the shorter side of the
/// screen in CSS pixels, which is what the snippet sends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WireDevice(pub Device);

/// A time of a metric's bounds, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WireMs(pub Value);

/// A view's id as text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WireId(pub ViewId);

/// Values as an object of metric names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WireValues(pub Values);

/// Items as arrays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WireQueue {
    /// The items that are known here.
    pub items: Vec<Item>,
    /// Whether there were items of which something is null, which JSON makes of a number that is none. They are
    /// left out: a number told for it would be a lie, and the page view has the others.
    pub broken: bool,
}

impl From<&Snapshot> for WireView {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            id: WireId(snapshot.id),
            url: snapshot.url.clone(),
            route: snapshot.route.clone(),
            nav: snapshot.navigation_type,
            values: WireValues(snapshot.values),
            tti_gap: snapshot.tti_gap,
            tbt: snapshot.tbt.map(WireMs),
            marks: BTreeMap::new(),
            attribution: (!snapshot.attribution.is_empty()).then(|| Box::new((&snapshot.attribution).into())),
        }
    }
}

impl Wire {
    fn into_beacon(self) -> Result<Beacon, DecodeError> {
        if !known(self.v) {
            return Err(DecodeError::Version(self.v));
        }
        let sample = self.sample.unwrap_or(1.0);
        if !(sample > 0.0 && sample <= 1.0) {
            let problem = format!("`sample` is {sample}; more than 0 and at most 1 is expected");
            return Err(DecodeError::Malformed(problem));
        }
        let sample = sample.max(limits::SAMPLE_MIN);
        if self.tags.len() > limits::TAGS_MAX {
            return Err(DecodeError::Malformed(format!("`tags` has more than {}", limits::TAGS_MAX)));
        }
        let (mut marks, mut errors) = (Vec::new(), self.errors);
        let content = match (self.views, self.raw) {
            (Some(views), None) => {
                if views.is_empty() || views.len() > limits::VIEWS_PER_BEACON_MAX {
                    return Err(DecodeError::Malformed(format!(
                        "`views` has {} page views; 1 to {} are taken",
                        views.len(),
                        limits::VIEWS_PER_BEACON_MAX
                    )));
                }
                for view in &views {
                    if view.marks.len() > limits::MARKS_MAX {
                        let problem = format!("`marks` has more than {}", limits::MARKS_MAX);
                        return Err(DecodeError::Malformed(problem));
                    }
                    let mark = |(name, at): (&String, &WireMs)| Mark {
                        view: view.id.0,
                        name: name.clone(),
                        at: at.0,
                    };
                    marks.extend(view.marks.iter().map(mark));
                }
                Content::Views(views.into_iter().map(WireView::into_snapshot).collect())
            }
            (None, Some(raw)) => {
                if raw.queue.broken {
                    errors |= errors::SNIPPET;
                }
                Content::Raw(Raw { id: raw.id.0, now: raw.now, queue: raw.queue.items })
            }
            _ => {
                return Err(DecodeError::Malformed("expected exactly one of `views` and `raw`".to_owned()));
            }
        };
        Ok(Beacon {
            site: self.site,
            seq: self.seq,
            url: self.url,
            route: self.route,
            device: self.device.map(|WireDevice(device)| device),
            connection: self.connection,
            release: self.release,
            viewport: self.viewport,
            tags: self.tags,
            sample,
            errors,
            marks,
            content,
        })
    }
}

impl WireView {
    fn into_snapshot(self) -> Snapshot {
        Snapshot {
            id: self.id.0,
            url: self.url,
            route: self.route,
            navigation_type: self.nav,
            values: self.values.0,
            tti_gap: self.tti_gap,
            tbt: self.tbt.map(|WireMs(value)| value),
            attribution: self.attribution.map_or(Attribution::NONE, |cause| (*cause).into()),
        }
    }
}

impl Serialize for WireDevice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for WireDevice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DeviceVisitor;

        impl Visitor<'_> for DeviceVisitor {
            type Value = WireDevice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`phone`, `tablet`, `desktop`, false, or a touch screen's shorter side")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<WireDevice, E> {
                Device::from_name(name)
                    .map(WireDevice)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(name), &self))
            }

            fn visit_bool<E: serde::de::Error>(self, coarse: bool) -> Result<WireDevice, E> {
                if coarse {
                    return Err(E::invalid_value(serde::de::Unexpected::Bool(coarse), &self));
                }
                Ok(WireDevice(Device::Desktop))
            }

            fn visit_u64<E: serde::de::Error>(self, side: u64) -> Result<WireDevice, E> {
                self.visit_f64(side as f64)
            }

            fn visit_f64<E: serde::de::Error>(self, side: f64) -> Result<WireDevice, E> {
                Ok(WireDevice(if side < Device::TABLET_SIDE_MIN { Device::Phone } else { Device::Tablet }))
            }
        }

        deserializer.deserialize_any(DeviceVisitor)
    }
}

impl Serialize for WireMs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.number(Metric::Tti))
    }
}

impl<'de> Deserialize<'de> for WireMs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        Value::new(Metric::Tti, number)
            .map(Self)
            .map_err(|error| D::Error::custom(format_args!("{number} {error}")))
    }
}

impl Serialize for WireId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for WireId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;

        impl Visitor<'_> for IdVisitor {
            type Value = WireId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a page view id: a UUID version 7")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<WireId, E> {
                ViewId::parse(text)
                    .map(WireId)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(IdVisitor)
    }
}

impl Serialize for WireValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(metric, value)| (metric.name(), value.number(metric))))
    }
}

impl<'de> Deserialize<'de> for WireValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValuesVisitor;

        impl<'de> Visitor<'de> for ValuesVisitor {
            type Value = WireValues;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of metric names and numbers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WireValues, A::Error> {
                let mut values = Values::EMPTY;
                while let Some(MetricName(metric)) = map.next_key()? {
                    let number = map.next_value::<f64>()?;
                    let value = Value::new(metric, number).map_err(|error| {
                        A::Error::custom(format_args!("{}: {number} {error}", metric.name()))
                    })?;
                    values.set(metric, Some(value));
                }
                Ok(WireValues(values))
            }
        }

        deserializer.deserialize_map(ValuesVisitor)
    }
}

/// A metric by its name.
struct MetricName(Metric);

impl<'de> Deserialize<'de> for MetricName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl Visitor<'_> for NameVisitor {
            type Value = MetricName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a metric's name")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<MetricName, E> {
                Metric::from_name(name).map(MetricName).ok_or_else(|| E::custom(unknown_metric(name)))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

/// The message for a metric's name that is not known.
#[must_use]
pub fn unknown_metric(name: &str) -> String {
    let shown: String = name.chars().take(32).collect();
    format!("unknown metric `{shown}`; expected one of LCP, INP, CLS, FCP, TTFB, FID, TTI")
}

impl<'de> Deserialize<'de> for WireQueue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct QueueVisitor;

        impl<'de> Visitor<'de> for QueueVisitor {
            type Value = WireQueue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of items")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<WireQueue, A::Error> {
                let mut queue = WireQueue::default();
                let mut seen = 0_usize;
                while let Some(item) = seq.next_element()? {
                    seen = seen.saturating_add(1);
                    if seen > limits::QUEUE_ITEMS_MAX {
                        return Err(A::Error::custom(format_args!(
                            "`queue` has more than {} items",
                            limits::QUEUE_ITEMS_MAX
                        )));
                    }
                    match item {
                        WireItem::Known(item) => queue.items.push(item),
                        WireItem::Unknown => {}
                        WireItem::Broken => queue.broken = true,
                    }
                }
                Ok(queue)
            }
        }

        deserializer.deserialize_seq(QueueVisitor)
    }
}

/// One array of a queue.
enum WireItem {
    Known(Item),
    /// Of a kind that a later snippet may send and this code does not know.
    Unknown,
    /// With a null.
    Broken,
}

impl<'de> Deserialize<'de> for WireItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemVisitor;

        impl<'de> Visitor<'de> for ItemVisitor {
            type Value = WireItem;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an item: an array of a kind, numbers and texts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<WireItem, A::Error> {
                let kind =
                    seq.next_element::<Option<u64>>()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
                let mut broken = kind.is_none();
                let mut numbers = [0.0; NUMBERS_MAX];
                let mut number_slots = numbers.iter_mut();
                let mut texts: [String; TEXTS_MAX] = Default::default();
                let mut text_slots = texts.iter_mut();
                while let Some(field) = seq.next_element::<Field>()? {
                    match field {
                        Field::Number(number) => {
                            if let Some(slot) = number_slots.next() {
                                *slot = number;
                            }
                        }
                        Field::Text(text) => {
                            if let Some(slot) = text_slots.next() {
                                *slot = text;
                            }
                        }
                        Field::Null(()) => broken = true,
                        Field::Other(_) => {
                            return Err(A::Error::custom("a field of an item is neither number nor text"));
                        }
                    }
                }
                if broken {
                    return Ok(WireItem::Broken);
                }
                let kind = kind.and_then(|kind| u8::try_from(kind).ok());
                let id = texts.first().and_then(|text| ViewId::parse(text));
                let item = kind.and_then(|kind| Item::from_fields(kind, &numbers, id, texts));
                Ok(item.map_or(WireItem::Unknown, WireItem::Known))
            }
        }

        deserializer.deserialize_seq(ItemVisitor)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Field {
    Number(f64),
    Text(String),
    Null(()),
    Other(IgnoredAny),
}
