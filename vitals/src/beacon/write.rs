//! Writes beacons with page views; the only place that names their fields.
//!
//! A beacon is a list of parts of a few kinds. A field is then one push; code for every structure would be a fifth of
//! the wasm module. On the server the list is serialized as the object that it describes. The module passes the list
//! itself to the loader (`js-snippet/src/loader.js`), which builds the object.

use super::VERSION;
use crate::attribution::Attribution;
use crate::entry::{Text, Written};
use crate::fetch::{Delivery, TtfbCause};
use crate::metric::{Metric, Value};
use crate::snapshot::Snapshot;
use crate::view::{Device, NavigationType, Tier, TtiGap, ViewId, Viewport};
use serde::ser::{Serialize, SerializeSeq as _, Serializer};

/// A JSON object with borrowed texts: its parts, in the order of writing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Json<'a>(Vec<Part<'a>>);

/// The name of a value, or a value, or an end.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part<'a> {
    kind: Kind,
    /// The characters of a name or of a text.
    characters: &'a str,
    /// The number. Of a name or a text, its index; 0 with characters.
    number: f64,
}

/// The kinds of parts. The loader knows their numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
enum Kind {
    /// The end of the last object or list.
    End = 0,
    /// The name of the next value. Items of a list have none.
    Name = 1,
    /// A text.
    Text = 2,
    /// A number.
    Number = 3,
    /// A whole number.
    Count = 4,
    /// `true`, or `false` if the number is 0.
    Flag = 5,
    /// The begin of an object.
    Object = 6,
    /// The begin of a list.
    List = 7,
}

impl<'a> Json<'a> {
    #[inline(never)]
    fn put(&mut self, kind: Kind, characters: &'a str, number: f64) {
        self.0.push(Part { kind, characters, number });
    }

    /// Adds the name of the next value.
    fn name(&mut self, name: &'a str) {
        self.put(Kind::Name, name, 0.0);
    }

    /// Adds a name or a text.
    fn written(&mut self, kind: Kind, text: Written<'a>) {
        self.put(kind, text.characters, text.index.into());
    }

    /// Adds an item of a list, or the value of the last name.
    #[inline(never)]
    fn item(&mut self, text: Written<'a>) {
        self.written(Kind::Text, text);
    }

    /// Adds a text, unless it is empty.
    #[inline(never)]
    fn text(&mut self, name: &'a str, text: Written<'a>) {
        if !text.is_blank() {
            self.name(name);
            self.item(text);
        }
    }

    /// Adds a text of a page view, unless it is empty or absent.
    #[inline(never)]
    fn given<T: Text>(&mut self, name: &'a str, text: Option<&'a T>) {
        self.text(name, text.map_or(Written::default(), Text::written));
    }

    /// Adds a text of ours, unless it is empty.
    #[inline(never)]
    fn own(&mut self, name: &'a str, characters: &'a str) {
        self.text(name, characters.into());
    }

    /// Adds one of the names of an enumeration, unless it is absent.
    fn class<T>(&mut self, name: &'a str, class: Option<T>, text: fn(T) -> &'static str) {
        self.own(name, class.map_or("", text));
    }

    #[inline(never)]
    fn number(&mut self, name: &'a str, number: f64) {
        self.name(name);
        self.put(Kind::Number, "", number);
    }

    #[inline(never)]
    fn whole(&mut self, name: &'a str, kind: Kind, number: u32) {
        self.name(name);
        self.put(kind, "", number.into());
    }

    #[inline(never)]
    fn numbers(&mut self, name: &'a str, numbers: &[f64]) {
        self.begin(name, Kind::List);
        for number in numbers {
            self.put(Kind::Number, "", *number);
        }
        self.end();
    }

    #[inline(never)]
    fn mark(&mut self, kind: Kind) {
        self.put(kind, "", 0.0);
    }

    fn end(&mut self) {
        self.mark(Kind::End);
    }

    /// Ends an object or a list that began as the latest part but `parts`. Removes it with its name if it is empty.
    #[inline(never)]
    fn end_unless_empty(&mut self, parts: usize) {
        if self.0.len() > parts {
            self.end();
        } else {
            self.0.truncate(parts.saturating_sub(2));
        }
    }

    /// Begins an object or a list. Returns the number of parts, for [`Json::end_unless_empty`].
    #[inline(never)]
    fn begin(&mut self, name: &'a str, kind: Kind) -> usize {
        self.name(name);
        self.mark(kind);
        self.0.len()
    }

    /// The list of parts, in which each part is a kind, a text and a number. The number of a text without characters is
    /// its index.
    #[must_use]
    pub fn parts(&self) -> impl Serialize {
        Parts(&self.0)
    }
}

struct Parts<'a>(&'a [Part<'a>]);

impl Serialize for Parts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for part in self.0 {
            list.serialize_element(&(part.kind as u8))?;
            list.serialize_element(part.characters)?;
            list.serialize_element(&part.number)?;
        }
        list.end()
    }
}

#[cfg(feature = "native")]
mod nested {
    //! Serializes the object that a list of parts describes.

    use super::{Json, Kind, Part};
    use core::cell::Cell;
    use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

    impl Serialize for Json<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            Rest(&Cell::new(&self.0)).serialize(serializer)
        }
    }

    /// The parts that are not yet serialized. Serializes the first of them, up to its end.
    struct Rest<'a>(&'a Cell<&'a [Part<'a>]>);

    impl<'a> Rest<'a> {
        /// The next part, unless it is an end; passes names and ends.
        fn next(&self) -> Option<Part<'a>> {
            let (part, rest) = self.0.get().split_first()?;
            if matches!(part.kind, Kind::Name | Kind::End) {
                self.0.set(rest);
            }
            (part.kind != Kind::End).then_some(*part)
        }
    }

    impl Serialize for Rest<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let Some((part, rest)) = self.0.get().split_first() else {
                // Not reached, as every object and list has an end.
                return serializer.serialize_unit();
            };
            self.0.set(rest);
            match part.kind {
                Kind::Text => serializer.serialize_str(part.characters),
                Kind::Number => serializer.serialize_f64(part.number),
                Kind::Count => serializer.serialize_u32(part.number as u32),
                Kind::Flag => serializer.serialize_bool(part.number != 0.0),
                Kind::List => {
                    let mut list = serializer.serialize_seq(None)?;
                    while self.next().is_some() {
                        list.serialize_element(self)?;
                    }
                    list.end()
                }
                _ => {
                    let mut map = serializer.serialize_map(None)?;
                    while let Some(name) = self.next() {
                        map.serialize_entry(name.characters, self)?;
                    }
                    map.end()
                }
            }
        }
    }
}

/// A beacon with page views.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wire<'a, T = String> {
    /// See [`Beacon::site`](super::Beacon::site).
    pub site: Written<'a>,
    /// See [`Beacon::seq`](super::Beacon::seq).
    pub seq: u32,
    /// See [`Beacon::url`](super::Beacon::url).
    pub url: Written<'a>,
    /// See [`Beacon::route`](super::Beacon::route); an empty text is absent, here and below.
    pub route: Written<'a>,
    /// See [`Beacon::device`](super::Beacon::device).
    pub device: Option<Device>,
    /// See [`Beacon::connection`](super::Beacon::connection).
    pub connection: Written<'a>,
    /// The connection's round trip in milliseconds, if the browser reports it; see
    /// [`Beacon::rtt`](super::Beacon::rtt).
    pub rtt_ms: Option<f64>,
    /// See [`Beacon::memory`](super::Beacon::memory).
    pub memory: Option<Tier>,
    /// See [`Beacon::cpu`](super::Beacon::cpu).
    pub cpu: Option<Tier>,
    /// See [`Beacon::release`](super::Beacon::release).
    pub release: Written<'a>,
    /// See [`Beacon::viewport`](super::Beacon::viewport).
    pub viewport: Option<Viewport>,
    /// See [`Beacon::tags`](super::Beacon::tags).
    pub tags: &'a [(T, T)],
    /// See [`Beacon::sample`](super::Beacon::sample).
    pub sample: Option<f64>,
    /// See [`Beacon::errors`](super::Beacon::errors).
    pub errors: u32,
    /// See [`Beacon::webdriver`](super::Beacon::webdriver).
    pub webdriver: bool,
    /// The page views, each from [`view`].
    pub views: Vec<Json<'a>>,
}

impl<'a, T: Text> Wire<'a, T> {
    /// Returns the beacon's JSON.
    #[must_use]
    pub fn json(self) -> Json<'a> {
        let mut beacon = Json::default();
        beacon.mark(Kind::Object);
        beacon.whole("v", Kind::Count, VERSION);
        beacon.name("site");
        beacon.item(self.site);
        beacon.whole("seq", Kind::Count, self.seq);
        beacon.name("url");
        beacon.item(self.url);
        beacon.text("route", self.route);
        beacon.class("device", self.device, Device::name);
        beacon.text("connection", self.connection);
        if let Some(rtt) = self.rtt_ms {
            beacon.number("rtt", rtt);
        }
        beacon.class("memory", self.memory, Tier::name);
        beacon.class("cpu", self.cpu, Tier::name);
        beacon.text("release", self.release);
        beacon.class("viewport", self.viewport, Viewport::name);
        let tags = beacon.begin("tags", Kind::Object);
        for (name, value) in self.tags {
            beacon.written(Kind::Name, name.written());
            beacon.item(value.written());
        }
        beacon.end_unless_empty(tags);
        if let Some(sample) = self.sample {
            beacon.number("sample", sample);
        }
        beacon.whole("errors", Kind::Count, self.errors);
        if self.webdriver {
            beacon.whole("webdriver", Kind::Flag, 1);
        }
        beacon.begin("views", Kind::List);
        for view in self.views {
            beacon.0.extend(view.0);
        }
        beacon.end();
        beacon.end();
        beacon
    }
}

/// Returns the JSON of a page view with its own marks. `id` is the text of its id.
#[must_use]
pub fn view<'a, T: Text>(
    snapshot: &'a Snapshot<T>,
    id: &'a str,
    marks: &'a [(ViewId, T, Value)],
) -> Json<'a> {
    let mut view = Json::default();
    view.mark(Kind::Object);
    view.own("id", id);
    view.given("url", snapshot.url.as_ref());
    view.given("route", snapshot.route.as_ref());
    view.class("nav", snapshot.navigation_type, NavigationType::name);
    view.begin("values", Kind::Object);
    for (metric, value) in snapshot.values.iter() {
        view.number(metric.name(), value.number(metric));
    }
    view.end();
    view.class("tti_gap", snapshot.tti_gap, TtiGap::name);
    if let Some(tbt) = snapshot.tbt {
        view.number("tbt", tbt.number(Metric::Tti));
    }
    let attribution = view.begin("attribution", Kind::Object);
    cause(&mut view, "lcp", Metric::Lcp, &snapshot.attribution);
    cause(&mut view, "inp", Metric::Inp, &snapshot.attribution);
    cause(&mut view, "cls", Metric::Cls, &snapshot.attribution);
    cause(&mut view, "ttfb", Metric::Ttfb, &snapshot.attribution);
    view.end_unless_empty(attribution);
    if let Some(engaged) = snapshot.engaged {
        view.whole("engaged", Kind::Flag, engaged.into());
    }
    if let Some(at) = snapshot.first_input_ms {
        view.number("first_input", at);
    }
    let marked = view.begin("marks", Kind::Object);
    for (of, name, at) in marks {
        if *of == snapshot.id {
            view.written(Kind::Name, name.written());
            view.put(Kind::Number, "", at.number(Metric::Tti));
        }
    }
    view.end_unless_empty(marked);
    view.end();
    view
}

/// Returns the JSON of a value for a listener of the page; `id` is that of [`view`].
#[must_use]
pub fn told<'a, T: Text>(
    snapshot: &'a Snapshot<T>,
    id: &'a str,
    (metric, value): (Metric, Value),
) -> Json<'a> {
    let mut told = Json::default();
    told.mark(Kind::Object);
    told.own("name", metric.name());
    told.number("value", value.number(metric));
    told.own("rating", metric.rate(value).name());
    told.own("id", id);
    told.class("navigationType", snapshot.navigation_type, NavigationType::name);
    cause(&mut told, "attribution", metric, &snapshot.attribution);
    told.end();
    told
}

/// Adds the attribution of a metric.
#[inline(never)]
fn cause<'a, T: Text>(json: &mut Json<'a>, name: &'a str, metric: Metric, attribution: &'a Attribution<T>) {
    let begun = json.begin(name, Kind::Object);
    let Attribution { lcp, inp, cls, ttfb } = attribution;
    match (metric, lcp, inp, cls, ttfb) {
        (Metric::Lcp, Some(lcp), ..) => {
            json.given("target", Some(&lcp.target));
            json.given("url", Some(&lcp.url));
            json.numbers("parts", &lcp.parts_ms);
        }
        (Metric::Inp, _, Some(inp), ..) => {
            json.given("target", Some(&inp.target));
            json.given("event", Some(&inp.event));
            json.number("at", inp.at_ms);
            json.numbers("parts", &inp.parts_ms);
            json.given("script", Some(&inp.script));
            if inp.script_ms > 0.0 {
                json.number("script_ms", inp.script_ms);
            }
            json.own("load", inp.load_state.name());
        }
        (Metric::Cls, _, _, Some(cls), _) => {
            json.given("target", Some(&cls.target));
            json.number("at", cls.at_ms);
            json.number("value", cls.value);
            json.own("load", cls.load_state.name());
        }
        (Metric::Ttfb, .., Some(ttfb)) => fetch(json, ttfb),
        _ => {}
    }
    json.end_unless_empty(begun);
}

/// Adds the fetch of the document.
fn fetch<'a, T: Text>(json: &mut Json<'a>, ttfb: &'a TtfbCause<T>) {
    let fetch = &ttfb.fetch;
    if let Some(parts_ms) = &ttfb.parts_ms {
        json.numbers("parts", parts_ms);
    }
    json.given("protocol", Some(&fetch.protocol));
    json.class("delivery", fetch.delivery, Delivery::name);
    if fetch.encoded_bytes > 0.0 {
        json.number("bytes", fetch.encoded_bytes);
    }
    let server = json.begin("server", Kind::List);
    for timing in &fetch.server_timings {
        json.mark(Kind::List);
        json.item(timing.name.written());
        json.put(Kind::Number, "", timing.duration_ms);
        json.item(timing.description.written());
        json.end();
    }
    json.end_unless_empty(server);
    let reasons = json.begin("not_restored", Kind::List);
    for reason in &fetch.not_restored {
        json.item(reason.written());
    }
    json.end_unless_empty(reasons);
    if let Some(confidence) = fetch.confidence {
        json.own("confidence", confidence.level.name());
        json.number("trigger_rate", confidence.trigger_rate);
    }
}
