//! Reads one part of a JSON text, of any type.
//!
//! serde cannot resume after a type error. So every part accepts any type, and skips an unexpected one to its end.

use super::{Dropped, Field, OrNoted as _};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// A number, text, flag or null. An object or array becomes `Other`, without its contents.
#[derive(Default)]
pub(super) enum Scalar<'de> {
    #[default]
    Null,
    Bool(bool),
    Integer(u64),
    Number(f64),
    Text(Cow<'de, str>),
    Other,
}

impl<'de> Scalar<'de> {
    /// The number.
    pub(super) const fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The whole number, written with or without a fraction.
    pub(super) fn whole(&self) -> Option<u32> {
        match self {
            Self::Integer(number) => u32::try_from(*number).ok(),
            // The cast truncates and saturates, so only a whole number in range is equal.
            Self::Number(number) => Some(*number as u32).filter(|whole| f64::from(*whole) == *number),
            _ => None,
        }
    }

    /// The flag.
    pub(super) const fn flag(&self) -> Option<bool> {
        match self {
            Self::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// Reads a value. Null is absent; any other unusable value is counted.
    pub(super) fn or_absent<T>(
        self,
        field: Field,
        dropped: &mut Dropped,
        read: impl FnOnce(Self) -> Option<T>,
    ) -> Option<T> {
        if matches!(self, Self::Null) { None } else { read(self).or_noted(field, dropped) }
    }

    /// The text.
    pub(super) fn text(self) -> Option<Cow<'de, str>> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value named by the text.
    pub(super) fn named<T>(&self, from_name: impl Fn(&str) -> Option<T>) -> Option<T> {
        match self {
            Self::Text(name) => from_name(name),
            _ => None,
        }
    }
}

/// A part of a beacon.
pub(super) trait Part<'de>: Sized {
    /// The result.
    type Out;

    /// The result for an unexpected type.
    fn unusable(self) -> Self::Out;

    /// Reads a number, a text, a flag or a null.
    fn scalar(self, _: Scalar<'de>) -> Self::Out {
        self.unusable()
    }

    /// Reads an object.
    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Out, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self.unusable())
    }

    /// Reads an array.
    fn array<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Out, A::Error> {
        skip_rest(seq)?;
        Ok(self.unusable())
    }
}

/// Reads the rest of an array.
pub(super) fn skip_rest<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Reads the next value of an object as a scalar.
pub(super) fn scalar<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Scalar<'de>, A::Error> {
    map.next_value_seed(Read(Any))
}

/// Any scalar.
pub(super) struct Any;

impl<'de> Part<'de> for Any {
    type Out = Scalar<'de>;

    fn unusable(self) -> Scalar<'de> {
        Scalar::Other
    }

    fn scalar(self, scalar: Scalar<'de>) -> Scalar<'de> {
        scalar
    }
}

/// Adapts a part to serde.
pub(super) struct Read<P>(pub(super) P);

impl<'de, P: Part<'de>> DeserializeSeed<'de> for Read<P> {
    type Value = P::Out;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<P::Out, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, P: Part<'de>> Visitor<'de> for Read<P> {
    type Value = P::Out;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<P::Out, E> {
        Ok(self.0.scalar(Scalar::Null))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<P::Out, E> {
        Ok(self.0.scalar(Scalar::Bool(flag)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<P::Out, E> {
        Ok(self.0.scalar(Scalar::Integer(number)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<P::Out, E> {
        Ok(self.0.scalar(Scalar::Number(number as f64)))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<P::Out, E> {
        Ok(self.0.scalar(Scalar::Number(number)))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<P::Out, E> {
        Ok(self.0.scalar(Scalar::Text(Cow::Borrowed(text))))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<P::Out, E> {
        Ok(self.0.scalar(Scalar::Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<P::Out, A::Error> {
        self.0.object(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<P::Out, A::Error> {
        self.0.array(seq)
    }
}

/// A key of an object. Borrows from the text unless the key has escapes.
pub(super) struct Name<'de>(pub(super) Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

/// A time since the view's start, in milliseconds. Its bound is wider than a metric's, because a page can be open for
/// days before its slowest click.
pub(super) fn moment(scalar: &Scalar<'_>) -> Option<f64> {
    /// A hundred days.
    const MAX: f64 = 8.64e9;
    scalar.number().filter(|ms| (0.0..=MAX).contains(ms))
}

/// An array of times. Empty if one of them is invalid.
pub(super) struct Parts;

/// The most parts that a metric has.
const PARTS_MAX: usize = crate::fetch::PARTS.len();

impl<'de> Part<'de> for Parts {
    type Out = Vec<f64>;

    fn unusable(self) -> Vec<f64> {
        Vec::new()
    }

    fn array<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<f64>, A::Error> {
        let mut parts = Vec::with_capacity(PARTS_MAX);
        while let Some(part) = seq.next_element_seed(Read(Any))? {
            match moment(&part) {
                Some(ms) if parts.len() < PARTS_MAX => parts.push(ms),
                _ => {
                    skip_rest(seq)?;
                    return Ok(Vec::new());
                }
            }
        }
        Ok(parts)
    }
}
