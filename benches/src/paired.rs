//! Whether paired measurements differ: Wilcoxon's signed-rank test, exact also with ties.
//!
//! F. Wilcoxon, "Individual comparisons by ranking methods", Biometrics 1 (1945). If nothing differs, each
//! difference is as likely positive as negative; the probability of what was seen is counted over all signs.

/// How probable it is that differences are as far from balanced as these if there is none; two-sided, so 1 where
/// they are balanced.
pub(crate) fn probability(differences: &[f64]) -> f64 {
    let mut kept: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    kept.sort_by(|one, other| one.abs().total_cmp(&other.abs()));
    // Twice the ranks, as equal sizes share the middle of theirs: whole numbers all.
    let mut ranks = Vec::with_capacity(kept.len());
    while ranks.len() < kept.len() {
        let from = ranks.len();
        let same = kept[from..].iter().take_while(|other| other.abs() == kept[from].abs()).count();
        ranks.extend(std::iter::repeat_n(2 * from + same + 1, same));
    }
    let all: usize = ranks.iter().sum();
    let positive: usize =
        ranks.iter().zip(&kept).filter(|(_, kept)| **kept > 0.0).map(|(rank, _)| rank).sum();
    // The share of all choices of signs whose positive ranks sum to each number.
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
        // Of 2^5 choices of signs, one is all positive and one all negative.
        assert_eq!(probability(&[1.0, 2.0, 3.0, 4.0, 5.0]), 2.0 / 32.0);
        // Sums up to 1 on either side: {} and {1}.
        assert_eq!(probability(&[-1.0, 2.0, 3.0, 4.0, 5.0]), 4.0 / 32.0);
        assert_eq!(probability(&[1.0, -1.0, 2.0, -2.0]), 1.0);
        assert_eq!(probability(&[0.0, 0.0]), 1.0);
        // Ties: ranks 1.5, 1.5 and 3; only all of one sign are as far off.
        assert_eq!(probability(&[1.0, 1.0, 2.0]), 2.0 / 8.0);
        let shifted: Vec<f64> = (0..30).map(|place| 1.0 + f64::from(place % 7)).collect();
        assert!(probability(&shifted) < 1e-8);
    }
}
