//! How many page views one that was sent stands for.

use serde::{Deserialize, Serialize};
use vitals::limits;

/// How many page views one that was sent stands for: of a page that sends a tenth of them, ten.
///
/// In whole thousandths, so that sums of weights do not depend on their order and what was added can be taken
/// away again; a weight is off by at most half a thousandth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(u32);

impl Weight {
    /// Thousandths of a page view that stands for itself alone.
    pub const ONE_MILLI: i64 = 1_000;
    /// Stands for itself alone.
    pub const ONE: Self = Self(1_000);
    /// The largest one, that of the smallest share that is taken.
    const MAX: Self = Self((1_000.0 / limits::SAMPLE_MIN) as u32);

    /// The weight of page views of which a share is sent; what is no share is taken as the nearest one.
    #[must_use]
    pub fn of_sample(share: f64) -> Self {
        if share.is_nan() {
            return Self::ONE;
        }
        // A cast of a number that is too large gives the largest.
        Self((1_000.0 / share.clamp(limits::SAMPLE_MIN, 1.0)).round() as u32).min(Self::MAX)
    }

    /// The weight in thousandths.
    #[must_use]
    pub const fn milli(self) -> u32 {
        self.0
    }

    /// The weight as stores keep it; `None` where the view stands for itself alone, as nearly all do.
    #[must_use]
    pub fn stored(self) -> Option<i32> {
        if self == Self::ONE { None } else { i32::try_from(self.0).ok() }
    }

    /// The weight that [`Self::stored`] made this of.
    #[must_use]
    pub fn from_stored(stored: Option<i32>) -> Self {
        stored.and_then(|milli| u32::try_from(milli).ok()).map_or(Self::ONE, Self)
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

/// The page views that a sum of weights, in thousandths, stands for; in whole numbers.
#[must_use]
pub const fn estimate(weight_milli: i64) -> i64 {
    weight_milli.saturating_add(Weight::ONE_MILLI / 2).div_euclid(Weight::ONE_MILLI)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_becomes_its_inverse() {
        for (share, milli) in
            [(1.0, 1_000), (0.5, 2_000), (0.3, 3_333), (0.000_1, 10_000_000), (0.0, 10_000_000), (7.0, 1_000)]
        {
            assert_eq!(Weight::of_sample(share).milli(), milli, "{share}");
        }
        assert_eq!(Weight::of_sample(f64::NAN), Weight::ONE);
        assert_eq!(Weight::ONE.stored(), None, "the usual one takes no room");
        for share in [0.3, 1.0, 0.000_1] {
            let weight = Weight::of_sample(share);
            assert_eq!(Weight::from_stored(weight.stored()), weight);
        }
        assert_eq!((estimate(3_333), estimate(3_500), estimate(0)), (3, 4, 0));
    }
}
