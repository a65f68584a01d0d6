//! The columns of an export, and the values of a row. docs/export.md documents both.

use vitals::view::ViewId;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A UUID.
    Id,
    /// A time in UTC, to the millisecond.
    Time,
    /// A UTC day.
    Day,
    /// A text.
    Text,
    /// A JSON object or array.
    Json,
    /// A number with decimals.
    Number,
    /// A whole number.
    Integer,
    /// True or false.
    Flag,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    /// The name; a unit comes last.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

impl Field {
    pub(super) const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind }
    }
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Datum<'a> {
    /// Unknown.
    Absent,
    Id(ViewId),
    /// UTC milliseconds.
    Time(i64),
    /// The start of the day, UTC milliseconds.
    Day(i64),
    Text(&'a str),
    /// Valid JSON.
    Json(String),
    Number(f64),
    Integer(i64),
    Flag(bool),
}

impl<'a> Datum<'a> {
    /// A text that may be unknown.
    pub(super) fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Absent, Self::Text)
    }

    /// A number that may be unknown.
    pub(super) fn number(number: Option<f64>) -> Self {
        number.map_or(Self::Absent, Self::Number)
    }

    /// A whole number that may be unknown.
    pub(super) fn integer(number: Option<impl Into<i64>>) -> Self {
        number.map_or(Self::Absent, |number| Self::Integer(number.into()))
    }

    /// A flag that may be unknown.
    pub(super) fn flag(flag: Option<bool>) -> Self {
        flag.map_or(Self::Absent, Self::Flag)
    }

    /// The type of column that takes the value; `None` if any does.
    #[cfg(test)]
    pub(super) const fn kind(&self) -> Option<Kind> {
        match self {
            Self::Absent => None,
            Self::Id(_) => Some(Kind::Id),
            Self::Time(_) => Some(Kind::Time),
            Self::Day(_) => Some(Kind::Day),
            Self::Text(_) => Some(Kind::Text),
            Self::Json(_) => Some(Kind::Json),
            Self::Number(_) => Some(Kind::Number),
            Self::Integer(_) => Some(Kind::Integer),
            Self::Flag(_) => Some(Kind::Flag),
        }
    }
}
