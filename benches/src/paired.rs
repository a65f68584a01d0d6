//! Wilcoxon's signed-rank test for paired measurements, exact also with ties.
//!
//! F. Wilcoxon, "Individual comparisons by ranking methods", Biometrics 1 (1945). If nothing differs, each difference
//! is as likely positive as negative, so the p-value is counted over all choices of signs.

/// Returns the two-sided p-value of paired differences: 1 for balanced differences. Ignores zero differences.
pub(crate) fn probability(differences: &[f64]) -> f64 {
    let mut kept: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    kept.sort_by(|one, other| one.abs().total_cmp(&other.abs()));
    // Doubles the ranks, so that the shared mean rank of ties stays a whole number.
    let mut ranks = Vec::with_capacity(kept.len());
    while ranks.len() < kept.len() {
        let from = ranks.len();
        let same = kept[from..].iter().take_while(|other| other.abs() == kept[from].abs()).count();
        ranks.extend(std::iter::repeat_n(2 * from + same + 1, same));
    }
    let all: usize = ranks.iter().sum();
    let positive: usize =
        ranks.iter().zip(&kept).filter(|(_, kept)| **kept > 0.0).map(|(rank, _)| rank).sum();
    // shares[s]: the share of all choices of signs whose positive ranks sum to s.
    let mut shares = vec![0.0; all + 1];
    shares[0] = 1.0;
    for rank in ranks {
        for sum in (0..=all).rev() {
            let with = if sum >= rank { shares[sum - rank] } else { 0.0 };
            shares[sum] = (shares[sum] + with) / 2.0;
        }
    }
    let tail: f64 = shares[..=positive.min(all - positive)].iter().sum();
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_share_of_signs_that_are_as_far_off() {
        // 2^5 choices of signs; one is all positive and one all negative.
        assert_eq!(probability(&[1.0, 2.0, 3.0, 4.0, 5.0]), 2.0 / 32.0);
        // Sums up to 1 on either side: {} and {1}.
        assert_eq!(probability(&[-1.0, 2.0, 3.0, 4.0, 5.0]), 4.0 / 32.0);
        assert_eq!(probability(&[1.0, -1.0, 2.0, -2.0]), 1.0);
        assert_eq!(probability(&[0.0, 0.0]), 1.0);
        // Ranks with ties: 1.5, 1.5 and 3. Only the two choices with a single sign are as extreme.
        assert_eq!(probability(&[1.0, 1.0, 2.0]), 2.0 / 8.0);
        let shifted: Vec<f64> = (0..30).map(|place| 1.0 + f64::from(place % 7)).collect();
        assert!(probability(&shifted) < 1e-8);
    }
}
