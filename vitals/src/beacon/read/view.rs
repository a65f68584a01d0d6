//! Page views measured by the collector, with their attribution and marks.

use super::fetch::FetchPart;
use super::part::{Any, Name, Part, Parts, Read, Scalar, moment, scalar};
use super::{OrNoted, unknown_metric};
use crate::attribution::{Attribution, ClsCause, InpCause, LcpCause, LoadState};
use crate::beacon::{Dropped, Field, Mark};
use crate::limits;
use crate::metric::{Metric, Value, Values};
use crate::snapshot::Snapshot;
use crate::view::{NavigationType, TtiGap, ViewId};
use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The page views with a valid id.
#[derive(Default)]
pub(super) struct Views {
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) marks: Vec<Mark>,
    /// Whether a view has a value, or had none from the start.
    pub(super) is_valid: bool,
}

/// The array of views.
pub(super) struct ViewsPart<'a>(pub(super) &'a mut Dropped);

impl<'de> Part<'de> for ViewsPart<'_> {
    type Out = Option<Views>;

    fn unusable(self) -> Self::Out {
        self.0.because(Field::Views, || "`views` is not an array of page views".to_owned());
        None
    }

    fn array<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Out, A::Error> {
        let mut views = Views::default();
        while views.snapshots.len() < limits::VIEWS_PER_BEACON_MAX {
            let part = ViewPart { dropped: self.0, views: &mut views };
            if seq.next_element_seed(Read(part))?.is_none() {
                return Ok(Some(views));
            }
        }
        while seq.next_element_seed(Read(Any))?.is_some() {
            self.0.note(Field::Views);
        }
        Ok(Some(views))
    }
}

/// The fields of a page view.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Id,
    Url,
    Route,
    Nav,
    Values,
    TtiGap,
    Tbt,
    Attribution,
    Engaged,
    FirstInput,
    Marks,
    #[serde(other)]
    Unknown,
}

/// Adds a page view to the others.
struct ViewPart<'a> {
    dropped: &'a mut Dropped,
    views: &'a mut Views,
}

impl<'de> Part<'de> for ViewPart<'_> {
    type Out = ();

    fn unusable(self) {
        self.dropped.because(Field::Views, || "a page view is an object".to_owned());
    }

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { dropped, views } = self;
        let lost_before = dropped.count(Field::Values);
        let (mut id, mut values) = (None, None);
        let (mut url, mut route, mut navigation_type) = (None, None, None);
        let (mut tti_gap, mut tbt) = (None, None);
        let mut attribution = Attribution::NONE;
        let (mut engaged, mut first_input_ms) = (None, None);
        let mut marks = BTreeMap::new();
        while let Some(key) = map.next_key()? {
            match key {
                Key::Id => id = scalar(&mut map)?.named(ViewId::parse),
                Key::Url => url = super::owned(&mut map, Field::Url, dropped)?,
                Key::Route => route = super::owned(&mut map, Field::Route, dropped)?,
                Key::Nav => {
                    let nav = scalar(&mut map)?.named(NavigationType::from_name);
                    navigation_type = nav.or_noted(Field::Nav, dropped);
                }
                Key::Values => values = map.next_value_seed(Read(ValuesPart(dropped)))?,
                Key::TtiGap => {
                    tti_gap = scalar(&mut map)?.named(TtiGap::from_name).or_noted(Field::TtiGap, dropped);
                }
                Key::Tbt => tbt = time(&scalar(&mut map)?).or_noted(Field::Tbt, dropped),
                Key::Attribution => attribution = map.next_value_seed(Read(Causes(dropped)))?,
                Key::Engaged => engaged = scalar(&mut map)?.flag().or_noted(Field::Engaged, dropped),
                Key::FirstInput => {
                    first_input_ms = moment(&scalar(&mut map)?).or_noted(Field::FirstInput, dropped);
                }
                Key::Marks => marks = map.next_value_seed(Read(Marks(dropped)))?,
                Key::Unknown => {
                    map.next_value_seed(Read(Any))?;
                    dropped.note(Field::Unknown);
                }
            }
        }
        let Some(id) = id else {
            dropped.because(Field::Views, || "`id` is not a page view id: a UUID version 7".to_owned());
            return Ok(());
        };
        if values.is_none() && dropped.count(Field::Values) == lost_before {
            dropped.because(Field::Values, || "missing field `values`".to_owned());
        }
        let values = values.unwrap_or(Values::EMPTY);
        views.is_valid |= !values.is_empty() || dropped.count(Field::Values) == lost_before;
        views.marks.extend(marks.into_iter().map(|(name, at)| Mark { view: id, name, at }));
        views.snapshots.push(Snapshot {
            id,
            url,
            route,
            navigation_type,
            values,
            tti_gap,
            tbt,
            attribution,
            engaged,
            first_input_ms,
        });
        Ok(())
    }
}

/// A time of a metric's bounds, in milliseconds.
fn time(scalar: &Scalar<'_>) -> Option<Value> {
    Value::new(Metric::Tti, scalar.number()?).ok()
}

/// An object of metric names and numbers.
struct ValuesPart<'a>(&'a mut Dropped);

impl<'de> Part<'de> for ValuesPart<'_> {
    type Out = Option<Values>;

    fn unusable(self) -> Self::Out {
        self.0.because(Field::Values, || "`values` is not an object of metric names and numbers".to_owned());
        None
    }

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Out, A::Error> {
        let dropped = self.0;
        let mut values = Values::EMPTY;
        while let Some(Name(name)) = map.next_key()? {
            let found = scalar(&mut map)?;
            let Some(metric) = Metric::from_name(&name) else {
                dropped.because(Field::Values, || unknown_metric(&name));
                continue;
            };
            let Some(number) = found.number() else {
                dropped.because(Field::Values, || format!("{} is not a number", metric.name()));
                continue;
            };
            match Value::new(metric, number) {
                Ok(value) => values.set(metric, Some(value)),
                Err(error) => {
                    dropped.because(Field::Values, || format!("{}: {number} {error}", metric.name()));
                }
            }
        }
        Ok(Some(values))
    }
}

/// An object of names and times.
struct Marks<'a>(&'a mut Dropped);

impl<'de> Part<'de> for Marks<'_> {
    type Out = BTreeMap<String, Value>;

    fn unusable(self) -> Self::Out {
        self.0.note(Field::Marks);
        BTreeMap::new()
    }

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Out, A::Error> {
        let mut marks = BTreeMap::new();
        while let Some(Name(name)) = map.next_key()? {
            match time(&scalar(&mut map)?) {
                Some(at) if marks.len() < limits::MARKS_MAX || marks.contains_key(&*name) => {
                    marks.insert(name.into_owned(), at);
                }
                _ => self.0.note(Field::Marks),
            }
        }
        Ok(marks)
    }
}

/// The explained metrics.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum CausesKey {
    Lcp,
    Inp,
    Cls,
    Ttfb,
    #[serde(other)]
    Unknown,
}

/// An attribution object.
struct Causes<'a>(&'a mut Dropped);

impl<'de> Part<'de> for Causes<'_> {
    type Out = Attribution;

    fn unusable(self) -> Attribution {
        self.0.note(Field::Attribution);
        Attribution::NONE
    }

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Attribution, A::Error> {
        let dropped = self.0;
        let mut causes = Attribution::NONE;
        while let Some(key) = map.next_key()? {
            // Drops a cause without its required fields, because its parts sum to the metric.
            match key {
                CausesKey::Lcp => {
                    let told = map.next_value_seed(Read(CausePart(dropped)))?;
                    causes.lcp = told.lcp().or_noted(Field::Attribution, dropped);
                }
                CausesKey::Inp => {
                    let told = map.next_value_seed(Read(CausePart(dropped)))?;
                    causes.inp = told.inp().or_noted(Field::Attribution, dropped);
                }
                CausesKey::Cls => {
                    let told = map.next_value_seed(Read(CausePart(dropped)))?;
                    causes.cls = told.cls().or_noted(Field::Attribution, dropped);
                }
                CausesKey::Ttfb => causes.ttfb = map.next_value_seed(Read(FetchPart(dropped)))?,
                CausesKey::Unknown => {
                    map.next_value_seed(Read(Any))?;
                    dropped.note(Field::Unknown);
                }
            }
        }
        Ok(causes)
    }
}

/// The fields of a cause, for all metrics.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum CauseKey {
    Target,
    Url,
    Event,
    Script,
    At,
    Value,
    ScriptMs,
    Load,
    Parts,
    #[serde(other)]
    Unknown,
}

/// The contents of a cause.
#[derive(Default)]
struct Cause {
    target: String,
    url: String,
    event: String,
    script: String,
    at: Option<f64>,
    value: Option<f64>,
    script_ms: f64,
    load: Option<LoadState>,
    parts: Vec<f64>,
}

impl Cause {
    fn lcp(self) -> Option<LcpCause> {
        Some(LcpCause { target: self.target, url: self.url, parts_ms: self.parts.try_into().ok()? })
    }

    fn inp(self) -> Option<InpCause> {
        Some(InpCause {
            target: self.target,
            event: self.event,
            at_ms: self.at?,
            parts_ms: self.parts.try_into().ok()?,
            script: self.script,
            script_ms: self.script_ms,
            load_state: self.load?,
        })
    }

    fn cls(self) -> Option<ClsCause> {
        Some(ClsCause { target: self.target, at_ms: self.at?, value: self.value?, load_state: self.load? })
    }
}

struct CausePart<'a>(&'a mut Dropped);

impl<'de> Part<'de> for CausePart<'_> {
    type Out = Cause;

    fn unusable(self) -> Cause {
        Cause::default()
    }

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Cause, A::Error> {
        let dropped = self.0;
        let mut cause = Cause::default();
        while let Some(key) = map.next_key()? {
            let slot = match key {
                CauseKey::Target => &mut cause.target,
                CauseKey::Url => &mut cause.url,
                CauseKey::Event => &mut cause.event,
                CauseKey::Script => &mut cause.script,
                CauseKey::Parts => {
                    cause.parts = map.next_value_seed(Read(Parts))?;
                    continue;
                }
                other => {
                    let found = scalar(&mut map)?;
                    match other {
                        CauseKey::At => cause.at = moment(&found),
                        CauseKey::Value => {
                            let shift = found.number();
                            cause.value = shift.filter(|shift| Value::new(Metric::Cls, *shift).is_ok());
                        }
                        CauseKey::ScriptMs => {
                            cause.script_ms =
                                moment(&found).or_noted(Field::Attribution, dropped).unwrap_or(0.0);
                        }
                        CauseKey::Load => cause.load = found.named(LoadState::from_name),
                        _ => dropped.note(Field::Unknown),
                    }
                    continue;
                }
            };
            let text = scalar(&mut map)?.text().or_noted(Field::Attribution, dropped);
            *slot = text.map(Cow::into_owned).unwrap_or_default();
        }
        Ok(cause)
    }
}
