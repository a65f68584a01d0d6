//! Bounded sets of facts of one kind, ordered by time and without duplicates.

use crate::limits;
use crate::metric::plausible;

/// A time in milliseconds since the document's time origin, and its number: a score, an end, a count, or 0 if the time
/// suffices.
pub type Fact = [f64; 2];

/// The time of a fact.
#[must_use]
pub const fn time(&[at, _]: &Fact) -> f64 {
    at
}

/// A set of facts, ascending by time, then by number.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts(Vec<Fact>);

impl Facts {
    /// No facts.
    pub const EMPTY: Self = Self(Vec::new());

    /// Adds a fact, unless it exists. Ignores facts with negative or infinite numbers, because browsers have no such
    /// numbers.
    pub fn insert(&mut self, at: f64, number: f64) {
        let fact = [at, number];
        if !plausible(at) || !plausible(number) {
            return;
        }
        let place = self.place(at, number);
        if self.0.get(place) != Some(&fact) {
            self.0.insert(place, fact);
        }
    }

    /// Adds a fact and keeps only the earliest `max` facts.
    pub fn insert_earliest(&mut self, at: f64, number: f64, max: usize) {
        self.insert(at, number);
        self.0.truncate(max);
    }

    /// Adds a moment. Above [`limits::MOMENTS_MAX`] moments, keeps only the first and the last moment of each stretch
    /// between `bounds` (ascending).
    pub fn insert_moment(&mut self, at: f64, number: f64, bounds: &[f64]) {
        self.insert(at, number);
        if self.0.len() <= limits::MOMENTS_MAX {
            return;
        }
        let mut place = 0_usize;
        while let Some([before, _, after, ..]) = self.0.get(place..) {
            place = place.saturating_add(1);
            if stretch(time(before), bounds) == stretch(time(after), bounds) {
                self.0.remove(place);
                place = place.saturating_sub(1);
            }
        }
    }

    /// All facts.
    #[must_use]
    pub fn all(&self) -> &[Fact] {
        &self.0
    }

    /// The facts at or after `from` and before `to`.
    #[must_use]
    pub fn within(&self, from: f64, to: f64) -> &[Fact] {
        // Numbers are not negative, so all facts of a time come after -1.
        self.0.get(self.place(from, -1.0)..self.place(to, -1.0)).unwrap_or_default()
    }

    /// The time of the first fact after `from`; infinity if there is none.
    #[must_use]
    pub fn first_after(&self, from: f64) -> f64 {
        self.at(self.place(from, f64::INFINITY), f64::INFINITY)
    }

    /// The time of the first fact at or after `from`; infinity if there is none.
    #[must_use]
    pub fn first_from(&self, from: f64) -> f64 {
        self.at(self.place(from, -1.0), f64::INFINITY)
    }

    /// The time of the last fact before `to`; -1 if there is none.
    #[must_use]
    pub fn last_before(&self, to: f64) -> f64 {
        self.at(self.place(to, -1.0).wrapping_sub(1), -1.0)
    }

    fn at(&self, place: usize, otherwise: f64) -> f64 {
        self.0.get(place).map_or(otherwise, time)
    }

    /// Returns the number of facts before this fact.
    fn place(&self, at: f64, number: f64) -> usize {
        self.0.iter().take_while(|&&[other, its]| other < at || (other == at && its < number)).count()
    }

    /// Replaces all facts.
    pub(super) fn replace(&mut self, facts: Vec<Fact>) {
        self.0 = facts;
    }
}

/// Returns the index of the stretch between ascending `bounds` that contains a time.
#[must_use]
pub fn stretch(at: f64, bounds: &[f64]) -> usize {
    bounds.iter().filter(|&&bound| bound <= at).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pairs: &[Fact]) -> Facts {
        let mut facts = Facts::EMPTY;
        for &[at, number] in pairs {
            facts.insert(at, number);
        }
        facts
    }

    #[test]
    fn facts_are_kept_in_order_and_once() {
        let kept = facts(&[[5.0, 1.0], [-0.0, 0.0], [5.0, 0.0], [0.0, -0.0], [5.0, 1.0]]);
        assert_eq!(kept.all(), [[0.0, 0.0], [5.0, 0.0], [5.0, 1.0]]);
    }

    #[test]
    fn impossible_numbers_are_not_taken() {
        let kept = facts(&[
            [f64::NAN, 0.0],
            [0.0, f64::NAN],
            [f64::INFINITY, 0.0],
            [0.0, f64::INFINITY],
            [-1.0, 0.0],
            [0.0, -1.0],
        ]);
        assert_eq!(kept.all(), [[0.0; 2]; 0]);
    }

    #[test]
    fn a_range_has_its_start_and_not_its_end() {
        let kept = facts(&[[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]);
        assert_eq!(kept.within(1.0, 3.0), [[1.0, 0.0], [2.0, 0.0]]);
        assert_eq!(kept.within(3.0, f64::INFINITY), [[3.0, 0.0]]);
        assert!(kept.within(3.0, 1.0).is_empty());
    }

    #[test]
    fn past_the_bound_first_and_last_of_each_stretch_stay() {
        let mut kept = Facts::EMPTY;
        for at in 0..10_000 {
            kept.insert_moment(f64::from(at), 0.0, &[1_000.0, 5_000.0]);
            assert!(kept.all().len() <= limits::MOMENTS_MAX);
        }
        assert_eq!(kept.within(0.0, 1_000.0), [[0.0, 0.0], [999.0, 0.0]]);
        assert_eq!(kept.within(1_000.0, 5_000.0), [[1_000.0, 0.0], [4_999.0, 0.0]]);
        assert_eq!(kept.all().last(), Some(&[9_999.0, 0.0]));
    }

    #[test]
    fn the_earliest_are_kept_in_any_order() {
        let mut kept = Facts::EMPTY;
        for at in (0..100).rev() {
            kept.insert_earliest(f64::from(at), 0.0, 3);
        }
        assert_eq!(kept.all(), [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]);
    }
}
