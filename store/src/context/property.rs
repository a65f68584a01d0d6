//! Defines the properties of a page view's context by which queries filter and break down page views.
//!
//! Only page views have them, so such a query reads page views, within their retention. [`super::values`] reads them.

use vitals::fetch::{Delivery, Protocol};
use vitals::view::{Rtt, Tier, Viewport};

/// A condition with a few classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Condition {
    /// [`Protocol`].
    Protocol,
    /// [`Delivery`].
    Delivery,
    /// [`Rtt`].
    Rtt,
    /// The [`Tier`] of the memory.
    Memory,
    /// The [`Tier`] of the processor.
    Cpu,
    /// Whether the visitor engaged: `yes` or `no`.
    Engaged,
}

impl Condition {
    /// All conditions.
    pub const ALL: [Self; 6] =
        [Self::Protocol, Self::Delivery, Self::Rtt, Self::Memory, Self::Cpu, Self::Engaged];

    /// Returns the name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::Delivery => "delivery",
            Self::Rtt => "rtt",
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Engaged => "engaged",
        }
    }

    /// Returns the names of its classes, by number.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        match self {
            Self::Protocol => Protocol::ALL.iter().map(|one| one.name()).collect(),
            Self::Delivery => Delivery::ALL.iter().map(|one| one.name()).collect(),
            Self::Rtt => Rtt::ALL.iter().map(|one| one.name()).collect(),
            Self::Memory | Self::Cpu => Tier::ALL.iter().map(|one| one.name()).collect(),
            Self::Engaged => vec!["no", "yes"],
        }
    }
}

/// A property of a page view's context.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ContextProperty {
    /// The class of the window's width.
    Viewport,
    /// The class of a condition.
    Condition(Condition),
    /// The value of the page's tag with this name.
    Tag(String),
    /// Whether the page view has a mark with this name: `yes` or `no`.
    Mark(String),
    /// The description of the `Server-Timing` entry with this name; may be empty.
    ServerTiming(String),
}

/// The values of [`ContextProperty::Mark`].
pub const MARK_VALUES: [&str; 2] = ["no", "yes"];

impl ContextProperty {
    /// The properties with a fixed set of values.
    pub const CLASSES: [Self; Condition::ALL.len() + 1] = [
        Self::Viewport,
        Self::Condition(Condition::Protocol),
        Self::Condition(Condition::Delivery),
        Self::Condition(Condition::Rtt),
        Self::Condition(Condition::Memory),
        Self::Condition(Condition::Cpu),
        Self::Condition(Condition::Engaged),
    ];

    /// Returns the name in the API, without the name of a tag, mark or entry.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Viewport => "viewport",
            Self::Condition(condition) => condition.name(),
            Self::Tag(_) => "tag",
            Self::Mark(_) => "mark",
            Self::ServerTiming(_) => "server_timing",
        }
    }

    /// Returns the name of the tag, mark or entry.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        match self {
            Self::Viewport | Self::Condition(_) => None,
            Self::Tag(name) | Self::Mark(name) | Self::ServerTiming(name) => Some(name),
        }
    }

    /// Returns the name in the API: `viewport`, `tag:plan`.
    #[must_use]
    pub fn name(&self) -> String {
        match self.label() {
            None => self.kind().to_owned(),
            Some(label) => format!("{}:{label}", self.kind()),
        }
    }

    /// Returns the values of a fixed set; empty for texts.
    #[must_use]
    pub fn fixed_values(&self) -> Vec<&'static str> {
        match self {
            Self::Viewport => Viewport::ALL.iter().map(|viewport| viewport.name()).collect(),
            Self::Condition(condition) => condition.names(),
            Self::Mark(_) => MARK_VALUES.to_vec(),
            Self::Tag(_) | Self::ServerTiming(_) => Vec::new(),
        }
    }
}

/// Selects the page views with one value of a property.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContextFilter {
    /// The property.
    pub property: ContextProperty,
    /// The value.
    pub value: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_a_name_and_values_of_its_own() {
        for (place, class) in ContextProperty::CLASSES.iter().enumerate() {
            assert!(!class.fixed_values().is_empty() && class.label().is_none());
            assert!(ContextProperty::CLASSES[..place].iter().all(|other| other.name() != class.name()));
        }
    }
}
