//! The always-valid test: evidence that stays honest however often somebody looks.
//!
//! The evidence against "at least a share `q` is within the budget" is the likelihood of the counts, averaged over shares
//! under `q`, divided by their likelihood at `q`:
//!
//! ```text
//! E(n, k) = ∫ (p/q)^k ((1−p)/(1−q))^(n−k) w(p) dp  over 0 < p < q,  w = Beta(K₀ + 1, N₀ − K₀ + 1), truncated to p < q
//! ```
//!
//! Each factor has a mean of at most 1 for every true share of at least `q`, so `E` is a nonnegative supermartingale that
//! starts at 1. By Ville's inequality `P(E(n, k) ≥ 1/alpha at any n) ≤ alpha`. `1/E` is therefore a p-value at every look.
//! It needs the counts of the look alone, no history. Sources: Robbins, "Statistical methods related to the law of the
//! iterated logarithm", Ann. Math. Stat. 41 (1970); Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric,
//! nonasymptotic confidence sequences", Ann. Stat. 49 (2021), proposition 7 (the one-sided beta-binomial mixture).
//!
//! With whole parameters of the beta distribution the integral is a binomial tail (NIST DLMF 8.17.5). For `N = n + N₀`
//! and `K = k + K₀`:
//!
//! ```text
//! 1/E = ((N + 1) P(Bin(N, q) = K) / P(Bin(N + 1, q) > K)) / (the same for n = k = 0)
//! ```

use super::binomial::Binomial;

/// Page views of the prior, `N₀`, all of them exactly on the budget: `K₀` is the percentile. A sequential test of a normal
/// mean has the narrowest bounds near `8 N₀` values (Howard et al. 2021, section 3.5), which here are 800 page views. They
/// are less than a tenth wider from 200 to 5,000.
const PRIOR_VIEWS: u64 = 100;

/// Returns an always-valid p-value of the hypothesis that at least `percent` per cent of page views are within the
/// budget. It grows with `within`.
pub(super) fn p_at_most(n: u64, within: u64, percent: u8) -> f64 {
    let percent = percent.clamp(1, 99);
    let Some(odds) = posterior_odds(n, within, percent) else { return 1.0 };
    posterior_odds(0, 0, percent).map_or(1.0, |prior| (odds / prior).min(1.0))
}

/// Returns an always-valid p-value of the hypothesis that less than `percent` per cent of page views are within the
/// budget.
pub(super) fn p_at_least(n: u64, within: u64, percent: u8) -> f64 {
    p_at_most(n, n.saturating_sub(within), 100_u8.saturating_sub(percent.clamp(1, 99)))
}

/// Returns the logarithm of the evidence against at least `percent` per cent within: `ln E(n, k)`, also negative.
pub(super) fn ln_at_most(n: u64, within: u64, percent: u8) -> f64 {
    let percent = percent.clamp(1, 99);
    let ln = (odds(0, 0, percent) / odds(n, within, percent)).ln();
    // Probabilities of counts far above the mean underflow: there is no evidence.
    if ln.is_nan() { f64::NEG_INFINITY } else { ln }
}

/// Returns the logarithm of the evidence against less than `percent` per cent within.
pub(super) fn ln_at_least(n: u64, within: u64, percent: u8) -> f64 {
    ln_at_most(n, n.saturating_sub(within), 100_u8.saturating_sub(percent.clamp(1, 99)))
}

/// [`odds`]; `None` if the counts are no evidence.
fn posterior_odds(n: u64, within: u64, percent: u8) -> Option<f64> {
    let next = Binomial::new(n.saturating_add(PRIOR_VIEWS).saturating_add(1), percent);
    let above = within.min(n).saturating_add(u64::from(percent)).saturating_add(1);
    // Above the mean E is under 2, which decides nothing. The tail may underflow there.
    (n == 0 || above as f64 <= next.mean()).then(|| odds(n, within, percent))
}

/// `(N + 1) P(Bin(N, q) = K) / P(Bin(N + 1, q) > K)`
fn odds(n: u64, within: u64, percent: u8) -> f64 {
    let views = n.saturating_add(PRIOR_VIEWS);
    let count = within.min(n).saturating_add(u64::from(percent));
    let next = Binomial::new(views.saturating_add(1), percent);
    (views as f64 + 1.0) * Binomial::new(views, percent).probability(count)
        / next.at_least(count.saturating_add(1))
}

/// Returns the distance between share and percentile, in standard deviations of one share, at which the evidence of `n`
/// page views reaches `1/alpha`: the normal approximation (Howard et al. 2021, equation 14), doubled for one side.
pub(super) fn quantile(n: f64, alpha: f64) -> f64 {
    let prior = PRIOR_VIEWS as f64;
    let n = n.max(1.0);
    ((1.0 + prior / n) * (2.0 * (0.5 / alpha).ln() + (n / prior).ln_1p())).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The integral of the definition, by Simpson's rule, divided by that of the prior.
    fn by_definition(n: u64, within: u64, percent: u8) -> f64 {
        const STEPS: u32 = 40_000;
        let q = f64::from(percent) / 100.0;
        let (a, b) = (f64::from(percent), PRIOR_VIEWS as f64 - f64::from(percent));
        let integral = |k: f64, failures: f64| {
            let value = |p: f64| {
                if p <= 0.0 {
                    return 0.0;
                }
                ((k + a) * (p / q).ln() + (failures + b) * ((1.0 - p) / (1.0 - q)).ln()).exp()
            };
            let step = q / f64::from(STEPS);
            let sum: f64 = (0..=STEPS)
                .map(|at| {
                    let weight = match at {
                        0 | STEPS => 1.0,
                        at if at % 2 == 1 => 4.0,
                        _ => 2.0,
                    };
                    weight * value(f64::from(at) * step)
                })
                .sum();
            sum * step / 3.0
        };
        integral(0.0, 0.0) / integral(within as f64, (n - within) as f64)
    }

    #[test]
    fn evidence_is_the_integral_of_the_definition() {
        for (n, within, percent) in [
            (1, 0, 75),
            (10, 3, 75),
            (100, 60, 75),
            (100, 70, 75),
            (1_000, 710, 75),
            (50, 20, 50),
            (200, 190, 99),
        ] {
            let (found, expected) =
                (p_at_most(n, within, percent), by_definition(n, within, percent).min(1.0));
            assert!(
                (found / expected - 1.0).abs() < 1e-6,
                "{within} of {n} at {percent}: {found} is not {expected}"
            );
        }
    }

    #[test]
    fn logarithm_is_that_of_the_evidence_on_either_side_of_the_budget() {
        for (n, within, percent) in [(100, 60, 75), (1_000, 710, 75), (1_000, 780, 75), (50, 50, 50)] {
            let (found, expected) = (ln_at_most(n, within, percent), -by_definition(n, within, percent).ln());
            assert!(
                (found - expected).abs() < 1e-6,
                "{within} of {n} at {percent}: {found} is not {expected}"
            );
        }
        assert_eq!(ln_at_most(0, 0, 75), 0.0);
        assert!(ln_at_least(1_000, 780, 75) > 0.0 && ln_at_most(1_000_000, 1_000_000, 75) < -1.0);
    }

    #[test]
    fn no_page_view_is_no_evidence() {
        for percent in [0, 1, 50, 75, 99, 100] {
            assert_eq!((p_at_most(0, 0, percent), p_at_least(0, 0, percent)), (1.0, 1.0), "{percent}");
        }
    }

    #[test]
    fn more_page_views_within_are_less_evidence_against_the_budget() {
        for n in [1, 7, 100, 2_000] {
            for percent in [1, 50, 75, 99] {
                let all: Vec<f64> = (0..=n).map(|within| p_at_most(n, within, percent)).collect();
                assert!(all.is_sorted(), "{n} {percent}");
                let mirrored: Vec<f64> = (0..=n).rev().map(|within| p_at_least(n, within, percent)).collect();
                assert!(mirrored.is_sorted(), "{n} {percent}");
            }
        }
    }

    #[test]
    fn the_largest_counts_end_without_a_wrong_number() {
        let n = 1_000_000_000;
        for within in [0, n / 2, n / 4 * 3 - 1, n / 4 * 3, n / 4 * 3 + 1, n] {
            let (below, above) = (p_at_most(n, within, 75), p_at_least(n, within, 75));
            assert!(
                (0.0..=1.0).contains(&below) && (0.0..=1.0).contains(&above),
                "{within}: {below} {above}"
            );
        }
        assert!(p_at_most(n, n / 4 * 3 - 100_000, 75) < 0.05);
    }

    #[test]
    fn normal_quantile_is_near_the_boundary() {
        for n in [200_u64, 1_000, 10_000] {
            let fails = (0..=n).take_while(|&within| p_at_most(n, within, 75) <= 0.05).count() as f64;
            let distance = (n as f64 * 0.75 - fails) / (n as f64 * 0.1875).sqrt();
            assert!((quantile(n as f64, 0.05) / distance - 1.0).abs() < 0.05, "{n}: {distance}");
        }
    }
}
