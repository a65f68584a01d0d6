//! Tests of single comparisons; `vitals/tests/gate` simulates error rates and power.

use super::*;
use crate::gate::{Class, Verdict, judge_together};
use crate::metric::{Metric, Value};
use crate::view::Device;
use proptest::prelude::*;

const NUISANCE: f64 = 0.005;

/// Page views of a class, spread over two days so that the design effect is estimated.
fn views(device: Device, values: impl IntoIterator<Item = f64>) -> ClassViews {
    let view = |(number, ms): (usize, f64)| TimedValue {
        block: (number % 96) as i32,
        value: Value::new(Metric::Lcp, ms).unwrap(),
    };
    ClassViews {
        class: Class { device: Some(device), ..Class::default() },
        views: values.into_iter().enumerate().map(view).collect(),
    }
}

/// `n` values whose 75th percentile is `p75`, evenly from half of it on.
fn times(n: usize, p75: f64) -> impl Iterator<Item = f64> {
    // A prime step mixes the sizes over the hours.
    (0..n).map(move |number| p75 * (0.5 + (number * 7_919 % n) as f64 / n as f64 / 1.5))
}

fn percent(share: f64, least_ms: f64) -> Allowance {
    Allowance { share, least: Value::new(Metric::Lcp, least_ms).unwrap() }
}

fn compared(allowance: Allowance, looks: Looks, from: ClassViews, to: ClassViews) -> Comparison {
    Comparison::new((75, allowance), 100, looks, [&[from], &[to]])
}

fn judged(comparison: &Comparison) -> Judged {
    let evidence = comparison.evidence(NUISANCE);
    judge_together(&[evidence], comparison.sides.looks, ALPHA)[0]
}

#[test]
fn clear_increase_fails_and_equal_sides_pass() {
    for looks in Looks::ALL {
        let verdict = |p75| {
            let comparison = compared(
                percent(0.1, 100.0),
                looks,
                views(Device::Phone, times(2_000, 2_500.0)),
                views(Device::Phone, times(2_000, p75)),
            );
            judged(&comparison).verdict
        };
        assert_eq!(verdict(3_500.0), Verdict::Fail, "{looks:?}");
        assert_eq!(verdict(2_500.0), Verdict::Pass, "{looks:?}");
        assert_eq!(verdict(2_000.0), Verdict::Pass, "{looks:?}");
        assert_eq!(verdict(2_750.0), Verdict::Inconclusive, "{looks:?}");
    }
}

#[test]
fn small_differences_never_fail() {
    let verdict = |least| {
        let comparison = compared(
            percent(0.0, least),
            Looks::One,
            views(Device::Phone, times(3_000, 200.0)),
            views(Device::Phone, times(3_000, 260.0)),
        );
        judged(&comparison).verdict
    };
    assert_eq!((verdict(0.0), verdict(100.0)), (Verdict::Fail, Verdict::Pass));
}

#[test]
fn page_views_that_are_all_over_the_limit_are_not_close_to_it() {
    let side = |p75| views(Device::Phone, times(500, p75));
    let undecided = |p75| {
        compared(percent(0.1, 100.0), Looks::One, side(1_000.0), side(p75)).evidence(NUISANCE).undecided
    };
    assert_eq!(undecided(1_100.0), Reason::IncreaseTooClose);
    assert_eq!(undecided(9_000.0), Reason::AllOver { n: 500 });
}

#[test]
fn side_without_enough_page_views_is_not_judged() {
    let side = |n| views(Device::Phone, times(n, 2_500.0));
    for (from, to, reason) in [
        (500, 0, Reason::NoData),
        (0, 500, Reason::NoBaseline),
        (500, 99, Reason::TooFewSamples { n: 99, min_samples: 100 }),
        (99, 500, Reason::TooFewInBaseline { n: 99, min_samples: 100 }),
    ] {
        let comparison = compared(percent(0.05, 100.0), Looks::One, side(from), side(to));
        let judged = judged(&comparison);
        assert_eq!((judged.verdict, judged.reason), (Verdict::Inconclusive, reason));
        assert_eq!(comparison.interval(&judged, NUISANCE), None);
    }
    let from = [views(Device::Phone, times(500, 2_500.0)), views(Device::Desktop, times(20, 1_000.0))];
    let to = [views(Device::Desktop, times(500, 1_000.0))];
    let comparison = Comparison::new((75, percent(0.05, 100.0)), 100, Looks::One, [&from, &to]);
    assert_eq!(judged(&comparison).reason, Reason::Apart);
}

#[test]
fn more_phones_are_no_increase() {
    let side = |phones, slower: f64| {
        [
            views(Device::Phone, times(phones, 3_000.0 * slower)),
            views(Device::Desktop, times(4_000 - phones, 1_500.0)),
        ]
    };
    let compared = |slower| {
        Comparison::new((75, percent(0.1, 100.0)), 100, Looks::One, [&side(1_600, 1.0), &side(2_400, slower)])
    };
    let same = compared(1.0);
    let Percentiles { baseline, current, unweighted, limit } = same.percentiles().unwrap();
    assert!(current.abs_diff(baseline) < baseline / 100, "{baseline} {current}");
    assert!(unweighted > limit, "without weights the audience looks like a regression");
    assert_eq!(judged(&same).verdict, Verdict::Pass);
    assert_eq!(judged(&compared(1.4)).verdict, Verdict::Fail);
}

/// More than three quarters of CLS are often 0, so that a percentile is an atom of the distribution.
#[test]
fn percentile_of_zero_is_a_baseline() {
    let side = |zeros: usize, value: f64| {
        let values = (0..1_000).map(move |number| if number * 7_919 % 1_000 < zeros { 0.0 } else { value });
        views(Device::Phone, values)
    };
    for looks in Looks::ALL {
        let verdict = |to| judged(&compared(percent(0.05, 10.0), looks, side(850, 90.0), to)).verdict;
        assert_eq!(verdict(side(850, 90.0)), Verdict::Pass, "{looks:?}");
        assert_eq!(verdict(side(500, 90.0)), Verdict::Fail, "{looks:?}");
        assert_eq!(verdict(side(500, 9.0)), Verdict::Pass, "{looks:?}: within the floor");
    }
}

#[test]
fn inconclusive_comparison_says_what_it_takes() {
    let comparison = compared(
        percent(0.1, 0.0),
        Looks::One,
        views(Device::Phone, times(1_000, 2_500.0)),
        views(Device::Phone, times(300, 2_740.0)),
    );
    let one = judged(&comparison);
    assert_eq!(one.verdict, Verdict::Inconclusive);
    let grows = comparison.needed(&one, NUISANCE, false).unwrap();
    let fixed = comparison.needed(&one, NUISANCE, true);
    assert!(grows > 300 && fixed.is_none_or(|fixed| fixed >= grows), "{grows} {fixed:?}");
}

proptest! {
    /// The interval and the verdict agree, whatever the sides.
    #[test]
    fn interval_and_verdict_agree(
        from in proptest::collection::vec(0_u32..5_000, 100..400),
        to in proptest::collection::vec(0_u32..6_000, 100..400),
        share in 0.0..0.5_f64,
        least in 0.0..200.0_f64,
        often in any::<bool>(),
    ) {
        let looks = if often { Looks::Many } else { Looks::One };
        let side = |values: &[u32]| views(Device::Phone, values.iter().copied().map(f64::from));
        let comparison = compared(percent(share, least), looks, side(&from), side(&to));
        let judged = judged(&comparison);
        let allowed = comparison.sides.allowed();
        if let Some([low, high]) = comparison.interval(&judged, NUISANCE) {
            prop_assert!(low <= high);
            let expected = if allowed < low {
                Verdict::Fail
            } else if allowed >= high {
                Verdict::Pass
            } else {
                Verdict::Inconclusive
            };
            prop_assert_eq!(judged.verdict, expected);
        }
    }

    #[test]
    fn any_sides_are_judged(
        from in proptest::collection::vec((0_u32..600_000_000, -9_i32..9), 0..30),
        to in proptest::collection::vec((0_u32..600_000_000, any::<i32>()), 0..30),
        percent in any::<u8>(),
        share in any::<f64>(),
        nuisance in any::<f64>(),
        often in any::<bool>(),
    ) {
        let looks = if often { Looks::Many } else { Looks::One };
        let side = |values: &[(u32, i32)]| ClassViews {
            class: Class::default(),
            views: values
                .iter()
                .filter_map(|&(micros, block)| {
                    Some(TimedValue { block, value: Value::from_micros(Metric::Lcp, micros)? })
                })
                .collect(),
        };
        let allowance = Allowance { share, least: Value::ZERO };
        let comparison = Comparison::new((percent, allowance), 1, looks, [&[side(&from)], &[side(&to)]]);
        let judged = judge_together(&[comparison.evidence(nuisance)], looks, ALPHA)[0];
        let _ = (comparison.interval(&judged, nuisance), comparison.needed(&judged, nuisance, true));
    }
}
