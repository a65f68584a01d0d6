//! Writes beacons with page views; the only place that names their fields.
//!
//! A beacon is a tree of a few kinds of values that any serde serializer writes. A field is then one push; code for
//! every structure would be a fifth of the wasm module.

use super::VERSION;
use crate::attribution::Attribution;
use crate::fetch::{Delivery, TtfbCause};
use crate::metric::{Metric, Value};
use crate::snapshot::Snapshot;
use crate::view::{Device, NavigationType, Tier, TtiGap, ViewId, Viewport};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

/// A JSON value with borrowed texts.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Number(f64),
    /// A count.
    Count(u32),
    /// `true` or `false`.
    Flag(bool),
    /// An array.
    List(Vec<Json<'a>>),
    /// An object.
    Object(Object<'a>),
}

/// The fields of a JSON object, in the order of writing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object<'a>(Vec<(&'a str, Json<'a>)>);

impl<'a> Object<'a> {
    fn put(&mut self, name: &'a str, value: Json<'a>) {
        self.0.push((name, value));
    }

    /// Adds a text, unless it is empty.
    #[inline(never)]
    pub fn text(&mut self, name: &'a str, text: &'a str) {
        if !text.is_empty() {
            self.put(name, Json::Text(text));
        }
    }

    /// Adds a number.
    #[inline(never)]
    pub fn number(&mut self, name: &'a str, number: f64) {
        self.put(name, Json::Number(number));
    }

    /// Adds `true` or `false`.
    #[inline(never)]
    pub fn flag(&mut self, name: &'a str, flag: bool) {
        self.put(name, Json::Flag(flag));
    }

    #[inline(never)]
    fn count(&mut self, name: &'a str, count: u32) {
        self.put(name, Json::Count(count));
    }

    /// Adds an object, unless it has no fields.
    #[inline(never)]
    fn object(&mut self, name: &'a str, object: Self) {
        if !object.0.is_empty() {
            self.put(name, Json::Object(object));
        }
    }

    /// Adds a list, unless it is empty.
    #[inline(never)]
    fn list(&mut self, name: &'a str, list: Vec<Json<'a>>) {
        if !list.is_empty() {
            self.put(name, Json::List(list));
        }
    }

    #[inline(never)]
    fn numbers(&mut self, name: &'a str, numbers: &[f64]) {
        self.put(name, Json::List(numbers.iter().copied().map(Json::Number).collect()));
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Count(count) => serializer.serialize_u32(*count),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::List(list) => serializer.collect_seq(list),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A beacon with page views.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wire<'a> {
    /// See [`Beacon::site`](super::Beacon::site).
    pub site: &'a str,
    /// See [`Beacon::seq`](super::Beacon::seq).
    pub seq: u32,
    /// See [`Beacon::url`](super::Beacon::url).
    pub url: &'a str,
    /// See [`Beacon::route`](super::Beacon::route); an empty text is absent, here and below.
    pub route: &'a str,
    /// See [`Beacon::device`](super::Beacon::device).
    pub device: Option<Device>,
    /// See [`Beacon::connection`](super::Beacon::connection).
    pub connection: &'a str,
    /// The connection's round trip in milliseconds, if the browser reports it; see
    /// [`Beacon::rtt`](super::Beacon::rtt).
    pub rtt_ms: Option<f64>,
    /// See [`Beacon::memory`](super::Beacon::memory).
    pub memory: Option<Tier>,
    /// See [`Beacon::cpu`](super::Beacon::cpu).
    pub cpu: Option<Tier>,
    /// See [`Beacon::release`](super::Beacon::release).
    pub release: &'a str,
    /// See [`Beacon::viewport`](super::Beacon::viewport).
    pub viewport: Option<Viewport>,
    /// See [`Beacon::tags`](super::Beacon::tags).
    pub tags: &'a [(String, String)],
    /// See [`Beacon::sample`](super::Beacon::sample).
    pub sample: Option<f64>,
    /// See [`Beacon::errors`](super::Beacon::errors).
    pub errors: u32,
    /// See [`Beacon::webdriver`](super::Beacon::webdriver).
    pub webdriver: bool,
    /// The page views, each from [`view`].
    pub views: Vec<Json<'a>>,
}

impl<'a> Wire<'a> {
    /// Returns the beacon's JSON.
    #[must_use]
    pub fn json(self) -> Json<'a> {
        let mut beacon = Object::default();
        beacon.count("v", VERSION);
        beacon.put("site", Json::Text(self.site));
        beacon.count("seq", self.seq);
        beacon.put("url", Json::Text(self.url));
        beacon.text("route", self.route);
        beacon.text("device", self.device.map_or("", Device::name));
        beacon.text("connection", self.connection);
        if let Some(rtt) = self.rtt_ms {
            beacon.number("rtt", rtt);
        }
        for (name, tier) in [("memory", self.memory), ("cpu", self.cpu)] {
            beacon.text(name, tier.map_or("", Tier::name));
        }
        beacon.text("release", self.release);
        beacon.text("viewport", self.viewport.map_or("", Viewport::name));
        let mut tags = Object::default();
        for (name, value) in self.tags {
            tags.put(name, Json::Text(value));
        }
        beacon.object("tags", tags);
        if let Some(sample) = self.sample {
            beacon.number("sample", sample);
        }
        beacon.count("errors", self.errors);
        if self.webdriver {
            beacon.flag("webdriver", true);
        }
        beacon.put("views", Json::List(self.views));
        Json::Object(beacon)
    }
}

/// Returns the JSON of a page view with its own marks. `id` is the text of its id; `text` returns the string of a
/// text.
#[must_use]
pub fn view<'a, T>(
    snapshot: &'a Snapshot<T>,
    id: &'a str,
    marks: &'a [(ViewId, String, Value)],
    text: &dyn Fn(&'a T) -> &'a str,
) -> Json<'a> {
    let mut view = Object::default();
    view.text("id", id);
    for (name, value) in [("url", &snapshot.url), ("route", &snapshot.route)] {
        view.text(name, value.as_ref().map_or("", text));
    }
    view.text("nav", snapshot.navigation_type.map_or("", NavigationType::name));
    let mut values = Object::default();
    for (metric, value) in snapshot.values.iter() {
        values.number(metric.name(), value.number(metric));
    }
    view.put("values", Json::Object(values));
    view.text("tti_gap", snapshot.tti_gap.map_or("", TtiGap::name));
    if let Some(tbt) = snapshot.tbt {
        view.number("tbt", tbt.number(Metric::Tti));
    }
    view.object("attribution", attribution(&snapshot.attribution, text));
    if let Some(engaged) = snapshot.engaged {
        view.flag("engaged", engaged);
    }
    if let Some(at) = snapshot.first_input_ms {
        view.number("first_input", at);
    }
    let mut marked = Object::default();
    for (view, name, at) in marks {
        if *view == snapshot.id {
            marked.number(name, at.number(Metric::Tti));
        }
    }
    view.object("marks", marked);
    Json::Object(view)
}

/// Returns the JSON of a value for a listener of the page; `id` and `text` are those of [`view`].
#[must_use]
pub fn told<'a, T>(
    snapshot: &'a Snapshot<T>,
    id: &'a str,
    (metric, value): (Metric, Value),
    text: &dyn Fn(&'a T) -> &'a str,
) -> Json<'a> {
    let mut told = Object::default();
    told.text("name", metric.name());
    told.number("value", value.number(metric));
    told.text("rating", metric.rate(value).name());
    told.text("id", id);
    told.text("navigationType", snapshot.navigation_type.map_or("", NavigationType::name));
    told.object("attribution", cause(metric, &snapshot.attribution, text));
    Json::Object(told)
}

fn attribution<'a, T>(attribution: &'a Attribution<T>, text: &dyn Fn(&'a T) -> &'a str) -> Object<'a> {
    let mut causes = Object::default();
    for (name, metric) in
        [("lcp", Metric::Lcp), ("inp", Metric::Inp), ("cls", Metric::Cls), ("ttfb", Metric::Ttfb)]
    {
        causes.object(name, cause(metric, attribution, text));
    }
    causes
}

/// Adds the attribution of a metric.
#[inline(never)]
fn cause<'a, T>(
    metric: Metric,
    attribution: &'a Attribution<T>,
    text: &dyn Fn(&'a T) -> &'a str,
) -> Object<'a> {
    let mut cause = Object::default();
    let Attribution { lcp, inp, cls, ttfb } = attribution;
    match (metric, lcp, inp, cls, ttfb) {
        (Metric::Lcp, Some(lcp), ..) => {
            cause.text("target", text(&lcp.target));
            cause.text("url", text(&lcp.url));
            cause.numbers("parts", &lcp.parts_ms);
        }
        (Metric::Inp, _, Some(inp), ..) => {
            cause.text("target", text(&inp.target));
            cause.text("event", text(&inp.event));
            cause.number("at", inp.at_ms);
            cause.numbers("parts", &inp.parts_ms);
            cause.text("script", text(&inp.script));
            if inp.script_ms > 0.0 {
                cause.number("script_ms", inp.script_ms);
            }
            cause.text("load", inp.load_state.name());
        }
        (Metric::Cls, _, _, Some(cls), _) => {
            cause.text("target", text(&cls.target));
            cause.number("at", cls.at_ms);
            cause.number("value", cls.value);
            cause.text("load", cls.load_state.name());
        }
        (Metric::Ttfb, .., Some(ttfb)) => fetch(&mut cause, ttfb, text),
        _ => {}
    }
    cause
}

/// Adds the fetch of the document.
fn fetch<'a, T>(cause: &mut Object<'a>, ttfb: &'a TtfbCause<T>, text: &dyn Fn(&'a T) -> &'a str) {
    let fetch = &ttfb.fetch;
    if let Some(parts_ms) = &ttfb.parts_ms {
        cause.numbers("parts", parts_ms);
    }
    cause.text("protocol", text(&fetch.protocol));
    cause.text("delivery", fetch.delivery.map_or("", Delivery::name));
    if fetch.encoded_bytes > 0.0 {
        cause.number("bytes", fetch.encoded_bytes);
    }
    let server = fetch.server_timings.iter().map(|timing| {
        let [name, description] = [&timing.name, &timing.description].map(|part| Json::Text(text(part)));
        Json::List(vec![name, Json::Number(timing.duration_ms), description])
    });
    cause.list("server", server.collect());
    let reasons = fetch.not_restored.iter().map(|reason| Json::Text(text(reason)));
    cause.list("not_restored", reasons.collect());
    if let Some(confidence) = fetch.confidence {
        cause.text("confidence", confidence.level.name());
        cause.number("trigger_rate", confidence.trigger_rate);
    }
}
