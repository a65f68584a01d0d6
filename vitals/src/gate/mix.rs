//! Weighs page views so that a change of the audience is no change of the pages.
//!
//! The current page views of a class count as if the class had its share of the baseline: post-stratification (Kish,
//! Survey Sampling, 1965, section 4.5). A class with few page views on either side joins a coarser one: those of the same
//! device and navigation type, then of the same device. So page views of rare countries count too. Devices that one side
//! lacks are left out.

use super::classes::{Class, ClassViews, TimedValue};
use crate::limits::STRATUM_SAMPLES_MIN;
use std::collections::BTreeMap;

/// What a class loses to become coarser, in this order.
const COARSER: [fn(&mut Class); 2] = [|class| class.country = None, |class| class.navigation_type = None];

/// Page views at an overall share that are added to each class. They give a class without variance one.
const PRIOR_VIEWS: f64 = 2.0;

/// Page views of both sides in classes that both sides have.
#[derive(Debug, Default)]
pub(super) struct Mix<'a> {
    groups: Vec<Group<'a>>,
    /// Share of the page views in these classes, 0 to 1: that of the side with the smaller share.
    pub(super) covered: f64,
}

/// A class of both sides: baseline, current.
#[derive(Debug, Default)]
struct Group<'a> {
    sides: [Vec<&'a ClassViews>; 2],
}

impl Group<'_> {
    fn n(&self) -> [u64; 2] {
        self.sides.each_ref().map(|side| side.iter().map(|class| class.n()).sum())
    }

    fn is_large(&self) -> bool {
        self.n().iter().all(|&n| n >= STRATUM_SAMPLES_MIN.unsigned_abs())
    }
}

impl<'a> Mix<'a> {
    pub(super) fn new(baseline: &'a [ClassViews], current: &'a [ClassViews]) -> Self {
        let mut left: BTreeMap<Class, Group<'a>> = BTreeMap::new();
        for (place, side) in [baseline, current].into_iter().enumerate() {
            for class in side {
                let group = left.entry(class.class.clone()).or_default();
                if let Some(side) = group.sides.get_mut(place) {
                    side.push(class);
                }
            }
        }
        let mut groups = Vec::new();
        for coarsen in COARSER {
            let mut coarser: BTreeMap<Class, Group<'a>> = BTreeMap::new();
            for (mut class, group) in left {
                if group.is_large() {
                    groups.push(group);
                    continue;
                }
                coarsen(&mut class);
                let into = coarser.entry(class).or_default();
                for (into, side) in into.sides.iter_mut().zip(group.sides) {
                    into.extend(side);
                }
            }
            left = coarser;
        }
        groups.extend(left.into_values().filter(Group::is_large));
        let n_of = |side: &[ClassViews]| side.iter().map(ClassViews::n).sum::<u64>();
        let mut mix = Self { groups, covered: 0.0 };
        let [of_baseline, of_current] = mix.n();
        let share = |part: u64, all: u64| if all > 0 { part as f64 / all as f64 } else { 0.0 };
        mix.covered = share(of_baseline, n_of(baseline)).min(share(of_current, n_of(current)));
        mix
    }

    /// Returns the page views of baseline and current side.
    pub(super) fn n(&self) -> [u64; 2] {
        let mut sums = [0_u64; 2];
        for group in &self.groups {
            for (sum, n) in sums.iter_mut().zip(group.n()) {
                *sum = sum.saturating_add(n);
            }
        }
        sums
    }

    /// Returns the page views of the baseline.
    pub(super) fn baseline(&self) -> impl Iterator<Item = &TimedValue> {
        self.groups.iter().flat_map(|group| {
            let [baseline, _] = &group.sides;
            baseline.iter().flat_map(|class| &class.views)
        })
    }

    /// Returns the current page views with their weights, whose sum is 1.
    pub(super) fn current(&self) -> impl Iterator<Item = (&TimedValue, f64)> {
        let [all, _] = self.n();
        self.groups.iter().flat_map(move |group| {
            let ([_, current], [baseline, n]) = (&group.sides, group.n());
            let weight = baseline as f64 / all as f64 / n as f64;
            current.iter().flat_map(|class| &class.views).map(move |view| (view, weight))
        })
    }

    /// Returns how many current page views carry the information of one page view of equal weight, for the weighted share
    /// of values up to `micros`. `effects` are the design effects of both sides.
    ///
    /// The variance of the weighted share has two parts: of the shares within classes, `Σ πᵢ² sᵢ (1 − sᵢ) / nᵢ`, and of the
    /// classes' shares `π`, which the baseline estimates, `Σ πᵢ (sᵢ − s)² / N`. It is divided by the variance `s (1 − s) / n`
    /// of a plain share. The effect is at least 1. If all values are within, or none, it is that of the weights alone,
    /// `n Σ πᵢ² / nᵢ` (Kish 1965, section 11.7).
    pub(super) fn effect(&self, micros: f64, [of_baseline, of_current]: [f64; 2]) -> f64 {
        let [all, n] = self.n().map(|n| n as f64);
        let within = |view: &TimedValue| f64::from(view.value.micros()) <= micros;
        let share: f64 = self.current().filter(|(view, _)| within(view)).map(|(_, weight)| weight).sum();
        let (mut of_weights, mut inside, mut between) = (0.0, 0.0, 0.0);
        for group in &self.groups {
            let ([_, current], [baseline_n, current_n]) = (&group.sides, group.n().map(|n| n as f64));
            let count = current.iter().flat_map(|class| &class.views).filter(|view| within(view)).count();
            let part = baseline_n / all;
            let smooth = (count as f64 + PRIOR_VIEWS * share) / (current_n + PRIOR_VIEWS);
            of_weights += part * part / current_n;
            inside += part * part * smooth * (1.0 - smooth) / current_n;
            between += part * (smooth - share).powi(2) / all;
        }
        let plain = share * (1.0 - share) / n;
        let variance = inside + between * of_baseline / of_current;
        let effect = if plain > 0.0 { variance / plain } else { n * of_weights };
        // `max` ignores NaN, the effect of no page views.
        effect.max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Metric, Value};
    use crate::view::{Device, NavigationType};

    fn class(device: Device, country: &str, values: impl IntoIterator<Item = f64>) -> ClassViews {
        let view = |ms| TimedValue { block: 0, value: Value::new(Metric::Lcp, ms).unwrap() };
        ClassViews {
            class: Class {
                device: Some(device),
                navigation_type: Some(NavigationType::Navigate),
                country: Some(country.to_owned()),
            },
            views: values.into_iter().map(view).collect(),
        }
    }

    fn times(n: usize, ms: f64) -> impl Iterator<Item = f64> {
        std::iter::repeat_n(ms, n)
    }

    /// The weight of all current page views of a value.
    fn weight_of(mix: &Mix<'_>, ms: f64) -> f64 {
        let micros = Value::new(Metric::Lcp, ms).unwrap();
        mix.current().filter(|(view, _)| view.value == micros).map(|(_, weight)| weight).sum()
    }

    #[test]
    fn current_classes_have_the_shares_of_the_baseline() {
        let baseline = [
            class(Device::Phone, "DE", times(40, 3_000.0)),
            class(Device::Desktop, "DE", times(60, 1_500.0)),
        ];
        let current = [
            class(Device::Phone, "DE", times(120, 3_000.0)),
            class(Device::Desktop, "DE", times(80, 1_500.0)),
        ];
        let mix = Mix::new(&baseline, &current);
        assert_eq!((mix.n(), mix.covered), ([100, 200], 1.0));
        assert!((weight_of(&mix, 3_000.0) - 0.4).abs() < 1e-9);
        assert!((weight_of(&mix, 1_500.0) - 0.6).abs() < 1e-9);
    }

    #[test]
    fn rare_classes_join_coarser_ones() {
        let baseline = [
            class(Device::Phone, "DE", times(50, 1.0)),
            class(Device::Phone, "FR", times(6, 2.0)),
            class(Device::Phone, "IT", times(6, 3.0)),
            class(Device::Tablet, "DE", times(3, 4.0)),
        ];
        let current = [
            class(Device::Phone, "DE", times(50, 1.0)),
            class(Device::Phone, "FR", times(9, 2.0)),
            class(Device::Phone, "ES", times(5, 3.0)),
            class(Device::Desktop, "DE", times(9, 5.0)),
        ];
        let mix = Mix::new(&baseline, &current);
        // Phones of France, Italy and Spain are one class; tablets and desktops are too few.
        assert_eq!(mix.n(), [62, 64]);
        assert!((weight_of(&mix, 2.0) - 12.0 / 62.0 * 9.0 / 14.0).abs() < 1e-9);
        assert!((mix.covered - 64.0 / 73.0).abs() < 1e-9, "{}", mix.covered);
    }

    #[test]
    fn sides_of_different_devices_have_nothing_in_common() {
        let baseline = [class(Device::Phone, "DE", times(50, 1.0))];
        let current = [class(Device::Desktop, "DE", times(50, 2.0))];
        let mix = Mix::new(&baseline, &current);
        assert_eq!((mix.n(), mix.covered, mix.current().count()), ([0, 0], 0.0, 0));
        assert_eq!(Mix::new(&[], &current).covered, 0.0);
        assert_eq!(Mix::new(&[], &[]).effect(1.0, [1.0; 2]), 1.0);
    }

    #[test]
    fn effect_grows_with_the_shift() {
        let side = |phones: usize| {
            [
                class(Device::Phone, "DE", times(phones / 2, 1_000.0).chain(times(phones / 2, 3_000.0))),
                class(Device::Desktop, "DE", times(1_000 - phones, 1_000.0)),
            ]
        };
        let (baseline, shifted) = (side(400), side(100));
        let same = Mix::new(&baseline, &baseline).effect(2_000_000.0, [1.0; 2]);
        assert!((1.0..1.02).contains(&same), "{same}");
        // The weights alone, 1,000 × (0.4²/100 + 0.6²/900), have an effect of 2. Phones have all of the variance.
        let effect = Mix::new(&baseline, &shifted).effect(2_000_000.0, [1.0; 2]);
        assert!((2.8..2.9).contains(&effect), "{effect}");
    }
}
