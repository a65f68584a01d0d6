//! Shares of page views with their uncertainty.

use serde::Serialize;
use utoipa::ToSchema;

/// The 95th percentile of the standard normal distribution: 90 % of it lie between -Z and Z.
const Z: f64 = 1.644_853_626_951_472_2;

/// A share of page views.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ShareReport {
    /// Page views that are counted.
    pub views: i64,
    /// `views` divided by the page views of the group, 0 to 1; absent for an empty group.
    pub share: Option<f64>,
    /// The 90 % confidence interval of the share; absent for an empty group.
    pub interval: Option<[f64; 2]>,
}

impl ShareReport {
    /// Reports `views` of `n` page views.
    #[must_use]
    pub fn new(views: i64, n: i64) -> Self {
        if n < 1 {
            return Self { views, share: None, interval: None };
        }
        Self { views, share: Some(views as f64 / n as f64), interval: Some(wilson(views, n)) }
    }
}

/// Returns the score interval of a proportion (Wilson 1927): (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n).
fn wilson(views: i64, n: i64) -> [f64; 2] {
    let (is_none, is_all) = (views <= 0, views >= n);
    let (n, share) = (n as f64, views as f64 / n as f64);
    let center = share + Z * Z / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    // Exact at the limits, where rounding would leave them.
    [
        if is_none { 0.0 } else { (center - spread) / scale },
        if is_all { 1.0 } else { (center + spread) / scale },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The probability of each number of successes of `n`.
    fn binomial(n: i64, share: f64) -> Vec<f64> {
        let mut probability = (1.0 - share).powi(n as i32);
        let mut all = Vec::new();
        for k in 0..=n {
            all.push(probability);
            probability *= (n - k) as f64 / (k + 1) as f64 * share / (1.0 - share);
        }
        all
    }

    #[test]
    fn interval_is_that_of_the_score_test() {
        // Its ends are the shares whose score test has exactly the level.
        for (views, n) in [(0, 10), (3, 10), (50, 100), (999, 1_000)] {
            let share = views as f64 / n as f64;
            let is_on_the_edge =
                |end: f64| ((share - end).abs() / (end * (1.0 - end) / n as f64).sqrt() - Z).abs() < 1e-9;
            let [low, high] = wilson(views, n);
            assert!(low <= share && share <= high, "{views} of {n}: {low} {high}");
            assert!(views == 0 || is_on_the_edge(low), "{views} of {n}: {low}");
            assert!(is_on_the_edge(high), "{views} of {n}: {high}");
        }
        assert_eq!(wilson(0, 5)[0], 0.0);
        assert_eq!(wilson(5, 5)[1], 1.0);
    }

    #[test]
    fn nine_of_ten_intervals_hold_the_share() {
        for share in [0.1, 0.3, 0.5, 0.9] {
            let held: f64 = (0..)
                .zip(binomial(200, share))
                .filter(|&(views, _)| {
                    let [low, high] = wilson(views, 200);
                    (low..=high).contains(&share)
                })
                .map(|(_, probability)| probability)
                .sum();
            assert!((0.87..=0.93).contains(&held), "{share}: {held}");
        }
    }

    #[test]
    fn empty_group_has_no_share() {
        assert_eq!(ShareReport::new(0, 0), ShareReport { views: 0, share: None, interval: None });
        assert_eq!(ShareReport::new(1, 4).share, Some(0.25));
    }
}
