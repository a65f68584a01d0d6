//! Shares of page views with their uncertainty.

use serde::Serialize;
use utoipa::ToSchema;
use vitals::share;

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
        Self { views, share: Some(views as f64 / n as f64), interval: Some(share::interval(views, n)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_group_has_no_share() {
        assert_eq!(ShareReport::new(0, 0), ShareReport { views: 0, share: None, interval: None });
        assert_eq!(ShareReport::new(1, 4).share, Some(0.25));
    }
}
