//! Judges the budgets of one check together.

use super::{Looks, Sample, Verdict};

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
    /// Every page view is over the limit, but there are too few of them to fail.
    AllOver {
        /// Page views with the metric.
        n: u64,
    },
    /// The other side of a comparison has no page view with the metric.
    NoBaseline,
    /// Fewer page views in the baseline than the budget's `min_samples`.
    TooFewInBaseline {
        /// Page views with the metric.
        n: u64,
        /// Page views that the budget requires.
        min_samples: u64,
    },
    /// Too few page views are of classes that both sides of a comparison have.
    Apart,
    /// The increase exceeds its limit by more than chance explains.
    Increased,
    /// The increase is within its limit by more than chance explains.
    NotIncreased,
    /// Chance explains an increase over its limit, and one within it.
    IncreaseTooClose,
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
            Self::TooClose => f.write_str("too few page views, or too close to the budget, to tell from chance"),
            Self::AllWithin { n } => {
                write!(f, "all {n} page views are within the budget, but so few may be by chance")
            }
            Self::AllOver { n } => {
                write!(f, "all {n} page views are over the limit, but too few page views are there to tell from chance")
            }
            Self::NoBaseline => f.write_str("no page view of the baseline on a matching route has this metric"),
            Self::TooFewInBaseline { n, min_samples } => {
                write!(f, "{n} of the {min_samples} page views that the budget asks for in the baseline")
            }
            Self::Apart => f.write_str(
                "less than half of the page views are of devices, countries and navigation types that both sides have",
            ),
            Self::Increased => f.write_str("the increase exceeds its limit beyond chance"),
            Self::NotIncreased => f.write_str("the increase is within its limit beyond chance"),
            Self::IncreaseTooClose => f.write_str("too few page views, or too close to the limit of the increase, to tell from chance"),
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
    /// The level at which the budget fails, after Holm's correction; [`Sample::ranks`] and [`Sample::needed`] take it.
    pub fail_level: f64,
}

/// The evidence on one budget, before the number of budgets counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// Probability of evidence at least as strong against the budget, if it were just met.
    pub p_fail: f64,
    /// Probability of evidence at least as strong for the budget, if it were just exceeded.
    pub p_pass: f64,
    /// The reason why there is no verdict yet; `None` with enough page views.
    pub unjudged: Option<Reason>,
    /// The reasons of the verdicts fail and pass.
    pub reasons: [Reason; 2],
    /// The reason of neither.
    pub undecided: Reason,
}

/// Judges the budgets of one check together, in their order.
///
/// `alpha` is the accepted probability of a false verdict, over 0 and at most 0.5 (see [`super::ALPHA`]). With any other
/// `alpha` every verdict is inconclusive.
#[must_use]
pub fn judge(samples: &[Sample], looks: Looks, alpha: f64) -> Vec<Judged> {
    let evidence: Vec<Evidence> = samples.iter().map(|sample| sample.evidence(looks)).collect();
    judge_together(&evidence, looks, alpha)
}

/// Judges budgets by their evidence, as [`judge`] does.
#[must_use]
pub fn judge_together(evidence: &[Evidence], looks: Looks, alpha: f64) -> Vec<Judged> {
    // Comparisons with NaN are false, so an invalid level decides nothing.
    let alpha = if alpha > 0.0 && alpha <= 0.5 { alpha } else { f64::NAN };
    // A budget without enough page views cannot fail, so a single look needs no correction for it. A later look may judge
    // it, so repeated looks need the correction from the first one on.
    let family = evidence.iter().filter_map(|one| match looks {
        _ if one.unjudged.is_none() => Some(one.p_fail),
        Looks::One => None,
        Looks::Many => Some(1.0),
    });
    let family: Vec<f64> = family.collect();
    let budgets = family.len();
    let fail_level = holm(family, alpha);
    let judged = |one: &Evidence| {
        let &Evidence { p_fail, p_pass, unjudged, reasons: [exceeded, kept], undecided } = one;
        let (verdict, reason) = if let Some(reason) = unjudged {
            (Verdict::Inconclusive, reason)
        } else if p_fail <= fail_level {
            (Verdict::Fail, exceeded)
        } else if p_pass <= alpha {
            (Verdict::Pass, kept)
        } else if p_fail <= alpha {
            (Verdict::Inconclusive, Reason::OneOfMany { budgets })
        } else {
            (Verdict::Inconclusive, undecided)
        };
        Judged { verdict, reason, p_fail, p_pass, fail_level }
    };
    evidence.iter().map(judged).collect()
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

/// Returns the level of each budget's failure by Holm's step-down procedure: budgets with a p-value at most this level
/// fail. It is `alpha` divided by the number of budgets that do not fail, or `alpha` if all fail.
fn holm(mut sorted: Vec<f64>, alpha: f64) -> f64 {
    sorted.sort_by(f64::total_cmp);
    let left = (1..=sorted.len()).rev();
    let failed = sorted.iter().zip(left).take_while(|&(&p, left)| p <= alpha / left as f64).count();
    alpha / sorted.len().saturating_sub(failed).max(1) as f64
}
