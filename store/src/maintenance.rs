//! Results of a maintenance round: counts of its work, and failed parts.

use crate::{SiteId, StoreError};

/// Results of one maintenance round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceSummary {
    /// Whether another server was running maintenance, so that this round did nothing.
    pub elsewhere: bool,
    /// Delta rows folded into cells.
    pub deltas_folded: u64,
    /// UTC days of a site that got the rollups of the whole site, in a store from before these.
    pub days_built: u64,
    /// Page views removed because they are past retention.
    pub views_removed: u64,
    /// Rollup blocks removed because they are past retention.
    pub rows_removed: u64,
    /// Unused routes, labels and texts removed.
    pub names_removed: u64,
    /// Failed parts, each listed once; the next round retries them.
    pub undone: Vec<FailedPart>,
}

/// A failed part of maintenance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedPart {
    /// The site or day of the part.
    pub part: MaintenancePart,
    /// The error message.
    pub error: String,
}

/// The site or day of a part of maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaintenancePart {
    /// A site.
    Site(SiteId),
    /// The page views of all sites on a UTC day, given by its start in milliseconds.
    Day(i64),
}

/// A running round. A failed part does not stop the other parts.
#[derive(Debug, Default)]
pub struct MaintenanceRound {
    /// The results so far.
    pub done: MaintenanceSummary,
    /// The part that failed last with a transient error. The whole store may be unavailable.
    last_transient: Option<MaintenancePart>,
}

impl MaintenanceRound {
    /// Records the result of a part. Returns the default value for a failed part.
    ///
    /// # Errors
    /// If two different parts fail in succession with transient errors, because then the store is unavailable.
    pub fn part<T: Default>(
        &mut self,
        part: MaintenancePart,
        came: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let error = match came {
            Ok(done) => {
                self.last_transient = None;
                return Ok(done);
            }
            Err(error) => error,
        };
        if matches!(error, StoreError::Database { transient: true, .. }) {
            if self.last_transient.is_some_and(|before| before != part) {
                return Err(error);
            }
            self.last_transient = Some(part);
        }
        self.leave(part, &error);
        Ok(T::default())
    }

    /// Records a failed part.
    pub fn leave(&mut self, part: MaintenancePart, error: &StoreError) {
        if self.done.undone.iter().all(|undone| undone.part != part) {
            self.done.undone.push(FailedPart { part, error: error.to_string() });
        }
    }
}

/// Groups sites, given with their numbers of deltas, so that one fold serves several sites. A group has at most `rows_max`
/// deltas, or is one site.
#[must_use]
pub fn groups_to_fold(
    sites: impl IntoIterator<Item = (SiteId, u64)>,
    rows_max: u64,
) -> Vec<Vec<(SiteId, u64)>> {
    let (mut groups, mut left) = (Vec::<Vec<(SiteId, u64)>>::new(), 0);
    for (site, deltas) in sites {
        match groups.last_mut() {
            Some(group) if deltas <= left => {
                left -= deltas;
                group.push((site, deltas));
            }
            _ => {
                left = rows_max.saturating_sub(deltas);
                groups.push(vec![(site, deltas)]);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_all_sites_in_order_and_few_deltas() {
        let sites: Vec<_> =
            [3, 4, 3, 11, 1, 9, 10, 1].into_iter().zip(0..).map(|(n, id)| (SiteId(id), n)).collect();
        let groups = groups_to_fold(sites.clone(), 10);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1, 2, 1, 1]);
        assert_eq!(groups.concat(), sites);
    }

    fn fault(transient: bool) -> Result<u64, StoreError> {
        Err(StoreError::Database { what: "a test's fault", reason: String::new(), transient })
    }

    #[test]
    fn a_part_that_fails_holds_up_no_other_and_a_store_that_is_away_all() {
        let [a, b] = [1, 2].map(|site| MaintenancePart::Site(SiteId(site)));
        let mut round = MaintenanceRound::default();
        for (part, came) in
            [(a, fault(false)), (a, fault(true)), (a, fault(true)), (b, Ok(7)), (a, fault(true))]
        {
            let expected = *came.as_ref().unwrap_or(&0);
            assert_eq!(round.part(part, came).unwrap(), expected);
        }
        assert_eq!(round.done.undone.iter().map(|undone| undone.part).collect::<Vec<_>>(), [a]);
        assert!(round.part(b, fault(true)).is_err());
        assert!(round.part(MaintenancePart::Day(0), fault(false)).is_ok());
        assert_eq!(round.done.undone.len(), 2);
    }
}
