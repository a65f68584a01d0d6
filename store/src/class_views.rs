//! Defines queries for the values of a metric by class (device, country and navigation type together), for comparisons in
//! the gate.

use crate::StoreError;
use crate::dimension::device_of_code;
use crate::filter::Filters;
use crate::hash::HashMap;
use crate::limits::SORT_VIEWS_MAX;
use crate::site::SiteId;
use std::ops::Range;
use vitals::gate::{BLOCK_MS, Class, ClassViews, TimedValue};
use vitals::metric::{Metric, Value};
use vitals::view::NavigationType;

/// A query for the values of a metric by class.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassViewsQuery {
    /// The site.
    pub site: SiteId,
    /// The ranges of page view starts, UTC milliseconds, ascending and apart; at most
    /// [`crate::limits::STRATA_WINDOWS_MAX`].
    pub windows: Vec<Range<i64>>,
    /// Selects these routes only; an empty list selects none.
    pub routes: Vec<String>,
    /// Selects page views by their properties; those of the context are not supported, and must be empty.
    pub filters: Filters,
    /// The metric.
    pub metric: Metric,
}

/// Gathers values by class, from page views in any order.
#[derive(Debug)]
pub struct ClassViewsBuilder {
    metric: Metric,
    places: HashMap<(u8, Option<u8>, Option<String>), usize>,
    classes: Vec<ClassViews>,
    views: u64,
}

impl ClassViewsBuilder {
    /// Starts the answer of a query.
    #[must_use]
    pub fn new(query: &ClassViewsQuery) -> Self {
        Self { metric: query.metric, places: HashMap::default(), classes: Vec::new(), views: 0 }
    }

    /// Adds a page view, by its start in UTC milliseconds and its value in millionths. `device` is its code in keys,
    /// `navigation_type` its number.
    ///
    /// # Errors
    /// [`StoreError::TooManyViews`] if there are more than [`SORT_VIEWS_MAX`] page views.
    pub fn add(
        &mut self,
        device: u8,
        country: Option<&str>,
        navigation_type: Option<u8>,
        (start_ms, micros): (i64, u32),
    ) -> Result<(), StoreError> {
        let Some(value) = Value::from_micros(self.metric, micros) else { return Ok(()) };
        self.views += 1;
        if self.views > SORT_VIEWS_MAX {
            return Err(StoreError::TooManyViews { views: self.views, max: SORT_VIEWS_MAX });
        }
        let key = (device, navigation_type, country.map(str::to_owned));
        let place = *self.places.entry(key).or_insert_with(|| {
            let class = Class {
                device: device_of_code(device),
                navigation_type: navigation_type.and_then(NavigationType::from_number),
                country: country.map(str::to_owned),
            };
            self.classes.push(ClassViews { class, views: Vec::new() });
            self.classes.len() - 1
        });
        // The time of page views is within that of this program: half hours of 120,000 years.
        let block = i32::try_from(start_ms.div_euclid(BLOCK_MS)).unwrap_or(i32::MAX);
        self.classes[place].views.push(TimedValue { block, value });
        Ok(())
    }

    /// Returns the classes in order, each with its values by time and size.
    #[must_use]
    pub fn finish(self) -> Vec<ClassViews> {
        let mut classes = self.classes;
        for class in &mut classes {
            class.views.sort_unstable();
        }
        classes.sort_by(|a, b| a.class.cmp(&b.class));
        classes
    }
}
