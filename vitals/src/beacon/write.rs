//! Writes beacons with page views; the only place that names their fields.
//!
//! A beacon is a list of parts of a few kinds that any serde serializer writes. A field is then one push; code for
//! every structure would be a fifth of the wasm module.

use super::VERSION;
use crate::attribution::Attribution;
use crate::fetch::{Delivery, TtfbCause};
use crate::metric::{Metric, Value};
use crate::snapshot::Snapshot;
use crate::view::{Device, NavigationType, Tier, TtiGap, ViewId, Viewport};
use core::cell::Cell;
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

/// A JSON object with borrowed texts: its parts, in the order of writing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Json<'a>(Vec<(&'a str, Part<'a>)>);

/// A part of a JSON value. Its name is empty in a list.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Number(f64),
    /// A count.
    Count(u32),
    /// `true` or `false`.
    Flag(bool),
    /// The begin of an object.
    Object,
    /// The begin of a list.
    List,
    /// The end of the last object or list.
    End,
}

impl<'a> Json<'a> {
    #[inline(never)]
    fn put(&mut self, name: &'a str, part: Part<'a>) {
        self.0.push((name, part));
    }

    /// Adds a text, unless it is empty.
    #[inline(never)]
    fn text(&mut self, name: &'a str, text: &'a str) {
        if !text.is_empty() {
            self.put(name, Part::Text(text));
        }
    }

    #[inline(never)]
    fn number(&mut self, name: &'a str, number: f64) {
        self.put(name, Part::Number(number));
    }

    #[inline(never)]
    fn numbers(&mut self, name: &'a str, numbers: &[f64]) {
        self.put(name, Part::List);
        for number in numbers {
            self.number("", *number);
        }
        self.end();
    }

    fn end(&mut self) {
        self.put("", Part::End);
    }

    /// Ends an object or a list that began as the latest part but `parts`. Removes it if it is empty.
    #[inline(never)]
    fn end_unless_empty(&mut self, parts: usize) {
        if self.0.len() > parts {
            self.end();
        } else {
            self.0.pop();
        }
    }

    /// Begins an object or a list. Returns the number of parts, for [`Json::end_unless_empty`].
    #[inline(never)]
    fn begin(&mut self, name: &'a str, part: Part<'a>) -> usize {
        self.put(name, part);
        self.0.len()
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Rest(&Cell::new(&self.0)).serialize(serializer)
    }
}

/// The parts that are not yet serialized. Serializes the first of them, up to its end.
struct Rest<'a>(&'a Cell<&'a [(&'a str, Part<'a>)]>);

impl<'a> Rest<'a> {
    /// The name of the next part; `None` at the end of an object or a list, which it passes.
    fn next_name(&self) -> Option<&'a str> {
        let parts = self.0.get();
        let ((name, part), rest) = parts.split_first()?;
        if *part == Part::End {
            self.0.set(rest);
            return None;
        }
        Some(name)
    }
}

impl Serialize for Rest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(((_, part), rest)) = self.0.get().split_first() else {
            // Not reached, as every object and list has an end.
            return serializer.serialize_unit();
        };
        self.0.set(rest);
        match *part {
            Part::Text(text) => serializer.serialize_str(text),
            Part::Number(number) => serializer.serialize_f64(number),
            Part::Count(count) => serializer.serialize_u32(count),
            Part::Flag(flag) => serializer.serialize_bool(flag),
            Part::List => {
                let mut list = serializer.serialize_seq(None)?;
                while self.next_name().is_some() {
                    list.serialize_element(self)?;
                }
                list.end()
            }
            _ => {
                let mut map = serializer.serialize_map(None)?;
                while let Some(name) = self.next_name() {
                    map.serialize_entry(name, self)?;
                }
                map.end()
            }
        }
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
        let mut beacon = Json::default();
        beacon.begin("", Part::Object);
        beacon.put("v", Part::Count(VERSION));
        beacon.put("site", Part::Text(self.site));
        beacon.put("seq", Part::Count(self.seq));
        beacon.put("url", Part::Text(self.url));
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
        let tags = beacon.begin("tags", Part::Object);
        for (name, value) in self.tags {
            beacon.put(name, Part::Text(value));
        }
        beacon.end_unless_empty(tags);
        if let Some(sample) = self.sample {
            beacon.number("sample", sample);
        }
        beacon.put("errors", Part::Count(self.errors));
        if self.webdriver {
            beacon.put("webdriver", Part::Flag(true));
        }
        beacon.put("views", Part::List);
        for view in self.views {
            beacon.0.extend(view.0);
        }
        beacon.end();
        beacon.end();
        beacon
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
    let mut view = Json::default();
    view.begin("", Part::Object);
    view.text("id", id);
    for (name, value) in [("url", &snapshot.url), ("route", &snapshot.route)] {
        view.text(name, value.as_ref().map_or("", text));
    }
    view.text("nav", snapshot.navigation_type.map_or("", NavigationType::name));
    view.put("values", Part::Object);
    for (metric, value) in snapshot.values.iter() {
        view.number(metric.name(), value.number(metric));
    }
    view.end();
    view.text("tti_gap", snapshot.tti_gap.map_or("", TtiGap::name));
    if let Some(tbt) = snapshot.tbt {
        view.number("tbt", tbt.number(Metric::Tti));
    }
    let attribution = view.begin("attribution", Part::Object);
    for (name, metric) in
        [("lcp", Metric::Lcp), ("inp", Metric::Inp), ("cls", Metric::Cls), ("ttfb", Metric::Ttfb)]
    {
        cause(&mut view, name, metric, &snapshot.attribution, text);
    }
    view.end_unless_empty(attribution);
    if let Some(engaged) = snapshot.engaged {
        view.put("engaged", Part::Flag(engaged));
    }
    if let Some(at) = snapshot.first_input_ms {
        view.number("first_input", at);
    }
    let marked = view.begin("marks", Part::Object);
    for (of, name, at) in marks {
        if *of == snapshot.id {
            view.number(name, at.number(Metric::Tti));
        }
    }
    view.end_unless_empty(marked);
    view.end();
    view
}

/// Returns the JSON of a value for a listener of the page; `id` and `text` are those of [`view`].
#[must_use]
pub fn told<'a, T>(
    snapshot: &'a Snapshot<T>,
    id: &'a str,
    (metric, value): (Metric, Value),
    text: &dyn Fn(&'a T) -> &'a str,
) -> Json<'a> {
    let mut told = Json::default();
    told.begin("", Part::Object);
    told.text("name", metric.name());
    told.number("value", value.number(metric));
    told.text("rating", metric.rate(value).name());
    told.text("id", id);
    told.text("navigationType", snapshot.navigation_type.map_or("", NavigationType::name));
    cause(&mut told, "attribution", metric, &snapshot.attribution, text);
    told.end();
    told
}

/// Adds the attribution of a metric.
#[inline(never)]
fn cause<'a, T>(
    json: &mut Json<'a>,
    name: &'a str,
    metric: Metric,
    attribution: &'a Attribution<T>,
    text: &dyn Fn(&'a T) -> &'a str,
) {
    let begun = json.begin(name, Part::Object);
    let Attribution { lcp, inp, cls, ttfb } = attribution;
    match (metric, lcp, inp, cls, ttfb) {
        (Metric::Lcp, Some(lcp), ..) => {
            json.text("target", text(&lcp.target));
            json.text("url", text(&lcp.url));
            json.numbers("parts", &lcp.parts_ms);
        }
        (Metric::Inp, _, Some(inp), ..) => {
            json.text("target", text(&inp.target));
            json.text("event", text(&inp.event));
            json.number("at", inp.at_ms);
            json.numbers("parts", &inp.parts_ms);
            json.text("script", text(&inp.script));
            if inp.script_ms > 0.0 {
                json.number("script_ms", inp.script_ms);
            }
            json.text("load", inp.load_state.name());
        }
        (Metric::Cls, _, _, Some(cls), _) => {
            json.text("target", text(&cls.target));
            json.number("at", cls.at_ms);
            json.number("value", cls.value);
            json.text("load", cls.load_state.name());
        }
        (Metric::Ttfb, .., Some(ttfb)) => fetch(json, ttfb, text),
        _ => {}
    }
    json.end_unless_empty(begun);
}

/// Adds the fetch of the document.
fn fetch<'a, T>(json: &mut Json<'a>, ttfb: &'a TtfbCause<T>, text: &dyn Fn(&'a T) -> &'a str) {
    let fetch = &ttfb.fetch;
    if let Some(parts_ms) = &ttfb.parts_ms {
        json.numbers("parts", parts_ms);
    }
    json.text("protocol", text(&fetch.protocol));
    json.text("delivery", fetch.delivery.map_or("", Delivery::name));
    if fetch.encoded_bytes > 0.0 {
        json.number("bytes", fetch.encoded_bytes);
    }
    let server = json.begin("server", Part::List);
    for timing in &fetch.server_timings {
        json.put("", Part::List);
        json.put("", Part::Text(text(&timing.name)));
        json.number("", timing.duration_ms);
        json.put("", Part::Text(text(&timing.description)));
        json.end();
    }
    json.end_unless_empty(server);
    let reasons = json.begin("not_restored", Part::List);
    for reason in &fetch.not_restored {
        json.put("", Part::Text(text(reason)));
    }
    json.end_unless_empty(reasons);
    if let Some(confidence) = fetch.confidence {
        json.text("confidence", confidence.level.name());
        json.number("trigger_rate", confidence.trigger_rate);
    }
}
