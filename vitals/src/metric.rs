//! Defines the seven metrics, their values, thresholds and ratings.
//!
//! A new metric begins with an entry in the table `metrics!` and a state machine in `crate::metrics`. The compiler then
//! names [`crate::document`], the stores' columns and stored formats, [`crate::compare`] and the command's tables. It does
//! not name choices of metrics: `score::WEIGHTS`, `advice::METRICS`, aliases in `budget`, and the dashboard.

use crate::limits;
use serde::{Deserialize, Serialize};

/// Defines [`Metric`] from a table with one entry a metric: its number, name, unit, largest plausible value in that unit,
/// and its largest good and largest needs-improvement value in millionths of the unit of [`Value`].
macro_rules! metrics {
    ($(
        $(#[doc = $doc:literal])+
        $metric:ident = $number:literal: $name:literal, $unit:ident, up to $max:expr,
        good to $good:literal, needs improvement to $needs_improvement:literal;
    )+) => {
        /// A Web Vitals metric.
        ///
        /// The order is that of storage and reports; new metrics must be added at the end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "UPPERCASE")]
        #[repr(u8)]
        pub enum Metric {
            $($(#[doc = $doc])+ $metric = $number,)+
        }

        impl Metric {
            /// All metrics, in the order of storage and reports.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$metric),+];
            /// Number of metrics.
            pub const COUNT: usize = [$($number),+].len();
            /// The names of [`Self::ALL`].
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// Returns the metric's upper-case abbreviation, as in the web-vitals library.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$metric => $name,)+
                }
            }

            /// Returns the unit of the metric's values.
            #[must_use]
            pub const fn unit(self) -> Unit {
                match self {
                    $(Self::$metric => Unit::$unit,)+
                }
            }

            /// Returns the largest plausible value, in the metric's unit.
            #[must_use]
            pub const fn value_max(self) -> u32 {
                match self {
                    $(Self::$metric => $max,)+
                }
            }

            /// Returns the default thresholds.
            #[must_use]
            pub const fn thresholds(self) -> Thresholds {
                let (good, needs_improvement) = match self {
                    $(Self::$metric => ($good, $needs_improvement),)+
                };
                Thresholds { good: Value(good), needs_improvement: Value(needs_improvement) }
            }
        }
    };
}

// Thresholds of LCP, INP, CLS, FCP and TTFB: <https://web.dev/articles/vitals> and the pages linked there. FID: the same
// source until its retirement in 2024. TTI: Lighthouse's scoring thresholds for mobile.
metrics! {
    /// Largest Contentful Paint, milliseconds.
    Lcp = 0: "LCP", Milliseconds, up to limits::TIME_MS_MAX, good to 2_500_000, needs improvement to 4_000_000;
    /// Interaction to Next Paint, milliseconds.
    Inp = 1: "INP", Milliseconds, up to limits::TIME_MS_MAX, good to 200_000, needs improvement to 500_000;
    /// Cumulative Layout Shift, a score without unit.
    Cls = 2: "CLS", Score, up to limits::CLS_MAX, good to 100_000, needs improvement to 250_000;
    /// First Contentful Paint, milliseconds.
    Fcp = 3: "FCP", Milliseconds, up to limits::TIME_MS_MAX, good to 1_800_000, needs improvement to 3_000_000;
    /// Time to First Byte, milliseconds.
    Ttfb = 4: "TTFB", Milliseconds, up to limits::TIME_MS_MAX, good to 800_000, needs improvement to 1_800_000;
    /// First Input Delay, milliseconds.
    Fid = 5: "FID", Milliseconds, up to limits::TIME_MS_MAX, good to 100_000, needs improvement to 300_000;
    /// Time to Interactive, milliseconds.
    Tti = 6: "TTI", Milliseconds, up to limits::TIME_MS_MAX, good to 3_800_000, needs improvement to 7_300_000;
}

/// A set of metrics.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Metrics(u8);

impl Metrics {
    /// The empty set.
    pub const NONE: Self = Self(0);
    /// All metrics.
    pub const ALL: Self = Self(u8::MAX >> (u8::BITS as usize - Metric::COUNT));

    /// Returns a set of one metric.
    #[must_use]
    pub const fn only(metric: Metric) -> Self {
        Self::NONE.with(metric)
    }

    /// Returns the set with one more metric.
    #[must_use]
    pub const fn with(self, metric: Metric) -> Self {
        Self(self.0 | 1 << metric as u8)
    }

    /// Whether a metric is in the set.
    #[must_use]
    pub const fn has(self, metric: Metric) -> bool {
        self.0 & (1 << metric as u8) != 0
    }

    /// Returns the metrics of the set, in the order of [`Metric::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Metric> {
        Metric::ALL.into_iter().filter(move |&metric| self.has(metric))
    }
}

impl FromIterator<Metric> for Metrics {
    fn from_iter<I: IntoIterator<Item = Metric>>(metrics: I) -> Self {
        metrics.into_iter().fold(Self::NONE, Self::with)
    }
}

impl core::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(self.iter().map(Metric::name)).finish()
    }
}

/// The unit of a metric's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// A score without unit (CLS).
    #[serde(rename = "score")]
    Score,
}

/// The two thresholds between the three ratings; a value on a threshold has the better rating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// The largest value rated good.
    pub good: Value,
    /// The largest value rated needs-improvement.
    pub needs_improvement: Value,
}

/// The rating of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Rating {
    /// At or under the first threshold.
    Good = 0,
    /// Between the thresholds.
    NeedsImprovement = 1,
    /// Over the second threshold.
    Poor = 2,
}

impl Rating {
    /// All ratings, best first.
    pub const ALL: [Self; 3] = [Self::Good, Self::NeedsImprovement, Self::Poor];
    /// The names of [`Self::ALL`].
    pub const NAMES: &'static [&'static str] =
        &[Self::Good.name(), Self::NeedsImprovement.name(), Self::Poor.name()];

    /// Returns `good`, `needs-improvement` or `poor`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::NeedsImprovement => "needs-improvement",
            Self::Poor => "poor",
        }
    }
}

/// A metric's value: a finite, plausible number, stored as whole millionths.
///
/// Times are whole microseconds, CLS is whole millionths of a score. One step is far below the resolution of any
/// browser (5 µs at best). Integers make ratings, histograms and stores agree bit for bit on every platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Value(u32);

/// The reason why a number is not a metric's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueError {
    /// NaN or infinite.
    NotFinite,
    /// Below zero.
    Negative,
    /// Above [`Metric::value_max`].
    TooLarge,
}

impl core::fmt::Display for ValueError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NotFinite => "is not a finite number",
            Self::Negative => "is negative",
            Self::TooLarge => "is beyond what is plausible",
        })
    }
}

impl core::error::Error for ValueError {}

impl Value {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// Returns the value of `metric` nearest to `number`, which is in the metric's unit (milliseconds, or the score).
    ///
    /// # Errors
    /// If the number is NaN, infinite, negative, or larger than [`Metric::value_max`].
    pub fn new(metric: Metric, number: f64) -> Result<Self, ValueError> {
        if !number.is_finite() {
            return Err(ValueError::NotFinite);
        }
        if number < 0.0 {
            return Err(ValueError::Negative);
        }
        // Avoids `round`, which would enlarge the module: `floor` is a wasm instruction.
        let micros = (number * metric.micros_per_unit() + 0.5).floor();
        if micros > f64::from(metric.micros_max()) {
            return Err(ValueError::TooLarge);
        }
        Ok(Self(micros as u32))
    }

    /// Returns the value of `metric` with this many millionths; `None` above its maximum.
    #[must_use]
    pub const fn from_micros(metric: Metric, micros: u32) -> Option<Self> {
        if micros <= metric.micros_max() { Some(Self(micros)) } else { None }
    }

    /// Returns whole microseconds of a time, or whole millionths of a score.
    #[must_use]
    pub const fn micros(self) -> u32 {
        self.0
    }

    /// Returns the number in the metric's unit: milliseconds, or the score.
    #[must_use]
    pub fn number(self, metric: Metric) -> f64 {
        f64::from(self.0) / metric.micros_per_unit()
    }
}

impl Metric {
    /// The Core Web Vitals (<https://web.dev/articles/vitals>).
    pub const CORE: [Self; 3] = [Self::Lcp, Self::Inp, Self::Cls];

    /// Returns the metric of an abbreviation, in upper or lower case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name().eq_ignore_ascii_case(name))
    }

    /// Returns the metric's index in [`Metric::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns the rating of a value.
    #[must_use]
    pub fn rate(self, value: Value) -> Rating {
        let thresholds = self.thresholds();
        if value <= thresholds.good {
            Rating::Good
        } else if value <= thresholds.needs_improvement {
            Rating::NeedsImprovement
        } else {
            Rating::Poor
        }
    }

    /// Returns the values with a rating, in millionths of the unit.
    #[cfg(feature = "native")]
    pub(crate) const fn rated(self, rating: Rating) -> core::ops::RangeInclusive<u32> {
        let Thresholds { good: Value(good), needs_improvement: Value(needs_improvement) } = self.thresholds();
        match rating {
            Rating::Good => 0..=good,
            Rating::NeedsImprovement => good.saturating_add(1)..=needs_improvement,
            Rating::Poor => needs_improvement.saturating_add(1)..=self.micros_max(),
        }
    }

    /// Returns the number of millionths of a [`Value`] in the metric's unit.
    #[must_use]
    pub const fn micros_per_unit(self) -> f64 {
        match self.unit() {
            Unit::Score => 1_000_000.0,
            Unit::Milliseconds => 1_000.0,
        }
    }

    /// Returns the largest value, in millionths.
    #[must_use]
    pub const fn micros_max(self) -> u32 {
        let micros_per_unit = match self.unit() {
            Unit::Score => 1_000_000,
            Unit::Milliseconds => 1_000,
        };
        self.value_max().saturating_mul(micros_per_unit)
    }
}

/// The values of a page view: at most one per metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Values([Option<Value>; Metric::COUNT]);

impl Values {
    /// No values.
    pub const EMPTY: Self = Self([None; Metric::COUNT]);

    /// Returns the value of a metric.
    #[must_use]
    pub fn get(&self, metric: Metric) -> Option<Value> {
        self.0.get(metric.index()).copied().flatten()
    }

    /// Returns the value of a metric in its unit: milliseconds, or the score.
    #[must_use]
    pub fn number(&self, metric: Metric) -> Option<f64> {
        self.get(metric).map(|value| value.number(metric))
    }

    /// Sets or removes the value of a metric.
    pub fn set(&mut self, metric: Metric, value: Option<Value>) {
        if let Some(slot) = self.0.get_mut(metric.index()) {
            *slot = value;
        }
    }

    /// Sets the value of a metric, if the number is plausible.
    #[inline(never)]
    pub(crate) fn measured(&mut self, metric: Metric, number: f64) {
        self.set(metric, Value::new(metric, number).ok());
    }

    /// Returns the metrics with a value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Metric, Value)> + '_ {
        Metric::ALL.into_iter().filter_map(|metric| Some((metric, self.get(metric)?)))
    }

    /// Whether no metric has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// Whether a number is neither negative, infinite nor NaN.
#[inline(never)]
pub(crate) fn plausible(number: f64) -> bool {
    // LLVM would turn a comparison with infinity into one of bits, which takes more bytes of the wasm module.
    (0.0..=f64::MAX).contains(&number)
}

/// Rounds a time to whole microseconds, so that it survives serialization unchanged.
pub(crate) fn micros(ms: f64) -> f64 {
    (ms * 1_000.0 + 0.5).floor() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_threshold_is_the_better_rating() {
        for (metric, good, poor) in [
            (Metric::Lcp, 2500.0, 4000.0),
            (Metric::Inp, 200.0, 500.0),
            (Metric::Cls, 0.1, 0.25),
            (Metric::Fcp, 1800.0, 3000.0),
            (Metric::Ttfb, 800.0, 1800.0),
            (Metric::Fid, 100.0, 300.0),
            (Metric::Tti, 3800.0, 7300.0),
        ] {
            let rate = |number| metric.rate(Value::new(metric, number).unwrap());
            assert_eq!(rate(0.0), Rating::Good, "{}", metric.name());
            assert_eq!(rate(good), Rating::Good, "{}", metric.name());
            assert_eq!(rate(good + 0.001), Rating::NeedsImprovement, "{}", metric.name());
            assert_eq!(rate(poor), Rating::NeedsImprovement, "{}", metric.name());
            assert_eq!(rate(poor + 0.001), Rating::Poor, "{}", metric.name());
        }
    }

    #[test]
    fn only_plausible_numbers_are_values() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Value::new(Metric::Lcp, number), Err(ValueError::NotFinite));
        }
        assert_eq!(Value::new(Metric::Lcp, -0.1), Err(ValueError::Negative));
        assert_eq!(Value::new(Metric::Lcp, -0.0), Ok(Value::ZERO));
        assert_eq!(Value::new(Metric::Lcp, f64::MIN_POSITIVE), Ok(Value::ZERO));
        assert_eq!(Value::new(Metric::Lcp, 600_000.0).map(Value::micros), Ok(600_000_000));
        assert_eq!(Value::new(Metric::Lcp, 600_000.1), Err(ValueError::TooLarge));
        assert_eq!(Value::new(Metric::Cls, 1e308), Err(ValueError::TooLarge));
        assert_eq!(Value::from_micros(Metric::Cls, 100_000_001), None);
    }

    #[test]
    fn names_are_read_back() {
        for metric in Metric::ALL {
            assert_eq!(Metric::from_name(metric.name()), Some(metric));
            assert_eq!(Metric::ALL[metric.index()], metric);
        }
        assert_eq!(Metric::from_name("lcp"), Some(Metric::Lcp));
        assert_eq!(Metric::from_name("TBT"), None);
    }
}
