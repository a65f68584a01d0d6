//! Judges whether field data meets a budget, exceeds it, or does not decide yet.
//!
//! A budget "p75 ≤ B" says that at least 75 % of page views are within B. So two counts decide, the page views `n`
//! and those `within` the budget, with an exact binomial test; no percentile is estimated. A comparison of the sample's
//! percentile with the budget would raise a false alarm in almost half of all checks of a page exactly on its budget.
//!
//! - **fail**: if the budget were met, so few page views within it would occur with probability at most `alpha`:
//!   `P(X ≤ within) ≤ alpha`, X binomial. Holm's correction (1979) for the number of budgets in the check bounds the
//!   probability of a false alarm in the whole check by `alpha`.
//! - **pass**: if the budget were exceeded, so many page views within it would occur with probability at most `alpha`:
//!   `P(X ≥ within) ≤ alpha`. This needs no correction, because a check passes only if every budget passes. A check
//!   that should not pass has at least one exceeded budget, which alone passes with probability at most `alpha` (an
//!   intersection-union test, Berger 1982).
//! - **inconclusive** otherwise. No data is never a pass.
//!
//! At `alpha` 0.05 and the 75th percentile, a fail takes at least 3 page views and a pass 11.

mod binomial;

use crate::limits;
use binomial::Binomial;
use serde::{Deserialize, Serialize};

/// The default error level of gates: the accepted probability of a false verdict.
pub const ALPHA: f64 = 0.05;

/// One-sided error of the displayed confidence intervals: 0.05 at each end makes them 90 % intervals, and agrees with
/// [`ALPHA`].
pub const INTERVAL_ALPHA: f64 = ALPHA;

/// The verdict of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The budget is kept.
    Pass,
    /// The budget is exceeded.
    Fail,
    /// The data do not decide.
    Inconclusive,
}

impl Verdict {
    /// All verdicts.
    pub const ALL: [Self; 3] = [Self::Pass, Self::Fail, Self::Inconclusive];

    /// Returns the name in API and reports: `pass`, `fail` or `inconclusive`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        }
    }

    /// Returns the verdict of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == name)
    }
}

/// The counts that decide on one budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Page views that have the metric.
    pub n: u64,
    /// Page views whose value is at or under the budget; more than `n` counts as `n`.
    pub within: u64,
    /// The budget's percentile; clamped to 1 to 99.
    pub percent: u8,
    /// Page views needed before the budget is judged at all.
    pub min_samples: u64,
}

/// The reason for a verdict. `Display` writes it for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No page view has the metric, or no route matches: nothing is known.
    NoData,
    /// Fewer page views than the budget's `min_samples`.
    TooFewSamples {
        /// Page views with the metric.
        n: u64,
        /// Page views that the budget requires.
        min_samples: u64,
    },
    /// More page views are within the budget than chance explains.
    Within,
    /// Fewer page views are within the budget than chance explains.
    Exceeded,
    /// Chance explains the counts either way.
    TooClose,
    /// Every page view is within the budget, but there are too few of them to pass.
    AllWithin {
        /// Page views with the metric.
        n: u64,
    },
    /// The counts would fail the budget alone, but one such result among this many budgets is expected by chance.
    OneOfMany {
        /// Budgets that were judged together.
        budgets: usize,
    },
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoData => f.write_str("no page view on a matching route has this metric"),
            Self::TooFewSamples { n, min_samples } => {
                write!(f, "{n} of the {min_samples} page views that the budget asks for")
            }
            Self::Within => f.write_str("the budget is kept beyond chance"),
            Self::Exceeded => f.write_str("the budget is exceeded beyond chance"),
            Self::TooClose => f.write_str("too close to the budget to tell from chance"),
            Self::AllWithin { n } => {
                write!(f, "all {n} page views are within the budget, but so few may be by chance")
            }
            Self::OneOfMany { budgets } => {
                write!(f, "over the budget, but among {budgets} budgets this may be chance")
            }
        }
    }
}

/// A budget's verdict and its evidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason.
    pub reason: Reason,
    /// Probability of at most this many page views within the budget, if the budget were just met.
    pub p_fail: f64,
    /// Probability of at least this many page views within the budget, if the budget were just exceeded.
    pub p_pass: f64,
    /// An estimate of the total page views needed for a verdict; `None` after a verdict, or if the number is out of
    /// reach.
    ///
    /// With too few page views, it is the minimum of the budget and the test. Otherwise it is the number that decides
    /// with a probability of 80 % if the share `s` of page views within the budget stays the same: `((z(alpha)
    /// √(q(1−q)) + z(0.2) √(s(1−s))) / (s−q))²`, the usual sample size of a one-sided test of one proportion.
    pub needed: Option<u64>,
}

/// Judges the budgets of one check together, in their order.
///
/// `alpha` is the accepted probability of a false verdict, over 0 and at most 0.5 (see [`ALPHA`]). With any other
/// `alpha` every verdict is inconclusive.
#[must_use]
pub fn judge(samples: &[Sample], alpha: f64) -> Vec<Judged> {
    // Comparisons with NaN are false, so an invalid level decides nothing.
    let alpha = if alpha > 0.0 && alpha <= 0.5 { alpha } else { f64::NAN };
    let tails: Vec<(f64, f64)> = samples
        .iter()
        .map(|sample| {
            let binomial = Binomial::new(sample.n, sample.percent);
            (binomial.at_most(sample.within), binomial.at_least(sample.within.min(sample.n)))
        })
        .collect();
    let budgets = samples.iter().filter(|sample| sample.is_judged()).count();
    let fail_max =
        holm(samples.iter().zip(&tails).filter(|(sample, _)| sample.is_judged()).map(|(_, p)| p.0), alpha);
    samples
        .iter()
        .zip(tails)
        .map(|(sample, (p_fail, p_pass))| {
            let (verdict, reason) = if sample.n == 0 {
                (Verdict::Inconclusive, Reason::NoData)
            } else if !sample.is_judged() {
                let (n, min_samples) = (sample.n, sample.min_samples);
                (Verdict::Inconclusive, Reason::TooFewSamples { n, min_samples })
            } else if fail_max.is_some_and(|fail_max| p_fail <= fail_max) {
                (Verdict::Fail, Reason::Exceeded)
            } else if p_pass <= alpha {
                (Verdict::Pass, Reason::Within)
            } else if p_fail <= alpha {
                (Verdict::Inconclusive, Reason::OneOfMany { budgets })
            } else if sample.within >= sample.n {
                (Verdict::Inconclusive, Reason::AllWithin { n: sample.n })
            } else {
                (Verdict::Inconclusive, Reason::TooClose)
            };
            let needed = match verdict {
                Verdict::Inconclusive => sample.needed(alpha, budgets),
                Verdict::Pass | Verdict::Fail => None,
            };
            Judged { verdict, reason, p_fail, p_pass, needed }
        })
        .collect()
}

/// Returns the verdict of a whole check: fail if any budget fails, pass if there are budgets and all pass,
/// inconclusive otherwise.
#[must_use]
pub fn overall(verdicts: &[Verdict]) -> Verdict {
    if verdicts.contains(&Verdict::Fail) {
        Verdict::Fail
    } else if verdicts.is_empty() || verdicts.contains(&Verdict::Inconclusive) {
        Verdict::Inconclusive
    } else {
        Verdict::Pass
    }
}

/// Returns the ranks `(r, s)`, from 1 to `n`, of the ordered values that enclose the percentile; `None` with too few
/// values.
///
/// Each end errs with probability at most `alpha`, so the interval has confidence `1 − 2 alpha`. It agrees with the
/// gate: a single budget fails if the value at `r` exceeds it, and passes if the value at `s` is within it.
/// (Distribution-free interval from order statistics: David and Nagaraja, Order Statistics, 3rd edition, §7.1.)
#[must_use]
pub fn interval_ranks(n: u64, percent: u8, alpha: f64) -> Option<(u64, u64)> {
    // r = max { r : P(X ≤ r − 1) ≤ alpha } and s = min { s : P(X ≥ s) ≤ alpha }. By symmetry, s is r for the number
    // of values above the percentile, counted from the other end.
    let binomial = Binomial::new(n, percent);
    let from_below = binomial.rank_below(alpha);
    let from_above = binomial.mirrored().rank_below(alpha);
    let upper = n.checked_add(1)?.checked_sub(from_above)?;
    (from_below >= 1 && from_above >= 1 && from_below <= upper).then_some((from_below, upper))
}

impl Sample {
    /// Whether there are enough page views to judge.
    const fn is_judged(&self) -> bool {
        self.n > 0 && self.n >= self.min_samples
    }

    /// See [`Judged::needed`].
    fn needed(&self, alpha: f64, budgets: usize) -> Option<u64> {
        let q = f64::from(self.percent.clamp(1, 99)) / 100.0;
        // If all page views are within the budget, it passes at qⁿ ≤ alpha.
        let pass_min = whole(alpha.ln() / q.ln())?;
        if !self.is_judged() {
            return Some(self.min_samples.max(pass_min));
        }
        let share = self.within.min(self.n) as f64 / self.n as f64;
        // The strictest level that Holm's correction may require for a fail.
        let level = if share < q { alpha / budgets.max(1) as f64 } else { alpha };
        let deviations =
            normal_quantile(level) * (q * (1.0 - q)).sqrt() + POWER_QUANTILE * (share * (1.0 - share)).sqrt();
        let estimate = whole((deviations / (share - q)).powi(2))?;
        Some(estimate.max(pass_min).max(self.min_samples).max(self.n.saturating_add(1)))
    }
}

/// The largest p-value that Holm's step-down procedure rejects at the family's level `alpha`.
fn holm(p_values: impl Iterator<Item = f64>, alpha: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = p_values.collect();
    sorted.sort_by(f64::total_cmp);
    let left = (1..=sorted.len()).rev();
    sorted.into_iter().zip(left).take_while(|&(p, left)| p <= alpha / left as f64).map(|(p, _)| p).last()
}

/// Rounds up to a number of page views; `None` if no site could collect so many.
fn whole(number: f64) -> Option<u64> {
    (number <= limits::GATE_SAMPLES_MAX as f64).then(|| number.ceil() as u64)
}

/// The normal quantile of a power of 80 %.
const POWER_QUANTILE: f64 = 0.8416;

/// The value that a standard normal variable exceeds with probability `tail`, over 0 and at most 0.5,
/// with an error under 0.00045 (Abramowitz and Stegun, 26.2.23).
fn normal_quantile(tail: f64) -> f64 {
    let t = (-2.0 * tail.ln()).sqrt();
    let numerator = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let denominator = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    t - numerator / denominator
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use proptest::prelude::*;

    fn sample(n: u64, within: u64) -> Sample {
        Sample { n, within, percent: 75, min_samples: 1 }
    }

    fn verdict(sample: Sample) -> Verdict {
        judge(&[sample], ALPHA)[0].verdict
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
    fn no_data_is_never_a_pass() {
        for min_samples in [0, 1, 100] {
            let judged = judge(&[Sample { n: 0, within: 0, percent: 75, min_samples }], ALPHA)[0];
            assert_eq!((judged.verdict, judged.reason), (Verdict::Inconclusive, Reason::NoData));
            assert_eq!(judged.needed, Some(min_samples.max(11)));
        }
        assert_eq!(overall(&[]), Verdict::Inconclusive);
    }

    #[test]
    fn too_few_page_views_are_not_judged_however_clear() {
        let few = Sample { min_samples: 100, ..sample(99, 0) };
        let judged = judge(&[few, Sample { n: 100, ..few }], ALPHA);
        assert_eq!(judged[0].verdict, Verdict::Inconclusive);
        assert_eq!(judged[0].reason, Reason::TooFewSamples { n: 99, min_samples: 100 });
        assert_eq!(judged[0].needed, Some(100));
        assert_eq!(judged[1].verdict, Verdict::Fail);
        let rare = Sample { percent: 99, ..sample(0, 0) };
        assert_eq!(judge(&[rare], ALPHA)[0].needed, Some(299), "0.99^299 is the first power under 0.05");
    }

    #[test]
    fn an_inconclusive_verdict_says_how_many_page_views_it_takes() {
        // ((1.6449 × 0.43301 + 0.84162 × 0.45826) / 0.05)² = 482.2, rounded up.
        let judged = judge(&[sample(100, 70)], ALPHA)[0];
        assert_eq!((judged.verdict, judged.reason), (Verdict::Inconclusive, Reason::TooClose));
        assert_eq!(judged.needed, Some(483));
        assert_eq!(judge(&[sample(100, 75)], ALPHA)[0].needed, None, "on the budget no number decides");
        assert_eq!(judge(&[sample(100, 50)], ALPHA)[0].needed, None, "a verdict needs no more");
    }

    #[test]
    fn many_budgets_do_not_raise_a_false_alarm() {
        // P(X ≤ 67) of 100 at 75 % is 0.0446: enough for one budget, expected by chance among twenty.
        let close = sample(100, 67);
        assert_eq!(verdict(close), Verdict::Fail);
        let judged = judge(&[close; 20], ALPHA);
        assert!(judged.iter().all(|one| one.reason == Reason::OneOfMany { budgets: 20 }));
        assert!(judged.iter().all(|one| one.verdict == Verdict::Inconclusive && one.needed.is_some()));
        // Budgets with too little data need no correction, so the others are not judged more strictly.
        let unjudged = Sample { min_samples: 1_000, ..close };
        assert_eq!(judge(&[close, unjudged, sample(0, 0)], ALPHA)[0].verdict, Verdict::Fail);
        // A clear failure remains, and reduces the correction by one budget.
        let judged = judge(&[sample(100, 30), close], ALPHA);
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
                    judge(&[sample(1_000, within)], alpha)[0].verdict,
                    Verdict::Inconclusive,
                    "{alpha}"
                );
            }
        }
        assert_eq!(verdict(sample(100, u64::MAX)), Verdict::Pass, "within is held at n");
    }

    impl Random {
        /// Returns the counts of `n` values against a budget of 2500.
        fn sample(&mut self, n: u64, p75: f64) -> Sample {
            let within = (0..n).filter(|_| self.log_normal(p75) <= 2_500.0).count() as u64;
            sample(n, within)
        }
    }

    fn shares(runs: u32, mut run: impl FnMut() -> Verdict) -> (f64, f64) {
        let verdicts: Vec<Verdict> = (0..runs).map(|_| run()).collect();
        let share =
            |wanted| verdicts.iter().filter(|&&verdict| verdict == wanted).count() as f64 / f64::from(runs);
        (share(Verdict::Fail), share(Verdict::Pass))
    }

    #[test]
    fn a_page_on_its_budget_rarely_gets_a_false_verdict() {
        let mut random = Random(1);
        for n in [50, 200, 500] {
            let (fail, pass) = shares(4_000, || verdict(random.sample(n, 2_500.0)));
            // 0.05 and three standard errors of 4,000 runs. The lower end shows that the test has power.
            assert!((0.02..0.06).contains(&fail), "n = {n}: {fail}");
            assert!((0.02..0.06).contains(&pass), "n = {n}: {pass}");
        }
    }

    #[test]
    fn a_check_of_twenty_budgets_rarely_fails_falsely() {
        let mut random = Random(2);
        let (fail, _) = shares(1_000, || {
            let samples: Vec<Sample> = (0..20).map(|_| random.sample(200, 2_500.0)).collect();
            overall(&judge(&samples, ALPHA).iter().map(|one| one.verdict).collect::<Vec<_>>())
        });
        // Without Holm's correction this would be 0.6.
        assert!((0.01..0.07).contains(&fail), "{fail}");
    }

    #[test]
    fn a_page_clearly_over_its_budget_is_caught() {
        let mut random = Random(3);
        for (n, least) in [(100, 0.55), (200, 0.8), (500, 0.98)] {
            let (fail, pass) = shares(1_000, || verdict(random.sample(n, 3_000.0)));
            assert!(fail > least, "n = {n}: {fail}");
            assert!(pass < 0.01, "n = {n}: {pass}");
        }
    }

    proptest! {
        /// The interval and the gate agree.
        #[test]
        fn interval_and_verdict_agree(n in 11_u64..3_000, percent in 1_u8..=99, at in 0.0..1.0_f64) {
            let within = (n as f64 * at) as u64;
            let judged = judge(&[Sample { n, within, percent, min_samples: 1 }], ALPHA)[0];
            if let Some((low, high)) = interval_ranks(n, percent, ALPHA) {
                // The value of rank r exceeds the budget if fewer than r values are within it.
                let expected = if within < low {
                    Verdict::Fail
                } else if within >= high {
                    Verdict::Pass
                } else {
                    Verdict::Inconclusive
                };
                prop_assert_eq!(judged.verdict, expected);
            }
        }

        #[test]
        fn any_counts_are_judged(
            counts in proptest::collection::vec((0_u64..2_000_000_000, 0_u64..2_000_000_000, any::<u8>(), any::<u64>()), 0..4),
            alpha in any::<f64>(),
        ) {
            let samples: Vec<Sample> = counts
                .iter()
                .map(|&(n, within, percent, min_samples)| Sample { n, within, percent, min_samples })
                .collect();
            let judged = judge(&samples, alpha);
            prop_assert_eq!(judged.len(), samples.len());
            for one in judged {
                prop_assert!((0.0..=1.0).contains(&one.p_fail) && (0.0..=1.0).contains(&one.p_pass));
            }
        }
    }
}
