//! Weight of a sampled page view.

use serde::{Deserialize, Serialize};
use vitals::limits;

/// Number of page views that one received page view represents: 10 for a sampling share of 0.1.
///
/// Stored in whole thousandths, so that sums do not depend on their order and can be subtracted exactly. The rounding
/// error is at most half a thousandth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(u32);

impl Weight {
    /// The weight of an unsampled page view, in thousandths.
    pub const ONE_MILLI: i64 = 1_000;
    /// The weight of an unsampled page view.
    pub const ONE: Self = Self(1_000);
    /// The weight at the smallest sampling share.
    const MAX: Self = Self((1_000.0 / limits::SAMPLE_MIN) as u32);

    /// Returns the weight for a sampling share. Clamps shares to the valid range; NaN counts as 1.
    #[must_use]
    pub fn of_sample(share: f64) -> Self {
        if share.is_nan() {
            return Self::ONE;
        }
        // A float cast saturates.
        Self((1_000.0 / share.clamp(limits::SAMPLE_MIN, 1.0)).round() as u32).min(Self::MAX)
    }

    /// The weight in thousandths.
    #[must_use]
    pub const fn milli(self) -> u32 {
        self.0
    }

    /// Returns the stored form; `None` for weight 1, which nearly all page views have.
    #[must_use]
    pub fn stored(self) -> Option<i32> {
        if self == Self::ONE { None } else { i32::try_from(self.0).ok() }
    }

    /// Restores the weight from the result of [`Self::stored`].
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

/// Rounds a sum of weights in thousandths to whole page views.
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
