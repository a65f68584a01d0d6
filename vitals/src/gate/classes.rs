//! Defines page views by class: device, country and navigation type together.

use crate::metric::Value;
use crate::view::{Device, NavigationType};

/// The class of a page view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Class {
    /// The device class.
    pub device: Option<Device>,
    /// The navigation type.
    pub navigation_type: Option<NavigationType>,
    /// The country.
    pub country: Option<String>,
}

/// A value with the time of its page view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimedValue {
    /// The half hour of the page view's start, in [`super::BLOCK_MS`] since 1970-01-01 UTC.
    pub block: i32,
    /// The value.
    pub value: Value,
}

/// The page views of one class that have a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassViews {
    /// The class.
    pub class: Class,
    /// The values, in any order.
    pub views: Vec<TimedValue>,
}

impl ClassViews {
    /// Returns the number of page views.
    #[must_use]
    pub const fn n(&self) -> u64 {
        self.views.len() as u64
    }
}
