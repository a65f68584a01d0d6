//! What explains TTFB: how the document came. An invalid field costs that field alone.

use super::part::{Any, Part, Parts, Read, Scalar, moment, scalar, skip_rest};
use super::{Dropped, Field};
use crate::fetch::{Confidence, ConfidenceLevel, Delivery, ServerTiming, TtfbCause};
use crate::limits::{DOCUMENT_BYTES_MAX, NOT_RESTORED_MAX, SERVER_TIMINGS_MAX};
use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess};
use std::borrow::Cow;

/// The fields of the cause.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Parts,
    Protocol,
    Delivery,
    Bytes,
    Server,
    NotRestored,
    Confidence,
    TriggerRate,
    #[serde(other)]
    Unknown,
}

/// The object of the cause.
pub(super) struct FetchPart<'a>(pub(super) &'a mut Dropped);

impl<'de> Part<'de> for FetchPart<'_> {
    type Out = Option<TtfbCause>;

    fn unusable(self) -> Self::Out {
        self.0.note(Field::Attribution);
        None
    }

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Out, A::Error> {
        let dropped = self.0;
        let mut cause = TtfbCause::default();
        let (mut level, mut trigger_rate) = (None, None);
        while let Some(key) = map.next_key()? {
            let fetch = &mut cause.fetch;
            // Whether the field is usable.
            let is_kept = match key {
                Key::Parts => {
                    cause.parts_ms = map.next_value_seed(Read(Parts))?.try_into().ok();
                    cause.parts_ms.is_some()
                }
                Key::Protocol => {
                    let protocol = scalar(&mut map)?.text();
                    let is_text = protocol.is_some();
                    fetch.protocol = protocol.map(Cow::into_owned).unwrap_or_default();
                    is_text
                }
                Key::Delivery => {
                    fetch.delivery = scalar(&mut map)?.named(Delivery::from_name);
                    fetch.delivery.is_some()
                }
                Key::Bytes => {
                    let bytes = scalar(&mut map)?.number();
                    let bytes = bytes.filter(|bytes| (0.0..=f64::from(DOCUMENT_BYTES_MAX)).contains(bytes));
                    fetch.encoded_bytes = bytes.unwrap_or(0.0);
                    bytes.is_some()
                }
                Key::Server => {
                    let list = List { max: SERVER_TIMINGS_MAX, one: || TimingPart, dropped };
                    fetch.server_timings = map.next_value_seed(Read(list))?;
                    continue;
                }
                Key::NotRestored => {
                    let list = List { max: NOT_RESTORED_MAX, one: || TextPart, dropped };
                    fetch.not_restored = map.next_value_seed(Read(list))?;
                    continue;
                }
                Key::Confidence => {
                    level = scalar(&mut map)?.named(ConfidenceLevel::from_name);
                    level.is_some()
                }
                Key::TriggerRate => {
                    trigger_rate = scalar(&mut map)?.number().filter(|rate| (0.0..=1.0).contains(rate));
                    trigger_rate.is_some()
                }
                Key::Unknown => {
                    map.next_value_seed(Read(Any))?;
                    dropped.note(Field::Unknown);
                    continue;
                }
            };
            if !is_kept {
                dropped.note(Field::Attribution);
            }
        }
        // The level says nothing without the share of it that is noise.
        let confidence = level.zip(trigger_rate);
        cause.fetch.confidence = confidence.map(|(level, trigger_rate)| Confidence { level, trigger_rate });
        Ok(Some(cause))
    }
}

/// A list of parts, of which each that is invalid or beyond the bound costs itself.
struct List<'a, F> {
    max: usize,
    one: F,
    dropped: &'a mut Dropped,
}

impl<'de, T, P: Part<'de, Out = Option<T>>, F: Fn() -> P> Part<'de> for List<'_, F> {
    type Out = Vec<T>;

    fn unusable(self) -> Vec<T> {
        self.dropped.note(Field::Attribution);
        Vec::new()
    }

    fn array<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(one) = seq.next_element_seed(Read((self.one)()))? {
            match one {
                Some(one) if list.len() < self.max => list.push(one),
                _ => self.dropped.note(Field::Attribution),
            }
        }
        Ok(list)
    }
}

/// A text that is not empty.
struct TextPart;

impl<'de> Part<'de> for TextPart {
    type Out = Option<String>;

    fn unusable(self) -> Self::Out {
        None
    }

    fn scalar(self, scalar: Scalar<'de>) -> Self::Out {
        scalar.text().filter(|text| !text.is_empty()).map(Cow::into_owned)
    }
}

/// `[name, duration, description]`, the latter two optional.
struct TimingPart;

impl<'de> Part<'de> for TimingPart {
    type Out = Option<ServerTiming>;

    fn unusable(self) -> Self::Out {
        None
    }

    fn array<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Out, A::Error> {
        let name = seq.next_element_seed(Read(TextPart))?.flatten();
        let duration = seq.next_element_seed(Read(Any))?;
        let description = seq.next_element_seed(Read(Any))?;
        skip_rest(seq)?;
        let duration_ms = duration.as_ref().map_or(Some(0.0), moment);
        let description = description.map_or(Some(Cow::Borrowed("")), Scalar::text).map(Cow::into_owned);
        Ok(name.zip(duration_ms).zip(description).map(|((name, duration_ms), description)| ServerTiming {
            name,
            duration_ms,
            description,
        }))
    }
}
