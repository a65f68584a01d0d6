//! Writes beacons with page views; the only place that names their fields.
//!
//! A beacon is a list of parts of a few kinds. A field is then one push; code for every structure would be a fifth of
//! the wasm module. On the server the list is serialized as the object that it describes. The module passes the list
//! itself to the loader (`js-snippet/src/loader.js`), which builds the object.
//!
//! The module has no texts. A name or a text is its place in a table of the loader, which begins with [`texts`].

use super::{DROPPED_URL, VERSION};
use crate::attribution::{Causes, LoadState};
use crate::entry::{Text, Written};
use crate::fetch::{Caused, ConfidenceLevel, Delivery};
use crate::metric::{Metric, Rating, Value};
use crate::snapshot::Snapshot;
use crate::view::{Device, NavigationType, Tier, TtiGap, ViewId, Viewport};
use serde::ser::{Serialize, SerializeSeq as _, Serializer};

/// Defines the texts of the wire format: first those of [`Own`], then the names of enumerations.
macro_rules! texts {
    (own { $($own:ident $text:expr,)+ } names { $($type:ident,)+ }) => {
        /// A text of the wire format, apart from the names of enumerations.
        #[expect(missing_docs, reason = "each is a text below")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Own { $($own,)+ }

        enum Enumeration { $($type,)+ }

        const OWN: &[&str] = &[$($text),+];
        const NAMES: &[&[&str]] = &[$($type::NAMES),+];

        $(impl Named for $type {
            const FIRST: u32 = first(Enumeration::$type as usize);

            fn place(self) -> u32 {
                Self::FIRST.saturating_add(self as u32)
            }
        })+
    };
}

texts! {
    own {
        Nothing "",
        // The loader puts the id of the latest page view here.
        ViewId "",
        Dropped DROPPED_URL,
        Version "v",
        Site "site",
        Seq "seq",
        Url "url",
        Route "route",
        Device "device",
        Connection "connection",
        Rtt "rtt",
        Memory "memory",
        Cpu "cpu",
        Release "release",
        Viewport "viewport",
        Tags "tags",
        Sample "sample",
        Errors "errors",
        Webdriver "webdriver",
        Views "views",
        Id "id",
        Nav "nav",
        NavigationType "navigationType",
        Values "values",
        TtiGap "tti_gap",
        Tbt "tbt",
        Attribution "attribution",
        Lcp "lcp",
        Inp "inp",
        Cls "cls",
        Ttfb "ttfb",
        Engaged "engaged",
        FirstInput "first_input",
        Marks "marks",
        Name "name",
        Value "value",
        Rating "rating",
        Target "target",
        Event "event",
        At "at",
        Parts "parts",
        Script "script",
        ScriptMs "script_ms",
        Load "load",
        Protocol "protocol",
        Delivery "delivery",
        Bytes "bytes",
        Server "server",
        NotRestored "not_restored",
        Confidence "confidence",
        TriggerRate "trigger_rate",
    }
    names {
        Metric,
        Rating,
        NavigationType,
        TtiGap,
        Device,
        Tier,
        Viewport,
        LoadState,
        Delivery,
        ConfidenceLevel,
    }
}

/// Returns the place of the first name of an enumeration.
const fn first(enumeration: usize) -> u32 {
    let (mut place, mut rest) = (OWN.len(), NAMES.split_at(enumeration).0);
    while let [names, others @ ..] = rest {
        place = place.saturating_add(names.len());
        rest = others;
    }
    place as u32
}

/// All texts of the wire format, in the order of their places.
pub fn texts() -> impl Iterator<Item = &'static str> {
    OWN.iter().chain(NAMES.iter().copied().flatten()).copied()
}

impl Written for &str {
    fn own(place: u32) -> Self {
        texts().nth(place as usize).unwrap_or_default()
    }
}

/// The index in a table that begins with [`texts`].
impl Written for u32 {
    fn own(place: u32) -> Self {
        place
    }
}

/// An enumeration whose names are among [`texts`].
pub trait Named: Copy {
    /// The place of the first name.
    const FIRST: u32;

    /// The place of the value's name.
    fn place(self) -> u32;
}

/// A JSON object: its parts, in the order of writing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Json<W>(Vec<Part<W>>);

/// A value, the begin of an object or a list, or an end.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part<W> {
    kind: Kind,
    /// The name of the value; empty in a list.
    name: W,
    text: W,
    number: f64,
}

/// The kinds of parts. The loader knows their numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
enum Kind {
    /// The end of the last object or list.
    End = 0,
    /// A text.
    Text = 1,
    /// A number.
    Number = 2,
    /// A whole number.
    Count = 3,
    /// `true`, or `false` if the number is 0.
    Flag = 4,
    /// The begin of an object.
    Object = 5,
    /// The begin of a list.
    List = 6,
}

impl<W: Written> Json<W> {
    #[inline(never)]
    fn put(&mut self, kind: Kind, name: W, text: W, number: f64) {
        self.0.push(Part { kind, name, text, number });
    }

    /// Adds a text, also an empty one.
    #[inline(never)]
    fn item(&mut self, name: W, text: W) {
        self.put(Kind::Text, name, text, 0.0);
    }

    /// Adds a text, unless it is empty.
    #[inline(never)]
    fn text(&mut self, name: Own, text: W) {
        if let Some(text) = text.filled() {
            self.item(W::own(name as u32), text);
        }
    }

    /// Adds the name of a value of an enumeration, unless it is absent.
    fn class<T: Named>(&mut self, name: Own, class: Option<T>) {
        self.text(name, class.map_or(W::default(), |class| W::own(class.place())));
    }

    #[inline(never)]
    fn measure(&mut self, name: W, number: f64) {
        self.put(Kind::Number, name, W::default(), number);
    }

    #[inline(never)]
    fn number(&mut self, name: Own, number: f64) {
        self.measure(W::own(name as u32), number);
    }

    #[inline(never)]
    fn whole(&mut self, name: Own, kind: Kind, number: u32) {
        self.put(kind, W::own(name as u32), W::default(), number.into());
    }

    #[inline(never)]
    fn numbers(&mut self, name: Own, numbers: &[f64]) {
        self.begin(name, Kind::List);
        for number in numbers {
            self.measure(W::default(), *number);
        }
        self.end();
    }

    #[inline(never)]
    fn end(&mut self) {
        self.whole(Own::Nothing, Kind::End, 0);
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
    fn begin(&mut self, name: Own, kind: Kind) -> usize {
        self.whole(name, kind, 0);
        self.0.len()
    }
}

impl Json<u32> {
    /// The list of parts, four numbers a part: the kind, the places of the name and the text, and the number.
    #[must_use]
    pub fn parts(&self) -> impl Serialize {
        Parts(&self.0)
    }
}

struct Parts<'a>(&'a [Part<u32>]);

impl Serialize for Parts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for part in self.0 {
            for number in [f64::from(part.kind as u8), part.name.into(), part.text.into(), part.number] {
                list.serialize_element(&number)?;
            }
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

    impl Serialize for Json<&str> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            Rest(&Cell::new(&self.0)).serialize(serializer)
        }
    }

    /// The parts that are not yet serialized. Serializes the first of them, up to its end.
    struct Rest<'a>(&'a Cell<&'a [Part<&'a str>]>);

    impl<'a> Rest<'a> {
        /// The next part, unless it is an end, which it passes.
        fn next(&self) -> Option<Part<&'a str>> {
            let (part, rest) = self.0.get().split_first()?;
            if part.kind == Kind::End {
                self.0.set(rest);
                return None;
            }
            Some(*part)
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
                Kind::Text => serializer.serialize_str(part.text),
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
                    while let Some(part) = self.next() {
                        map.serialize_entry(part.name, self)?;
                    }
                    map.end()
                }
            }
        }
    }
}

/// A beacon with page views.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wire<'a, W = &'a str> {
    /// See [`Beacon::site`](super::Beacon::site).
    pub site: W,
    /// See [`Beacon::seq`](super::Beacon::seq).
    pub seq: u32,
    /// See [`Beacon::url`](super::Beacon::url).
    pub url: W,
    /// See [`Beacon::route`](super::Beacon::route); an empty text is absent, here and below.
    pub route: W,
    /// See [`Beacon::device`](super::Beacon::device).
    pub device: Option<Device>,
    /// See [`Beacon::connection`](super::Beacon::connection).
    pub connection: W,
    /// The connection's round trip in milliseconds, if the browser reports it; see
    /// [`Beacon::rtt`](super::Beacon::rtt).
    pub rtt_ms: Option<f64>,
    /// See [`Beacon::memory`](super::Beacon::memory).
    pub memory: Option<Tier>,
    /// See [`Beacon::cpu`](super::Beacon::cpu).
    pub cpu: Option<Tier>,
    /// See [`Beacon::release`](super::Beacon::release).
    pub release: W,
    /// See [`Beacon::viewport`](super::Beacon::viewport).
    pub viewport: Option<Viewport>,
    /// See [`Beacon::tags`](super::Beacon::tags).
    pub tags: &'a [(W, W)],
    /// See [`Beacon::sample`](super::Beacon::sample).
    pub sample: Option<f64>,
    /// See [`Beacon::errors`](super::Beacon::errors).
    pub errors: u32,
    /// See [`Beacon::webdriver`](super::Beacon::webdriver).
    pub webdriver: bool,
    /// The page views, each from [`view`].
    pub views: Vec<Json<W>>,
}

impl<W: Written> Wire<'_, W> {
    /// Returns the beacon's JSON.
    #[must_use]
    pub fn json(self) -> Json<W> {
        let mut beacon = Json(Vec::new());
        beacon.begin(Own::Nothing, Kind::Object);
        beacon.whole(Own::Version, Kind::Count, VERSION);
        beacon.item(W::own(Own::Site as u32), self.site);
        beacon.whole(Own::Seq, Kind::Count, self.seq);
        beacon.item(W::own(Own::Url as u32), self.url);
        beacon.text(Own::Route, self.route);
        beacon.class(Own::Device, self.device);
        beacon.text(Own::Connection, self.connection);
        if let Some(rtt) = self.rtt_ms {
            beacon.number(Own::Rtt, rtt);
        }
        beacon.class(Own::Memory, self.memory);
        beacon.class(Own::Cpu, self.cpu);
        beacon.text(Own::Release, self.release);
        beacon.class(Own::Viewport, self.viewport);
        let tags = beacon.begin(Own::Tags, Kind::Object);
        for &(name, value) in self.tags {
            beacon.item(name, value);
        }
        beacon.end_unless_empty(tags);
        if let Some(sample) = self.sample {
            beacon.number(Own::Sample, sample);
        }
        beacon.whole(Own::Errors, Kind::Count, self.errors);
        if self.webdriver {
            beacon.whole(Own::Webdriver, Kind::Flag, 1);
        }
        beacon.begin(Own::Views, Kind::List);
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
pub fn view<'a, T: Text + 'a, C: Causes<'a, T>>(
    snapshot: &Snapshot<T::Written<'a>, C>,
    id: T::Written<'a>,
    marks: &[(ViewId, T::Written<'a>, Value)],
) -> Json<T::Written<'a>> {
    let mut view = Json(Vec::new());
    view.begin(Own::Nothing, Kind::Object);
    view.text(Own::Id, id);
    view.text(Own::Url, snapshot.url.unwrap_or_default());
    view.text(Own::Route, snapshot.route.unwrap_or_default());
    view.class(Own::Nav, snapshot.navigation_type);
    view.begin(Own::Values, Kind::Object);
    for metric in &Metric::ALL {
        if let Some(number) = snapshot.values.number(*metric) {
            view.measure(Written::own(metric.place()), number);
        }
    }
    view.end();
    view.class(Own::TtiGap, snapshot.tti_gap);
    if let Some(tbt) = snapshot.tbt {
        view.number(Own::Tbt, tbt.number(Metric::Tti));
    }
    let attribution = view.begin(Own::Attribution, Kind::Object);
    cause(&mut view, Own::Lcp, Metric::Lcp, snapshot);
    cause(&mut view, Own::Inp, Metric::Inp, snapshot);
    cause(&mut view, Own::Cls, Metric::Cls, snapshot);
    cause(&mut view, Own::Ttfb, Metric::Ttfb, snapshot);
    view.end_unless_empty(attribution);
    if let Some(engaged) = snapshot.engaged {
        view.whole(Own::Engaged, Kind::Flag, engaged.into());
    }
    if let Some(at) = snapshot.first_input_ms {
        view.number(Own::FirstInput, at);
    }
    let marked = view.begin(Own::Marks, Kind::Object);
    for &(of, name, at) in marks {
        if of == snapshot.id {
            view.measure(name, at.number(Metric::Tti));
        }
    }
    view.end_unless_empty(marked);
    view.end();
    view
}

/// Returns the JSON of a value for a listener of the page; `id` is that of [`view`].
#[must_use]
pub fn told<'a, T: Text + 'a, C: Causes<'a, T>>(
    snapshot: &Snapshot<T::Written<'a>, C>,
    id: T::Written<'a>,
    (metric, value): (Metric, Value),
) -> Json<T::Written<'a>> {
    let mut told = Json(Vec::new());
    told.begin(Own::Nothing, Kind::Object);
    told.class(Own::Name, Some(metric));
    told.number(Own::Value, value.number(metric));
    told.class(Own::Rating, Some(metric.rate(value)));
    told.text(Own::Id, id);
    told.class(Own::NavigationType, snapshot.navigation_type);
    cause(&mut told, Own::Attribution, metric, snapshot);
    told.end();
    told
}

/// Adds the attribution of a metric.
#[inline(never)]
fn cause<'a, T: Text + 'a, C: Causes<'a, T>>(
    json: &mut Json<T::Written<'a>>,
    name: Own,
    metric: Metric,
    snapshot: &Snapshot<T::Written<'a>, C>,
) {
    let begun = json.begin(name, Kind::Object);
    let (values, causes) = (&snapshot.values, &snapshot.attribution);
    match metric {
        Metric::Lcp => {
            if let Some(lcp) = causes.lcp(values) {
                json.text(Own::Target, lcp.target);
                json.text(Own::Url, lcp.url);
                json.numbers(Own::Parts, &lcp.parts_ms);
            }
        }
        Metric::Inp => {
            if let Some(inp) = causes.inp(values) {
                json.text(Own::Target, inp.target);
                json.text(Own::Event, inp.event);
                json.number(Own::At, inp.at_ms);
                json.numbers(Own::Parts, &inp.parts_ms);
                json.text(Own::Script, inp.script);
                if inp.script_ms > 0.0 {
                    json.number(Own::ScriptMs, inp.script_ms);
                }
                json.class(Own::Load, Some(inp.load_state));
            }
        }
        Metric::Cls => {
            if let Some(cls) = causes.cls(values) {
                json.text(Own::Target, cls.target);
                json.number(Own::At, cls.at_ms);
                json.number(Own::Value, cls.value);
                json.class(Own::Load, Some(cls.load_state));
            }
        }
        Metric::Ttfb => {
            if let Some(ttfb) = causes.ttfb(values) {
                fetch(json, ttfb);
            }
        }
        _ => {}
    }
    json.end_unless_empty(begun);
}

/// Adds the fetch of the document.
fn fetch<'a, T: Text>(json: &mut Json<T::Written<'a>>, (parts_ms, fetch): Caused<'a, T>) {
    if let Some(parts_ms) = parts_ms {
        json.numbers(Own::Parts, &parts_ms);
    }
    json.text(Own::Protocol, fetch.protocol.written());
    json.class(Own::Delivery, fetch.delivery);
    if fetch.encoded_bytes > 0.0 {
        json.number(Own::Bytes, fetch.encoded_bytes);
    }
    let server = json.begin(Own::Server, Kind::List);
    for timing in &fetch.server_timings {
        json.begin(Own::Nothing, Kind::List);
        json.item(Default::default(), timing.name.written());
        json.measure(Default::default(), timing.duration_ms);
        json.item(Default::default(), timing.description.written());
        json.end();
    }
    json.end_unless_empty(server);
    let reasons = json.begin(Own::NotRestored, Kind::List);
    for reason in &fetch.not_restored {
        json.item(Default::default(), reason.written());
    }
    json.end_unless_empty(reasons);
    if let Some(confidence) = fetch.confidence {
        json.class(Own::Confidence, Some(confidence.level));
        json.number(Own::TriggerRate, confidence.trigger_rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_an_enumeration_is_at_its_place() {
        fn check<T: Named>(values: &[T], name: fn(T) -> &'static str) {
            for &value in values {
                assert_eq!(<&str>::own(value.place()), name(value));
            }
        }
        check(&Metric::ALL, Metric::name);
        check(&Rating::ALL, Rating::name);
        check(NavigationType::ALL, NavigationType::name);
        check(Device::ALL, Device::name);
        check(&LoadState::ALL, LoadState::name);
        check(ConfidenceLevel::ALL, ConfidenceLevel::name);
        assert_eq!(<&str>::own(Own::TriggerRate as u32), "trigger_rate");
    }
}
