//! Defines queries for page views by class (device, country and navigation type together), from a sample of stored page
//! views.
//!
//! Rollups hold one dimension at a time, so only page views have classes. A joint rollup would hold hundreds of cells a
//! day, most of them of few page views. A sample answers as well: its error is stated, and reading it is bounded.

use crate::StoreError;
use crate::cell::{Cell, CellQuery};
use crate::dimension::{device_code, device_of_code, navigation_code};
use crate::hash::HashMap;
use crate::limits::STRATA_VIEWS_MAX;
use crate::weight::Weight;
use std::ops::Range;
use vitals::metric::Values;
use vitals::view::{Device, NavigationType};

/// A query for page views by class.
#[derive(Clone, Debug, PartialEq)]
pub struct StrataQuery {
    /// The page views; the range is that of the windows.
    pub views: CellQuery,
    /// The sampled ranges of page view starts, UTC milliseconds, ascending and apart; at most
    /// [`crate::limits::STRATA_WINDOWS_MAX`].
    pub windows: Vec<Range<i64>>,
}

/// The sampled page views of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stratum {
    /// The device class.
    pub device: Option<Device>,
    /// The country.
    pub country: Option<String>,
    /// The navigation type.
    pub navigation_type: Option<NavigationType>,
    /// The measurements.
    pub cell: Cell,
}

impl StrataQuery {
    /// Returns the smallest range that holds all windows.
    #[must_use]
    pub fn range(&self) -> Range<i64> {
        let start = self.windows.iter().map(|window| window.start).min().unwrap_or(0);
        start..self.windows.iter().map(|window| window.end).max().unwrap_or(start)
    }
}

impl Stratum {
    /// Whether two strata are of the same class.
    #[must_use]
    pub fn is_class_of(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    fn key(&self) -> (u8, u16, Option<&str>) {
        (device_code(self.device), navigation_code(self.navigation_type), self.country.as_deref())
    }
}

/// Accumulates page views by class.
#[derive(Debug, Default)]
pub struct StrataSums {
    places: HashMap<(u8, u8, Option<String>), usize>,
    strata: Vec<Stratum>,
    views: u64,
}

impl StrataSums {
    /// Counts a page view. `device` is its code in keys, `navigation_type` its number.
    ///
    /// # Errors
    /// [`StoreError::TooManyViews`] if the sample is larger than [`STRATA_VIEWS_MAX`].
    pub fn add(
        &mut self,
        device: u8,
        country: Option<&str>,
        navigation_type: Option<u8>,
        (values, weight): (&Values, Weight),
    ) -> Result<(), StoreError> {
        self.views += 1;
        if self.views > STRATA_VIEWS_MAX {
            return Err(StoreError::TooManyViews { views: self.views, max: STRATA_VIEWS_MAX });
        }
        let key = (device, navigation_type.unwrap_or(u8::MAX), country.map(str::to_owned));
        let place = *self.places.entry(key).or_insert_with(|| {
            self.strata.push(Stratum {
                device: device_of_code(device),
                country: country.map(str::to_owned),
                navigation_type: navigation_type.and_then(NavigationType::from_number),
                cell: Cell::default(),
            });
            self.strata.len() - 1
        });
        self.strata[place].cell.add(values, weight, 1);
        Ok(())
    }

    /// Returns the strata, sorted by class.
    #[must_use]
    pub fn finish(self) -> Vec<Stratum> {
        let mut strata = self.strata;
        strata.sort_by(|a, b| a.key().cmp(&b.key()));
        strata
    }
}
