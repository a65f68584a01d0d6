//! Reads beacons, and keeps their usable fields.
//!
//! A beacon requires JSON, a known version, a site, and a page view with a valid id. Any other invalid field is
//! dropped and counted in [`Dropped`]. A body without a valid value is an error.
//!
//! The text is parsed in one pass, without a tree. [`part`] skips a part of an unexpected type, [`view`] and
//! [`queue`] read the two kinds of content, and [`mend`] repairs JSON that serde_json refuses.

mod fetch;
mod mend;
mod part;
mod queue;
mod view;

use super::{Beacon, Content, Dropped, Field, Mark, Raw, VERSIONS, errors};
use crate::limits;
use crate::metric::Metric;
use crate::view::{Device, Rtt, Tier, ViewId, Viewport};
pub use mend::{mended, too_deep};
use part::{Any, Name, Part, Read, Scalar, scalar, skip_rest};
use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use view::{Views, ViewsPart};

/// The reason why a body is not a beacon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The body is not UTF-8.
    NotUtf8,
    /// The body is not JSON, or has no usable value; the text states what was expected.
    Malformed(String),
    /// The version of the body is not supported.
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

/// Reads a beacon. [`Beacon::dropped`] counts the invalid fields.
///
/// # Errors
/// Refuses a body that is not UTF-8, not JSON, or of an unknown version, and a body without a valid value.
pub fn decode(body: &[u8]) -> Result<Beacon, DecodeError> {
    let text = std::str::from_utf8(body).map_err(|_| DecodeError::NotUtf8)?;
    if too_deep(text) {
        return Err(malformed(format!("nested more than {} deep", limits::JSON_DEPTH_MAX)));
    }
    match parse(text) {
        Ok(found) => found.beacon(0),
        Err(error) => match mended(text) {
            Some((text, characters)) => {
                parse(&text).map_err(|error| malformed(error.to_string()))?.beacon(characters)
            }
            None => Err(malformed(error.to_string())),
        },
    }
}

fn parse(text: &str) -> Result<Found<'_>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let mut found = Found::default();
    serde::de::DeserializeSeed::deserialize(Read(&mut found), &mut deserializer)?;
    deserializer.end()?;
    Ok(found)
}

const fn malformed(problem: String) -> DecodeError {
    DecodeError::Malformed(problem)
}

/// Returns the error message for an unknown metric name.
#[must_use]
pub fn unknown_metric(name: &str) -> String {
    let shown: String = name.chars().take(32).collect();
    format!("unknown metric `{shown}`; expected one of {}", Metric::ALL.map(Metric::name).join(", "))
}

/// The fields of a beacon.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    V,
    Site,
    Seq,
    Url,
    Route,
    Device,
    Connection,
    Rtt,
    Memory,
    Cpu,
    Release,
    Viewport,
    Tags,
    Sample,
    Errors,
    Webdriver,
    Views,
    Raw,
    #[serde(other)]
    Unknown,
}

/// The contents of a body.
#[derive(Default)]
struct Found<'de> {
    is_beacon: bool,
    v: Option<Scalar<'de>>,
    site: Option<Scalar<'de>>,
    seq: Option<u32>,
    url: Option<String>,
    route: Option<String>,
    device: Option<Device>,
    connection: Option<String>,
    rtt: Option<Rtt>,
    memory: Option<Tier>,
    cpu: Option<Tier>,
    release: Option<String>,
    viewport: Option<Viewport>,
    tags: BTreeMap<String, String>,
    sample: Option<f64>,
    errors: u32,
    webdriver: bool,
    views: Option<Views>,
    raw: Option<Raw>,
    dropped: Dropped,
}

impl<'de> Part<'de> for &mut Found<'de> {
    type Out = ();

    fn unusable(self) {}

    /// The snippet's own form: `[v, site, seq, url, device, connection, release, sample, errors, start, random, now,
    /// queue]`, where `start` and `random` draw the first view's id. A null is absent.
    fn array<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.is_beacon = true;
        let mut next = || seq.next_element_seed(Read(Any)).map(Option::unwrap_or_default);
        (self.v, self.site) = (Some(next()?), Some(next()?));
        let dropped = &mut self.dropped;
        self.seq = next()?.whole().or_noted(Field::Seq, dropped);
        self.url = next()?.text().map(Cow::into_owned).or_noted(Field::Url, dropped);
        self.device = next()?.or_absent(Field::Device, dropped, |scalar| device(&scalar));
        let owned = |scalar: Scalar<'de>| scalar.text().map(Cow::into_owned);
        self.connection = next()?.or_absent(Field::Connection, dropped, owned);
        self.release = next()?.or_absent(Field::Release, dropped, owned);
        // An invalid sample rate in the page must not cost all data: then all page views are sent.
        self.sample = next()?.named(|share| sample(&Scalar::Number(share.trim().parse().ok()?)));
        self.errors = next()?.whole().or_noted(Field::Errors, dropped).unwrap_or(0);
        let id = next()?.number().zip(next()?.number()).map(|(start, random)| ViewId::drawn(start, random));
        let now = next()?.number();
        let queue = seq.next_element_seed(Read(queue::Queue(dropped)))?.flatten();
        self.raw = queue::raw(id, now, queue, dropped);
        skip_rest(seq)
    }

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.is_beacon = true;
        while let Some(key) = map.next_key()? {
            let dropped = &mut self.dropped;
            match key {
                Key::V => self.v = Some(scalar(&mut map)?),
                Key::Site => self.site = Some(scalar(&mut map)?),
                Key::Seq => self.seq = scalar(&mut map)?.whole().or_noted(Field::Seq, dropped),
                Key::Url => self.url = owned(&mut map, Field::Url, dropped)?,
                Key::Route => self.route = owned(&mut map, Field::Route, dropped)?,
                Key::Device => self.device = device(&scalar(&mut map)?).or_noted(Field::Device, dropped),
                Key::Connection => self.connection = owned(&mut map, Field::Connection, dropped)?,
                Key::Rtt => {
                    self.rtt = scalar(&mut map)?.number().and_then(Rtt::of).or_noted(Field::Rtt, dropped);
                }
                Key::Memory => {
                    self.memory = scalar(&mut map)?.named(Tier::from_name).or_noted(Field::Memory, dropped);
                }
                Key::Cpu => {
                    self.cpu = scalar(&mut map)?.named(Tier::from_name).or_noted(Field::Cpu, dropped);
                }
                Key::Release => self.release = owned(&mut map, Field::Release, dropped)?,
                Key::Viewport => {
                    let viewport = scalar(&mut map)?.named(Viewport::from_name);
                    self.viewport = viewport.or_noted(Field::Viewport, dropped);
                }
                Key::Tags => self.tags = map.next_value_seed(Read(Tags(dropped)))?,
                Key::Sample => self.sample = sample(&scalar(&mut map)?).or_noted(Field::Sample, dropped),
                Key::Errors => {
                    self.errors = scalar(&mut map)?.whole().or_noted(Field::Errors, dropped).unwrap_or(0);
                }
                Key::Webdriver => {
                    let webdriver = scalar(&mut map)?.flag().or_noted(Field::Webdriver, dropped);
                    self.webdriver = webdriver.unwrap_or(false);
                }
                Key::Views => self.views = map.next_value_seed(Read(ViewsPart(dropped)))?,
                Key::Raw => self.raw = map.next_value_seed(Read(queue::RawPart::new(dropped)))?,
                Key::Unknown => {
                    map.next_value_seed(Read(Any))?;
                    dropped.note(Field::Unknown);
                }
            }
        }
        Ok(())
    }
}

impl Found<'_> {
    /// The beacon, if its structure is complete. `characters` counts the repaired characters of its texts.
    fn beacon(mut self, characters: usize) -> Result<Beacon, DecodeError> {
        if !self.is_beacon {
            return Err(malformed("a beacon is an object or an array".to_owned()));
        }
        match self.v {
            Some(Scalar::Integer(v)) if !u32::try_from(v).is_ok_and(|v| VERSIONS.contains(&v)) => {
                return Err(DecodeError::Version(v));
            }
            Some(Scalar::Integer(_)) => {}
            Some(_) => return Err(malformed("`v` is not a version: expected a whole number".to_owned())),
            None => return Err(malformed("missing field `v`".to_owned())),
        }
        let site = match self.site {
            Some(Scalar::Text(site)) => site.into_owned(),
            Some(_) => return Err(malformed("`site` is not a text".to_owned())),
            None => return Err(malformed("missing field `site`".to_owned())),
        };
        for _ in 0..characters.min(usize::from(u16::MAX)) {
            self.dropped.note(Field::Text);
        }
        let (content, marks) = content(self.views, self.raw, &mut self.dropped)?;
        let left_out = if self.dropped.is_empty() { 0 } else { errors::FIELD };
        Ok(Beacon {
            site,
            seq: self.seq.unwrap_or(0),
            url: self.url.unwrap_or_default(),
            route: self.route,
            device: self.device,
            connection: self.connection,
            rtt: self.rtt,
            memory: self.memory,
            cpu: self.cpu,
            release: self.release,
            viewport: self.viewport,
            tags: self.tags,
            sample: self.sample.unwrap_or(1.0),
            errors: self.errors | left_out,
            webdriver: self.webdriver,
            marks,
            content,
            dropped: self.dropped,
        })
    }
}

/// The page views, or the queue. Prefers page views, because they are measured already.
fn content(
    views: Option<Views>,
    raw: Option<Raw>,
    dropped: &mut Dropped,
) -> Result<(Content, Vec<Mark>), DecodeError> {
    // A valid queue replaces views without a valid id.
    let views = views.filter(|views| raw.is_none() || !views.snapshots.is_empty());
    match (views, raw) {
        (Some(views), raw) => {
            if raw.is_some() {
                dropped.note(Field::Raw);
            }
            // An empty view counts, because a hidden page measures nothing. A view whose values are all invalid counts
            // only beside another view.
            if !views.is_valid {
                return Err(nothing_left(dropped, "`views` has 0 page views"));
            }
            Ok((Content::Views(views.snapshots), views.marks))
        }
        (None, Some(raw)) => {
            if raw.queue.is_empty() && dropped.count(Field::Raw) > 0 {
                return Err(nothing_left(dropped, "`queue` has no item"));
            }
            Ok((Content::Raw(raw), Vec::new()))
        }
        (None, None) => Err(nothing_left(dropped, "expected one of `views` and `raw`")),
    }
}

fn nothing_left(dropped: &Dropped, otherwise: &str) -> DecodeError {
    malformed(format!("nothing of the beacon can be kept: {}", dropped.problem().unwrap_or(otherwise)))
}

/// Counts an invalid field.
trait OrNoted: Sized {
    fn or_noted(self, field: Field, dropped: &mut Dropped) -> Self;
}

impl<T> OrNoted for Option<T> {
    fn or_noted(self, field: Field, dropped: &mut Dropped) -> Self {
        if self.is_none() {
            dropped.note(field);
        }
        self
    }
}

/// The next value of an object, as a text.
fn owned<'de, A: MapAccess<'de>>(
    map: &mut A,
    field: Field,
    dropped: &mut Dropped,
) -> Result<Option<String>, A::Error> {
    Ok(scalar(map)?.text().map(Cow::into_owned).or_noted(field, dropped))
}

/// The class of a device. The collector sends its name; the snippet sends `false` for a fine primary pointer, else
/// the shorter side of the screen in CSS pixels.
fn device(scalar: &Scalar<'_>) -> Option<Device> {
    match scalar {
        Scalar::Text(name) => Device::from_name(name),
        Scalar::Bool(coarse) => (!coarse).then_some(Device::Desktop),
        _ => {
            let side = scalar.number()?;
            Some(if side < Device::TABLET_SIDE_MIN { Device::Phone } else { Device::Tablet })
        }
    }
}

fn sample(scalar: &Scalar<'_>) -> Option<f64> {
    let share = scalar.number()?;
    (share > 0.0 && share <= 1.0).then(|| share.max(limits::SAMPLE_MIN))
}

/// An object of tags.
struct Tags<'a>(&'a mut Dropped);

impl<'de> Part<'de> for Tags<'_> {
    type Out = BTreeMap<String, String>;

    fn unusable(self) -> Self::Out {
        self.0.note(Field::Tags);
        BTreeMap::new()
    }

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Out, A::Error> {
        let mut tags = BTreeMap::new();
        while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
            match scalar(&mut map)?.text() {
                Some(value) if tags.len() < limits::TAGS_MAX || tags.contains_key(&*name) => {
                    tags.insert(name.into_owned(), value.into_owned());
                }
                _ => self.0.note(Field::Tags),
            }
        }
        Ok(tags)
    }
}
