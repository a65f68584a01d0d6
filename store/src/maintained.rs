//! What a round of maintenance did, and what it could not do.

use crate::{SiteId, StoreError};

/// What one round of maintenance did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Whether another server was at it, so that nothing was even looked at.
    pub elsewhere: bool,
    /// Delta rows folded into cells.
    pub deltas_folded: u64,
    /// Page views past retention, removed.
    pub views_removed: u64,
    /// Rollup blocks past retention, removed.
    pub rows_removed: u64,
    /// Routes, labels and texts of which nothing is kept any more, removed.
    pub names_removed: u64,
    /// What was left undone, each part once; the next round tries it again.
    pub undone: Vec<Undone>,
}

/// A part of maintenance that failed, while the rest went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// Whose rows it was about.
    pub concern: Concern,
    /// Why it failed.
    pub error: String,
}

/// Whose rows a part of maintenance is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// A site's.
    Site(SiteId),
    /// The page views of a UTC day, of all sites; by its start.
    Day(i64),
}

/// A round under way: a part that fails is left undone, and holds up no other.
#[derive(Debug, Default)]
pub struct Round {
    /// What it has done.
    pub done: Maintained,
    /// The part that failed last, where it may have failed with the whole store.
    doubt: Option<Concern>,
}

impl Round {
    /// What came of a part; of one that is left undone, nothing.
    ///
    /// # Errors
    /// Where two parts after one another fail in a way that passes: then it is the store that is away.
    pub fn part<T: Default>(&mut self, part: Concern, came: Result<T, StoreError>) -> Result<T, StoreError> {
        let error = match came {
            Ok(done) => {
                self.doubt = None;
                return Ok(done);
            }
            Err(error) => error,
        };
        if matches!(error, StoreError::Database { passing: true, .. }) {
            if self.doubt.is_some_and(|before| before != part) {
                return Err(error);
            }
            self.doubt = Some(part);
        }
        self.leave(part, &error);
        Ok(T::default())
    }

    /// Leaves a part undone.
    pub fn leave(&mut self, part: Concern, error: &StoreError) {
        if self.done.undone.iter().all(|undone| undone.concern != part) {
            self.done.undone.push(Undone { concern: part, error: error.to_string() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(passing: bool) -> Result<u64, StoreError> {
        Err(StoreError::Database { what: "a test's fault", reason: String::new(), passing })
    }

    #[test]
    fn a_part_that_fails_holds_up_no_other_and_a_store_that_is_away_all() {
        let [a, b] = [1, 2].map(|site| Concern::Site(SiteId(site)));
        let mut round = Round::default();
        for (part, came) in
            [(a, fault(false)), (a, fault(true)), (a, fault(true)), (b, Ok(7)), (a, fault(true))]
        {
            let expected = *came.as_ref().unwrap_or(&0);
            assert_eq!(round.part(part, came).unwrap(), expected);
        }
        assert_eq!(round.done.undone.iter().map(|undone| undone.concern).collect::<Vec<_>>(), [a]);
        assert!(round.part(b, fault(true)).is_err());
        assert!(round.part(Concern::Day(0), fault(false)).is_ok());
        assert_eq!(round.done.undone.len(), 2);
    }
}
