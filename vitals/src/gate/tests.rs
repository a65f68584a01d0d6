//! Tests of the verdicts; `vitals/tests/gate` simulates their error rates.

use super::*;
use proptest::prelude::*;

fn sample(n: u64, within: u64) -> Sample {
    Sample { n, within, percent: 75, min_samples: 1, design_effect: 1.0 }
}

fn verdict(sample: Sample) -> Verdict {
    judge(&[sample], Looks::One, ALPHA)[0].verdict
}

/// The page views that a sample needs if it is judged alone.
fn needed(sample: Sample, looks: Looks) -> Option<u64> {
    sample.needed(looks, ALPHA, ALPHA)
}

#[test]
fn ranks_are_those_of_the_tables() {
    for (n, ranks) in [(30, (18, 27)), (100, (68, 83)), (1000, (727, 773)), (5000, (3699, 3801))] {
        assert_eq!(interval_ranks(n, 75, ALPHA), Some(ranks), "n = {n}");
    }
    assert_eq!(interval_ranks(0, 75, ALPHA), None);
    assert_eq!(interval_ranks(10, 75, ALPHA), None);
    assert_eq!(interval_ranks(11, 75, ALPHA), Some((6, 11)));
    assert_eq!(interval_ranks(100, 75, 0.0), None);
    let (low, high) = interval_ranks(1_000_000_000, 75, ALPHA).unwrap();
    // 1.6449 standard deviations of 13,693.
    assert!((749_977_460..749_977_500).contains(&low), "{low}");
    assert!((750_022_500..750_022_540).contains(&high), "{high}");
}

#[test]
fn a_fail_takes_three_page_views_and_a_pass_eleven() {
    assert_eq!(verdict(sample(2, 0)), Verdict::Inconclusive);
    assert_eq!(verdict(sample(3, 0)), Verdict::Fail);
    assert_eq!(verdict(sample(10, 10)), Verdict::Inconclusive);
    assert_eq!(verdict(sample(11, 11)), Verdict::Pass);
    assert_eq!(verdict(sample(11, 10)), Verdict::Inconclusive);
}

#[test]
fn page_views_that_are_all_over_the_budget_are_not_close_to_it() {
    // Ten page views of one visitor are one.
    for looks in Looks::ALL {
        let judged = judge(&[Sample { design_effect: 10.0, ..sample(10, 0) }], looks, ALPHA)[0];
        assert_eq!((judged.verdict, judged.reason), (Verdict::Inconclusive, Reason::AllOver { n: 10 }));
        assert!(!judged.reason.to_string().contains("close"), "{}", judged.reason);
    }
}

#[test]
fn no_data_is_never_a_pass() {
    for min_samples in [0, 1, 100] {
        let none = Sample { min_samples, ..sample(0, 0) };
        let judged = judge(&[none], Looks::One, ALPHA)[0];
        assert_eq!((judged.verdict, judged.reason), (Verdict::Inconclusive, Reason::NoData));
        assert_eq!(needed(none, Looks::One), Some(min_samples.max(11)));
    }
    assert_eq!(overall(&[]), Verdict::Inconclusive);
}

#[test]
fn too_few_page_views_are_not_judged_however_clear() {
    let few = Sample { min_samples: 100, ..sample(99, 0) };
    let judged = judge(&[few, Sample { n: 100, ..few }], Looks::One, ALPHA);
    assert_eq!(judged[0].verdict, Verdict::Inconclusive);
    assert_eq!(judged[0].reason, Reason::TooFewSamples { n: 99, min_samples: 100 });
    assert_eq!(needed(few, Looks::One), Some(100));
    assert_eq!(judged[1].verdict, Verdict::Fail);
    let rare = Sample { percent: 99, ..sample(0, 0) };
    assert_eq!(needed(rare, Looks::One), Some(299), "0.99^299 is the first power under 0.05");
}

#[test]
fn an_inconclusive_verdict_says_how_many_page_views_it_takes() {
    // ((1.6449 × 0.43301 + 0.84162 × 0.45826) / 0.05)² = 482.2, rounded up.
    let judged = judge(&[sample(100, 70)], Looks::One, ALPHA)[0];
    assert_eq!((judged.verdict, judged.reason), (Verdict::Inconclusive, Reason::TooClose));
    assert_eq!(needed(sample(100, 70), Looks::One), Some(483));
    for looks in Looks::ALL {
        assert_eq!(needed(sample(100, 75), looks), None, "on the budget no number decides");
        assert_eq!(sample(100, 70).needed(looks, f64::NAN, f64::NAN), None);
    }
}

#[test]
fn many_budgets_do_not_raise_a_false_alarm() {
    // P(X ≤ 67) of 100 at 75 % is 0.0446: enough for one budget, expected by chance among twenty.
    let close = sample(100, 67);
    assert_eq!(verdict(close), Verdict::Fail);
    let judged = judge(&[close; 20], Looks::One, ALPHA);
    assert!(judged.iter().all(|one| one.reason == Reason::OneOfMany { budgets: 20 }));
    assert!(judged.iter().all(|one| one.verdict == Verdict::Inconclusive && one.fail_level == ALPHA / 20.0));
    // Budgets with too little data need no correction, so the others are not judged more strictly.
    let unjudged = Sample { min_samples: 1_000, ..close };
    assert_eq!(judge(&[close, unjudged, sample(0, 0)], Looks::One, ALPHA)[0].verdict, Verdict::Fail);
    // Repeated looks may judge them later, so that the correction counts them.
    let often = judge(&[sample(1_000, 690), unjudged, sample(0, 0)], Looks::Many, ALPHA);
    assert_eq!((often[0].verdict, often[0].fail_level), (Verdict::Fail, ALPHA / 2.0), "two are left");
    // A clear failure remains, and reduces the correction by one budget.
    let judged = judge(&[sample(100, 30), close], Looks::One, ALPHA);
    assert_eq!((judged[0].verdict, judged[1].verdict), (Verdict::Fail, Verdict::Fail));
}

#[test]
fn a_check_passes_only_where_all_budgets_pass() {
    use Verdict::{Fail, Inconclusive, Pass};
    assert_eq!(overall(&[Pass, Pass]), Pass);
    assert_eq!(overall(&[Pass, Inconclusive]), Inconclusive);
    assert_eq!(overall(&[Inconclusive, Fail, Pass]), Fail);
    for verdict in Verdict::ALL {
        assert_eq!(Verdict::from_name(verdict.name()), Some(verdict));
    }
}

#[test]
fn strange_levels_decide_nothing() {
    for alpha in [f64::NAN, 0.0, -1.0, 0.6, f64::INFINITY] {
        for within in [0, 500, 1_000] {
            assert_eq!(
                judge(&[sample(1_000, within)], Looks::One, alpha)[0].verdict,
                Verdict::Inconclusive,
                "{alpha}"
            );
        }
    }
    assert_eq!(verdict(sample(100, u64::MAX)), Verdict::Pass, "within is held at n");
}

#[test]
fn few_page_views_say_how_many_it_takes_at_their_share() {
    let few = Sample { min_samples: 100, ..sample(40, 28) };
    let judged = judge(&[few], Looks::One, ALPHA)[0];
    assert_eq!(judged.reason, Reason::TooFewSamples { n: 40, min_samples: 100 });
    assert_eq!(needed(few, Looks::One), Some(483), "not 100");
    let alike = Sample { design_effect: 3.0, ..few };
    assert_eq!(needed(alike, Looks::One), Some(1_447), "three times 482.2");
    let looked_at_often = needed(few, Looks::Many).unwrap();
    assert!((1_000..1_200).contains(&looked_at_often), "{looked_at_often}");
}

#[test]
fn looking_often_takes_more_evidence() {
    for (n, within) in [(100, 66), (1_000, 720), (1_000, 780), (40, 40)] {
        let once = judge(&[sample(n, within)], Looks::One, ALPHA)[0];
        let often = judge(&[sample(n, within)], Looks::Many, ALPHA)[0];
        assert!(once.p_fail < often.p_fail || often.p_fail == 1.0, "{within} of {n}");
        assert!(once.p_pass < often.p_pass || often.p_pass == 1.0, "{within} of {n}");
    }
    assert_eq!(judge(&[sample(1_000, 700)], Looks::Many, ALPHA)[0].verdict, Verdict::Fail);
    assert_eq!(judge(&[sample(1_000, 800)], Looks::Many, ALPHA)[0].verdict, Verdict::Pass);
}

#[test]
fn page_views_that_resemble_each_other_are_weaker_evidence() {
    assert_eq!(verdict(sample(100, 67)), Verdict::Fail);
    assert_eq!(verdict(Sample { design_effect: 3.0, ..sample(100, 67) }), Verdict::Inconclusive);
    assert_eq!(verdict(Sample { design_effect: 3.0, ..sample(300, 183) }), Verdict::Fail, "61 of 100");
    for strange in [0.0, 0.5, -1.0, f64::NAN] {
        assert_eq!(
            verdict(Sample { design_effect: strange, ..sample(100, 67) }),
            Verdict::Fail,
            "{strange} counts as 1"
        );
    }
    assert_eq!(verdict(Sample { design_effect: f64::INFINITY, ..sample(100, 0) }), Verdict::Inconclusive);
}

proptest! {
    /// The interval and the gate agree, whatever the rule, the design effect and the number of budgets.
    #[test]
    fn interval_and_verdict_agree(
        counts in proptest::collection::vec((1_u64..3_000, 0.0..1.0_f64), 1..5),
        percent in 1_u8..=99,
        design_effect in 0.5..10.0_f64,
        often in any::<bool>(),
    ) {
        let looks = if often { Looks::Many } else { Looks::One };
        let samples: Vec<Sample> = counts
            .iter()
            .map(|&(n, at)| Sample { percent, design_effect, ..sample(n, (n as f64 * at) as u64) })
            .collect();
        for (sample, judged) in samples.iter().zip(judge(&samples, looks, ALPHA)) {
            // Of few page views no count fails, or none passes.
            let Some((low, high)) = sample.ranks(looks, judged.fail_level, ALPHA) else { continue };
            prop_assert!(low >= 1 && low <= high && high <= sample.n);
            // The value of rank r exceeds the budget if fewer than r values are within it.
            let expected = if sample.within < low {
                Verdict::Fail
            } else if sample.within >= high {
                Verdict::Pass
            } else {
                Verdict::Inconclusive
            };
            prop_assert_eq!(judged.verdict, expected);
        }
    }

    #[test]
    fn any_counts_are_judged(
        counts in proptest::collection::vec((0_u64..200_000, 0_u64..200_000, any::<u8>(), any::<u64>(), any::<f64>()), 0..3),
        often in any::<bool>(),
        alpha in any::<f64>(),
    ) {
        let looks = if often { Looks::Many } else { Looks::One };
        let samples: Vec<Sample> = counts
            .iter()
            .map(|&(n, within, percent, min_samples, design_effect)| {
                Sample { n, within, percent, min_samples, design_effect }
            })
            .collect();
        let judged = judge(&samples, looks, alpha);
        prop_assert_eq!(judged.len(), samples.len());
        for (sample, one) in samples.iter().zip(judged) {
            let _ = (sample.ranks(looks, one.fail_level, alpha), sample.needed(looks, one.fail_level, alpha));
            prop_assert!((0.0..=1.0).contains(&one.p_fail) && (0.0..=1.0).contains(&one.p_pass));
        }
    }
}

#[test]
fn the_largest_counts_are_judged() {
    use Verdict::{Fail, Inconclusive, Pass};
    for looks in Looks::ALL {
        for (millions, expected) in [(0, Fail), (700, Fail), (750, Inconclusive), (1_000, Pass)] {
            let judged = judge(&[sample(1_000_000_000, millions * 1_000_000)], looks, ALPHA)[0];
            assert_eq!(judged.verdict, expected, "{looks:?} {millions}");
        }
    }
}
